package provider_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/localstack/standin/provider"
)

// A watch is a clock that a test sets.
type watch struct {
	mu  sync.Mutex
	now time.Time
}

func (w *watch) read() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *watch) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// TestWindows makes calls at times of a fake clock, and sees which are refused, with what Retry-After.
func TestWindows(t *testing.T) {
	t.Parallel()
	const long = `{"model":"standin-a","max_tokens":%d,"messages":[{"role":"user","content":"12345678"}]}` // and 10 bytes' 3 tokens
	short := chat("standin-a:latency=0s")
	for name, tc := range map[string]struct {
		limit provider.Limit
		calls []string // "+5s" lets time pass, otherwise a body
		want  []string
		stats provider.LimitStats
	}{
		"calls": {
			limit: provider.Limit{RPM: 2},
			calls: []string{short, "+10s", short, short, "+49s", short, "+1s", short, short},
			want:  []string{"200", "200", "429", "429", "200", "429"},
			stats: provider.LimitStats{Accepted: 3, Refused: 3, Tokens: 15, OverRPM: 3, MaxInFlight: 1, MaxRequests: 2, MaxTokens: 10},
		},
		"tokens": {
			limit: provider.Limit{TPM: 20},
			calls: []string{fmt.Sprintf(long, 10), fmt.Sprintf(long, 5), "+1s", fmt.Sprintf(long, 4), "+59s", fmt.Sprintf(long, 10)},
			want:  []string{"200", "429", "200", "200"},
			stats: provider.LimitStats{Accepted: 3, Refused: 1, Tokens: 33, OverTPM: 1, MaxInFlight: 1, MaxRequests: 2, MaxTokens: 20},
		},
		"until it fits": {
			limit: provider.Limit{RPM: 1, RetryAfter: "fits"},
			calls: []string{short, "+10500ms", short, "+49s", short, "+500ms", short},
			want:  []string{"200", "429 after 50", "429 after 1", "200"},
			stats: provider.LimitStats{Accepted: 2, Refused: 2, Tokens: 10, OverRPM: 2, MaxInFlight: 1, MaxRequests: 1, MaxTokens: 5, Early: 2},
		},
		"a fixed wait, and a short minute": {
			limit: provider.Limit{RPM: 1, RetryAfter: "1500ms", Window: provider.Duration(time.Second)},
			calls: []string{short, short, "+1s", short},
			want:  []string{"200", "429 after 1.5", "200"},
			stats: provider.LimitStats{Accepted: 2, Refused: 1, Tokens: 10, OverRPM: 1, MaxInFlight: 1, MaxRequests: 1, MaxTokens: 5, Early: 1},
		},
		"only observed": {
			limit: provider.Limit{RPM: 1, TPM: 1, Observe: true},
			calls: []string{short, short},
			want:  []string{"200", "200"},
			stats: provider.LimitStats{Accepted: 2, Tokens: 10, OverRPM: 1, OverTPM: 2, MaxInFlight: 1, MaxRequests: 2, MaxTokens: 10},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := &watch{now: time.Unix(1_774_437_191, 0)}
			s := start(t, provider.Config{Now: clock.read, Limits: map[string]provider.Limit{"standin-a": tc.limit}})
			var got []string
			for _, call := range tc.calls {
				if wait, ok := strings.CutPrefix(call, "+"); ok {
					d, err := time.ParseDuration(wait)
					if err != nil {
						t.Fatal(err)
					}
					clock.pass(d)
					continue
				}
				a := s.post(t, chatPath, call)
				outcome := fmt.Sprint(a.status)
				if after := a.header.Get("Retry-After"); after != "" {
					outcome += " after " + after
				}
				got = append(got, outcome)
				if a.status == http.StatusTooManyRequests && read[failed](t, a.body).code() != "rate_limit_exceeded" {
					t.Errorf("it is refused with %s", a.body)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("outcomes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[string]provider.LimitStats{"standin-a": tc.stats}, s.Stats("").Limits); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
		})
	}
}

// TestConcurrencyIsHeld fills a model's places, and finds one again in the moment in which an answer ends.
func TestConcurrencyIsHeld(t *testing.T) {
	t.Parallel()
	const places, calls = 3, 30
	s := start(t, provider.Config{Limits: map[string]provider.Limit{"standin": {MaxConcurrency: places}}})
	var wg sync.WaitGroup
	for range places { // each sends its next call when it has seen the answer to the last: none is one too many
		wg.Go(func() {
			for range calls {
				if got := s.post(t, chatPath, chat("standin:size=50000")); got.status != http.StatusOK {
					t.Errorf("%d %s", got.status, got.body)
				}
			}
		})
	}
	wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	hanging := make(chan error, places)
	for i := range places {
		go func() {
			_, err := s.try(ctx, http.MethodPost, chatPath, chat("standin:hang"), "Idempotency-Key", fmt.Sprint(i))
			hanging <- err
		}()
	}
	for s.Stats("").InFlight < places {
		time.Sleep(time.Millisecond) // Bounded by the test's own deadline.
	}
	if got := s.post(t, chatPath, chat("standin")); got.status != http.StatusTooManyRequests {
		t.Errorf("one too many got %d", got.status)
	}
	cancel()
	for range places {
		if err := <-hanging; err == nil {
			t.Error("a call that hangs was answered")
		}
	}
	for s.Stats("").InFlight > 0 {
		time.Sleep(time.Millisecond) // as above
	}
	if got := s.post(t, chatPath, chat("standin")); got.status != http.StatusOK {
		t.Errorf("afterwards it got %d", got.status)
	}
	stats := s.Stats("").Limits["standin"]
	if stats.MaxInFlight != places || stats.OverConcurrency != 1 || stats.Refused != 1 {
		t.Errorf("%+v", stats)
	}
}

// TestLimitsByHTTP sets limits while it runs: a model dies and comes back.
func TestLimitsByHTTP(t *testing.T) {
	t.Parallel()
	s := start(t, provider.Config{})
	put := func(body string) answered {
		t.Helper()
		got, err := s.try(t.Context(), http.MethodPut, "/standin/limits", body)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := put(`{"gpt-4o":{"hang":true},"standin":{"rpm":1,"window":"30s"}}`); got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	ctx, cancel := context.WithCancel(t.Context())
	dead := make(chan error, 1)
	go func() {
		_, err := s.try(ctx, http.MethodPost, chatPath, chat("gpt-4o"))
		dead <- err
	}()
	for s.Stats("").Limits["gpt-4o"].MaxInFlight == 0 {
		time.Sleep(time.Millisecond) // Bounded by the test's own deadline.
	}
	cancel()
	if err := <-dead; err == nil {
		t.Error("a dead model answered")
	}
	for _, want := range []int{200, 429} {
		if got := s.post(t, chatPath, chat("standin")); got.status != want {
			t.Errorf("%d, want %d", got.status, want)
		}
	}
	stats, err := s.try(t.Context(), http.MethodGet, "/standin/stats", "")
	if err != nil {
		t.Fatal(err)
	}
	if got := read[provider.Stats](t, stats.body).Limits["standin"]; got.Accepted != 1 || got.Refused != 1 {
		t.Errorf("%+v", got)
	}
	if put(`{}`).status != http.StatusOK || s.post(t, chatPath, chat("gpt-4o")).status != 200 || s.post(t, chatPath, chat("standin")).status != 200 {
		t.Error("what has no limits any more is still limited")
	}
	for _, body := range []string{`{"a":{"rpm":-1}}`, `{"a":{"window":"x"}}`, `{"a":{"retry_after":"2h"}}`, `[]`} {
		if got := put(body); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d", body, got.status)
		}
	}
	if raw, err := json.Marshal(map[string]provider.Limit{"a": {Window: provider.Duration(time.Second)}}); err != nil || string(raw) != `{"a":{"window":"1s"}}` {
		t.Errorf("%s, %v", raw, err)
	}
}

// TestSpread holds the latencies of many requests against the distribution that the model's name asks for.
func TestSpread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, err := provider.New(provider.Config{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		const calls, sigma = 4000, 0.5
		logs := make([]float64, calls)
		var wg sync.WaitGroup
		for i := range calls {
			wg.Go(func() {
				w, begun := httptest.NewRecorder(), time.Now()
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, chatPath, strings.NewReader(chat("standin:latency=10s~0.5")))
				r.Header.Set("Idempotency-Key", fmt.Sprint(i))
				p.ServeHTTP(w, r)
				logs[i] = math.Log(time.Since(begun).Seconds() / 10)
			})
		}
		wg.Wait()
		mean, square := 0.0, 0.0
		for _, l := range logs {
			mean, square = mean+l/calls, square+l*l/calls
		}
		slices.Sort(logs)
		if median := logs[calls/2]; math.Abs(mean) > 0.05 || math.Abs(median) > 0.05 || math.Abs(math.Sqrt(square)-sigma) > 0.05 {
			t.Errorf("the logarithms have the mean %.3f, the median %.3f and the deviation %.3f", mean, median, math.Sqrt(square))
		}
	})
}
