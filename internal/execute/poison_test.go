package execute_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/state"
)

// suffer has workers die over line, whose request is left processing with its
// lease expired, or, if it is retried, pending for its next attempt.
func (w *world) suffer(line, attempt, deaths int, retried bool) {
	w.Helper()
	write := func(c state.Change, err error) {
		w.Helper()
		must(w.T, err)
		must(w.T, w.store.Apply(w.Context(), c))
	}
	start := func(r state.Request[state.Claimed], err error) {
		w.Helper()
		must(w.T, err)
		started, err := state.Start(r, time.Now())
		must(w.T, err)
		write(started.Change())
	}
	lease := func(i int) state.Lease {
		return state.Lease{ClaimID: fmt.Sprintf("counter/%d-%d", attempt, i), Worker: "dead", Expires: time.Now()}
	}
	pending, err := state.As[state.Pending](w.record(line))
	must(w.T, err)
	start(state.Claim(pending, lease(0), time.Now()))
	for i := range deaths {
		held, err := state.As[state.Processing](w.record(line))
		must(w.T, err)
		start(state.Reclaim(held, lease(i+1), time.Now(), state.LossDead))
	}
	if retried {
		held, err := state.As[state.Processing](w.record(line))
		must(w.T, err)
		again, err := state.Retry(state.Fail(held, state.Failure{Reason: state.RetryableHTTPStatus{Status: 500}}, time.Now()), time.Now())
		must(w.T, err)
		write(again.Change())
	}
}

// TestPoisonThreshold has an event with a request over which workers have died before:
// from the third death on it is called alone, whatever came of it since, and
// after the fifth not at all.
func TestPoisonThreshold(t *testing.T) {
	t.Parallel()
	const beside, alone = 3, 1
	last := "the upstream answered with status 500"
	for name, tc := range map[string]struct {
		deaths  int
		retried bool
		late    bool         // a retry of it may not start any more
		calls   int          // at once, when it is called; 0: it is not
		reason  state.Reason // for which it fails
	}{
		"the first worker is dead":             {deaths: 0, calls: beside},
		"the second is dead":                   {deaths: 1, calls: beside},
		"the third is dead":                    {deaths: 2, calls: alone},
		"two were dead, and it failed since":   {deaths: 2, retried: true, calls: beside},
		"three were dead, and it failed since": {deaths: 3, retried: true, calls: alone},
		"the fourth is dead":                   {deaths: 3, calls: alone},
		"the fifth is dead":                    {deaths: 4, reason: state.TaskTerminated{Deaths: 5}},
		"the fourth is dead, and it is late":   {deaths: 3, late: true, reason: state.RetryTooLate{Last: last}},
		"the fifth is dead, and it is late":    {deaths: 4, late: true, reason: state.TaskTerminated{Deaths: 5}},
		"two were dead, and its retry is late": {deaths: 2, retried: true, late: true, reason: state.RetryTooLate{Last: last}},
	} {
		for _, again := range []bool{false, true} { // the message is received for the second time
			t.Run(fmt.Sprint(name, again), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, input(3), stopping)
					if tc.late {
						w.suffer(1, 0, 0, true)
					}
					w.suffer(1, 1, tc.deaths, tc.retried)
					w.sendAll(3)
					got := w.deliver(3)
					if !again && tc.calls == alone { // whoever has it for the first time does not know that it is one
						must(t, w.queue.ChangeVisibility(t.Context(), []string{got[0].Handle}, 0))
						got = append(got[1:], w.deliver(1)...)
					}
					if tc.late {
						time.Sleep(55 * time.Minute)
						got = w.deliver(3)
					} else if again {
						time.Sleep(16 * time.Minute)
						got = w.deliver(3)
					}
					calls := 0
					w.up.answer = func(_ context.Context, line, _ int) (execute.Reply, error) {
						time.Sleep(time.Second)
						if line == 1 {
							calls = w.up.atOnce()
						}
						time.Sleep(time.Second)
						return ok("{}")
					}
					m := &machine{world: w}
					if failed := w.invoke(m, w.process(m, execute.Config{}), got); len(failed) > 0 {
						t.Errorf("%d messages stay", len(failed))
					}
					if calls != tc.calls {
						t.Errorf("it is one of %d calls, want %d", calls, tc.calls)
					}
					reclaims := 0
					if tc.calls > 0 && !tc.retried {
						reclaims = 1
					}
					if n := w.stats.of("reclaims_total{loss,dead}"); n != reclaims {
						t.Errorf("%d reclaims counted, want %d", n, reclaims)
					}
					if tc.reason == nil {
						w.done(allCompleted(3)...)
						return
					}
					w.done(state.StatusFailed, state.StatusCompleted, state.StatusCompleted)
					failed, _ := w.record(1).Phase.(state.Failed)
					if diff := cmp.Diff(tc.reason, failed.Reason); diff != "" {
						t.Errorf("it failed (-want +got):\n%s", diff)
					}
				})
			})
		}
	}
}

// TestPoisonWaitsForNobody has a request over which too many workers have
// died beside one whose call lasts until no other may start any more.
func TestPoisonWaitsForNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(2))
		w.suffer(1, 0, 4, false)
		w.sendAll(2)
		w.up.answer = hang(&instant{})
		m := &machine{world: w}
		w.invoke(m, w.process(m, execute.Config{CallLimit: time.Hour}), w.deliver(2))
		w.done(state.StatusFailed, state.StatusPending)
	})
}

// TestMessageOfADyingWorkerComesWithItsStaleness receives a message whose
// request another worker holds, which died 28 seconds ago: two seconds later
// that is known, and the message is not to come much later.
func TestMessageOfADyingWorkerComesWithItsStaleness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(1))
		pending, err := state.As[state.Pending](w.record(1))
		must(t, err)
		claimed, err := state.Claim(pending, state.Lease{
			ClaimID: "counter/1", Worker: "dead", Expires: time.Now().Add(15 * time.Minute).UTC(),
		}, time.Now())
		must(t, err)
		started, err := state.Start(claimed, time.Now())
		must(t, err)
		change, err := started.Change()
		must(t, err)
		must(t, w.store.Apply(t.Context(), change))
		must(t, w.store.Beat(t.Context(), state.Worker{ID: "dead", BeatAt: time.Now().UTC()}))
		time.Sleep(28 * time.Second)
		w.sendAll(1)
		m := &machine{world: w}
		p := w.process(m, execute.Config{})
		w.invoke(m, p, w.deliver(1))
		time.Sleep(8 * time.Second)
		again := w.deliver(1)
		if len(again) != 1 {
			t.Fatal("the message is hidden still, 6 seconds after the worker's heartbeat is stale")
		}
		w.invoke(m, p, again)
		w.done(state.StatusCompleted)
	})
}

// TestSuspectsThatWaitForLongRestLonger has a worker with many requests over which
// two workers have died and whose calls are long: while ten of them run the others
// are not received every second.
func TestSuspectsThatWaitForLongRestLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const suspects = 40
		w := newWorld(t, input(suspects))
		for line := 1; line <= suspects; line++ {
			w.suffer(line, 0, 1, false)
		}
		w.sendAll(suspects)
		w.up.answer = func(context.Context, int, int) (execute.Reply, error) {
			time.Sleep(time.Minute)
			return ok("{}")
		}
		m := &machine{world: w}
		p := w.process(m, execute.Config{})
		start := time.Now()
		for ; w.queue.Len() > 0; time.Sleep(time.Second) {
			if got := w.deliver(10); len(got) > 0 {
				w.invoke(m, p, got)
			}
		}
		w.done(allCompleted(suspects)...)
		if took := time.Since(start); took > 6*time.Minute {
			t.Errorf("it took %v", took)
		}
		most := 0
		for _, d := range w.out {
			most = max(most, d.Receives)
		}
		t.Logf("received %d times at most, in %v", most, time.Since(start))
		if most > 40 {
			t.Errorf("a message was received %d times in %v", most, time.Since(start))
		}
	})
}

// TestAPoisonousRequestDoesNotStarve has a request over which three workers have
// died in a queue that is never empty, so that hardly an event ever holds it.
func TestAPoisonousRequestDoesNotStarve(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lines, poison = 3_000, 3_000
		w := newWorld(t, input(lines))
		w.suffer(poison, 0, 3, false)
		start, beside := time.Now(), 0
		var called atomic.Int64 // when, since the start
		w.up.answer = func(_ context.Context, line, _ int) (execute.Reply, error) {
			if line == poison {
				called.Store(int64(time.Since(start)))
				beside = w.up.atOnce()
			}
			time.Sleep(time.Second)
			return ok("{}")
		}
		var sending sync.WaitGroup
		sending.Go(func() {
			for line := 1; line < lines && called.Load() == 0; time.Sleep(100 * time.Millisecond) {
				for ; line < lines && w.queue.Len() < 40; line++ {
					w.send(line)
				}
			}
		})
		time.Sleep(time.Second)
		w.send(poison)
		m := &machine{world: w, plan: slow}
		p := w.process(m, execute.Config{Places: 2})
		for time.Since(start) < 20*time.Minute && called.Load() == 0 {
			if got := w.deliver(10); len(got) > 0 {
				w.invoke(m, p, got)
				continue
			}
			time.Sleep(time.Second)
		}
		took := time.Duration(called.Load())
		called.Store(1)
		sending.Wait()
		if took == 0 || took > 15*time.Minute || beside != 1 {
			t.Errorf("it was called after %v, as one of %d calls", took, beside)
		}
		w.kept()
	})
}
