package upstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/upstream"
)

// A given answer is sent without a server, whose memory would count too.
type given struct {
	kind   string
	length int64
	body   func() io.Reader
}

func (c given) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {c.kind}}, ContentLength: c.length,
		Body: io.NopCloser(c.body()), Request: req,
	}, nil
}

// A scale is a Room that weighs what lives each so many times that it is asked.
type scale struct {
	t     *testing.T
	every int
	base  int64
	times int
	asked int64
	most  float64 // what lived as a share of what was asked for
}

func (s *scale) Grow(_ context.Context, bytes int64) error {
	if s.times%s.every == 0 {
		s.weigh()
	}
	s.times++
	s.asked += bytes
	return nil
}

// weigh demands that no more lives than was asked for, and a little.
func (s *scale) weigh() {
	const little = 256 << 10
	live := heap() - s.base
	if live > s.asked+little {
		s.t.Errorf("%d bytes live, and %d were asked for", live, s.asked)
	}
	if s.asked > 0 {
		s.most = max(s.most, float64(live)/float64(s.asked))
	}
}

func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc) //nolint:gosec // small
}

// TestRoomIsAskedForAllThatLives has answers of 9 MB that come in every way.
func TestRoomIsAskedForAllThatLives(t *testing.T) { //nolint:paralleltest // it measures the process
	const n = 9_000_000
	keys := bytes.NewBufferString(`{"model":"m"`)
	for i := 0; keys.Len() < n; i++ {
		_, _ = fmt.Fprintf(keys, `,"%x":0`, i)
	}
	keys.WriteString("}")
	text := strings.Repeat("four", n/4)
	repeated := func(before, one string, times int, after string) func() io.Reader {
		return func() io.Reader {
			return io.MultiReader(strings.NewReader(before), &repeater{one: one, left: times}, strings.NewReader(after))
		}
	}
	plain := func(body string) func() io.Reader {
		return func() io.Reader { return strings.NewReader(body) }
	}
	const stream, end = "text/event-stream", "data: [DONE]\n\n"
	piece := func(content string) string {
		return `data: {"id":"a","choices":[{"index":0,"delta":{"content":"` + content + `"},"finish_reason":"stop"}]}` + "\n\n"
	}
	for name, tc := range map[string]struct { //nolint:paralleltest // as above
		given
		path  string
		every int
		times float64 // of its length that are asked for at most
	}{
		"its length is known":   {given{"application/json", int64(keys.Len()), plain(keys.String())}, "", 1, 2.3},
		"its length is unknown": {given{"application/json", -1, plain(keys.String())}, "", 1, 2.3},
		"it is no JSON":         {given{"text/plain", -1, plain(strings.Repeat(`"`, n/2))}, "", 1, 4.1},
		"a stream of pieces":    {given{stream, -1, repeated("", piece(text[:n/2000]), 2000, end)}, "", 100, 3.3},
		"a stream of one event": {given{stream, -1, plain(piece(text) + end)}, "", 10, 7.1},
		"events of many lines": {
			given{stream, -1, repeated("data: {\"id\":\"a\"\n", "data:                                            \n", n/100,
				"data: ,\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n"+end)}, "", 1000, 4.1,
		},
		"a response's last event": {
			given{stream, -1, plain(`data: {"type":"response.completed","response":{"output":["` + text + "\"]}}\n\n")}, "/v1/responses", 10, 4.1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			client := upstream.New(upstream.Config{Transport: tc.given})
			path := tc.path
			if path == "" {
				path = "/v1/chat/completions"
			}
			s := &scale{t: t, every: tc.every, base: heap()}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			answer, err := client.Call(t.Context(), upstream.Request{
				Route: here(), Method: http.MethodPost, URL: path, Body: []byte("{}"), Room: s,
			})
			if err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			s.weigh()
			length := float64(len(answer.Body))
			t.Logf("%.0f bytes: %.2f times that was asked for, of which %.2f lived at most; %.2f times allocated",
				length, float64(s.asked)/length, s.most, float64(after.TotalAlloc-before.TotalAlloc)/length)
			if float64(s.asked) > tc.times*max(length, n/2) {
				t.Errorf("%d bytes are asked for, for %d", s.asked, len(answer.Body))
			}
		})
	}
}

// A repeater reads as one text many times.
type repeater struct {
	one  string
	at   int
	left int
}

func (r *repeater) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.one[r.at:])
	if r.at += n; r.at == len(r.one) {
		r.at = 0
		r.left--
	}
	return n, nil
}

func here() route.Route { return route.Route{BaseURL: "http://127.0.0.1"} }

// full is a Room that has none, until its context ends.
type full struct{ asked chan int64 }

func (f full) Grow(ctx context.Context, bytes int64) error {
	f.asked <- bytes
	<-ctx.Done()
	return ctx.Err()
}

// TestNothingIsReadWithoutRoom has a call wait for room, and end with its context.
func TestNothingIsReadWithoutRoom(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]string{"whole": "application/json", "stream": "text/event-stream"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := strings.NewReader(`data: {"choices":[{"index":0}]}` + strings.Repeat("\n", 1<<20))
			client := upstream.New(upstream.Config{Transport: given{kind, -1, func() io.Reader { return in }}})
			ctx, cancel := context.WithCancelCause(t.Context())
			room := full{make(chan int64, 1)}
			stopped := errors.New("enough")
			go func() {
				<-room.asked
				cancel(stopped)
			}()
			_, err := client.Call(ctx, upstream.Request{
				Route: here(), Method: http.MethodPost, URL: "/v1/completions", Body: []byte("{}"), Room: room,
			})
			if !errors.Is(err, stopped) {
				t.Errorf("got %v", err)
			}
			if read := 1<<20 - in.Len(); read > 64<<10 {
				t.Errorf("%d bytes were read", read)
			}
		})
	}
}

// TestRewritingTakesLittle has bodies of 9.8 MB for a route with a model of its
// own: what is sent takes hardly more than what was given.
func TestRewritingTakesLittle(t *testing.T) { //nolint:paralleltest // it measures the process
	const n = 9_800_000
	for name, body := range map[string][]byte{ //nolint:paralleltest // as above
		"many keys":   []byte(`{"model":"m"` + strings.Repeat(`,"k":0`, n/6) + "}"),
		"many models": []byte(`{"model":"m"` + strings.Repeat(`,"model":"m"`, n/12) + "}"),
	} {
		t.Run(name, func(t *testing.T) {
			to := here()
			to.Model = "another"
			client := upstream.New(upstream.Config{Transport: given{"application/json", 2, func() io.Reader { return strings.NewReader("{}") }}})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := client.Call(t.Context(), upstream.Request{Route: to, Method: http.MethodPost, URL: "/v1/completions", Body: body})
			runtime.ReadMemStats(&after)
			used := after.TotalAlloc - before.TotalAlloc
			t.Logf("%d bytes, %v", used, err)
			if used > n/10 {
				t.Errorf("%d bytes are allocated for %d", used, len(body))
			}
		})
	}
}
