//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
)

// An odd is an answer that providers give now and then, and what is right.
type odd struct {
	id, model string
	stream    bool
	calls     int
	code      string   // of the error; empty: the request is completed
	says      []string // in the error's message
	body      string   // a part of the response's body
}

// odds are the cases of the field, each with its right value.
func odds() []odd {
	const denied = "it is tried again 3 times at most (max_retries)"
	invalid := func(id, model string, says ...string) odd {
		return odd{id: id, model: model, calls: 4, code: "invalid_answer", says: append(says, denied)}
	}
	streamed := func(o odd) odd {
		o.id, o.stream = o.id+"-streamed", true
		return o
	}
	noChoices := invalid("no-choices", "standin:odd=no-choices", "no `choices`")
	inBody := odd{id: "error-429", model: "standin:odd=error-429x2", calls: 3, body: `"content":`}
	final := odd{id: "error-400", model: "standin:odd=error-400", calls: 1, code: "error_in_body", says: []string{"means 400", "The stand-in is odd: bad request."}}
	named := odd{id: "error-name", model: "standin:odd=error-namex1", calls: 2, body: `"content":`}
	unnamed := invalid("error-none", "standin:odd=error-none", "The stand-in is odd.")
	return []odd{
		inBody, streamed(inBody), final, streamed(final), named, streamed(named), unnamed, streamed(unnamed),
		invalid("error-text", "standin:odd=error-text", "Model is overloaded"),
		invalid("blank", "standin:odd=blank", "it is empty"),
		{id: "blank-json", model: "standin:odd=blank-json", calls: 1, body: `"content":`},
		invalid("cut", "standin:odd=cut", "cut off"),
		streamed(invalid("cut", "standin:odd=cut", "ended before the answer did")),
		invalid("html", "standin:odd=html", "a page, not JSON"),
		{id: "html-thrice", model: "standin:status=500x2+odd=htmlx3", calls: 6, body: `"content":`},
		noChoices, streamed(noChoices), invalid("null-choices", "standin:odd=null-choices", "no `choices`"),
		invalid("nan", "standin:odd=nan", "NaN"),
		{id: "bom", model: "standin:odd=bom", calls: 1, body: `"content":`},
		invalid("accepted", "standin:odd=accepted", "status 202", "not done yet"),
		invalid("nothing", "standin:odd=nothing", "status 204"),
		invalid("queued", "standin:odd=queued", "not done yet"),
		invalid("in-progress", "standin:odd=in-progress", "not done yet"),
		{id: "filtered", model: "standin:odd=filtered", calls: 1, code: "invalid_answer", says: []string{"names a filter"}},
		{id: "tools", model: "standin:odd=tools", calls: 1, body: `"tool_calls"`},
		{id: "length", model: "standin:odd=length", calls: 1, body: `"finish_reason":"length"`},
		{id: "conflict", model: "standin:status=409x1", calls: 2, body: `"content":`},
		{id: "no-capacity", model: "standin:status=498x1", calls: 2, body: `"content":`},
		{id: "failed-dependency", model: "standin:status=424", calls: 1, code: "-"},
		{id: "again", model: "standin:odd=again", calls: 4, code: "http_400", says: []string{"The stand-in is odd: try again.", denied}},
		{id: "again-and-well", model: "standin:odd=againx2", calls: 3, body: `"content":`},
		{id: "never", model: "standin:odd=never", calls: 1, code: "-"},
		{id: "unix-time", model: "standin:odd=unix-timex1", calls: 2, body: `"content":`},
		{id: "wait", model: "standin:status=429+retry-after=3600", calls: 1, code: "http_429", says: []string{"a wait of 1h0m0s, which is longer than", "(deadline)"}},
		{id: "too-large", model: "standin:odd=too-largex2", calls: 3, body: `"content":`},
		streamed(odd{id: "two-calls", model: "standin:odd=two-calls", calls: 1, body: `"tool_calls":[{"function":{"arguments":"{\"x\":1}","name":"f"},"id":"a","type":"function"},{"function":{"arguments":"{}","name":"f"},"id":"b","type":"function"}]`}),
		streamed(odd{id: "emoji", model: "standin:odd=emoji", calls: 1, body: `"content":"\ud83d\ude00"`}),
		streamed(odd{id: "no-role", model: "standin:odd=no-role", calls: 1, body: `"message":{"content":"Hello!","role":"assistant"}`}),
	}
}

// TestAnswers sends a request for each odd answer, and demands its right outcome, the number of calls, and what the owner reads.
func TestAnswers(t *testing.T) {
	t.Parallel()
	c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
	var lines []any
	wants := map[string]odd{}
	for _, o := range odds() {
		wants[o.id] = o
		if strings.Contains(o.model, "retry-after") { // it pauses its route for an hour, also for the next run
			o.model = strings.Replace(o.model, "standin", fmt.Sprintf("standin-%d", time.Now().UnixNano()), 1)
			ownRoute(t, o.model)
		}
		l := chat(o.id, o.model, m)
		if body, ok := l.Body.(map[string]any); ok && o.stream {
			body["stream"] = true
		}
		lines = append(lines, l)
	}
	b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, lines...)), "10m")
	b = await(t.Context(), t, c, b.ID, patience, ended)
	if b.Status != openai.BatchStatusCompleted {
		t.Fatalf("batch ended %s", describe(b))
	}
	called := calls(t.Context(), t, m)
	for file, failed := range map[string]bool{b.OutputFileID: false, b.ErrorFileID: true} {
		for _, r := range results(t.Context(), t, c, file) {
			checkOdd(t, r, wants[r.CustomID], failed)
			if got := called[r.CustomID]; got != wants[r.CustomID].calls {
				t.Errorf("%s: the upstream was called %d times, want %d", r.CustomID, got, wants[r.CustomID].calls)
			}
			delete(wants, r.CustomID)
		}
	}
	for id := range wants {
		t.Errorf("%s is in no file", id)
	}
	if b.Usage.TotalTokens == 0 {
		t.Error("no usage")
	}
}

func checkOdd(t *testing.T, r result, want odd, failed bool) {
	t.Helper()
	if failed != (want.code != "") || r.Response == nil {
		t.Errorf("%s: failed is %t: %+v", r.CustomID, failed, r.Error)
		return
	}
	if code := errorCode(r); want.code != "-" && code != want.code {
		t.Errorf("%s: error code %q, want %q", r.CustomID, code, want.code)
	}
	for _, says := range want.says {
		if r.Error == nil || !strings.Contains(r.Error.Message, says) {
			t.Errorf("%s: the error is %+v, want %q in it", r.CustomID, r.Error, says)
		}
	}
	if !strings.Contains(string(r.Response.Body), want.body) {
		t.Errorf("%s: the body is %.300s, want %s in it", r.CustomID, r.Response.Body, want.body)
	}
}

// TestLastFailureStays has requests that failed by a time limit or a status, or whose call is in flight, when their batch expires or
// is cancelled: what their calls came to stays beside the outcome, in the line and in the record, and each call counts.
func TestLastFailureStays(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]struct {
		window string
		cancel bool
		code   string
	}{
		"expired":   {window: "50s", code: "batch_expired"},
		"cancelled": {window: "1h", cancel: true, code: "batch_cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
			lines := []any{
				chat("failed-then-hangs", "standin:status=503x2+hang", m), chat("hangs", "standin:hang", m), chat("good", "standin", m),
			}
			b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, lines...)), stop.window)
			for until := time.Now().Add(patience); calls(t.Context(), t, m)["failed-then-hangs"] < 3; {
				if time.Now().After(until) {
					t.Fatalf("calls are %v", calls(t.Context(), t, m))
				}
				pause(t, 200*time.Millisecond)
			}
			if stop.cancel {
				if _, err := c.Batches.Cancel(t.Context(), b.ID); err != nil {
					t.Fatal(err)
				}
			}
			b = await(t.Context(), t, c, b.ID, patience, ended)
			if b.Model != "" {
				t.Errorf("the model of several is %q", b.Model)
			}
			for _, r := range results(t.Context(), t, c, b.ErrorFileID) {
				want := map[string]string{"failed-then-hangs": "status 503", "hangs": "could not be completed"}[r.CustomID]
				if stop.cancel && r.CustomID == "hangs" {
					want = "not completed"
				}
				if errorCode(r) != stop.code || !strings.Contains(r.Error.Message, want) {
					t.Errorf("%s: %+v, want %s and %q", r.CustomID, r.Error, stop.code, want)
				}
			}
			for id, want := range map[string]int{"failed-then-hangs": 3, "hangs": 1, "good": 1} {
				r := find(t.Context(), t, b.ID, id)
				if r.Attempts != want || id == "failed-then-hangs" && !strings.Contains(r.LastFailure, "status 503") {
					t.Errorf("%s: %+v, want %d attempts", id, r, want)
				}
			}
		})
	}
}

// TestModelOfABatch has a batch of one model say so, and refuses what would answer with a job.
func TestModelOfABatch(t *testing.T) {
	t.Parallel()
	c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
	b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, chat("a", "standin", m), chat("b", "standin", m))), "30m")
	b = await(t.Context(), t, c, b.ID, patience, ended)
	if b.Model != "standin" || b.Usage.TotalTokens == 0 {
		t.Errorf("model %q, usage %s", b.Model, b.Usage.RawJSON())
	}
	var refused struct {
		Error struct{ Code, Param, Message string }
	}
	file := upload(t.Context(), t, c, jsonl(t, chat("a", "standin", m)))
	status := order(t, map[string]string{"input_file_id": file, "endpoint": "/v1/videos", "completion_window": "24h"}, &refused)
	if status != http.StatusBadRequest || refused.Error.Param != "endpoint" || !strings.Contains(refused.Error.Message, "/v1/videos") {
		t.Errorf("videos: %d %+v", status, refused)
	}
	background := line{CustomID: "x", Method: "POST", URL: "/v1/responses", Body: map[string]any{"model": "standin", "input": "x", "background": true}}
	file = upload(t.Context(), t, c, jsonl(t, background))
	var made struct{ ID string }
	if status := order(t, map[string]string{"input_file_id": file, "endpoint": "/v1/responses", "completion_window": "24h"}, &made); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	b = await(t.Context(), t, c, made.ID, patience, ended)
	if b.Status != openai.BatchStatusFailed || len(b.Errors.Data) != 1 || b.Errors.Data[0].Line != 1 || b.Errors.Data[0].Param != "body.background" {
		t.Errorf("background: %s", describe(b))
	}
}

// order orders a batch by a body of its own, and returns the status.
func order(t *testing.T, body, into any) int {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, variable(t, "OPENAI_BASE_URL")+"/batches", strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+variable(t, "OPENAI_API_KEY"))
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode
}
