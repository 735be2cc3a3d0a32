package execute_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/state"
)

// An instant is when something happened last.
type instant struct{ atomic.Pointer[time.Time] }

func (i *instant) now() {
	now := time.Now()
	i.Store(&now)
}

// since returns the time from start to i, or 0 if it has not happened.
func (i *instant) since(start time.Time) time.Duration {
	if at := i.Load(); at != nil {
		return at.Sub(start)
	}
	return 0
}

// hang answers when the call is aborted, and tells when that was.
func hang(at *instant) func(context.Context, int, int) (execute.Reply, error) {
	return func(ctx context.Context, _, _ int) (execute.Reply, error) {
		<-ctx.Done()
		at.now()
		return execute.Reply{}, &execute.CallError{Kind: execute.CallBroken, Text: "aborted"}
	}
}

// first returns machines: m, and from then on healthy ones.
func (w *world) first(m *machine) func() *machine {
	var once sync.Once
	return func() *machine {
		next := &machine{world: w}
		once.Do(func() { next = m })
		return next
	}
}

func TestCrashAtEveryWrite(t *testing.T) {
	t.Parallel()
	type crash struct {
		op    string
		n     int
		fault fault
	}
	var crashes []crash
	for _, op := range []string{
		"beat", "visibility", "batch", "read", "start", "call", "put", "outcome", "counter", "progress", "wake", "delete", "ended",
		"retry", "journal",
	} {
		for _, f := range []fault{dieBefore, dieAfter} {
			crashes = append(crashes, crash{op, 1, f}, crash{op, 2, f})
		}
	}
	for _, c := range crashes {
		t.Run(fmt.Sprintf("%s %d %d", c.op, c.n, c.fault), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const n = 4
				w := newWorld(t, input(n))
				w.sendAll(n)
				w.up.answer = func(ctx context.Context, line, before int) (execute.Reply, error) {
					select {
					case <-time.After(time.Duration(line) * 3 * time.Second):
					case <-ctx.Done():
						return execute.Reply{}, ctx.Err()
					}
					if line == 2 && before == 0 {
						return status(500)
					}
					return ok("{}")
				}
				died := time.Time{}
				m := &machine{world: w, plan: func(op string, i int) fault {
					if op == c.op && i == c.n {
						died = time.Now()
						return c.fault
					}
					return none
				}}
				w.drive(30*time.Minute, w.first(m))
				w.done(allCompleted(n)...)
				for line, calls := range w.up.called(n) {
					most := 2 // at most the calls whose outcome was not yet stored are repeated
					if line == 1 {
						most = 3
					}
					if calls > most {
						t.Errorf("line %d was called %d times", line+1, calls)
					}
				}
				if got := w.progress().Done(); got > n {
					t.Errorf("progress is %d of %d", got, n)
				} else if got < n && !slices.Contains(w.flow.Wakes(), testToken) {
					t.Error("the counts lack some and nobody woke the flow to recount")
				}
				if c.op == "beat" && c.n == 1 { // hold the messages' first step against the clock
					return
				}
				if !died.IsZero() && c.op != "visibility" && time.Since(died) > 2*time.Minute {
					t.Errorf("it took %v from the death to the end", time.Since(died))
				}
			})
		})
	}
}

func TestZombieWritesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(1))
		w.up.lasts = true
		w.send(1)
		m := &machine{world: w, plan: func(op string, n int) fault {
			if op == "beat" && n > 1 || op == "visibility" && n > 1 {
				return failBefore
			}
			return none
		}}
		w.up.answer = func(_ context.Context, _, before int) (execute.Reply, error) {
			if before == 0 {
				time.Sleep(3 * time.Minute) // deaf to the abort
				return ok(`"zombie"`)
			}
			return ok(`"second"`)
		}
		w.drive(10*time.Minute, w.first(m))
		w.done(state.StatusCompleted)
		if !strings.Contains(w.line(1), `"second"`) {
			t.Errorf("the line is %s", w.line(1))
		}
		if got := w.progress(); got.Completed != 1 {
			t.Errorf("progress is %+v", got)
		}
	})
}

func TestZombieRetriesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(1))
		w.up.lasts = true
		w.send(1)
		m := &machine{world: w, plan: func(op string, n int) fault {
			if op == "beat" && n > 1 || op == "visibility" && n > 1 {
				return failBefore
			}
			return none
		}}
		w.up.answer = func(_ context.Context, _, before int) (execute.Reply, error) {
			if before == 0 {
				time.Sleep(3 * time.Minute)
				return status(500)
			}
			time.Sleep(5 * time.Minute)
			return ok(`"second"`)
		}
		w.drive(20*time.Minute, w.first(m))
		w.done(state.StatusCompleted)
		if got := w.up.called(1)[0]; got != 2 {
			t.Errorf("%d calls, want 2", got)
		}
	})
}

func TestLostHeartbeatAbortsCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(1))
		w.send(1)
		start := time.Now()
		var aborted instant
		w.up.answer = hang(&aborted)
		m := &machine{world: w, plan: func(op string, n int) fault {
			if op == "beat" && n > 3 || op == "ended" { // the last is acknowledged at 10 s
				return failBefore
			}
			return none
		}}
		if failed := w.invoke(m, w.process(m, execute.Config{}), w.deliver(10)); len(failed) != 1 {
			t.Errorf("%d messages stay, want 1", len(failed))
		}
		if after := aborted.since(start); after != 30*time.Second {
			t.Errorf("aborted after %v: want 30 s, well before the others take it for dead at 40 s", after)
		}
		w.done(state.StatusProcessing)
		if w.segments() > 0 {
			t.Error("an aborted call left a segment")
		}
	})
}

func TestNoCallLeavesAfterALongPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(1))
		w.send(1)
		m := &machine{world: w}
		m.plan = func(op string, _ int) fault {
			if op == "start" { // the process is frozen, and its timers with it
				m.skipped.Store(int64(time.Minute))
			}
			return none
		}
		if failed := w.invoke(m, w.process(m, execute.Config{}), w.deliver(10)); len(failed) != 1 {
			t.Errorf("%d messages stay, want 1", len(failed))
		}
		if got := w.up.called(1)[0]; got != 0 {
			t.Error("called although the others may take this worker for dead")
		}
		w.done(state.StatusProcessing)
	})
}

func TestFirstHeartbeatComesBeforeAnyClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(2))
		w.sendAll(2)
		m := &machine{world: w, plan: func(op string, _ int) fault {
			if op == "beat" {
				return failBefore
			}
			return none
		}}
		if failed := w.invoke(m, w.process(m, execute.Config{}), w.deliver(10)); len(failed) != 2 {
			t.Errorf("%d messages stay, want 2", len(failed))
		}
		w.done(state.StatusPending, state.StatusPending)
	})
}

func TestCancelAbortsCallsAndWritesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(3))
		w.sendAll(3)
		start := time.Now()
		var aborted instant
		w.up.answer = func(ctx context.Context, line, n int) (execute.Reply, error) {
			if line == 1 {
				return ok("{}") // done before the cancel: it stays
			}
			return hang(&aborted)(ctx, line, n)
		}
		m := &machine{world: w}
		p := w.process(m, execute.Config{})
		time.AfterFunc(9*time.Second, func() {
			w.update(func(b *batch.Batch) error { return b.Cancel(time.Now()) })
		})
		failed := w.invoke(m, p, w.deliver(10))
		if len(failed) != 2 {
			t.Errorf("%d messages stay, want 2", len(failed))
		}
		if after := aborted.since(start); after != 9500*time.Millisecond { // it looks every 1.9 s
			t.Errorf("aborted after %v, want at the first look after the cancel at 9 s", after)
		}
		w.done(state.StatusCompleted, state.StatusProcessing, state.StatusProcessing)
		calls := w.up.called(3)
		// As long as the batch is cancelling its messages come back and nobody is called.
		time.Sleep(time.Minute)
		if failed := w.invoke(m, p, w.deliver(10)); len(failed) != 2 {
			t.Errorf("%d messages stay while the batch is cancelling, want 2", len(failed))
		}
		// Once it has ended they go.
		w.update(func(b *batch.Batch) error {
			b.Status = batch.StatusCanceled
			return nil
		})
		time.Sleep(time.Minute)
		if failed := w.invoke(m, p, w.deliver(10)); len(failed) != 0 {
			t.Errorf("%d messages stay after the batch has ended", len(failed))
		}
		if diff := cmp.Diff(calls, w.up.called(3)); diff != "" {
			t.Errorf("called after the cancel: %s", diff)
		}
		w.kept()
	})
}

func TestDeadlineAbortsCallsAndWritesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(1), func(b *batch.Batch) { b.Deadline = time.Now().Add(42 * time.Second).UTC() })
		w.send(1)
		start := time.Now()
		var aborted instant
		w.up.answer = hang(&aborted)
		m := &machine{world: w}
		p := w.process(m, execute.Config{})
		if failed := w.invoke(m, p, w.deliver(10)); len(failed) != 1 {
			t.Errorf("%d messages stay, want 1", len(failed))
		}
		if after := aborted.since(start); after != 42*time.Second {
			t.Errorf("aborted after %v, want at the deadline", after)
		}
		w.done(state.StatusProcessing)
		time.Sleep(time.Minute)
		if failed := w.invoke(m, p, w.deliver(10)); len(failed) != 1 {
			t.Errorf("%d messages stay past the deadline, want 1", len(failed))
		}
		if got := w.up.called(1)[0]; got != 1 {
			t.Errorf("%d calls, want 1", got)
		}
		w.kept()
	})
}

func TestPanicIsOneRequestsFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(3), func(b *batch.Batch) { b.Policy.MaxRetries = 1 })
		w.sendAll(3)
		w.up.answer = func(_ context.Context, line, _ int) (execute.Reply, error) {
			if line == 2 {
				panic("a secret")
			}
			return ok("{}")
		}
		w.drive(time.Minute, w.one())
		w.done(state.StatusCompleted, state.StatusFailed, state.StatusCompleted)
		if got, _ := w.record(2).Phase.(state.Failed); got.Reason.Kind() != state.KindTaskTerminated || got.Attempt != 1 {
			t.Errorf("got %+v", got)
		}
		if strings.Contains(w.line(2), "secret") {
			t.Errorf("the line quotes the panic: %s", w.line(2))
		}
		if diff := cmp.Diff([]int{1, 2, 1}, w.up.called(3)); diff != "" {
			t.Errorf("calls: %s", diff)
		}
	})
}

func TestPoisonDoesNotCondemnItsNeighbours(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(5))
		w.sendAll(5)
		w.up.answer = func(ctx context.Context, line, _ int) (execute.Reply, error) {
			if line != 3 {
				time.Sleep(2 * time.Second)
				return ok("{}")
			}
			time.Sleep(time.Second)
			if m, ok := ctx.Value(callerKey{}).(*machine); ok {
				m.die() // whoever calls it dies
			}
			return execute.Reply{}, errFault
		}
		w.drive(time.Hour, func() *machine { return &machine{world: w} })
		w.done(state.StatusCompleted, state.StatusCompleted, state.StatusFailed, state.StatusCompleted, state.StatusCompleted)
		got, _ := w.record(3).Phase.(state.Failed)
		if got.Reason != (state.TaskTerminated{Deaths: 5}) {
			t.Errorf("got %+v", got)
		}
		if calls := w.up.called(5); calls[2] != 5 || slices.Max(calls[:2]) > 4 || slices.Max(calls[3:]) > 4 {
			t.Errorf("calls are %v: want 5 of line 3, and 4 of its neighbours, the last of them alone", calls)
		}
	})
}

func TestShutdownLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(3))
		w.sendAll(3)
		start := time.Now()
		var aborted instant
		w.up.answer = func(ctx context.Context, line, before int) (execute.Reply, error) {
			if line == 1 || before > 0 {
				return ok("{}")
			}
			return hang(&aborted)(ctx, line, before)
		}
		var ended atomic.Bool
		m := &machine{world: w, plan: func(op string, n int) fault {
			if op == "ended" {
				ended.Store(true)
			}
			if op == "visibility" && n > 1 && !ended.Load() {
				t.Error("a message is shown whose lease has not ended")
			}
			return none
		}}
		p := w.process(m, execute.Config{CallLimit: time.Hour})
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		time.AfterFunc(10*time.Second, cancel) // the host says goodbye
		deliveries := w.deliver(10)
		failed := p.Run(ctx, deliveries)
		if len(failed) != 2 || failed[0] != deliveries[1].MessageID {
			t.Errorf("%v stay, want the second and third message", failed)
		}
		if after := time.Since(start); after > 11*time.Second {
			t.Errorf("it took until %v", after)
		}
		w.done(state.StatusCompleted, state.StatusProcessing, state.StatusProcessing)
		// The others may go on at once, and it is nobody's death.
		again := w.deliver(10)
		if len(again) != 2 {
			t.Fatalf("%d messages are visible, want 2", len(again))
		}
		w.invoke(m, p, again)
		w.done(allCompleted(3)...)
		if diff := cmp.Diff([]int{1, 2, 2}, w.up.called(3)); diff != "" {
			t.Errorf("calls: %s", diff)
		}
		if n := w.stats.of("reclaims_total{loss,ended}"); n != 2 {
			t.Errorf("%d reclaims from an ended worker counted, want 2", n)
		}
	})
}

func TestStopsBeforeTheInvocationIsKilled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(2))
		w.sendAll(2)
		start := time.Now()
		w.up.answer = func(ctx context.Context, line, _ int) (execute.Reply, error) {
			if line == 1 {
				time.Sleep(100 * time.Second) // too long for anything to start after it
			} else {
				<-ctx.Done()
			}
			return ok("{}")
		}
		m := &machine{world: w}
		p := w.process(m, execute.Config{Places: 1, CallLimit: 100 * time.Second})
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		failed := p.Run(ctx, w.deliver(10))
		if len(failed) != 1 || time.Since(start) > 2*time.Minute {
			t.Errorf("%d messages stay after %v", len(failed), time.Since(start))
		}
		if got := w.up.called(2); got[0]+got[1] != 1 {
			t.Errorf("calls are %v: only one fits the time", got)
		}
		time.Sleep(2 * time.Second)
		if got := w.deliver(10); len(got) != 1 {
			t.Errorf("%d messages are visible, want 1 soon", len(got))
		}
		w.kept()
	})
}

func TestSegments(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lines, size int
		pace        time.Duration // between two answers
		want        int
	}{
		"at once":  {lines: 130, size: 2, pace: time.Millisecond, want: 1},
		"by time":  {lines: 130, size: 2, pace: 40 * time.Millisecond, want: 3},
		"by bytes": {lines: 6, size: 2_200_000, pace: time.Millisecond, want: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, input(tc.lines))
				w.sendAll(tc.lines)
				w.up.answer = func(_ context.Context, line, _ int) (execute.Reply, error) {
					time.Sleep(time.Duration(line) * tc.pace)
					return ok(`"` + strings.Repeat("x", tc.size) + `"`)
				}
				m := &machine{world: w}
				p := w.process(m, execute.Config{Places: 200})
				if failed := w.invoke(m, p, w.deliver(200)); len(failed) > 0 {
					t.Errorf("%d messages stay", len(failed))
				}
				w.done(allCompleted(tc.lines)...)
				if got := w.segments(); got != tc.want {
					t.Errorf("%d segments, want %d", got, tc.want)
				}
			})
		})
	}
}

// TestFewAnswersWaitForOthers has answers come that are too few for a segment: the
// first waits for five seconds, and takes the others along.
func TestFewAnswersWaitForOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(3))
		w.sendAll(3)
		w.up.answer = func(_ context.Context, line, _ int) (execute.Reply, error) {
			time.Sleep(time.Duration(line*line) * time.Second) // 1 s, 4 s, 9 s
			return ok("{}")
		}
		m := &machine{world: w}
		p := w.process(m, execute.Config{})
		time.AfterFunc(5900*time.Millisecond, func() { w.done(state.StatusProcessing, state.StatusProcessing) })
		time.AfterFunc(6100*time.Millisecond, func() { w.done(state.StatusCompleted, state.StatusCompleted, state.StatusProcessing) })
		time.AfterFunc(9100*time.Millisecond, func() { w.done(allCompleted(3)...) })
		w.invoke(m, p, w.deliver(10))
		if w.segments() != 2 {
			t.Errorf("%d segments, want 2", w.segments())
		}
		time.Sleep(time.Second)
	})
}

func TestStoreThatFailsForAWhileLosesNothing(t *testing.T) {
	t.Parallel()
	type failing struct {
		op     string
		faults []fault // in turn
	}
	var all []failing
	for _, op := range []string{"put", "outcome", "start", "retry", "counter", "batch", "read", "request", "worker", "visibility", "delete"} {
		all = append(all, failing{op, []fault{failBefore}}, failing{op, []fault{failAfter}}, failing{op, []fault{failBefore, failAfter}})
	}
	for _, f := range all {
		t.Run(fmt.Sprint(f.op, f.faults), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, input(3))
				w.sendAll(3)
				w.up.answer = func(_ context.Context, line, before int) (execute.Reply, error) {
					if line == 2 && before == 0 {
						return status(500)
					}
					return ok("{}")
				}
				until := time.Now().Add(time.Minute)
				m := &machine{world: w, plan: func(o string, n int) fault {
					if o != f.op || time.Now().After(until) {
						return none
					}
					return f.faults[n%len(f.faults)]
				}}
				w.drive(30*time.Minute, func() *machine { return m })
				w.done(allCompleted(3)...)
			})
		})
	}
}

// TestOutcomesThatAreNotCountedComeBack has a worker that can neither count nor ask
// the flow to.
func TestOutcomesThatAreNotCountedComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(2))
		w.sendAll(2)
		broken := &machine{world: w, plan: func(op string, _ int) fault {
			if op == "counter" || op == "ask" {
				return failBefore
			}
			return none
		}}
		failed := w.invoke(broken, w.process(broken, execute.Config{}), w.deliver(10))
		if len(failed) != 2 {
			t.Errorf("%d messages stay, want 2", len(failed))
		}
		woken := len(w.flow.Wakes())
		m := &machine{world: w}
		if failed := w.invoke(m, w.process(m, execute.Config{}), w.deliver(10)); len(failed) != 0 {
			t.Errorf("%d messages stay, want none", len(failed))
		}
		if len(w.flow.Wakes()) == woken {
			t.Error("whoever found the outcomes did not wake the flow to recount")
		}
		w.done(allCompleted(2)...)
	})
}

func TestUnsentIsNoAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(1), func(b *batch.Batch) { b.Policy.MaxRetries = 0 })
		w.send(1)
		w.up.answer = func(_ context.Context, _, before int) (execute.Reply, error) {
			if before < 3 {
				return execute.Reply{}, &execute.CallError{Kind: execute.CallUnsent, Text: "no key"}
			}
			return ok("{}")
		}
		w.drive(10*time.Minute, w.one())
		w.done(state.StatusCompleted)
		if p, _ := w.record(1).Phase.(state.Completed); p.Attempt != 0 {
			t.Errorf("completed at attempt %d, want 0", p.Attempt)
		}
		for _, gap := range w.up.gaps() {
			if gap < time.Minute || gap > 70*time.Second {
				t.Errorf("tried again after %v, want a trial a minute", gap)
			}
		}
	})
}

func TestWakeOnlyWhenThereIsSomethingToDo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(3))
		m := &machine{world: w}
		p := w.process(m, execute.Config{})
		w.send(1, 2)
		w.invoke(m, p, w.deliver(10))
		if got := w.flow.Wakes(); len(got) != 0 {
			t.Errorf("woken with a line to go: %v", got)
		}
		w.send(3)
		w.invoke(m, p, w.deliver(10))
		if diff := cmp.Diff([]string{testToken}, w.flow.Wakes()); diff != "" {
			t.Errorf("wakes: %s", diff)
		}
		w.send(1, 2) // found terminal
		w.invoke(m, p, w.deliver(10))
		if diff := cmp.Diff([]string{testToken, testToken}, w.flow.Wakes()); diff != "" {
			t.Errorf("wakes: %s", diff)
		}
		w.done(allCompleted(3)...)
	})
}

// A message sent twice, or by the thousand, must not make the flow turn for
// nothing: its history and its price grow with each turn. What was found asks
// for one recount, and wakes once; what the last recount counted asks for none.
func TestWhatWasFoundAsksForOneRecount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(3))
		m := &machine{world: w}
		p := w.process(m, execute.Config{})
		again := func(times, wakes int, asked bool) {
			t.Helper()
			for range times {
				w.send(1, 2)
				w.invoke(m, p, w.deliver(10))
			}
			b, err := w.store.Batch(t.Context(), batch.Ref{Tenant: testTenant, ID: testBatch})
			must(t, err)
			if got := len(w.flow.Wakes()); got != wakes || !b.RecountAt.IsZero() != asked {
				t.Errorf("woken %d times, want %d; a recount is asked for at %v", got, wakes, b.RecountAt)
			}
		}
		recount := func() {
			begun := time.Now()
			w.update(func(b *batch.Batch) error { b.BeginRecount(begun); return nil })
			w.update(func(b *batch.Batch) error { b.EndRecount(begun, batch.LagNone); return nil })
		}
		again(1, 0, false) // these are called
		again(5, 1, true)
		recount()
		again(5, 2, true) // their outcomes are so new that they may have been passed by
		time.Sleep(batch.CommitLimit + time.Second)
		recount()
		again(5, 2, false)
		if n := w.segments(); n != 1 {
			t.Errorf("%d segments, want that of the calls", n)
		}
		w.done(state.StatusCompleted, state.StatusCompleted, state.StatusPending)
	})
}

// When a batch of thousands stops, its messages must not keep the queue busy
// while it is sealed: they are hidden already, and rest until it has ended.
func TestMessagesOfAStoppingBatchRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 10
		w := newWorld(t, input(n), func(b *batch.Batch) { b.Deadline = time.Now().UTC() })
		w.sendAll(n)
		changes := 0
		m := &machine{world: w, plan: func(op string, _ int) fault {
			if op == "visibility" {
				changes++
			}
			return none
		}}
		p := w.process(m, execute.Config{})
		if failed := w.invoke(m, p, w.deliver(n)); len(failed) != n || changes != 1 {
			t.Errorf("%d of %d messages stay, with %d changes of what is hidden, want 1", len(failed), n, changes)
		}
		time.Sleep(20 * time.Second)
		if got := w.deliver(n); len(got) != 0 {
			t.Errorf("%d messages are back while the batch is sealed", len(got))
		}
		w.update(func(b *batch.Batch) error {
			b.Status = batch.StatusExpired
			return nil
		})
		time.Sleep(40 * time.Second)
		got := w.deliver(n)
		if failed := w.invoke(m, p, got); len(got) != n || len(failed) != 0 {
			t.Errorf("%d messages are back, of which %d stay", len(got), len(failed))
		}
		w.kept()
	})
}
