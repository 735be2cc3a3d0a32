package upstream_test

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/musketry/musketry/internal/answer"
	"github.com/musketry/musketry/internal/upstream"
)

// callStream returns what a client makes of an event stream.
func callStream(t *testing.T, url, contentType, body string) (upstream.Response, error) {
	t.Helper()
	c := newClient(t, config{BaseURL: "http://host", Transport: canned(200, contentType, body)})
	return c.Call(t.Context(), upstream.Request{Method: http.MethodPost, URL: url})
}

func TestStreamOfUnknownKindIsKept(t *testing.T) {
	t.Parallel()
	body := "data: {\"type\":\"image_generation.completed\"}\n\n"
	got, err := callStream(t, "/v1/images/generations", "text/event-stream", body)
	if err != nil || string(got.Body) != body || got.JSON || got.Streamed {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestStreamDropped tells a stream whose connection broke from one that ended.
func TestStreamDropped(t *testing.T) {
	t.Parallel()
	base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn := hijack(t, w)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"+
			"20\r\ndata: {\"choices\":[{\"index\":0}]}\n\r\n")
		_ = conn.Close()
	})
	_, err := newClient(t, config{BaseURL: base}).Call(t.Context(), chat(`{"stream":true}`))
	wantErr[*upstream.NetworkError](t, err)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v is no unexpected end", err)
	}
}

// TestStreamsAreJudged has streams become the answer that they stand for, also where nobody says that they are streams, and
// keeps the bytes of those that stand for none.
func TestStreamsAreJudged(t *testing.T) {
	t.Parallel()
	const whole = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}],\"usage\":{\"total_tokens\":3}}\n\n"
	for name, tc := range map[string]struct {
		contentType, body, want string
		sense                   answer.Sense
	}{
		"a stream": {
			contentType: "text/event-stream", body: whole,
			want: `{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"a","role":"assistant"}}],"usage":{"total_tokens":3}}`,
		},
		"a stream by another name": {
			contentType: "text/plain", body: ": hello\n\n" + whole,
			want: `{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"a","role":"assistant"}}],"usage":{"total_tokens":3}}`,
		},
		"JSON that is called a stream": {
			contentType: "text/event-stream", body: `{"choices":[{"message":{"content":"a"}}]}`, want: `{"choices":[{"message":{"content":"a"}}]}`,
		},
		"a stream that is cut off": {
			contentType: "text/event-stream", body: whole + "data: {", want: whole + "data: {", sense: answer.Invalid,
		},
		"a byte order mark": {
			contentType: "application/json", body: "\ufeff{\"choices\":[{\"message\":{\"content\":\"a\"}}]}", want: `{"choices":[{"message":{"content":"a"}}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := callStream(t, "/v1/chat/completions", tc.contentType, tc.body)
			if err != nil || string(got.Body) != tc.want || got.Verdict.Sense != tc.sense {
				t.Errorf("%s, %+v, %v", got.Body, got.Verdict, err)
			}
			if tc.sense == answer.Invalid && got.Tokens.Total != 3 {
				t.Errorf("it took %+v", got.Tokens)
			}
		})
	}
}
