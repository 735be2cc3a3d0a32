package execute_test

import (
	"cmp"
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/execute"
)

// linger is how long a change waits for others to go with, and a little.
const linger = 40 * time.Millisecond

// TestNobodyIsBehindASlowOperation has one operation before the calls take 14
// seconds or as long as is said: the calls of the other nine requests leave at once, and the lines are
// read together.
func TestNobodyIsBehindASlowOperation(t *testing.T) {
	t.Parallel()
	const n = 10
	for name, tc := range map[string]struct {
		op    string
		takes time.Duration
		again bool // the messages are received for the second time
		at    time.Duration
		calls int // by then
		reads int
	}{
		"nothing is slow":           {op: "none", at: linger, calls: n, reads: 1},
		"a request's read":          {op: "request", again: true, at: linger, calls: n - 1, reads: 1},
		"the first hiding":          {op: "visibility", at: 1100 * time.Millisecond, calls: n, reads: 1},
		"the first hiding, shortly": {op: "visibility", takes: 500 * time.Millisecond, at: 499 * time.Millisecond},
		"nothing, at its next time": {op: "none", again: true, at: linger, calls: n, reads: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, input(n))
				w.sendAll(n)
				w.up.answer = func(context.Context, int, int) (execute.Reply, error) {
					time.Sleep(time.Second)
					return ok("{}")
				}
				got := w.deliver(n)
				if tc.again {
					for _, d := range got {
						must(t, w.queue.ChangeVisibility(t.Context(), []string{d.Handle}, 0))
					}
					got = w.deliver(n)
				}
				var mu sync.Mutex
				reads := 0
				m := &machine{world: w, plan: func(op string, i int) fault {
					if op == tc.op && i == 1 {
						time.Sleep(cmp.Or(tc.takes, 14*time.Second))
					}
					mu.Lock()
					defer mu.Unlock()
					if op == "read" {
						reads++
					}
					return none
				}}
				time.AfterFunc(tc.at, func() {
					calls := 0
					for _, c := range w.up.called(n) {
						calls += c
					}
					mu.Lock()
					defer mu.Unlock()
					if calls != tc.calls || reads != tc.reads {
						t.Errorf("%d calls and %d reads after %v, want %d and %d", calls, reads, tc.at, tc.calls, tc.reads)
					}
				})
				if failed := w.invoke(m, w.process(m, execute.Config{}), got); len(failed) > 0 {
					t.Errorf("%d messages stay", len(failed))
				}
				w.done(allCompleted(n)...)
			})
		})
	}
}
