package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/api"
)

// contentEvent is what API Gateway makes of a request for a file's content.
const contentEvent = `{"resource":"/files/{id}/content","path":"/files/file-1/content","httpMethod":"GET",
	"headers":{"Range":"bytes=0-1"},"pathParameters":{"id":"file-1"},"requestContext":{"stage":"v1"},"body":null}`

// TestStreamedForm demands the head, the delimiter and the body as API Gateway
// takes them.
func TestStreamedForm(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("\x00\xff bytes", 100_000)
	h := handler{after: func() {}, api: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s, ok := w.(api.Streamer); !ok || s.MaxStream() != 200_000_000 {
			t.Error("the answer is not streamed")
		}
		w.Header().Set("X-Request-Id", "req_1")
		w.Header().Set("Content-Length", "800000")
		w.Header()["Vary"] = []string{"Origin", "Accept"}
		w.WriteHeader(http.StatusPartialContent)
		w.WriteHeader(http.StatusOK)
		w.Header().Set("X-Late", "1")
		if got := r.Header.Get("Range"); got != "bytes=0-1" {
			t.Errorf("the range asked for is %q", got)
		}
		_, _ = io.WriteString(w, content[:1000])
		_, _ = io.WriteString(w, content[1000:])
	})}
	raw, err := lambda.NewHandler(h.handle).Invoke(t.Context(), []byte(contentEvent))
	if err != nil {
		t.Fatal(err)
	}
	head, body, found := strings.Cut(string(raw), strings.Repeat("\x00", 8))
	var got map[string]any
	if err := json.Unmarshal([]byte(head), &got); err != nil || !found {
		t.Fatalf("the head is %q: %v", head, err)
	}
	want := map[string]any{
		"statusCode": 206.0, "headers": map[string]any{"X-Request-Id": "req_1", "Content-Length": "800000"},
		"multiValueHeaders": map[string]any{"Vary": []any{"Origin", "Accept"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if body != content {
		t.Errorf("the body has %d bytes and differs", len(body))
	}
}

// TestOnlyContentIsStreamed demands that an event of any other integration gets
// the answer that it waits for.
func TestOnlyContentIsStreamed(t *testing.T) {
	t.Parallel()
	h := handler{after: func() {}, api: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, ok := w.(api.Streamer); ok {
			t.Error("the answer is streamed")
		}
	})}
	for _, event := range []string{
		`{"resource":"/{proxy+}","path":"/files/file-1/content","httpMethod":"GET"}`,
		`{"resource":"/files/{id}/content","path":"/files/file-1/content","httpMethod":"HEAD"}`,
		`{"resource":"/files/{id}","path":"/files/file-1","httpMethod":"GET"}`,
	} {
		if got, err := send(t, h, event); err != nil || got["statusCode"] != 200.0 {
			t.Errorf("%s: %v, %v", event, got, err)
		}
	}
}

func TestEmptyStream(t *testing.T) {
	t.Parallel()
	h := handler{after: func() {}, api: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	raw, err := lambda.NewHandler(h.handle).Invoke(t.Context(), []byte(contentEvent))
	if want := `{"statusCode":200}` + strings.Repeat("\x00", 8); err != nil || string(raw) != want {
		t.Errorf("the answer is %q: %v", raw, err)
	}
}

// TestCutAnswers demands that an answer that breaks off is an error for the
// runtime, whether it has begun or not, streamed or not.
func TestCutAnswers(t *testing.T) {
	t.Parallel()
	for name, event := range map[string]string{
		"streamed": contentEvent, "whole": `{"resource":"/","path":"/","httpMethod":"GET"}`,
	} {
		for after := range 2 {
			h := handler{after: func() {}, api: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if after > 0 {
					_, _ = io.WriteString(w, "the beginning")
				}
				panic(http.ErrAbortHandler)
			})}
			raw, err := lambda.NewHandler(h.handle).Invoke(t.Context(), []byte(event))
			if !errors.Is(err, errCut) {
				t.Errorf("%s, %d: %q, %v", name, after, raw, err)
			}
		}
	}
}

// TestClosedStreamEndsItsHandler demands that a handler whose reader goes is
// told so by both its context and its writes, and that Close waits for it.
func TestClosedStreamEndsItsHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := false
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := io.WriteString(w, "more"); err != nil {
					break
				}
			}
			<-r.Context().Done()
			ended = true
		})
		answer, err := stream(context.Background(), h, &events.APIGatewayProxyRequest{HTTPMethod: "GET", Path: "/"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(answer, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if err := answer.Close(); err != nil || !ended {
			t.Errorf("closed with %v, the handler has ended: %v", err, ended)
		}
	})
}

// TestStreamHasAnEnd demands that a handler is not left to work for ever.
func TestStreamHasAnEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "")
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		})
		answer, err := stream(context.Background(), h, &events.APIGatewayProxyRequest{HTTPMethod: "GET", Path: "/"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(answer); !errors.Is(err, errCut) {
			t.Errorf("the answer ends with %v, want %v", err, errCut)
		}
		if err := answer.Close(); err != nil {
			t.Error(err)
		}
	})
}
