package execute_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/execute"
)

// TestMessagesGoAsTheyAreDone has nine of ten calls last for a second and one
// for ten minutes.
func TestMessagesGoAsTheyAreDone(t *testing.T) {
	t.Parallel()
	const n = 10
	for name, tc := range map[string]struct {
		fails string   // an operation that always fails
		left  int      // messages, 8 seconds from the start
		stay  int      // by the event's answer
		ops   []string // nil: any but a deletion
	}{
		"in good order":         {left: 1, ops: []string{"counter", "delete", "counter", "wake"}},
		"deleting fails":        {fails: "delete", left: n, ops: []string{"counter", "delete", "counter", "wake"}},
		"counting fails":        {fails: "counter", left: n, ops: []string{"counter", "wake", "delete", "counter"}},
		"recording fails":       {fails: "outcome", left: n, stay: n},
		"writing answers fails": {fails: "put", left: n, stay: n},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, input(n))
				w.sendAll(n)
				w.up.answer = func(_ context.Context, line, _ int) (execute.Reply, error) {
					time.Sleep(time.Second)
					if line == 1 {
						time.Sleep(10 * time.Minute)
					}
					return ok("{}")
				}
				var mu sync.Mutex
				var ops []string
				m := &machine{world: w, plan: func(op string, _ int) fault {
					mu.Lock()
					defer mu.Unlock()
					if slices.Contains([]string{"counter", "wake", "delete"}, op) && (len(ops) == 0 || ops[len(ops)-1] != op) {
						ops = append(ops, op)
					}
					if op == tc.fails {
						return failBefore
					}
					return none
				}}
				time.AfterFunc(8*time.Second, func() {
					if got := w.queue.Len(); got != tc.left {
						t.Errorf("%d messages are in the queue after 8s, want %d", got, tc.left)
					}
				})
				failed := w.invoke(m, w.process(m, execute.Config{CallLimit: 11 * time.Minute}), w.deliver(n))
				if len(failed) != tc.stay || w.queue.Len() != tc.stay {
					t.Errorf("%d messages stay, %d are in the queue, want %d", len(failed), w.queue.Len(), tc.stay)
				}
				if tc.ops == nil && slices.Contains(ops, "delete") || tc.ops != nil && !slices.Equal(ops, tc.ops) {
					t.Errorf("operations are %v, want %v", ops, tc.ops)
				}
				if looks := m.seen["progress"] > 0; looks != (tc.fails != "outcome" && tc.fails != "put") {
					t.Errorf("whether the flow is to be woken was looked at: %t", looks)
				}
				w.kept()
			})
		})
	}
}
