package execute_test

import (
	"cmp"
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/state"
)

// around answers after mean, give or take half of it, by line.
func around(mean time.Duration) func(context.Context, int, int) (execute.Reply, error) {
	return func(ctx context.Context, line, _ int) (execute.Reply, error) {
		took := mean/2 + mean*time.Duration(line*7919%1000)/1000
		select {
		case <-time.After(took):
			return ok("{}")
		case <-ctx.Done():
			return execute.Reply{}, ctx.Err()
		}
	}
}

// slow lets each operation take as long as on AWS.
func slow(op string, _ int) fault {
	if op != "call" {
		time.Sleep(10 * time.Millisecond)
	}
	return none
}

// TestPlacesStayTaken has one invocation with more messages than places: nine in
// ten are taken all the time while messages wait, whatever calls last.
func TestPlacesStayTaken(t *testing.T) {
	t.Parallel()
	for _, mean := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
		t.Run(mean.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const places, lines = 100, 800
				w := newWorld(t, input(lines))
				w.up.answer = around(mean)
				w.sendAll(lines)
				m := &machine{world: w, plan: slow}
				start, busy, looks := time.Now(), 0, 0
				watching, stop := context.WithCancel(t.Context())
				var watch sync.WaitGroup
				watch.Go(func() {
					for time.Sleep(time.Second); watching.Err() == nil && m.waiting() > 0; time.Sleep(mean / 20) {
						busy += w.up.atOnce()
						looks++
					}
				})
				if failed := w.invoke(m, w.process(m, execute.Config{Places: places}), w.deliver(10)); len(failed) > 0 {
					t.Errorf("%d messages stay", len(failed))
				}
				stop()
				watch.Wait()
				w.done(allCompleted(lines)...)
				t.Logf("%v, %d of %d places taken, %d at most; %v", time.Since(start), busy/looks, places, w.up.peak, m.seen)
				if busy*10 < looks*places*9 || w.up.peak > places {
					t.Errorf("%d of %d places were taken while messages waited, %d at most", busy/looks, places, w.up.peak)
				}
				if n := m.seen["receive"]; n > lines/5 {
					t.Errorf("%d receives for %d messages", n, lines)
				}
			})
		})
	}
}

// waiting returns how many messages nobody has received yet.
func (m *machine) waiting() int {
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	return m.world.queue.Len() - len(m.world.out)
}

// TestAnInvocationEndsWithItsWork has a few messages: who has nothing left does
// not wait for more.
func TestAnInvocationEndsWithItsWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(3))
		w.up.answer = around(100 * time.Millisecond)
		w.sendAll(3)
		m := &machine{world: w, plan: slow}
		start := time.Now()
		w.invoke(m, w.process(m, execute.Config{}), w.deliver(1))
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		w.done(allCompleted(3)...)
		if n := w.queue.Len(); n > 0 {
			t.Errorf("%d messages are left", n)
		}
	})
}

// TestAWorkerStopsInTime has more work than an invocation has time for. It starts
// calls until those that it knows may not end any more, aborts none, and leaves
// the other messages in the queue, visible.
func TestAWorkerStopsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lines = 1_500
		w := newWorld(t, input(lines))
		w.up.answer = around(10 * time.Second)
		w.sendAll(lines)
		m := &machine{world: w, plan: slow}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		w.process(m, execute.Config{Places: 50}).Run(ctx, w.deliver(10))
		left := w.queue.Len()
		if left == 0 || left > lines-600 {
			t.Errorf("%d of %d messages are left: it cannot have gone on until nearly the end", left, lines)
		}
		for line := 1; line <= lines; line++ {
			if p, ok := w.record(line).Phase.(state.Processing); ok {
				t.Errorf("line %d was aborted: %+v", line, p)
			}
		}
		time.Sleep(2 * time.Second)
		for range lines/10 + 1 { // what is left is to be had
			left -= len(w.deliver(10))
		}
		if left > 0 {
			t.Errorf("%d messages are hidden still", left)
		}
		w.kept()
	})
}

// TestAnAbortedCallGetsAllItsTime has a request whose call was aborted since its
// worker had no time left: it is not started again where only calls as long as
// the usual ones end in time.
func TestAnAbortedCallGetsAllItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const usual, holder, other, long, later, lines = 30, 31, 32, 33, 34, 34
		in := input(lines)
		for _, line := range []int{holder, other} {
			in[line-1] = strings.Replace(in[line-1], `"model":"m"`, `"model":"slow"`, 1)
		}
		w := newWorld(t, in)
		w.up.answer = func(ctx context.Context, line, before int) (execute.Reply, error) {
			mean := map[int]time.Duration{holder: 110 * time.Second, other: 110 * time.Second, long: 100 * time.Second}[line]
			return around(cmp.Or(mean, time.Second))(ctx, 0, before) // half of it
		}
		m := &machine{world: w}
		p := w.process(m, execute.Config{CallLimit: time.Minute})
		run := func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second) // 85 s for calls
			defer cancel()
			p.Run(ctx, w.deliver(10))
		}
		for line := 1; line <= usual; line++ {
			w.send(line)
		}
		run()
		w.send(holder)
		time.AfterFunc(40*time.Second, func() { w.send(long) })
		run() // it starts, since calls of its model take half a second, and takes longer than is left
		if calls := w.up.called(lines)[long-1]; calls != 1 {
			t.Errorf("%d calls of the long request, want 1", calls)
		}
		for _, d := range w.deliver(10) {
			must(t, w.queue.ChangeVisibility(t.Context(), []string{d.Handle}, 40*time.Second))
		}
		w.send(other)
		time.AfterFunc(45*time.Second, func() { w.send(later) })
		run() // it comes when a minute is left no more
		if calls := w.up.called(lines)[long-1]; calls != 1 {
			t.Errorf("%d calls of the long request, want 1: it had no time to end", calls)
		}
		if calls := w.up.called(lines)[later-1]; calls != 1 {
			t.Errorf("%d calls of a usual request that came after it", calls)
		}
		time.Sleep(2 * time.Second)
		run()
		w.done(allCompleted(lines)...)
	})
}

// TestTwinsShareAFate has two and three messages of each request, in the same
// event and received later: each request is called once, and all its messages go.
func TestTwinsShareAFate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lines = 20
		w := newWorld(t, input(lines))
		w.up.answer = around(5 * time.Second)
		w.sendAll(lines)
		w.sendAll(lines)
		w.send(1, 1, 2)
		m := &machine{world: w}
		w.invoke(m, w.process(m, execute.Config{}), w.deliver(10))
		w.done(allCompleted(lines)...)
		for line, n := range w.up.called(lines) {
			if n != 1 {
				t.Errorf("line %d was called %d times", line+1, n)
			}
		}
		if n := w.queue.Len(); n > 0 {
			t.Errorf("%d messages are left", n)
		}
	})
}

// TestATwinComesBack has two messages of a request whose call fails: both come
// back, and one goes on.
func TestATwinComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(1))
		w.up.answer = func(_ context.Context, _, before int) (execute.Reply, error) {
			time.Sleep(time.Second)
			if before < 3 {
				return status(500)
			}
			return ok("{}")
		}
		w.send(1, 1)
		w.drive(5*time.Minute, w.one())
		w.done(state.StatusCompleted)
		if n := w.up.called(1)[0]; n != 4 {
			t.Errorf("%d calls, want 4", n)
		}
	})
}

// TestFewSuspectsAtOnce has requests over which two workers have died: ten of
// them run at a time in a worker, beside all others, and none waits for long.
func TestFewSuspectsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lines, suspects = 60, 30
		w := newWorld(t, input(lines))
		for line := 1; line <= suspects; line++ {
			w.suffer(line, 0, 1, false)
		}
		w.sendAll(lines)
		for line := 1; line <= suspects; line++ { // a suspect has been received before
			must(t, w.queue.ChangeVisibility(t.Context(), []string{w.deliver(1)[0].Handle}, 0))
		}
		var mu sync.Mutex
		now, most := 0, 0
		w.up.answer = func(_ context.Context, line, _ int) (execute.Reply, error) {
			mu.Lock()
			if line <= suspects {
				now++
				most = max(most, now)
			}
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			if line <= suspects {
				now--
			}
			return ok("{}")
		}
		start := time.Now()
		w.drive(5*time.Minute, func() *machine { return &machine{world: w} })
		w.done(allCompleted(lines)...)
		if most > 3*10 { // three invocations at once, for 60 messages
			t.Errorf("%d suspects were called at once", most)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestAPoisonousRequestWaitsForAnEvent has a request over which three workers have
// died, and a worker that receives it itself beside others: it is left to an
// invocation whose event holds it, which calls it alone.
func TestAPoisonousRequestWaitsForAnEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lines = 30
		w := newWorld(t, input(lines))
		w.suffer(lines, 0, 3, false)
		w.sendAll(lines)
		beside := 0
		w.up.answer = func(_ context.Context, line, _ int) (execute.Reply, error) {
			time.Sleep(time.Second)
			if line == lines {
				beside = w.up.atOnce()
			}
			time.Sleep(time.Second)
			return ok("{}")
		}
		m := &machine{world: w}
		p := w.process(m, execute.Config{})
		start := time.Now()
		w.invoke(m, p, w.deliver(10))
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("the first invocation took %v: it waits for what it may not run", took)
		}
		w.done(append(allCompleted(lines-1), state.StatusProcessing)...)
		time.Sleep(5 * time.Second)
		w.invoke(m, p, w.deliver(10))
		w.done(allCompleted(lines)...)
		if beside != 1 {
			t.Errorf("it was one of %d calls", beside)
		}
	})
}

// TestReceivesThatFail has a queue that hands out nothing by a worker's own
// receives: the event's messages are done, and the worker ends.
func TestReceivesThatFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(20))
		w.up.answer = around(30 * time.Second)
		w.sendAll(20)
		m := &machine{world: w, plan: func(op string, _ int) fault {
			if op == "receive" {
				return failBefore
			}
			return none
		}}
		w.invoke(m, w.process(m, execute.Config{}), w.deliver(10))
		if n := w.queue.Len(); n != 10 {
			t.Errorf("%d messages are left", n)
		}
		if n := m.seen["receive"]; n > 40 {
			t.Errorf("%d receives in 45 s", n)
		}
		w.kept()
	})
}

// TestOwnMessagesAreDeletedInTheEnd has deletions fail for a while, and each
// message go by the worker's end.
func TestOwnMessagesAreDeletedInTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lines = 40
		w := newWorld(t, input(lines))
		w.up.answer = around(2 * time.Second)
		w.sendAll(lines)
		m := &machine{world: w, plan: func(op string, n int) fault {
			if op == "delete" && n < 2 {
				return failBefore
			}
			return none
		}}
		w.invoke(m, w.process(m, execute.Config{}), w.deliver(10))
		w.done(allCompleted(lines)...)
		if n := w.queue.Len(); n > 0 {
			t.Errorf("%d messages are left", n)
		}
	})
}

// TestHiddenMessagesAreExtendedSeldom counts the extensions of calls that last
// for 10 s: a message that was hidden a moment ago is hidden for long enough.
func TestHiddenMessagesAreExtendedSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lines = 600
		w := newWorld(t, input(lines))
		w.up.answer = around(10 * time.Second)
		w.sendAll(lines)
		m := &machine{world: w, plan: slow}
		var mu sync.Mutex
		extended := 0
		m.hides = func(handles []string, d time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			if d > 30*time.Second {
				extended += len(handles)
			}
		}
		w.invoke(m, w.process(m, execute.Config{Places: 100}), w.deliver(10))
		w.done(allCompleted(lines)...)
		if extended > lines/4 {
			t.Errorf("%d extensions of %d messages", extended, lines)
		}
	})
}

// TestManyAreRequeuedTogether has an upstream that sends everybody back for a
// minute: the messages go back in tens.
func TestManyAreRequeuedTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lines = 200
		w := newWorld(t, input(lines))
		w.up.answer = func(_ context.Context, line, _ int) (execute.Reply, error) {
			time.Sleep(time.Duration(line) * time.Millisecond)
			return execute.Reply{StatusCode: 429, RetryAfter: time.Minute}, nil
		}
		w.sendAll(lines)
		var mu sync.Mutex
		calls, hidden := 0, 0
		m := &machine{world: w}
		m.hides = func(handles []string, d time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			if d > 50*time.Second {
				calls++
				hidden += len(handles)
			}
		}
		w.invoke(m, w.process(m, execute.Config{}), w.deliver(10))
		if hidden < lines || calls > hidden/2 { // they come back at their route's pace, some sooner than others
			t.Errorf("%d messages were requeued in %d calls", hidden, calls)
		}
		w.kept()
	})
}

// TestNothingLeftEndsAtOnce has an invocation bring one message whose call is short,
// and the queue be empty: it is not billed for a receive that waits.
func TestNothingLeftEndsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(1))
		w.send(1)
		start, m := time.Now(), &machine{world: w}
		w.invoke(m, w.process(m, execute.Config{}), w.deliver(10))
		w.done(allCompleted(1)...)
		if took := time.Since(start); took > 200*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

// TestAChangeGoesOncePlacesAreFree has a retry wait for others to be written with while all places are taken: once a
// call ends and nobody takes its place, it waits no longer.
func TestAChangeGoesOncePlacesAreFree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const places, lines = 5, 6
		w := newWorld(t, input(lines))
		w.up.answer = func(_ context.Context, line, n int) (execute.Reply, error) {
			switch {
			case line == 1 && n == 0: // line 6 takes its place
				time.Sleep(200 * time.Millisecond)
				return execute.Reply{StatusCode: 503}, nil
			case line == 2:
				time.Sleep(400 * time.Millisecond)
			default:
				time.Sleep(10 * time.Second)
			}
			return ok("{}")
		}
		w.sendAll(lines)
		m := &machine{world: w}
		var all sync.WaitGroup
		all.Go(func() { w.invoke(m, w.process(m, execute.Config{Places: places}), w.deliver(lines)) })
		status := func(want state.Status) {
			t.Helper()
			if got := w.record(1).Phase.Status(); got != want {
				t.Errorf("the request that is tried again is %s, want %s", got, want)
			}
		}
		time.Sleep(400 * time.Millisecond)
		status(state.StatusProcessing)
		time.Sleep(100 * time.Millisecond)
		status(state.StatusPending)
		all.Wait()
	})
}
