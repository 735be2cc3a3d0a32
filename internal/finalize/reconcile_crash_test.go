package finalize_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/finalize"
)

// TestReconcileCrashes has counter shards that lag and messages that are lost,
// and fails each call of the turn that puts both right, before it takes effect
// and after. The turns that follow count and send what that one did not.
func TestReconcileCrashes(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprint("after ", after), func(t *testing.T) {
			t.Parallel()
			for at, calls := 0, 0; at <= calls && !t.Failed(); at++ {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, 10, 10)
					w.advance()
					w.count("w1", w.call("w1", 1, 2, 3)...)
					w.call("w2", 4, 5, 6)
					w.drop()
					w.ask()
					time.Sleep(10 * time.Minute)
					f := &faults{at: at, after: after}
					_, err := w.finalizer(f).Advance(t.Context(), w.ref)
					if calls = max(calls, f.calls); at > 0 && !errors.Is(err, errCrash) && !f.lost {
						t.Fatalf("crash %d: error is %v", at, err)
					}
					if at == 0 && (err != nil || f.sent == 0 || f.counters == 0) {
						t.Fatalf("%d messages are sent and %d counters written in this turn: %v", f.sent, f.counters, err)
					}
					var seen []int
					for tick := 0; len(seen) < 4 && tick < 4; tick++ {
						w.advance()
						for _, line := range w.drop() {
							if !slices.Contains(seen, line) {
								seen = append(seen, line)
							}
						}
						time.Sleep(10 * time.Minute)
					}
					if slices.Sort(seen); !slices.Equal(seen, []int{7, 8, 9, 10}) {
						t.Errorf("crash %d: sent again are %v", at, seen)
					}
					if got, want := w.progress(), (batch.Counts{Completed: 4, Failed: 2}); got != want {
						t.Errorf("crash %d: %+v are in the counters, want %+v", at, got, want)
					}
					w.count("w3", w.call("w3", 7, 8, 9, 10)...)
					if next := w.advance(); next != finalize.NextEnd {
						t.Errorf("crash %d: next is %q", at, next)
					}
					output, errs := w.want()
					w.check(batch.StatusCompleted, output, errs)
				})
			}
		})
	}
}
