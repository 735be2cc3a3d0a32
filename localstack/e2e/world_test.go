//go:build e2e

package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/musketry/musketry/internal/boot"
)

// patience is how long a test waits for a batch that has no reason to take
// long: the machines are shared and slow at times.
const patience = 3 * time.Minute

// variable returns what `make -s env` exports under name.
func variable(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Fatalf("%s is not set: run `make test`, or `make up` and eval \"$(make -s env)\"", name)
	}
	return v
}

// newClient returns the Go SDK for the tenant whose key is in variable name.
func newClient(t *testing.T, name string) openai.Client {
	t.Helper()
	return openai.NewClient(
		option.WithBaseURL(variable(t, "OPENAI_BASE_URL")), option.WithAPIKey(variable(t, name)), option.WithMaxRetries(2),
	)
}

// A line is a request of an input file, or what a test puts in its place.
type line struct {
	CustomID string `json:"custom_id,omitempty"`
	Method   string `json:"method,omitempty"`
	URL      string `json:"url,omitempty"`
	Body     any    `json:"body,omitempty"`
}

// chat returns a request of a model whose name tells the stand-in what to do.
// The marker, unique to a test's run, finds its calls again.
func chat(customID, model, marker string) line {
	return line{CustomID: customID, Method: "POST", URL: "/v1/chat/completions", Body: map[string]any{
		"model": model, "user": marker + "/" + customID,
		"messages": []map[string]string{{"role": "user", "content": "Tell me about " + customID + "."}},
	}}
}

// marker names this run of this test.
func marker(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("%s-%d", strings.ReplaceAll(t.Name(), "/", "-"), time.Now().UnixNano())
}

// jsonl returns a file of lines; a string is a line as it is.
func jsonl(t *testing.T, lines ...any) string {
	t.Helper()
	var b strings.Builder
	enc := json.NewEncoder(&b)
	for _, l := range lines {
		if raw, ok := l.(string); ok {
			b.WriteString(raw + "\n")
			continue
		}
		if err := enc.Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func upload(ctx context.Context, t *testing.T, c openai.Client, content string) string {
	t.Helper()
	f, err := c.Files.New(ctx, openai.FileNewParams{
		File: openai.File(strings.NewReader(content), "requests.jsonl", "application/jsonl"), Purpose: openai.FilePurposeBatch,
	})
	if err != nil {
		t.Fatalf("upload: %v", err)
	}
	return f.ID
}

func create(ctx context.Context, t *testing.T, c openai.Client, fileID, window string) *openai.Batch {
	t.Helper()
	b, err := c.Batches.New(ctx, openai.BatchNewParams{
		InputFileID: fileID, Endpoint: openai.BatchNewParamsEndpointV1ChatCompletions,
		CompletionWindow: openai.BatchNewParamsCompletionWindow(window),
	})
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	return b
}

// await polls until the batch satisfies until, and fails the test if that
// takes longer than within.
func await(
	ctx context.Context, t *testing.T, c openai.Client, id string, within time.Duration, until func(*openai.Batch) bool,
) *openai.Batch {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	ticks := time.NewTicker(500 * time.Millisecond)
	defer ticks.Stop()
	var last *openai.Batch
	for {
		b, err := c.Batches.Get(ctx, id)
		if err == nil {
			if last = b; until(b) {
				return b
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("batch %s not there after %v: last seen %s (error %v); its flow's last events:%s",
				id, within, describe(last), err, lastEvents(t, id)) //nolint:contextcheck // ctx is over
		case <-ticks.C:
		}
	}
}

// lastEvents returns what a batch's first flow did last, an event a line: types, times and names, and no data.
func lastEvents(t *testing.T, id string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	defer cancel()
	cfg, err := boot.AWS(ctx)
	if err != nil {
		return " " + err.Error()
	}
	history, err := sfn.NewFromConfig(cfg).GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{
		ExecutionArn: flowARN(t, id, 1), ReverseOrder: true, MaxResults: 20,
	})
	if err != nil {
		return " " + err.Error()
	}
	var told strings.Builder
	for _, e := range slices.Backward(history.Events) {
		fmt.Fprintf(&told, "\n%s %s", aws.ToTime(e.Timestamp).Format(time.TimeOnly), e.Type)
		if e.StateEnteredEventDetails != nil {
			told.WriteString(" " + aws.ToString(e.StateEnteredEventDetails.Name))
		}
		if e.TaskFailedEventDetails != nil {
			told.WriteString(" " + aws.ToString(e.TaskFailedEventDetails.Error))
		}
	}
	return told.String()
}

func describe(b *openai.Batch) string {
	if b == nil {
		return "never"
	}
	return fmt.Sprintf("%s %+v errors %s", b.Status, b.RequestCounts.RawJSON(), b.Errors.RawJSON())
}

func ended(b *openai.Batch) bool {
	return slices.Contains([]openai.BatchStatus{
		openai.BatchStatusCompleted, openai.BatchStatusFailed, openai.BatchStatusExpired, openai.BatchStatusCancelled,
	}, b.Status)
}

// A result is a line of an output or error file.
type result struct {
	ID       string `json:"id"`
	CustomID string `json:"custom_id"`
	Response *struct {
		StatusCode int             `json:"status_code"`
		RequestID  string          `json:"request_id"`
		Body       json.RawMessage `json:"body"`
	} `json:"response"`
	Error *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// results downloads a file and reads its lines; an empty id has none.
func results(ctx context.Context, t *testing.T, c openai.Client, fileID string) []result {
	t.Helper()
	if fileID == "" {
		return nil
	}
	res, err := c.Files.Content(ctx, fileID)
	if err != nil {
		t.Fatalf("content of %s: %v", fileID, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("content of %s: %v", fileID, err)
	}
	if len(raw) == 0 || raw[len(raw)-1] != '\n' {
		t.Fatalf("file %s has %d bytes and does not end with a newline", fileID, len(raw))
	}
	var out []result
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var r result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("line %d of %s: %v", len(out)+1, fileID, err)
		}
		out = append(out, r)
	}
	return out
}

func customIDs(rs []result) []string {
	ids := make([]string, 0, len(rs))
	for _, r := range rs {
		ids = append(ids, r.CustomID)
	}
	return ids
}

// calls returns how often the stand-in was called for each custom id of the
// run that marker names.
func calls(ctx context.Context, t *testing.T, marker string) map[string]int {
	t.Helper()
	var answer struct {
		Requests []struct {
			Marker string `json:"marker"`
			Calls  int    `json:"calls"`
		} `json:"requests"`
	}
	standin(ctx, t, "/standin/calls?limit=10000&contains="+url.QueryEscape(marker+"/"), &answer)
	out := map[string]int{}
	for _, r := range answer.Requests {
		out[strings.TrimPrefix(r.Marker, marker+"/")] += r.Calls
	}
	return out
}

// standin asks the stand-in itself, which serves its counts beside its API.
func standin(ctx context.Context, t *testing.T, path string, into any) {
	t.Helper()
	base, err := url.Parse(variable(t, "STANDIN_URL"))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.Scheme+"://"+base.Host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("stand-in: status %d, %v", res.StatusCode, err)
	}
}
