package cli_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/cli"
)

func refused() batchRun {
	return batchRun{end: "failed", endAfter: 2 * time.Second, errors: []map[string]any{
		{"code": "duplicate_custom_id", "line": 3, "param": "custom_id", "message": "Lines 1 and 3 are both called 'a'."},
		{"code": "invalid_json_line", "line": 7, "param": nil, "message": "This line is not parseable as valid JSON."},
	}}
}

func waiting() []map[string]any {
	return []map[string]any{
		{
			"reason": "rate_limited", "model": "gpt-4o*", "until": 946684860, // a minute after the bubble's beginning
			"message": "The upstream of 'gpt-4o*' takes no calls for now.",
		},
		{"reason": "allowance", "model": nil, "until": nil, "message": "Other batches come first."},
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		run  batchRun
		code int
	}{
		"completed":     {batchRun{total: 300, perSecond: 12}, cli.ExitOK},
		"with-failures": {batchRun{total: 60, perSecond: 20, failEvery: 25}, cli.ExitFailures},
		"refused":       {refused(), cli.ExitEnded},
		"retrying":      {batchRun{total: 60, perSecond: 2, failEvery: 20, retrying: 7}, cli.ExitFailures},
		"waiting":       {batchRun{total: 90, perSecond: 1, waiting: waiting()}, cli.ExitOK},
		"expired":       {batchRun{total: 100, perSecond: 2, end: "expired", endAfter: 20 * time.Second}, cli.ExitEnded},
	} {
		for kind, terminal := range map[string]bool{"lines": false, "bar": true} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newServer(t)
					s.addBatch("batch_a", tt.run)
					r := call{args: []string{"watch", "batch_a"}, http: s.start(), terminal: terminal}.run(t.Context(), t)
					if r.code != tt.code {
						t.Errorf("code %d, want %d", r.code, tt.code)
					}
					if terminal {
						r.stderr = strings.NewReplacer("\x1b[0K", "\n", "\x1b[2K", "", "\r", "").Replace(r.stderr)
					}
					golden(t, "watch/"+name+"-"+kind, r.session())
				})
			})
		}
	}
}

func TestSubmitWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.run = batchRun{total: 3, perSecond: 1, failEvery: 3}
		r := call{args: []string{"submit", requestFile(t, 3), "--watch"}, http: s.start()}.run(t.Context(), t)
		golden(t, "watch/submit", r.session())
	})
}

func TestWatchJSON(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.addBatch("batch_a", batchRun{total: 10, perSecond: 2})
		r := call{args: []string{"watch", "batch_a", "--json"}, http: s.start()}.run(t.Context(), t)
		var statuses []string
		last := ""
		for lines := bufio.NewScanner(strings.NewReader(r.stdout)); lines.Scan(); {
			var b struct{ Status string }
			if err := json.Unmarshal(lines.Bytes(), &b); err != nil {
				t.Fatalf("%q: %v", lines.Text(), err)
			}
			if lines.Text() == last {
				t.Errorf("shown twice: %s", last)
			}
			last = lines.Text()
			statuses = append(statuses, b.Status)
		}
		if r.code != cli.ExitOK || r.stderr != "" || len(statuses) < 5 || statuses[len(statuses)-1] != "completed" {
			t.Errorf("code %d, stderr %q, statuses %v", r.code, r.stderr, statuses)
		}
	})
}

// Ctrl-C leaves the batch alone, says how to come back, and coming back works.
func TestWatchInterruptedAndResumed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.addBatch("batch_a", batchRun{total: 100, perSecond: 4})
		client := s.start()
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second+time.Millisecond)
		defer cancel()
		r := call{args: []string{"watch", "batch_a"}, http: client}.run(ctx, t)
		golden(t, "watch/interrupted", r.session())
		if len(s.called("POST")) != 0 {
			t.Errorf("the watch changed something: %v", s.called("POST"))
		}
		r = call{args: []string{"watch", "batch_a"}, http: client}.run(t.Context(), t)
		golden(t, "watch/resumed", r.session())
	})
}

func TestInterruptedBeforeSubmitting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		in := &blockedReader{done: make(chan struct{})}
		defer close(in.done)
		r := call{args: []string{"submit", "-"}, stdin: in, http: s.start()}.run(ctx, t)
		golden(t, "watch/interrupted-early", r.session())
	})
}

// A blockedReader is a terminal at which nobody types.
type blockedReader struct{ done chan struct{} }

func (b *blockedReader) Read([]byte) (int, error) {
	<-b.done
	return 0, context.Canceled
}

// A day's watch costs a bounded number of calls, and never more than two a second.
func TestWatchIsPaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.addBatch("batch_a", batchRun{total: 86_400, perSecond: 1})
		r := call{args: []string{"watch", "batch_a"}, http: s.start()}.run(t.Context(), t)
		if r.code != cli.ExitOK {
			t.Fatal(r.session())
		}
		var looks []time.Time
		asked := 0
		for i, c := range s.calls {
			if c == "GET /batches/batch_a" {
				looks = append(looks, s.callTime[i])
			} else {
				asked++
			}
		}
		if n := len(looks); n > 24*60*6+200 {
			t.Errorf("%d looks", n)
		}
		if asked > 24*60*4+2 {
			t.Errorf("it asked %d times how the batch went", asked)
		}
		for i := 1; i < len(looks); i++ {
			if gap := looks[i].Sub(looks[i-1]); gap < 400*time.Millisecond || gap > 12*time.Second {
				t.Fatalf("look %d came %s after the one before", i, gap)
			}
		}
		if n := strings.Count(r.stderr, "\n"); n < 24*60-2 || n > 24*60*6+2 {
			t.Errorf("%d lines told of it", n)
		}
	})
}

func TestWatchOutlastsTrouble(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		from, until time.Duration
		code        int
	}{
		"comes-back":  {5 * time.Second, 3 * time.Minute, cli.ExitOK},
		"stays-away":  {5 * time.Second, 24 * time.Hour, cli.ExitError},
		"never-there": {0, 24 * time.Hour, cli.ExitError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				s := newServer(t)
				s.addBatch("batch_a", batchRun{total: 30, perSecond: 2})
				s.intercept = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
					age := time.Since(begin)
					if age < tt.from || age >= tt.until {
						return false
					}
					fail(w, http.StatusServiceUnavailable, "Back soon.")
					return true
				}
				r := call{args: []string{"watch", "batch_a"}, http: s.start()}.run(t.Context(), t)
				if r.code != tt.code {
					t.Errorf("code %d, want %d", r.code, tt.code)
				}
				if took := time.Since(begin); took > 12*time.Minute {
					t.Errorf("it took %s", took)
				}
				if strings.Contains(name, "never") && time.Since(begin) > 30*time.Second {
					t.Errorf("a wrong address was asked for %s", time.Since(begin))
				}
				if !strings.Contains(r.stderr, "503") && !strings.Contains(r.stderr, "Back soon.") {
					t.Error(r.stderr)
				}
			})
		})
	}
}

func TestAPIErrors(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		body   string
	}{
		"unauthorized": {http.StatusUnauthorized, `{"error":{"message":"Incorrect API key provided."}}`},
		"read-only":    {http.StatusForbidden, `{"error":{"message":"This API key is read-only, and this call changes something. Use a key that is not.","code":"read_only_api_key"}}`},
		"expired":      {http.StatusUnauthorized, `{"error":{"message":"This API key has expired. Ask whoever runs this deployment for a new one.","code":"expired_api_key"}}`},
		"gateway":      {http.StatusForbidden, `{"message":"Missing Authentication Token"}`},
		"not-found":    {http.StatusNotFound, `{"error":{"message":"No batch found with id 'batch_a'."}}`},
		"wrong-path":   {http.StatusNotFound, `404 page not found`},
		"limited":      {http.StatusTooManyRequests, `{"error":{"message":"Slow down."}}`},
		"broken":       {http.StatusBadGateway, `<html>`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				s.intercept = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
					w.WriteHeader(tt.status)
					_, _ = w.Write([]byte(tt.body))
					return true
				}
				r := call{args: []string{"status", "batch_a"}, http: s.start()}.run(t.Context(), t)
				golden(t, "errors/"+name, r.session())
			})
		})
	}
	t.Run("offline", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			l := &pipeListener{done: make(chan struct{})}
			_ = l.Close()
			client := &http.Client{Transport: &http.Transport{DialContext: l.dial}}
			r := call{args: []string{"status", "batch_a"}, http: client}.run(t.Context(), t)
			golden(t, "errors/offline", r.session())
		})
	})
}
