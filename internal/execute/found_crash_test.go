package execute_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/state"
)

// dying returns a machine that dies at the first of some operation, and whether
// it did.
func (w *world) dying(at string, f fault) (m *machine, died *bool) {
	died = new(bool)
	return &machine{world: w, plan: func(op string, n int) fault {
		if op != at || n > 1 {
			return none
		}
		*died = true
		return f
	}}, died
}

// inTurn returns each of machines once, and then healthy ones.
func (w *world) inTurn(machines ...*machine) func() *machine {
	return func() *machine {
		if len(machines) == 0 {
			return &machine{world: w}
		}
		m := machines[0]
		machines = machines[1:]
		return m
	}
}

// TestCrashAfterAFoundOutcome has a worker die once it recorded an outcome, and
// the one that finds it die as it asks for a recount or wakes the flow: when the
// messages are gone a recount is due.
func TestCrashAfterAFoundOutcome(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"ask", "wake"} {
		for _, f := range []fault{dieBefore, dieAfter} {
			t.Run(fmt.Sprint(op, f), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, input(1))
					w.send(1)
					first, _ := w.dying("outcome", dieAfter)
					second, died := w.dying(op, f)
					w.drive(10*time.Minute, w.inTurn(first, second))
					if !*died {
						t.Fatal("nobody died over a found outcome")
					}
					w.done(state.StatusCompleted)
					b, err := w.store.Batch(t.Context(), batch.Ref{Tenant: testTenant, ID: testBatch})
					must(t, err)
					if b.RecountAt.IsZero() || w.progress().Done() > 0 {
						t.Errorf("a recount is due at %v, and %+v are counted", b.RecountAt, w.progress())
					}
					if n := w.up.called(1)[0]; n != 1 {
						t.Errorf("called %d times", n)
					}
				})
			})
		}
	}
}

// TestCrashesOverAStoppedRequest has the worker that comes upon a request which
// its owner stopped die as it counts it: it is counted once.
func TestCrashesOverAStoppedRequest(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{dieBefore, dieAfter} {
		t.Run(fmt.Sprint(f), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, input(1), loaded(1))
				w.sendAll(1)
				w.up.answer = func(context.Context, int, int) (execute.Reply, error) {
					w.stop(1)               //nolint:contextcheck // the owner is not the worker
					time.Sleep(time.Second) // it answers before the worker looks
					return ok("{}")
				}
				m, died := w.dying("counter", f)
				w.drive(10*time.Minute, w.inTurn(m))
				if !*died {
					t.Fatal("nobody died over the stopped request")
				}
				if got, want := w.progress(), (batch.Counts{Canceled: 1}); got != want {
					t.Errorf("progress is %+v, want %+v", got, want)
				}
				w.kept()
			})
		})
	}
}

// TestCrashAfterALateOutcome has a worker write its answer for five minutes, and die
// once it recorded the outcome. That is dated before the last recount, which has not
// counted it.
func TestCrashAfterALateOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(1))
		w.send(1)
		begun := time.Now()
		first := &machine{world: w, plan: func(op string, _ int) fault {
			switch {
			case op == "put" && time.Since(begun) < 5*time.Minute:
				return failBefore
			case op == "outcome":
				return dieAfter
			}
			return none
		}}
		time.AfterFunc(4*time.Minute, func() {
			w.update(func(b *batch.Batch) error { b.BeginRecount(time.Now()); return nil })
			w.update(func(b *batch.Batch) error { b.EndRecount(b.RecountedAt, batch.LagNone); return nil })
		})
		w.drive(10*time.Minute, w.inTurn(first))
		w.done(state.StatusCompleted)
		b, err := w.store.Batch(t.Context(), batch.Ref{Tenant: testTenant, ID: testBatch})
		must(t, err)
		if b.Reconciled.RecountedAt.IsZero() || b.RecountAt.IsZero() || w.progress().Done() > 0 {
			t.Errorf("a recount was at %v, one is due at %v, and %+v are counted", b.Reconciled.RecountedAt, b.RecountAt, w.progress())
		}
	})
}
