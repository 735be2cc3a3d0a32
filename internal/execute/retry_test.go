package execute_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/state"
)

// anHour asks for an hour before the second call.
func anHour(_ context.Context, _, before int) (execute.Reply, error) {
	if before == 0 {
		return execute.Reply{StatusCode: 429, RetryAfter: time.Hour, Body: []byte(`{"error":{"code":"rate_limit_exceeded","message":"Request too large for m"}}`)}, nil // the route is not paused for it
	}
	return ok("{}")
}

// TestRetryAfterOutlivesAFailedWrite has the write of a retry fail that is to
// wait for an hour: there is one call more, after that hour.
func TestRetryAfterOutlivesAFailedWrite(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		copies int                          // messages of the request
		fault  func(op string, n int) fault // of the first worker
		lasts  time.Duration                // how long it is so
		late   time.Duration                // the longest after the hour
	}{
		"for four seconds": {
			copies: 1, fault: failRetry, lasts: 4 * time.Second, late: 2 * time.Second,
		},
		"for four seconds, with a duplicate": {
			copies: 2, fault: failRetry, lasts: 4 * time.Second, late: 2 * time.Second,
		},
		"for ten minutes, with a duplicate": {
			copies: 2, fault: failRetry, lasts: 10 * time.Minute, late: 2 * time.Second,
		},
		"until the worker ends": {
			copies: 1, fault: failRetry, lasts: 20 * time.Minute, late: 2 * time.Second,
		},
		"until the worker ends, and hiding for twenty seconds": {
			copies: 1, late: 2 * time.Second, lasts: 20 * time.Minute, fault: func(op string, n int) fault {
				if op == "retry" || op == "visibility" && n > 1 && n < 6 {
					return failBefore
				}
				return none
			},
		},
		"until the worker dies": {
			copies: 1, late: 2 * time.Second, lasts: time.Hour, fault: func(op string, n int) fault {
				if op == "beat" && n == 20 {
					return dieBefore
				}
				return failRetry(op, n)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				w := newWorld(t, input(1))
				for range tc.copies {
					w.send(1)
				}
				w.up.answer = anHour
				first := &machine{world: w, plan: func(op string, n int) fault {
					if time.Since(start) < tc.lasts {
						return tc.fault(op, n)
					}
					return none
				}}
				w.drive(3*time.Hour, w.first(first))
				w.done(state.StatusCompleted)
				if n := w.up.called(1)[0]; n != 2 {
					t.Fatalf("%d calls, want 2: %v between them", n, w.up.gaps())
				}
				if gap := w.up.gaps()[0]; gap < time.Hour || gap > time.Hour+tc.late {
					t.Errorf("the second call came after %v", gap)
				}
			})
		})
	}
}

// failRetry fails every write of a retry.
func failRetry(op string, _ int) fault {
	if op == "retry" {
		return failBefore
	}
	return none
}

// TestUnwrittenRetryOfAStoppingBatch has a batch be cancelled while the write
// of a retry fails: the worker lets go of it at once.
func TestUnwrittenRetryOfAStoppingBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := newWorld(t, input(1))
		w.send(1)
		w.up.answer = anHour
		m := &machine{world: w, plan: failRetry}
		time.AfterFunc(time.Minute, func() {
			w.update(func(b *batch.Batch) error { return b.Cancel(time.Now()) })
		})
		failed := w.invoke(m, w.process(m, execute.Config{}), w.deliver(1))
		if took := time.Since(start); took > 70*time.Second {
			t.Errorf("it took until %v, of which the batch was cancelled after 1m", took)
		}
		if diff := cmp.Diff([]int{1}, w.up.called(1)); diff != "" || len(failed) != 1 {
			t.Errorf("%d messages stay; calls (-want +got):\n%s", len(failed), diff)
		}
		w.kept()
	})
}

// TestRetryAfterOfADeniedRetry has the upstream ask for an hour with a request's
// last retry, and none of the writes of its failure arrive: whoever calls it
// again waits for that hour.
func TestRetryAfterOfADeniedRetry(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"outcome", "put"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, input(1), func(b *batch.Batch) { b.Policy.MaxRetries = 0 })
				w.send(1)
				w.up.answer = anHour
				first := &machine{world: w, plan: func(what string, _ int) fault {
					if what == op {
						return failBefore
					}
					return none
				}}
				w.drive(3*time.Hour, w.first(first))
				w.done(state.StatusCompleted)
				if diff := cmp.Diff([]int{2}, w.up.called(1)); diff != "" {
					t.Fatalf("calls (-want +got):\n%s", diff)
				}
				if gap := w.up.gaps()[0]; gap < time.Hour {
					t.Errorf("the second call came after %v", gap)
				}
			})
		})
	}
}
