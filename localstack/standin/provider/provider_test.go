package provider_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/musketry/musketry/localstack/standin/provider"
)

const chatPath = "/v1/chat/completions"

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, cfg := range []provider.Config{{}, {Now: time.Now, MaxKeys: -1}} {
		if _, err := provider.New(cfg); err == nil {
			t.Errorf("New took %+v", cfg)
		}
	}
}

// TestSequence calls one request again and again and sees what each call is answered with.
func TestSequence(t *testing.T) {
	t.Parallel()
	s := start(t, provider.Config{})
	for model, want := range map[string][]string{
		"standin":                                       {"200", "200"},
		"gpt-4o-mini":                                   {"200"},
		"ft:gpt-4o:status=500":                          {"200"},
		"standin:":                                      {"200"},
		"standin:status=429x2":                          {"429 rate_limit_exceeded", "429 rate_limit_exceeded", "200", "200"},
		"standin:status=503x1,status=500x2":             {"503 ", "500 ", "500 ", "200"},
		"standin:status=400":                            {"400 ", "400 ", "400 "},
		"standin:status=401x0":                          {"401 invalid_api_key", "401 invalid_api_key"},
		"standin:status=404":                            {"404 model_not_found"},
		"standin:status=302x1":                          {"302 ", "200"},
		"standin:insufficient-quota":                    {"429 insufficient_quota", "429 insufficient_quota"},
		"standin:insufficient-quota=1":                  {"429 insufficient_quota", "200"},
		"standin:error-in-body=1":                       {"200 server_error", "200"},
		"standin:nonjson=1":                             {"text", "200"},
		"standin:reset=2":                               {"reset", "reset", "200"},
		"standin:reset":                                 {"reset", "reset", "reset"},
		"standin:hang=1":                                {"gone", "200"},
		"standin-b:status=429x1+reset=1,hang=1+nonjson": {"429 rate_limit_exceeded", "reset", "gone", "text", "text"},
	} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			for i, outcome := range want {
				if got := outcomeOf(t, s, model, outcome == "gone"); got != outcome {
					t.Errorf("call %d: %q, want %q", i+1, got, outcome)
				}
			}
		})
	}
}

// outcomeOf makes the one chat with a model, and names what came of it in a word or two. A call that should hang is
// given up a while after it has arrived.
func outcomeOf(t *testing.T, s standin, model string, hangs bool) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if hangs {
		arrived := s.Stats("").ByModel[model].Calls + 1
		go func() {
			until(t, func() bool { return s.Stats("").ByModel[model].Calls == arrived })
			time.AfterFunc(50*time.Millisecond, cancel)
		}()
	}
	got, err := s.try(ctx, http.MethodPost, chatPath, chat(model), "Idempotency-Key", model)
	switch {
	case errors.Is(err, context.Canceled):
		return "gone"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case err != nil:
		return err.Error()
	case strings.HasPrefix(got.header.Get("Content-Type"), "text/plain"):
		return "text"
	}
	if envelope := read[failed](t, got.body); envelope.Error.Message != "" {
		return strconv.Itoa(got.status) + " " + envelope.code()
	}
	return strconv.Itoa(got.status)
}

func TestUnknownDirectives(t *testing.T) {
	t.Parallel()
	s := start(t, provider.Config{})
	for _, directive := range []string{
		"frobnicate", "status", "status=", "status=200", "status=700", "status=429x", "status=429x-1", "status=429=2",
		"reset=x", "reset=-1", "hang=1s", "latency", "latency=5", "latency=-1s", "latency=2h", "latency=2s..1s", "latency=1s..",
		"retry-after", "retry-after=x", "retry-after=-1", "retry-after=NaN", "retry-after=date:", "retry-after=9999",
		"size=-1", "size=1e9", "latency=1s~0", "latency=1s~4", "latency=1s~x", "latency=1s..2s~0.5", "latency=~1", "size=999999999", "slow-body=x",
	} {
		got := s.post(t, chatPath, chat("standin:latency=0s+"+directive))
		envelope := read[failed](t, got.body)
		if got.status != 400 || envelope.code() != "unknown_directive" || !strings.Contains(envelope.Error.Message, `"`+directive+`"`) {
			t.Errorf("%s: %d %s", directive, got.status, got.body)
		}
	}
	many := s.post(t, chatPath, chat("standin"+strings.Repeat("+latency=0s", 17)+":"+strings.Repeat("latency=0s+", 17)))
	if many.status != 400 {
		t.Errorf("seventeen directives: %d %s", many.status, many.body)
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	s := start(t, provider.Config{})
	for _, tc := range []struct {
		method, path, body, code, param string
		status                          int
	}{
		{method: "POST", path: chatPath, body: `{`, status: 400},
		{method: "POST", path: chatPath, body: `[]`, status: 400},
		{method: "POST", path: chatPath, body: `{}`, status: 400, param: "model"},
		{method: "POST", path: chatPath, body: `{"model":"standin"}`, status: 400, param: "messages", code: "missing_required_parameter"},
		{method: "POST", path: chatPath, body: `{"model":"standin","n":129,"messages":[{}]}`, status: 400, param: "n", code: "invalid_value"},
		{method: "POST", path: "/v1/responses", body: `{"model":"standin"}`, status: 400, param: "input", code: "missing_required_parameter"},
		{method: "POST", path: "/v1/responses", body: `{"model":"standin","input":7}`, status: 400, param: "input", code: "invalid_value"},
		{method: "POST", path: "/v1/completions", body: `{"model":"standin"}`, status: 400, param: "prompt", code: "missing_required_parameter"},
		{method: "POST", path: "/v1/embeddings", body: `{"model":"standin","input":[]}`, status: 400, param: "input", code: "invalid_value"},
		{method: "POST", path: "/v1/embeddings", body: `{"model":"standin","input":"a","dimensions":5000}`, status: 400, param: "dimensions", code: "invalid_value"},
		{method: "POST", path: "/v1/moderations", body: `{"model":"standin","input":null}`, status: 400, param: "input", code: "missing_required_parameter"},
		{method: "POST", path: chatPath, body: strings.Repeat(" ", 33<<20), status: 413},
		{method: "GET", path: chatPath, status: 404, code: "unknown_url"},
		{method: "POST", path: "/v2/x", status: 404, code: "unknown_url"},
		{method: "GET", path: "/standin/calls?limit=x", status: 400, param: "limit", code: "invalid_value"},
		{method: "GET", path: "/standin/calls?limit=10001", status: 400, param: "limit", code: "invalid_value"},
	} {
		got, err := s.try(t.Context(), tc.method, tc.path, tc.body)
		if err != nil {
			t.Fatalf("%s %s %.80s: %v", tc.method, tc.path, tc.body, err)
		}
		envelope := read[failed](t, got.body)
		param := ""
		if envelope.Error.Param != nil {
			param = *envelope.Error.Param
		}
		if got.status != tc.status || envelope.code() != tc.code || param != tc.param || envelope.Error.Message == "" {
			t.Errorf("%s %s %.80s: %d %s", tc.method, tc.path, tc.body, got.status, got.body)
		}
	}
}

func TestSameRequestSameText(t *testing.T) {
	t.Parallel()
	s := start(t, provider.Config{})
	content := func(body string) string {
		type answer struct {
			Choices []struct{ Message struct{ Content string } }
		}
		return read[answer](t, s.post(t, chatPath, body).body).Choices[0].Message.Content
	}
	first, again := content(chat("standin")), content(chat("standin"))
	if first != again || !strings.Contains(first, "“say ahoy”: 2 words") {
		t.Errorf("%q, then %q", first, again)
	}
	parts := content(`{"model":"standin","messages":[{"role":"user","content":[{"type":"text","text":"say"},{"type":"image_url"},{"type":"text","text":"ahoy"}]},{"role":"assistant","content":"no"}]}`)
	if parts != first {
		t.Errorf("in parts: %q, want %q", parts, first)
	}
	if other := content(strings.Replace(chat("standin"), "ahoy", "bye", 1)); other == first {
		t.Errorf("another prompt: %q", other)
	}
	if long := content(strings.Replace(chat("standin"), "ahoy", strings.Repeat("ä", 1000), 1)); len([]rune(long)) > 300 {
		t.Errorf("a long prompt is quoted in %d characters", len([]rune(long)))
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	s := start(t, provider.Config{})
	const size = 1_500_000
	for path, input := range map[string]string{
		chatPath: `"messages":[{"role":"user","content":"x"}]`, "/v1/completions": `"prompt":"x"`,
		"/v1/responses": `"input":"x"`, "/v1/embeddings": `"input":"x"`, "/v1/moderations": `"input":"x"`,
	} {
		got := s.post(t, path, `{"model":"standin:size=1500000",`+input+`}`)
		if read[map[string]any](t, got.body); len(got.body) != size {
			t.Errorf("%s: %d bytes, want %d", path, len(got.body), size)
		}
		if small := s.post(t, path, `{"model":"standin:size=1",`+input+`}`); len(small.body) < 100 {
			t.Errorf("%s: %s", path, small.body)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2027, 3, 4, 5, 6, 7, 500, time.UTC)
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	pass := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	s := start(t, provider.Config{Now: clock})
	for _, tc := range []struct {
		value, header, want string
		until               time.Duration
	}{
		{value: "1", header: "Retry-After", want: "1", until: time.Second},
		{value: "0.25", header: "Retry-After", want: "0.25", until: 250 * time.Millisecond},
		{value: "ms:1500", header: "Retry-After-Ms", want: "1500", until: 1500 * time.Millisecond},
	} {
		body, key := chat("standin:status=429x2+retry-after="+tc.value), "key "+tc.value
		got := s.post(t, chatPath, body, "Idempotency-Key", key)
		if got.status != 429 || got.header.Get(tc.header) != tc.want {
			t.Errorf("%s: %d with %q", tc.value, got.status, got.header.Get(tc.header))
		}
		pass(tc.until - 1)
		s.post(t, chatPath, body, "Idempotency-Key", key) // Early, and told to wait again.
		pass(tc.until)
		last := s.post(t, chatPath, body, "Idempotency-Key", key) // In time.
		if last.status != 200 || last.header.Get(tc.header) != "" {
			t.Errorf("%s: %d with %q at last", tc.value, last.status, last.header.Get(tc.header))
		}
		if r := s.Stats(key).Request; r.EarlyCalls != 1 || r.Calls != 3 {
			t.Errorf("%s: %d of %d calls early, want 1 of 3", tc.value, r.EarlyCalls, r.Calls)
		}
	}
	got := s.post(t, chatPath, chat("standin:status=503+retry-after=date:2"))
	told, err := http.ParseTime(got.header.Get("Retry-After"))
	if err != nil || told.Sub(now) < 2*time.Second || told.Sub(now) >= 3*time.Second {
		t.Errorf("date %q at %s: %v", got.header.Get("Retry-After"), now, err)
	}
	pass(told.Sub(now))
	s.post(t, chatPath, chat("standin:status=503+retry-after=date:2"))
	if stats := s.Stats(""); stats.EarlyCalls != 3 {
		t.Errorf("%d early calls, want 3", stats.EarlyCalls)
	}
}

// TestPace runs the answers that take time in fake time.
func TestPace(t *testing.T) {
	t.Parallel()
	for model, want := range map[string]struct{ least, most time.Duration }{
		"standin":                             {0, 0},
		"standin:latency=200ms":               {200 * time.Millisecond, 200 * time.Millisecond},
		"standin:latency=200ms+status=503":    {200 * time.Millisecond, 200 * time.Millisecond},
		"standin:latency=1s..3s":              {time.Second + 1, 3*time.Second - 1},
		"standin:slow-body":                   {time.Second, time.Second},
		"standin:slow-body=10s,latency=500ms": {10500 * time.Millisecond, 10500 * time.Millisecond},
	} {
		for _, streamed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, streamed %t", model, streamed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					p, err := provider.New(provider.Config{Now: time.Now})
					if err != nil {
						t.Fatal(err)
					}
					body := strings.Replace(chat(model), `{`, fmt.Sprintf(`{"stream":%t,`, streamed), 1)
					began := time.Now()
					w := newPipeWriter()
					req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, chatPath, strings.NewReader(body))
					p.ServeHTTP(w, req)
					took := time.Since(began)
					// A stream's pause is a duration cut in even parts.
					if slack := time.Microsecond; took < want.least-slack || took > want.most {
						t.Errorf("took %s, want %s to %s", took, want.least, want.most)
					}
					if w.body.Len() == 0 {
						t.Error("no body")
					}
				})
			})
		}
	}
}

// A pipeWriter is a response that is only counted.
type pipeWriter struct {
	header http.Header
	body   strings.Builder
}

func newPipeWriter() *pipeWriter { return &pipeWriter{header: http.Header{}} }

func (w *pipeWriter) Header() http.Header         { return w.header }
func (w *pipeWriter) WriteHeader(int)             {}
func (w *pipeWriter) Write(p []byte) (int, error) { return w.body.Write(p) }
func (w *pipeWriter) Flush()                      {}

func TestStats(t *testing.T) {
	t.Parallel()
	s := start(t, provider.Config{MaxKeys: 4})
	marked := func(marker, model string) string {
		return strings.Replace(chat(model), `{`, `{"user":"`+marker+`",`, 1)
	}
	before := time.Now()
	s.post(t, chatPath, marked("run-1 line 1", "standin:status=503x1"), "Idempotency-Key", "k1", "X-Custom-Id", "c1")
	s.post(t, chatPath, marked("run-1 line 1", "standin:status=503x1"), "Idempotency-Key", "k1", "X-Custom-Id", "c1", "Authorization", "Bearer x")
	s.post(t, chatPath, marked("run-1 line 2", "standin"))
	s.post(t, chatPath, marked("run-1 line 2", "standin"))
	s.post(t, "/v1/responses", `{"model":"standin-b","input":"x","user":"run-2"}`)
	_, _ = s.try(t.Context(), http.MethodPost, chatPath, chat("standin:reset"), "Idempotency-Key", "k2")

	got := read[provider.Stats](t, get(t, s, "/standin/stats?key=c1"))
	want := provider.Stats{
		Calls: 6, MaxInFlight: 1, Keys: 4, ByStatus: map[string]int{"0": 1, "200": 4, "503": 1},
		ByModel: map[string]provider.ModelStats{
			"standin:status=503x1": {Calls: 2, MaxInFlight: 1}, "standin": {Calls: 2, MaxInFlight: 1},
			"standin-b": {Calls: 1, MaxInFlight: 1}, "standin:reset": {Calls: 1, MaxInFlight: 1},
		},
		Request: &provider.RequestStats{
			Key: "k1", CustomID: "c1", Marker: "run-1 line 1", Model: "standin:status=503x1", Calls: 2, Authorized: true,
			Statuses: []int{503, 200},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreTypes(time.Time{})); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
	if r := got.Request; r.First.Before(before.Truncate(0)) || !r.Last.After(r.First) {
		t.Errorf("first call at %s, last at %s, test began at %s", r.First, r.Last, before)
	}

	found := read[provider.Calls](t, get(t, s, "/standin/calls?contains=run-1&limit=1"))
	if found.Count != 2 || len(found.Requests) != 1 || found.Requests[0].Key != "k1" {
		t.Errorf("found %+v", found)
	}
	body := s.Calls("line 2", 10).Requests[0]
	if !strings.HasPrefix(body.Key, "body:") || body.Calls != 2 || s.Stats(body.Key).Request.Calls != 2 {
		t.Errorf("the request without a key is %+v", body)
	}
	if none := s.Stats("k9").Request; none.Calls != 0 || none.Key != "k9" {
		t.Errorf("a request that never came is %+v", none)
	}

	s.post(t, chatPath, chat("standin"), "Idempotency-Key", "k5") // The fifth of four: the first is forgotten.
	if after := s.Stats("k1"); after.Request.Calls != 0 || after.Keys != 4 || after.Forgotten != 1 || after.Calls != 7 {
		t.Errorf("after the fifth: %+v", after)
	}
	if reset := s.post(t, "/standin/reset", ""); reset.status != http.StatusNoContent {
		t.Errorf("reset: %d", reset.status)
	}
	empty := provider.Stats{ByStatus: map[string]int{}, ByModel: map[string]provider.ModelStats{}}
	if diff := cmp.Diff(empty, s.Stats("")); diff != "" {
		t.Errorf("after a reset (-want +got):\n%s", diff)
	}
}

func get(t *testing.T, s standin, path string) string {
	t.Helper()
	got, err := s.try(t.Context(), http.MethodGet, path, "")
	if err != nil || got.status != 200 {
		t.Fatalf("GET %s: %d %s, %v", path, got.status, got.body, err)
	}
	return got.body
}

// TestInFlightNeverAboveClients holds the promise that a client which keeps to a limit is never counted above it.
func TestInFlightNeverAboveClients(t *testing.T) {
	t.Parallel()
	s := start(t, provider.Config{})
	const clients, each = 8, 50
	models := []string{"standin-a", "standin-b:slow-body=1ms", "standin-c:status=503", "standin-d:error-in-body", "standin-e:reset"}
	for _, model := range models {
		var wg sync.WaitGroup
		for client := range clients {
			wg.Go(func() {
				for i := range each {
					body := strings.Replace(chat(model), `{`, fmt.Sprintf(`{"stream":%t,`, i%2 == 0), 1)
					_, err := s.try(t.Context(), http.MethodPost, chatPath, body, "Idempotency-Key", fmt.Sprint(model, client, i))
					if err != nil && !strings.Contains(model, "reset") {
						t.Errorf("%s: %v", model, err)
					}
				}
			})
		}
		wg.Wait()
		if got := s.Stats("").ByModel[model]; got.Calls != clients*each || got.MaxInFlight > clients || got.MaxInFlight < 1 || got.InFlight != 0 {
			t.Errorf("%s: %+v with %d clients", model, got, clients)
		}
	}
	if got := s.Stats(""); got.MaxInFlight > clients || got.Keys != len(models)*clients*each {
		t.Errorf("at most %d in flight with %d clients, %d keys", got.MaxInFlight, clients, got.Keys)
	}
}

// TestResetWhileInFlight resets the counts while a call hangs, which then ends.
func TestResetWhileInFlight(t *testing.T) {
	t.Parallel()
	s := start(t, provider.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hung := make(chan error, 1)
	go func() {
		_, err := s.try(ctx, http.MethodPost, chatPath, chat("standin:hang"))
		hung <- err
	}()
	until(t, func() bool { return s.Stats("").InFlight == 1 })
	s.Reset()
	if got := s.Stats(""); got.InFlight != 1 || got.MaxInFlight != 1 || got.Calls != 0 || got.Keys != 0 {
		t.Errorf("after the reset: %+v", got)
	}
	cancel()
	if err := <-hung; !errors.Is(err, context.Canceled) {
		t.Errorf("the call that hung: %v", err)
	}
	until(t, func() bool { return s.Stats("").InFlight == 0 })
	if got := s.Stats(""); len(got.ByStatus) != 0 {
		t.Errorf("a call of before the reset is counted: %+v", got)
	}
}

// until waits for what another goroutine does, within the test's own deadline.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for !done() {
		select {
		case <-t.Context().Done():
			t.Error("the test ended first")
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// TestModelsAreBounded counts a thousand models apart and the rest together.
func TestModelsAreBounded(t *testing.T) {
	t.Parallel()
	s := start(t, provider.Config{MaxKeys: 10})
	for i := range 1010 {
		s.post(t, chatPath, chat("m"+strconv.Itoa(i)))
	}
	got := s.Stats("")
	if len(got.ByModel) != 1001 || got.ByModel["(other)"].Calls != 10 || got.Keys != 10 || got.Forgotten != 1000 {
		t.Errorf("%d models, %+v of others, %d keys, %d forgotten", len(got.ByModel), got.ByModel["(other)"], got.Keys, got.Forgotten)
	}
}

func TestConnectionIsResetMidAnswer(t *testing.T) {
	t.Parallel()
	s := start(t, provider.Config{})
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+chatPath, strings.NewReader(chat("standin:reset+size=4000000")))
	res, err := s.client.Do(req)
	if err == nil { // The reset may outrun the headers.
		_, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v is no reset", err)
	}
}

func TestEmbeddingsInBase64(t *testing.T) {
	t.Parallel()
	s := start(t, provider.Config{})
	type list[T any] struct{ Data []struct{ Embedding T } }
	const ask = `{"model":"standin","input":[[1,2],[3]],"dimensions":9`
	plain := read[list[[]float32]](t, s.post(t, "/v1/embeddings", ask+`}`).body)
	encoded := read[list[[]byte]](t, s.post(t, "/v1/embeddings", ask+`,"encoding_format":"base64"}`).body)
	for i := range 2 {
		values := make([]float32, 9)
		if err := binary.Read(bytes.NewReader(encoded.Data[i].Embedding), binary.LittleEndian, values); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(plain.Data[i].Embedding, values); diff != "" {
			t.Errorf("vector %d (-plain +base64):\n%s", i, diff)
		}
	}
}
