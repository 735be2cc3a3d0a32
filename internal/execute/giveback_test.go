package execute_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/state"
)

// TestWhatIsClaimedAndNotCalledIsGivenBack has a worker claim a request that it does
// not call, while another call of it lasts for minutes: nobody waits for the
// worker's end, and what is given back counts as no attempt and as no death.
func TestWhatIsClaimedAndNotCalledIsGivenBack(t *testing.T) {
	t.Parallel()
	const long = 9 * time.Minute
	for name, tc := range map[string]struct {
		first  func() (execute.Reply, error) // what the first call of line 1 brings; nil: an answer
		plan   func(op string, n int) fault
		within time.Duration // it is completed
		given  int
	}{
		"a key is missing for a moment": {
			first: func() (execute.Reply, error) {
				return execute.Reply{}, &execute.CallError{Kind: execute.CallNoKey, Text: "no key"}
			},
			within: 3 * time.Minute, given: 1,
		},
		"the answers of its writes are lost": {
			plan: func(op string, n int) fault {
				if op == "start" && n <= 4 {
					return failAfter
				}
				return none
			},
			within: time.Minute, given: 1,
		},
		"its writes fail": { // nobody knows that they did not
			plan: func(op string, n int) fault {
				if op == "start" && n <= 4 {
					return failBefore
				}
				return none
			},
			within: time.Minute, given: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, input(2))
				w.send(1)
				w.up.answer = func(_ context.Context, line, before int) (execute.Reply, error) {
					switch {
					case line == 2:
						time.Sleep(long)
					case before == 0 && tc.first != nil:
						return tc.first()
					}
					return ok("{}")
				}
				m := &machine{world: w, plan: tc.plan}
				time.AfterFunc(5*time.Second, func() { w.send(2) })
				time.AfterFunc(tc.within, func() { w.done(state.StatusCompleted, state.StatusProcessing) })
				for w.queue.Len() > 0 {
					if got := w.deliver(10); len(got) > 0 {
						w.invoke(m, w.process(m, execute.Config{}), got)
					}
					time.Sleep(100 * time.Millisecond)
				}
				w.done(allCompleted(2)...)
				if n := w.stats.of("given_back_total{}"); n != tc.given {
					t.Errorf("%d requests were given back, want %d", n, tc.given)
				}
				if done, _ := w.record(1).Phase.(state.Completed); done.Attempt != 0 {
					t.Errorf("it counts as attempt %d", done.Attempt)
				}
			})
		})
	}
}

// TestAClaimedRequestDoesNotWaitForAPause has a route pause for minutes while a
// request is claimed: it is given back, and its place is free.
func TestAClaimedRequestDoesNotWaitForAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(2))
		w.send(1)
		time.AfterFunc(300*time.Millisecond, func() { w.send(2) })
		w.up.answer = func(_ context.Context, _, before int) (execute.Reply, error) {
			if before > 0 {
				return ok("{}")
			}
			time.Sleep(500 * time.Millisecond)
			reply, err := status(429)
			reply.RetryAfter = 5 * time.Minute
			return reply, err
		}
		calm := make(chan struct{})
		m := &machine{world: w}
		m.plan = func(op string, n int) fault {
			if op == "start" && n == 2 {
				time.Sleep(time.Second)
			}
			return none
		}
		time.AfterFunc(30*time.Second, func() {
			defer close(calm)
			for line := 1; line <= 2; line++ {
				if p, ok := w.record(line).Phase.(state.Pending); !ok {
					t.Errorf("line %d is %+v while the route is paused", line, p)
				}
			}
		})
		w.drive(time.Hour, func() *machine { return m })
		<-calm
		w.done(allCompleted(2)...)
		if n := w.stats.of("given_back_total{}"); n != 1 {
			t.Errorf("%d requests were given back, want 1", n)
		}
	})
}

// TestCrashesWhileGivingBack has a worker die around the write that gives a request
// back: another one completes it.
func TestCrashesWhileGivingBack(t *testing.T) {
	t.Parallel()
	for name, dies := range map[string]fault{"before": dieBefore, "after": dieAfter} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, input(1))
				w.send(1)
				w.up.answer = func(_ context.Context, _, before int) (execute.Reply, error) {
					if before == 0 {
						return execute.Reply{}, &execute.CallError{Kind: execute.CallNoKey, Text: "no key"}
					}
					return ok("{}")
				}
				var first sync.Once
				died := false
				w.drive(time.Hour, func() *machine {
					m := &machine{world: w}
					first.Do(func() {
						m.plan = func(op string, _ int) fault {
							if op == "retry" {
								died = true
								return dies
							}
							return none
						}
					})
					return m
				})
				w.done(allCompleted(1)...)
				if !died {
					t.Error("nothing was given back")
				}
			})
		})
	}
}
