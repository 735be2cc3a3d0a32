//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"

	"github.com/musketry/musketry/internal/tenant"
)

// guesses are as many as show a log of which a line is lost now and then.
const guesses = 50

// TestGuessesAreTraced looks for each refused key in the log of the running
// function: with the address that the gateway gave, and counted. (The local
// gateway believes X-Forwarded-For, which AWS's does not.)
func TestGuessesAreTraced(t *testing.T) {
	t.Parallel()
	guess, stored, err := tenant.NewKey("nobody", "", rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	missing := map[string]bool{}
	for range guesses {
		missing[refused(t, guess)] = true
	}
	var served struct {
		Source string `json:"source"`
		Reason string `json:"reason"`
		Hash   string `json:"key_hash"`
	}
	all := awaitLogs(t, begun, func(message string) bool {
		for id := range missing {
			if strings.Contains(message, id) && json.Unmarshal([]byte(message), &served) == nil {
				delete(missing, id)
			}
		}
		return len(missing) == 0
	})
	if served.Source == "" || served.Reason != "unknown" || served.Hash != stored.Hash[:8] {
		t.Errorf("the log has %+v", served)
	}
	// The counts are written once the invocation has ended, and may be logged after what it said.
	all += awaitLogs(t, begun, func(message string) bool { return strings.Contains(message, `"auth_failures_total":`) })
	for _, secret := range []string{guess, stored.Hash} {
		if strings.Contains(all, secret) {
			t.Errorf("the logs have %q", secret)
		}
	}
}

// refused asks with a key that is none, and returns the request's id.
func refused(t *testing.T, key string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, variable(t, "OPENAI_BASE_URL")+"/models", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	id := res.Header.Get("X-Request-Id")
	if res.StatusCode != http.StatusUnauthorized || id == "" {
		t.Fatalf("status %d, request id %q", res.StatusCode, id)
	}
	return id
}

// TestLogsKeepNoSecrets runs a batch whose prompts, ids and metadata have a
// word that no log may have, nor any log a key.
func TestLogsKeepNoSecrets(t *testing.T) {
	t.Parallel()
	c, word := newClient(t, "OPENAI_API_KEY"), "word"+strings.ToLower(rand.Text())
	begun := time.Now()
	lines := []any{}
	for _, model := range []string{
		"standin", "standin:status=500x1", "standin:status=400", "standin:nonjson", "standin:odd=error-400", "standin:reset=1",
	} {
		lines = append(lines, chat(word+model, model, word))
	}
	b, err := c.Batches.New(t.Context(), openai.BatchNewParams{
		InputFileID: upload(t.Context(), t, c, jsonl(t, lines...)), CompletionWindow: "30m",
		Endpoint: openai.BatchNewParamsEndpointV1ChatCompletions, Metadata: map[string]string{"note": word},
	})
	if err != nil {
		t.Fatal(err)
	}
	bad := create(t.Context(), t, c, upload(t.Context(), t, c, `{"custom_id":"`+word+`","body":{"`+word+`":1}}`+"\n"), "30m")
	for _, id := range []string{b.ID, bad.ID} {
		await(t.Context(), t, c, id, patience, ended)
	}
	all := awaitLogs(t, begun, func(message string) bool { return strings.Contains(message, bad.ID) })
	for _, secret := range []string{word, variable(t, "OPENAI_API_KEY"), variable(t, "OPENAI_API_KEY_2")} {
		if at := strings.Index(all, secret); at >= 0 {
			t.Errorf("a log has a secret: %s", all[max(0, at-300):min(len(all), at+100)])
		}
	}
}

// awaitLogs waits until a message of any log group since begun is the one that
// is looked for, and returns all of them.
func awaitLogs(t *testing.T, begun time.Time, found func(message string) bool) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ticks := time.NewTicker(500 * time.Millisecond)
	defer ticks.Stop()
	for {
		seen, all := false, strings.Builder{}
		for _, message := range logs(ctx, t, begun) {
			seen = found(message) || seen
			all.WriteString(message + "\n")
		}
		if seen {
			return all.String()
		}
		select {
		case <-ctx.Done():
			t.Fatalf("it is not in the logs after %v", patience)
		case <-ticks.C:
		}
	}
}

// logs returns the messages of all log groups since begun.
func logs(ctx context.Context, t *testing.T, begun time.Time) []string {
	t.Helper()
	var groups struct {
		Groups []struct {
			Name string `json:"logGroupName"` //nolint:tagliatelle // CloudWatch's own spelling
		} `json:"logGroups"` //nolint:tagliatelle // CloudWatch's own spelling
	}
	askLogs(ctx, t, "DescribeLogGroups", map[string]any{}, &groups)
	var messages []string
	for _, group := range groups.Groups {
		question := map[string]any{"logGroupName": group.Name, "startTime": begun.UnixMilli()}
		for {
			var page struct {
				Events []struct {
					Message string `json:"message"`
				} `json:"events"`
				Next string `json:"nextToken"` //nolint:tagliatelle // CloudWatch's own spelling
			}
			askLogs(ctx, t, "FilterLogEvents", question, &page)
			for _, event := range page.Events {
				messages = append(messages, event.Message)
			}
			if page.Next == "" {
				break
			}
			question["nextToken"] = page.Next
		}
	}
	return messages
}

// askLogs calls CloudWatch Logs
// (https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/Welcome.html).
func askLogs(ctx context.Context, t *testing.T, operation string, in, out any) {
	t.Helper()
	askAWS(ctx, t, "logs", "", "Logs_20140328."+operation, in, out)
}

// askAWS calls a service whose protocol is JSON in a POST. A local cloud wants to
// be told the service, and no signature.
func askAWS(ctx context.Context, t *testing.T, service, path, target string, in, out any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, variable(t, "AWS_ENDPOINT_URL")+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if target != "" {
		req.Header.Set("X-Amz-Target", target)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(out); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s%s: status %d, %v", service, path, target, res.StatusCode, err)
	}
}
