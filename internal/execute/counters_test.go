package execute_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
)

// truth counts the requests by the counter shards that their claim ids name.
func (w *world) truth(lines int) map[string]batch.Counts {
	w.Helper()
	counts := map[string]batch.Counts{}
	for line := 1; line <= lines; line++ {
		if rec := w.record(line); rec.Phase.Status().Terminal() {
			id := batch.CounterShardOf(rec)
			counts[id] = counts[id].Add(rec.Phase)
		}
	}
	return counts
}

func (w *world) counters() map[string]batch.Counts {
	w.Helper()
	counters, err := w.store.Counters(w.Context(), testBatch)
	must(w.T, err)
	counts := map[string]batch.Counts{}
	for _, c := range counters {
		counts[c.ID] = c.Counts
	}
	return counts
}

// TestClaimsNameTheirCounters lets several processes work, again and again, for
// a batch whose requests are answered, refused, tried again and left by a
// worker that dies: each outcome is in the counter shard that its claim id
// names.
func TestClaimsNameTheirCounters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lines = 60
		w := newWorld(t, input(lines))
		w.up.lasts = true
		w.up.answer = func(_ context.Context, line, before int) (execute.Reply, error) {
			time.Sleep(time.Second)
			switch {
			case line%5 == 0:
				return status(400)
			case line%7 == 0 && before == 0:
				return status(500)
			}
			return ok(`{}`)
		}
		w.sendAll(lines)
		doomed := &machine{world: w, plan: func(op string, n int) fault {
			if op == "start" && n == 6 {
				return dieAfter
			}
			return none
		}}
		w.invoke(doomed, w.process(doomed, execute.Config{}), w.deliver(10))
		m := &machine{world: w}
		a, b := w.process(m, execute.Config{Places: 10}), w.process(m, execute.Config{Places: 10})
		for w.queue.Len() > 0 {
			var running sync.WaitGroup
			for _, p := range []*execute.Worker{a, b} {
				if got := w.deliver(10); len(got) > 0 {
					running.Go(func() { w.invoke(m, p, got) })
				}
			}
			running.Wait()
			time.Sleep(time.Second)
		}
		if diff := cmp.Diff(w.truth(lines), w.counters()); diff != "" {
			t.Errorf("the requests by their claims, and the counters (-want +got):\n%s", diff)
		}
		if got := w.progress().Done(); got != lines || len(w.counters()) != 2 {
			t.Errorf("%d done in %d counters", got, len(w.counters()))
		}
		w.kept()
	})
}
