package execute_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/execute"
)

// TestWhoHopesForPlacesIsCalledHere has a worker hold more messages than calls of a
// route that has not answered yet: once it answers, all are called, and none goes
// back to the queue, where its next receive would cost a read.
func TestWhoHopesForPlacesIsCalledHere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lines, places = 50, 50
		w := newWorld(t, input(lines))
		w.sendAll(lines)
		w.up.answer = func(context.Context, int, int) (execute.Reply, error) {
			time.Sleep(3 * time.Second) // its pace is still not known
			return ok("{}")
		}
		reads := 0
		m := &machine{world: w, plan: func(op string, _ int) fault {
			if op == "request" {
				reads++
			}
			return none
		}}
		w.invoke(m, w.process(m, execute.Config{Places: places}), w.deliver(10))
		w.done(allCompleted(lines)...)
		if reads > 0 {
			t.Errorf("%d requests were read, each for a second receive", reads)
		}
		if w.up.peak != places*3/5 {
			t.Errorf("%d calls at once, want three fifths of %d", w.up.peak, places)
		}
	})
}
