package upstream_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestKeyIsConcealed demands that a provider which quotes the key does not hand it to the tenant.
func TestKeyIsConcealed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ key, kind, body, want string }{
		"in an error":    {"sk-secret/1", "application/json", `{"error":{"message":"no: Bearer sk-secret/1"}}`, `{"error":{"message":"no: Bearer [redacted]"}}`},
		"twice, as text": {"sk-secret/1", "text/plain", "sk-secret/1 sk-secret/1", "[redacted] [redacted]"},
		"escaped":        {"sk-secret/1", "application/json", `{"a":"sk-secret\/1"}`, `{"a":"[redacted]"}`},
		"in a stream": {
			"sk-secret/1", "text/event-stream",
			"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"sk-sec\"}}]}\n\n" +
				"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ret/1\"}}]}\n\ndata: [DONE]\n\n",
			`{"choices":[{"index":0,"message":{"content":"[redacted]","role":"assistant"}}]}`,
		},
		"a word is none": {"test", "application/json", `{"a":"a test"}`, `{"a":"a test"}`},
		"no key":         {"", "application/json", `{"a":"b"}`, `{"a":"b"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, config{
				BaseURL: "http://host", Key: keyed(tc.key, nil),
				Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					h := http.Header{"Content-Type": {tc.kind}, "X-Request-Id": {"of " + tc.key}}
					return &http.Response{
						StatusCode: http.StatusOK, Header: h, Body: io.NopCloser(strings.NewReader(tc.body)), ContentLength: -1, Request: r,
					}, nil
				}),
			})
			got, err := c.Call(t.Context(), chat(`{}`))
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Body) != tc.want {
				t.Errorf("got %s, want %s", got.Body, tc.want)
			}
			if len(tc.key) > 8 && strings.Contains(got.RequestID, tc.key) {
				t.Errorf("the provider's id of the call has the key: %s", got.RequestID)
			}
		})
	}
}
