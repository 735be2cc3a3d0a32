package execute_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/state"
)

// stopping lets no retry start within the last ten minutes of an hour.
func stopping(b *batch.Batch) {
	b.Deadline = time.Now().Add(time.Hour).UTC()
	b.Policy.StopBeforeDeadline = 10 * time.Minute
}

// TestLateRetryIsRefused has a retry's message come back when no retry may
// start any more: it is not called, and the request fails with what its last
// attempt failed with.
func TestLateRetryIsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		at    time.Duration // when the retry's message comes, from the batch's creation
		dies  bool          // the retry's first worker dies with its call in flight
		calls []int
	}{
		"a moment before the limit": {at: 50*time.Minute - time.Second, calls: []int{2}},
		"at the limit":              {at: 50 * time.Minute, calls: []int{1}},
		"well after the limit":      {at: 55 * time.Minute, calls: []int{1}},
		"its worker died":           {at: 49 * time.Minute, dies: true, calls: []int{2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				w := newWorld(t, input(1), stopping)
				w.send(1)
				w.up.lasts = true
				w.up.answer = func(ctx context.Context, _, before int) (execute.Reply, error) {
					if before == 0 {
						return status(500)
					}
					if tc.dies {
						<-ctx.Done()
						return execute.Reply{}, ctx.Err()
					}
					return ok("{}")
				}
				m := &machine{world: w}
				w.invoke(m, w.process(m, execute.Config{}), w.deliver(1))
				time.Sleep(tc.at - time.Since(start))
				if tc.dies {
					doomed := &machine{world: w, plan: func(op string, n int) fault {
						if op == "beat" && n == 3 {
							return dieBefore
						}
						return none
					}}
					w.invoke(doomed, w.process(doomed, execute.Config{}), w.deliver(1))
					time.Sleep(52*time.Minute - time.Since(start))
				}
				w.drive(5*time.Minute, w.one())
				if diff := cmp.Diff(tc.calls, w.up.called(1)); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
				if tc.at < 50*time.Minute && !tc.dies {
					w.done(state.StatusCompleted)
					return
				}
				w.done(state.StatusFailed)
				wantRefused(t, w)
			})
		})
	}
}

// wantRefused checks what a late retry leaves.
func wantRefused(t *testing.T, w *world) {
	t.Helper()
	rec := w.record(1)
	got, _ := rec.Phase.(state.Failed)
	last := "the upstream answered with status 500"
	if got.Reason != (state.RetryTooLate{Last: last}) || got.Denial != state.DenialDeadline || got.Attempt != 1 {
		t.Errorf("failed as %+v", got)
	}
	if line := w.line(1); !strings.Contains(line, `"code":"retry_too_late"`) || !strings.Contains(line, last) {
		t.Errorf("the user reads %s", line)
	}
	if n := w.stats.of("retry_denied_total{model,m,reason,deadline}"); n != 1 {
		t.Errorf("%d denials counted", n)
	}
	if got := w.progress(); got != (batch.Counts{Failed: 1}) {
		t.Errorf("progress is %+v", got)
	}
}

// TestRetryOutrunByItsStart has the write of a retry's start take so long that
// no retry may start any more when it is over.
func TestRetryOutrunByItsStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := newWorld(t, input(1), stopping)
		w.send(1)
		w.up.answer = func(context.Context, int, int) (execute.Reply, error) { return status(500) }
		m := &machine{world: w}
		m.plan = func(op string, n int) fault {
			if op == "start" && n == 2 {
				m.skipped.Add(int64(2 * time.Second))
			}
			return none
		}
		p := w.process(m, execute.Config{})
		w.invoke(m, p, w.deliver(1))
		time.Sleep(50*time.Minute - time.Second - time.Since(start))
		w.invoke(m, p, w.deliver(1))
		if diff := cmp.Diff([]int{1}, w.up.called(1)); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		w.done(state.StatusFailed)
		wantRefused(t, w)
	})
}
