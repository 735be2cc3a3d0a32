//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
)

// An expectation is what a line must come to.
type expectation struct {
	model  string
	calls  int
	more   bool   // more calls may be made
	status int    // of the response; 0 for none
	code   string // of the error; empty for none
	failed bool   // it belongs into the error file
}

// TestOutcomes sends one request of every kind and demands the outcome, the
// number of calls, the file and the place in it of each.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
	wants := map[string]expectation{
		"plain":        {model: "standin", calls: 1, status: 200},
		"timeout-408":  {model: "standin:status=408x1", calls: 2, status: 200},
		"limited-429":  {model: "standin:status=429x2+retry-after=1", calls: 3, status: 200},
		"broken-500":   {model: "standin:status=500x2", calls: 3, status: 200},
		"busy-503":     {model: "standin:status=503x1+retry-after=1", calls: 2, status: 200},
		"reset-once":   {model: "standin:reset=1", calls: 2, status: 200},
		"large":        {model: "standin:size=1500000", calls: 1, status: 200},
		"non-json":     {model: "standin:nonjson", calls: 4, status: 200, code: "invalid_answer", failed: true},
		"bad-400":      {model: "standin:status=400", calls: 1, status: 400, failed: true},
		"denied-401":   {model: "standin:status=401", calls: 1, more: true, status: 401, failed: true}, // the key's fault until another answer comes
		"missing-404":  {model: "standin:status=404", calls: 1, status: 404, failed: true},
		"hidden-error": {model: "standin:error-in-body=2", calls: 3, status: 200},
		"bad-body":     {model: "standin:odd=error-400", calls: 1, status: 200, code: "error_in_body", failed: true},
		"slow":         {model: "standin:latency=1s", calls: 1, status: 200},
	}
	order := slices.Sorted(mapKeys(wants))
	lines := make([]any, 0, len(order))
	for _, id := range order {
		lines = append(lines, chat(id, wants[id].model, m))
	}
	b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, lines...)), "30m")
	b = await(t.Context(), t, c, b.ID, patience, ended)
	if b.Status != openai.BatchStatusCompleted {
		t.Fatalf("batch ended %s", describe(b))
	}
	output, errs := results(t.Context(), t, c, b.OutputFileID), results(t.Context(), t, c, b.ErrorFileID)
	wantOutput, wantErrors := split(order, wants)
	if diff := cmp.Diff(wantOutput, customIDs(output)); diff != "" {
		t.Errorf("output file, in the order of the input (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantErrors, customIDs(errs)); diff != "" {
		t.Errorf("error file, in the order of the input (-want +got):\n%s", diff)
	}
	counts := b.RequestCounts
	if counts.Total != int64(len(lines)) || counts.Completed != int64(len(output)) || counts.Failed != int64(len(errs)) {
		t.Errorf("counts %s, want %d = %d + %d", counts.RawJSON(), len(lines), len(output), len(errs))
	}
	called := calls(t.Context(), t, m)
	for _, r := range slices.Concat(output, errs) {
		checkResult(t, r, wants[r.CustomID])
		if want, got := wants[r.CustomID], called[r.CustomID]; got != want.calls && (got < want.calls || !want.more) {
			t.Errorf("%s: the upstream was called %d times, want %d", r.CustomID, got, want.calls)
		}
	}
}

func mapKeys(m map[string]expectation) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func split(order []string, wants map[string]expectation) (output, errs []string) {
	for _, id := range order {
		if wants[id].failed {
			errs = append(errs, id)
		} else {
			output = append(output, id)
		}
	}
	return output, errs
}

func checkResult(t *testing.T, r result, want expectation) {
	t.Helper()
	if !strings.HasPrefix(r.ID, "batch_req_") {
		t.Errorf("%s: id %q", r.CustomID, r.ID)
	}
	if r.Response == nil || r.Response.StatusCode != want.status {
		t.Errorf("%s: response %+v, want status %d", r.CustomID, r.Response, want.status)
		return
	}
	if code := errorCode(r); code != want.code {
		t.Errorf("%s: error code %q, want %q", r.CustomID, code, want.code)
	}
	switch r.CustomID {
	case "large":
		if n := len(r.Response.Body); n < 1_500_000 {
			t.Errorf("large: %d bytes, want 1.5 MB", n)
		}
	case "non-json":
		var text string
		if json.Unmarshal(r.Response.Body, &text) != nil || text == "" {
			t.Errorf("non-json: body is no JSON string: %.60s", r.Response.Body)
		}
	default:
		var object map[string]any
		if json.Unmarshal(r.Response.Body, &object) != nil {
			t.Errorf("%s: body is no JSON object: %.60s", r.CustomID, r.Response.Body)
		}
	}
}

func errorCode(r result) string {
	if r.Error == nil {
		return ""
	}
	return r.Error.Code
}

// TestBadFiles demands that a bad file fails its batch, names code and line,
// and calls nobody.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	good := func(m, id string) line { return chat(id, "standin", m) }
	elsewhere := func(m string) line {
		l := good(m, "b")
		l.URL = "/v1/embeddings"
		return l
	}
	gotten := func(m string) line {
		l := good(m, "b")
		l.Method = "GET"
		return l
	}
	tests := map[string]struct {
		lines func(m string) []any // a string is a line as it is
		code  string
		line  int64
		param string
	}{
		"broken JSON": {
			lines: func(m string) []any { return []any{good(m, "a"), "{\"custom_id\": "} },
			code:  "invalid_json_line", line: 2,
		},
		"duplicate custom_id": {
			lines: func(m string) []any { return []any{good(m, "a"), good(m, "b"), good(m, "a")} },
			code:  "duplicate_custom_id", line: 3, param: "custom_id",
		},
		"missing custom_id": {
			lines: func(m string) []any { return []any{good(m, "a"), good(m, "")} },
			code:  "missing_required_parameter", line: 2, param: "custom_id",
		},
		"wrong url": {
			lines: func(m string) []any { return []any{good(m, "a"), elsewhere(m)} },
			code:  "invalid_url", line: 2, param: "url",
		},
		"wrong method": {
			lines: func(m string) []any { return []any{good(m, "a"), gotten(m)} },
			code:  "invalid_method", line: 2, param: "method",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
			b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, test.lines(m)...)), "10m")
			b = await(t.Context(), t, c, b.ID, patience, ended)
			if b.Status != openai.BatchStatusFailed || len(b.Errors.Data) != 1 {
				t.Fatalf("batch ended %s, want failed with one error", describe(b))
			}
			e := b.Errors.Data[0]
			if e.Code != test.code || e.Line != test.line || e.Param != test.param || e.Message == "" {
				t.Errorf("error %s, want code %s in line %d", e.RawJSON(), test.code, test.line)
			}
			if called := calls(t.Context(), t, m); len(called) != 0 {
				t.Errorf("the upstream was called: %v", called)
			}
		})
	}
}

// TestEmptyFile demands that a file without a request fails its batch, or is
// refused at once where it has no byte.
func TestEmptyFile(t *testing.T) {
	t.Parallel()
	c := newClient(t, "OPENAI_API_KEY")
	_, err := c.Files.New(t.Context(), openai.FileNewParams{
		File: openai.File(strings.NewReader(""), "empty.jsonl", "application/jsonl"), Purpose: openai.FilePurposeBatch,
	})
	if err == nil || !strings.Contains(err.Error(), "400") {
		t.Errorf("upload of no byte: %v, want a 400", err)
	}
}

// TestCancel demands that a cancelled batch ends within 30 seconds, aborts its
// calls in flight, keeps what was done and calls nobody afterwards.
func TestCancel(t *testing.T) {
	t.Parallel()
	c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
	var lines []any
	for i := range 4 {
		lines = append(lines, chat(fmt.Sprintf("done-%d", i), "standin", m))
	}
	for i := range 6 {
		lines = append(lines, chat(fmt.Sprintf("hangs-%d", i), "standin:hang", m))
	}
	b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, lines...)), "1h")
	await(t.Context(), t, c, b.ID, patience, func(b *openai.Batch) bool { return b.RequestCounts.Completed == 4 })
	awaitCalls(t, m, len(lines))
	if _, err := c.Batches.Cancel(t.Context(), b.ID); err != nil {
		t.Fatalf("cancel: %v", err)
	}
	b = await(t.Context(), t, c, b.ID, 30*time.Second, ended)
	if b.Status != openai.BatchStatusCancelled || b.RequestCounts.Completed != 4 || b.RequestCounts.Total != 10 {
		t.Fatalf("batch ended %s, want cancelled with 4 of 10 completed", describe(b))
	}
	before := calls(t.Context(), t, m)
	if output := results(t.Context(), t, c, b.OutputFileID); len(output) != 4 {
		t.Errorf("%d lines of output, want 4", len(output))
	}
	errs := results(t.Context(), t, c, b.ErrorFileID)
	for _, r := range errs {
		if errorCode(r) != "batch_cancelled" || r.Response != nil {
			t.Errorf("%s: %+v, want batch_cancelled", r.CustomID, r)
		}
	}
	if len(errs) != 6 {
		t.Errorf("%d lines of errors, want 6", len(errs))
	}
	// Nothing hangs any more, and nobody calls again: canceling once more answers
	// the same, and 15 seconds are longer than any put-back message rests.
	if again, err := c.Batches.Cancel(t.Context(), b.ID); err != nil || again.Status != openai.BatchStatusCancelled {
		t.Errorf("canceling again: %v", err)
	}
	quiet(t, m, before, 15*time.Second)
}

// awaitCalls waits until the upstream has had a call of each of n requests.
func awaitCalls(t *testing.T, m string, n int) {
	t.Helper()
	until := time.Now().Add(patience)
	for len(calls(t.Context(), t, m)) < n {
		if time.Now().After(until) {
			t.Fatalf("only %d of %d requests were called", len(calls(t.Context(), t, m)), n)
		}
		pause(t, 200*time.Millisecond)
	}
}

// quiet demands that no call comes for as long as d.
func quiet(t *testing.T, m string, before map[string]int, d time.Duration) {
	t.Helper()
	for until := time.Now().Add(d); time.Now().Before(until); {
		if diff := cmp.Diff(before, calls(t.Context(), t, m)); diff != "" {
			t.Fatalf("calls after the end (-before +after):\n%s", diff)
		}
		pause(t, time.Second)
	}
}

// pause is the time between two looks at something that tells nobody when it
// changes.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	case <-timer.C:
	}
}

// TestExpiry demands that a batch ends within 30 seconds of its deadline, with
// what was done and batch_expired lines for the rest.
func TestExpiry(t *testing.T) {
	t.Parallel()
	c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
	const limited = "standin:status=429+retry-after=3600"
	ownRoute(t, limited)
	lines := []any{
		chat("done", "standin", m), chat("hangs", "standin:hang", m), chat("done-too", "standin", m),
		chat("limited", limited, m),
	}
	const window = 45 * time.Second // a cold function on LocalStack and a busy machine take half of it
	b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, lines...)), window.String())
	deadline := time.Unix(b.ExpiresAt, 0)
	if got := deadline.Sub(time.Unix(b.CreatedAt, 0)); got != window {
		t.Errorf("expires_at is created_at + %v, want %v", got, window)
	}
	b = await(t.Context(), t, c, b.ID, time.Until(deadline)+30*time.Second, ended)
	if b.Status != openai.BatchStatusExpired || b.RequestCounts.Completed != 2 {
		t.Fatalf("batch ended %s, want expired with 2 completed", describe(b))
	}
	output := results(t.Context(), t, c, b.OutputFileID)
	if diff := cmp.Diff([]string{"done", "done-too"}, customIDs(output)); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	for _, r := range results(t.Context(), t, c, b.ErrorFileID) {
		switch r.CustomID {
		case "hangs":
			if errorCode(r) != "batch_expired" || r.Response != nil {
				t.Errorf("hangs: %+v, want batch_expired", r)
			}
		case "limited": // a retry that the deadline denies keeps the real failure
			if r.Response == nil || r.Response.StatusCode != http.StatusTooManyRequests {
				t.Errorf("limited: %+v, want the 429 itself", r)
			}
		default:
			t.Errorf("%s is in the error file", r.CustomID)
		}
	}
	quiet(t, m, calls(t.Context(), t, m), 5*time.Second)
}

// TestTenants demands that one tenant's objects do not exist for another.
func TestTenants(t *testing.T) {
	t.Parallel()
	mine, other, m := newClient(t, "OPENAI_API_KEY"), newClient(t, "OPENAI_API_KEY_2"), marker(t)
	file := upload(t.Context(), t, mine, jsonl(t, chat("a", "standin", m)))
	b := create(t.Context(), t, mine, file, "10m")
	attempts := map[string]func() error{
		"retrieve file": func() error { _, err := other.Files.Get(t.Context(), file); return err },
		"file content": func() error {
			res, err := other.Files.Content(t.Context(), file)
			if err == nil {
				_ = res.Body.Close()
			}
			return err
		},
		"delete file":    func() error { _, err := other.Files.Delete(t.Context(), file); return err },
		"retrieve batch": func() error { _, err := other.Batches.Get(t.Context(), b.ID); return err },
		"cancel batch":   func() error { _, err := other.Batches.Cancel(t.Context(), b.ID); return err },
		"use file": func() error {
			_, err := other.Batches.New(t.Context(), openai.BatchNewParams{
				InputFileID: file, Endpoint: "/v1/chat/completions", CompletionWindow: "10m",
			})
			return err
		},
	}
	for name, attempt := range attempts {
		if err := attempt(); err == nil || !strings.Contains(err.Error(), "404") {
			t.Errorf("%s by another tenant: %v, want a 404", name, err)
		}
	}
	if b = await(t.Context(), t, mine, b.ID, patience, ended); b.Status != openai.BatchStatusCompleted {
		t.Errorf("the batch was touched: %s", describe(b))
	}
	if _, err := mine.Files.Get(t.Context(), file); err != nil {
		t.Errorf("the file was touched: %v", err)
	}
	page, err := other.Batches.List(t.Context(), openai.BatchListParams{})
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(page.Data, func(got openai.Batch) bool { return got.ID == b.ID }) {
		t.Error("another tenant's list shows the batch")
	}
}
