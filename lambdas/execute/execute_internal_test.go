package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/answer"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/upstream"
)

// ran is a worker that keeps what it got and leaves stay in the queue.
type ran struct {
	got  []batch.Delivery
	stay []string
}

func (r *ran) Run(_ context.Context, deliveries []batch.Delivery) []string {
	r.got = deliveries
	return r.stay
}

func TestHandle(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		stay []string
		want string
	}{
		"all done": {want: `{"batchItemFailures":[]}`},
		"one stays": {
			stay: []string{"m2"}, want: `{"batchItemFailures":[{"itemIdentifier":"m2"}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			worker := &ran{stay: tc.stay}
			flushed := false
			h := handler{worker: worker, after: func() { flushed = true }}
			var event events.SQSEvent
			err := json.Unmarshal([]byte(`{"Records":[
				{"messageId":"m1","receiptHandle":"h1","body":"b1","attributes":{"ApproximateReceiveCount":"1"}},
				{"messageId":"m2","receiptHandle":"h2","body":"b2"}]}`), &event)
			if err != nil {
				t.Fatal(err)
			}
			response, err := h.handle(t.Context(), event)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(response)
			if err != nil || string(got) != tc.want {
				t.Errorf("got %s, %v, want %s", got, err, tc.want)
			}
			want := []batch.Delivery{
				{MessageID: "m1", Handle: "h1", Receives: 1, Body: "b1"},
				{MessageID: "m2", Handle: "h2", Receives: 2, Body: "b2"},
			}
			if diff := cmp.Diff(want, worker.got); diff != "" {
				t.Error(diff)
			}
			if !flushed {
				t.Error("after was not called")
			}
		})
	}
}

// A routed caller calls by one route.
type routed struct {
	*caller

	route route.Route
}

// Call sends c by the route.
func (r routed) Call(ctx context.Context, c execute.Call) (execute.Reply, error) {
	c.Route = r.route
	return r.caller.Call(ctx, c)
}

// calling returns a real client's caller, for a route that any address may have.
func calling(cfg upstream.Config, url string) *routed {
	return &routed{
		caller: &caller{client: upstream.New(cfg), clock: time.Now, log: slog.New(slog.DiscardHandler)},
		route:  route.Route{BaseURL: url, AllowPrivate: true, Auth: route.Auth{Kind: route.Bearer, Key: "ssm:key"}},
	}
}

// call makes one call of a real client to a server that answers with answer.
func call(t *testing.T, answer http.HandlerFunc, cfg upstream.Config, url string) (execute.Reply, error) {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	a := calling(cfg, server.URL)
	return a.Call(t.Context(), execute.Call{
		RequestID: "batch_req_1", IdempotencyKey: "batch_req_1", URL: url, Body: []byte(`{"model":"m"}`),
	})
}

func TestReplies(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		header map[string]string
		body   string
		want   execute.Reply
	}{
		"answer": {
			status: 200, header: map[string]string{"X-Request-Id": "r"}, body: `{"model":"m-1","data":[{"embedding":[1]}],"usage":{"prompt_tokens":3,"total_tokens":5}}`,
			want: execute.Reply{
				StatusCode: 200, RequestID: "r", Model: "m-1", Tokens: state.Tokens{Input: 3, Total: 5},
			},
		},
		"busy": {
			status: 429, header: map[string]string{"Retry-After": "7"}, body: `{"error":{"code":"slow_down"}}`,
			want: execute.Reply{
				StatusCode: 429, ErrorCode: "slow_down", RetryAfter: 7 * time.Second,
				Verdict: answer.Verdict{Sense: answer.Refused, Status: 429, Code: "slow_down"},
			},
		},
		"busy for milliseconds": {
			status: 503, header: map[string]string{"Retry-After": "7", "Retry-After-Ms": "1500"}, body: `x`,
			want: execute.Reply{
				StatusCode: 503, RetryAfter: 1500 * time.Millisecond, Verdict: answer.Verdict{Sense: answer.Refused, Status: 503},
			},
		},
		"error in body": {
			status: 200, header: map[string]string{"X-Should-Retry": "true"}, body: `{"error":{"code":"server_error","message":"no"}}`,
			want: execute.Reply{
				StatusCode: 200, ErrorCode: "server_error", Message: "no", ShouldRetry: "true",
				Verdict: answer.Verdict{Sense: answer.Refused, Status: 500, Code: "server_error", Message: "no"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := call(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || r.URL.Path != "/v1/embeddings" || r.Header.Get("Idempotency-Key") == "" {
					t.Errorf("called %s %s with %v", r.Method, r.URL, r.Header)
				}
				for name, value := range tc.header {
					w.Header().Set(name, value)
				}
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			}, upstream.Config{}, "/v1/embeddings")
			if err != nil {
				t.Fatal(err)
			}
			tc.want.Body = []byte(tc.body)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCallErrors(t *testing.T) {
	t.Parallel()
	large := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(strings.Repeat("x", 100))) }
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		cfg    upstream.Config
		url    string
		want   execute.CallError
	}{
		"malformed": {
			answer: large, url: "no path",
			want: execute.CallError{Kind: execute.CallUnsendable, Text: "url must begin with a slash"},
		},
		"no key": {
			answer: large, cfg: upstream.Config{Key: func(context.Context, string) (string, error) { return "", errors.New("no SSM") }},
			want: execute.CallError{Kind: execute.CallNoKey, Text: "no upstream key: no SSM"},
		},
		"reset": {
			answer: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			want:   execute.CallError{Kind: execute.CallBroken, Text: "the connection ended before the answer did"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := tc.url
			if url == "" {
				url = "/v1/embeddings"
			}
			_, err := call(t, tc.answer, tc.cfg, url)
			got, ok := errors.AsType[*execute.CallError](err)
			if !ok {
				t.Fatalf("got %v, want a CallError", err)
			}
			if diff := cmp.Diff(tc.want, *got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestLimitsAreCallErrors has what takes minutes, or ten million bytes.
func TestLimitsAreCallErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ err, want error }{
		{
			&upstream.TimeoutError{Phase: upstream.PhaseTotal, Limit: 50 * time.Millisecond},
			&execute.CallError{Kind: execute.CallTimedOut, Text: "total took longer than 50ms"},
		},
		{
			&upstream.TooLargeError{Limit: 10},
			&execute.CallError{Kind: execute.CallTooLarge, Text: "upstream answer is larger than 10 bytes", Limit: 10},
		},
	} {
		if diff := cmp.Diff(tc.want, callError(tc.err)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAbortIsNoCallError(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := calling(upstream.Config{}, "http://127.0.0.1:9").Call(ctx, execute.Call{URL: "/v1/embeddings"})
	if _, ok := errors.AsType[*execute.CallError](err); ok || err == nil {
		t.Errorf("got %v, want the context's own error", err)
	}
}

// TestUnreachableUpstream demands that the name of the provider's host is the
// operator's to read, once a minute, and not the tenant's.
func TestUnreachableUpstream(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := time.Unix(1_700_000_000, 0)
	a := calling(upstream.Config{}, "http://inner-host.invalid/v1")
	a.clock, a.log = func() time.Time { return now }, slog.New(slog.NewJSONHandler(&out, nil))
	for _, wait := range []time.Duration{0, time.Second, time.Minute} {
		now = now.Add(wait)
		_, err := a.Call(t.Context(), execute.Call{URL: "/v1/embeddings", Body: []byte("{}")})
		call, ok := errors.AsType[*execute.CallError](err)
		if !ok || call.Kind != execute.CallBroken || strings.Contains(call.Text, "inner-host") {
			t.Errorf("the tenant reads %v", err)
		}
	}
	if n := strings.Count(out.String(), "inner-host.invalid"); n != 2 {
		t.Errorf("the log has the name %d times, want 2: %s", n, out.String())
	}
}
