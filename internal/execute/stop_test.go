package execute_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/inspect"
	"github.com/musketry/musketry/internal/state"
)

// stop has the owner stop a line.
func (w *world) stop(line int) {
	w.Helper()
	i := inspect.New(inspect.Deps{
		Requests: w.store, Batches: w.store, Objects: w.files, Flow: w.flow, Clock: time.Now,
	})
	b, err := w.store.Batch(w.Context(), batch.Ref{Tenant: testTenant, ID: testBatch})
	must(w.T, err)
	_, err = i.Cancel(w.Context(), b, batch.RequestID(b.Key(line)))
	must(w.T, err)
}

func loaded(n int) func(*batch.Batch) {
	return func(b *batch.Batch) { b.Load = batch.LoadCursor{Validated: true, Line: n} }
}

// TestStopAbortsOneCall stops one of two calls that hang: it is aborted within
// moments, its message acknowledged, and the other goes on to its answer.
func TestStopAbortsOneCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(2), loaded(2))
		w.sendAll(2)
		aborted, hung := &instant{}, &instant{}
		w.up.answer = func(ctx context.Context, line, before int) (execute.Reply, error) {
			if line == 1 {
				return hang(aborted)(ctx, line, before)
			}
			select {
			case <-ctx.Done():
				hung.now()
				return execute.Reply{}, ctx.Err()
			case <-time.After(time.Minute):
				return ok("{}")
			}
		}
		start := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.drive(10*time.Minute, w.one())
		}()
		time.Sleep(7 * time.Second)
		w.stop(1)
		<-done
		if at := aborted.since(start); at < 7*time.Second || at > 9500*time.Millisecond {
			t.Errorf("the call was aborted after %v", at)
		}
		if at := hung.since(start); at != 0 {
			t.Errorf("the other call was aborted after %v", at)
		}
		if got := w.record(1).Phase.Status(); got != state.StatusCanceled {
			t.Errorf("line 1 is %s", got)
		}
		if got := w.record(2).Phase.Status(); got != state.StatusCompleted {
			t.Errorf("line 2 is %s", got)
		}
		if got, want := w.progress(), (batch.Counts{Completed: 1, Canceled: 1}); got != want {
			t.Errorf("progress is %+v, want %+v", got, want)
		}
		if !slices.Contains(w.flow.Wakes(), testToken) {
			t.Error("nobody woke the flow")
		}
		w.kept()
	})
}

// TestAnswersOfStoppedRequestsComeToNothing has an upstream that ignores the
// abort and answers late.
func TestAnswersOfStoppedRequestsComeToNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(1), loaded(1))
		w.sendAll(1)
		w.up.answer = func(context.Context, int, int) (execute.Reply, error) {
			w.stop(1)               //nolint:contextcheck // the owner is not the worker
			time.Sleep(time.Second) // it answers before the worker looks
			return ok("{}")
		}
		m := &machine{world: w}
		if failed := w.invoke(m, w.process(m, execute.Config{}), w.deliver(1)); len(failed) > 0 {
			t.Errorf("%d messages stay", len(failed))
		}
		if got := w.record(1).Phase.Status(); got != state.StatusCanceled {
			t.Errorf("line 1 is %s", got)
		}
		if got, want := w.progress(), (batch.Counts{Canceled: 1}); got != want {
			t.Errorf("progress is %+v, want %+v", got, want)
		}
		w.kept()
	})
}

// TestWhoStopsMayDie has the owner's process die after it stopped a line and
// before it counted that: whoever is brought the message counts it, without a
// recount, or leaves the message where it is.
func TestWhoStopsMayDie(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fails string
		stay  int
		want  batch.Counts
	}{
		"usual":                {want: batch.Counts{Canceled: 1}},
		"it cannot be counted": {fails: "counter", stay: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, input(1), loaded(1))
				w.send(1)
				c, err := cancelChange(w.record(1))
				must(t, err)
				must(t, w.store.Apply(t.Context(), c))
				m := &machine{world: w, plan: func(op string, _ int) fault {
					if op == tc.fails {
						return failBefore
					}
					return none
				}}
				failed := w.invoke(m, w.process(m, execute.Config{}), w.deliver(1))
				if len(failed) != tc.stay || w.progress() != tc.want {
					t.Errorf("%d messages stay, want %d; progress is %+v", len(failed), tc.stay, w.progress())
				}
				b, err := w.store.Batch(t.Context(), batch.Ref{Tenant: testTenant, ID: testBatch})
				must(t, err)
				if !b.RecountAt.IsZero() {
					t.Errorf("a recount is asked for at %v", b.RecountAt)
				}
				w.kept()
			})
		})
	}
}

// TestStoppedRequestsAreNotCalled stops a line before its message comes, and
// one while its retry waits.
func TestStoppedRequestsAreNotCalled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(2), loaded(2))
		w.stop(1)
		w.sendAll(2)
		w.up.answer = func(_ context.Context, line, _ int) (execute.Reply, error) {
			go func() { //nolint:contextcheck // the owner is not the worker
				time.Sleep(500 * time.Millisecond)
				w.stop(line)
			}()
			return status(500)
		}
		w.drive(10*time.Minute, w.one())
		if got := w.up.called(2); !slices.Equal(got, []int{0, 1}) {
			t.Errorf("called %v times", got)
		}
		for line := range 2 {
			if got := w.record(line + 1).Phase.Status(); got != state.StatusCanceled {
				t.Errorf("line %d is %s", line+1, got)
			}
		}
		w.kept()
	})
}

// TestJobsShareARead has a batch whose record cannot be read: what comes
// together asks once, four times, and not ten times as often.
func TestJobsShareARead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 10
		w := newWorld(t, input(n))
		w.sendAll(n)
		reads, start := 0, time.Now()
		m := &machine{world: w, plan: func(op string, i int) fault {
			if op != "batch" {
				return none
			}
			reads = i
			return failBefore
		}}
		failed := w.invoke(m, w.process(m, execute.Config{}), w.deliver(n))
		if len(failed) != n || reads != 4 {
			t.Errorf("%d messages failed after %d reads, want %d after 4", len(failed), reads, n)
		}
		// Pauses of 0.2, 0.4 and 0.8 s, the jitter, and a receive that waits for a second.
		if took := time.Since(start); took < 1750*time.Millisecond || took > 2800*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		w.kept()
	})
}

// TestStoppedRequestsAreCountedTogether has an event of requests that their
// owner has stopped, whose counts take a second each to write.
func TestStoppedRequestsAreCountedTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 10
		w := newWorld(t, input(n), loaded(n))
		w.sendAll(n)
		for line := range n {
			c, err := cancelChange(w.record(line + 1))
			must(t, err)
			must(t, w.store.Apply(t.Context(), c))
		}
		start := time.Now()
		m := &machine{world: w, plan: func(op string, _ int) fault {
			if op == "counter" {
				time.Sleep(time.Second)
			}
			return none
		}}
		if failed := w.invoke(m, w.process(m, execute.Config{}), w.deliver(n)); len(failed) > 0 {
			t.Errorf("%d messages stay", len(failed))
		}
		if got, want := w.progress(), (batch.Counts{Canceled: n}); got != want {
			t.Errorf("progress is %+v, want %+v", got, want)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		w.kept()
	})
}
