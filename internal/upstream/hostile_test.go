package upstream_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/upstream"
)

// An endless is a body that repeats what next gives, and counts what is read.
type endless struct {
	next func(i int) string
	i    int
	rest string
	read int64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.rest == "" {
		e.rest = e.next(e.i)
		e.i++
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	e.read += int64(n)
	return n, nil
}

func (e *endless) Close() error { return nil }

// callBody returns what a client makes of a body.
func callBody(t *testing.T, url, contentType string, body io.ReadCloser, maxBody int64) (upstream.Response, error) {
	t.Helper()
	c := newClient(t, config{
		BaseURL: "http://host", Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			h := http.Header{"Content-Type": {contentType}}
			return &http.Response{StatusCode: http.StatusOK, Header: h, Body: body, ContentLength: -1, Request: r}, nil
		}),
	})
	bound(c, maxBody)
	return c.Call(t.Context(), upstream.Request{Method: http.MethodPost, URL: url})
}

// TestEndlessStreams demands that a stream which brings nothing is given up early, however it is written: a provider sent
// empty deltas at a high index for 56 s of work.
func TestEndlessStreams(t *testing.T) {
	t.Parallel()
	const limit, most = 1_000_000, 40 << 20
	var nulls strings.Builder
	for i := range 6000 {
		fmt.Fprintf(&nulls, `,"%d":null`, i)
	}
	for name, tc := range map[string]struct{ url, event string }{
		"empty deltas":        {"/v1/chat/completions", `{"choices":[{"index":127,"delta":{}}]}`},
		"empty tool calls":    {"/v1/chat/completions", `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":127}]}}]}`},
		"nulls":               {"/v1/chat/completions", `{"choices":[{"index":0,"delta":{"a":null` + nulls.String() + `}}]}`},
		"padded nothing":      {"/v1/completions", `{"choices":[]` + strings.Repeat(" ", 60_000) + `}`},
		"signs of life":       {"/v1/chat/completions", `{"type":"ping"}`},
		"pieces of no answer": {"/v1/responses", `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := &endless{next: func(int) string { return "data: " + tc.event + "\n\n" }}
			_, err := callBody(t, tc.url, "text/event-stream", body, limit)
			wantErr[*upstream.TooLargeError](t, err)
			if body.read > most {
				t.Errorf("%d bytes were read, want at most %d", body.read, most)
			}
		})
	}
}

// TestStreamHoldsNoEvents has events that are long and bring a short value each, of which the values alone may be kept.
func TestStreamHoldsNoEvents(t *testing.T) { //nolint:paralleltest // it measures the process
	const limit, events = 1_000_000, 60
	var before, after runtime.MemStats
	body := &endless{}
	body.next = func(i int) string {
		switch i {
		case 0:
			runtime.GC()
			runtime.ReadMemStats(&before)
		case events:
			runtime.GC()
			runtime.ReadMemStats(&after)
			return "data: [DONE]\n\n"
		}
		return fmt.Sprintf("data: {\"choices\":[{\"index\":0,\"delta\":{\"k%d\":%d}}],\"k%d\":%d%s}\n\n", i, i, i, i, strings.Repeat(" ", 900_000))
	}
	if _, err := callBody(t, "/v1/chat/completions", "text/event-stream", body, limit); err != nil {
		t.Fatal(err)
	}
	if after.HeapAlloc > before.HeapAlloc+6*limit {
		t.Errorf("%d bytes are held of a stream whose answer has a few", after.HeapAlloc-before.HeapAlloc)
	}
}

// TestHostileAnswers demands that no answer takes much more than itself, all that is freed meanwhile included: to read it
// takes at most 2.5 times what comes (io.ReadAll: pieces of which each is half as large again, and the whole), and twice
// that in a race build, whose append(b, make([]byte, n)...) makes the n bytes apart. What is kept is the answer alone.
func TestHostileAnswers(t *testing.T) { //nolint:paralleltest // it measures the process
	const size = 9_000_000
	fill := func(before string, one func(i int) string, after string) string {
		var b strings.Builder
		b.WriteString(before)
		for i := 0; b.Len() < size; i++ {
			b.WriteString(one(i))
		}
		return b.String() + after
	}
	key := func(i int) string { return fmt.Sprintf(`,"%x":0`, i) }
	for name, text := range map[string]string{ //nolint:paralleltest // as above
		"keys":          fill(`{"model":"m"`, key, "}"),
		"keys of usage": fill(`{"model":"m","usage":{"total_tokens":7`, key, "}}"),
		"keys of error": fill(`{"model":"m","error":{"code":"c"`, key, "}}"),
		"deep": fill(`{"model":"m","x":[0`, func(int) string {
			return "," + strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
		}, "]}"),
		"too deep": strings.Repeat("[", size),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			res, err := callBody(t, "/v1/chat/completions", "application/json", io.NopCloser(strings.NewReader(text)), 0)
			if err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 5*size {
				t.Errorf("%d bytes are allocated for an answer of %d", used, len(text))
			}
			if kept := cap(res.Body); kept > len(text)+len(text)/16 {
				t.Errorf("%d bytes are kept of an answer of %d", kept, len(text))
			}
			if want := name != "too deep"; res.JSON != want {
				t.Errorf("it is JSON: %v", res.JSON)
			}
		})
	}
}

// TestCallBoundsWhatIsWritten demands that no answer grows beyond the limit by being written down: 10 MB of control
// characters became a line of 60 MB, and some dozen of them took the worker's memory.
func TestCallBoundsWhatIsWritten(t *testing.T) {
	t.Parallel()
	const limit = 1200
	for name, tc := range map[string]struct {
		body string
		fits bool
	}{
		"control characters that fit":      {strings.Repeat("\x01", 200), true},
		"control characters":               {strings.Repeat("\x01", 201), false},
		"no UTF-8 that fits":               {strings.Repeat("\xff", 400), true},
		"no UTF-8":                         {strings.Repeat("\xff", 401), false},
		"line ends in JSON that fits":      {`"` + strings.Repeat("\u2028", 199) + `"`, true},
		"line ends in JSON":                {`"` + strings.Repeat("\u2028", 200) + `"`, false},
		"next lines in JSON":               {`"` + strings.Repeat("\u0085", 200) + `"`, false},
		"quotes in text":                   {strings.Repeat(`"`, 601), false},
		"raw control characters in quotes": {`{"a":"` + strings.Repeat("\x01", 250) + `"}`, false},
		"plain text":                       {strings.Repeat("x", 1200), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := callBody(t, "/v1/embeddings", "application/json", io.NopCloser(strings.NewReader(tc.body)), limit)
			_, large := errors.AsType[*upstream.TooLargeError](err)
			if large == tc.fits || err != nil && !large {
				t.Errorf("got %v, it fits: %v", err, tc.fits)
			}
		})
	}
}
