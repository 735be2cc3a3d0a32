package provider_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/answer"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/upstream"
	"github.com/musketry/musketry/localstack/standin/provider"
)

// TestStreamsSayTheSame has our own client put streams together, and compares them with the answers that are not
// streamed.
func TestStreamsSayTheSame(t *testing.T) {
	t.Parallel()
	s := start(t, provider.Config{Now: func() time.Time { return time.Unix(1774437191, 0) }})
	for name, tc := range map[string]struct{ path, body string }{
		"chat":        {chatPath, `{"model":"standin","messages":[{"role":"user","content":"one two <three>"}],"stream_options":{"include_usage":true}}`},
		"choices":     {chatPath, `{"model":"standin","n":3,"messages":[{"role":"user","content":"ä ö"}],"stream_options":{"include_usage":true}}`},
		"large":       {chatPath, `{"model":"standin:size=100000","messages":[{"role":"user","content":"x"}],"stream_options":{"include_usage":true}}`},
		"completions": {"/v1/completions", `{"model":"standin","prompt":["one two","three"]}`},
		"responses":   {"/v1/responses", `{"model":"standin","input":[{"role":"user","content":[{"type":"input_text","text":"one"}]}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plain := call(t, s, tc.path, tc.body)
			streamed := call(t, s, tc.path, strings.Replace(tc.body, "{", `{"stream":true,`, 1))
			if plain.Streamed || !streamed.Streamed || !plain.JSON || !streamed.JSON {
				t.Fatalf("plain %+v, streamed %+v", plain, streamed)
			}
			want, got := read[map[string]any](t, string(plain.Body)), read[map[string]any](t, string(streamed.Body))
			if name == "completions" {
				delete(want, "usage") // Their chunks have none.
			}
			if diff := cmp.Diff(want, got, cmp.FilterPath(isID, cmp.Ignore())); diff != "" {
				t.Errorf("streamed (-plain +streamed):\n%s", diff)
			}
		})
	}
}

// isID reports whether a value derives from the whole body, in which `stream` differs.
func isID(p cmp.Path) bool {
	step, ok := p.Last().(cmp.MapIndex)
	return ok && step.Key().String() == "id"
}

func call(t *testing.T, s standin, path, body string) upstream.Response {
	t.Helper()
	got, err := newClient(t).Call(t.Context(), upstream.Request{Route: s.route(), Method: http.MethodPost, URL: path, Body: []byte(body)})
	if err != nil {
		t.Fatalf("%s %.100s: %v", path, body, err)
	}
	return got
}

// route leads to s.
func (s standin) route() route.Route { return route.Route{BaseURL: s.url + "/v1", AllowPrivate: true} }

func newClient(t *testing.T) *upstream.Client {
	t.Helper()
	c := upstream.New(upstream.Config{})
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// TestErrorsInStreams has the client find the errors that come with a 200.
func TestErrorsInStreams(t *testing.T) {
	t.Parallel()
	s := start(t, provider.Config{})
	for _, path := range []string{chatPath, "/v1/completions", "/v1/responses"} {
		for _, stream := range []string{"true", "false"} {
			got := call(t, s, path, `{"model":"standin:error-in-body","messages":[{}],"prompt":"x","input":"x","stream":`+stream+`}`)
			if got.Status != 200 || got.Verdict.Sense != answer.Refused || got.Verdict.Status != 500 || got.Verdict.Code != "server_error" {
				t.Errorf("%s streamed %s: %d %s", path, stream, got.Status, got.Body)
			}
		}
	}
}

// TestEveryAttemptIsCounted has the client's calls counted one by one, over connections that are reset.
func TestEveryAttemptIsCounted(t *testing.T) {
	t.Parallel()
	s := start(t, provider.Config{})
	c := newClient(t)
	for attempt := range 4 {
		_, err := c.Call(t.Context(), upstream.Request{
			Route: s.route(), Method: http.MethodPost, URL: chatPath, Body: []byte(chat("standin:status=500x1+reset=2")), IdempotencyKey: "k",
		})
		_, broke := errors.AsType[*upstream.NetworkError](err)
		if wantBroken := attempt == 1 || attempt == 2; broke != wantBroken {
			t.Errorf("attempt %d: %v", attempt+1, err)
		}
	}
	got := s.Stats("k").Request
	if diff := cmp.Diff([]int{500, 0, 0, 200}, got.Statuses); diff != "" || got.Calls != 4 {
		t.Errorf("%d calls (-want +got):\n%s", got.Calls, diff)
	}
}
