package execute_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
)

// summed runs a worker whose line n is answered after n seconds, but the last one
// after ten minutes, while its batch's mark is as given; meanwhile runs beside it.
// It returns when the sum of the counter shards was read, and when the flow was
// woken first.
func summed(t *testing.T, lines, mark int, meanwhile func(w *world)) (reads []time.Duration, woken time.Duration) {
	t.Helper()
	w := newWorld(t, input(lines), func(b *batch.Batch) { b.Mark = mark })
	w.sendAll(lines)
	start := time.Now()
	w.up.answer = func(_ context.Context, line, _ int) (execute.Reply, error) {
		if line == lines {
			time.Sleep(9 * time.Minute)
		}
		time.Sleep(time.Duration(line) * time.Second)
		return ok("{}")
	}
	var mu sync.Mutex
	m := &machine{world: w, plan: func(op string, _ int) fault {
		mu.Lock()
		defer mu.Unlock()
		switch op {
		case "progress":
			reads = append(reads, time.Since(start))
		case "wake":
			if woken == 0 {
				woken = time.Since(start)
			}
		}
		return none
	}}
	if meanwhile != nil {
		go meanwhile(w)
	}
	if failed := w.invoke(m, w.process(m, execute.Config{}), w.deliver(lines)); len(failed) > 0 {
		t.Errorf("%d messages stay", len(failed))
	}
	w.done(allCompleted(lines)...)
	return reads, woken
}

// TestSumIsReadEveryTenSeconds has one outcome a second for half a minute, and one
// minutes later.
func TestSumIsReadEveryTenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lines = 31
		reads, woken := summed(t, lines, lines, nil)
		for i, at := range reads[1:] {
			if since := at - reads[i]; since < 10*time.Second || since > 12*time.Second && i < len(reads)-3 {
				t.Errorf("the sum is read at %v, and %v later", reads[i], since)
			}
		}
		last := slices.Max(reads)
		if end := 9*time.Minute + lines*time.Second; len(reads) > 6 || last < end || last > end+time.Second || woken != last {
			t.Errorf("the sum is read at %v, and the flow woken at %v", reads, woken)
		}
	})
}

// TestOwnOutcomesBringTheMark has a worker do alone what its batch waits for.
func TestOwnOutcomesBringTheMark(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reads, woken := summed(t, 11, 8, nil)
		if woken < 8*time.Second || woken > 12500*time.Millisecond || len(reads) > 5 {
			t.Errorf("the eighth is answered at 8 s, and waits for others until 12 s; the flow is woken at %v, after looks at %v", woken, reads)
		}
	})
}

// TestOthersBringTheMark has other workers count in between, while this one has one
// call in hand.
func TestOthersBringTheMark(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, woken := summed(t, 5, 50, func(w *world) {
			time.Sleep(4500 * time.Millisecond)
			must(t, w.store.PutCounter(t.Context(), testBatch, batch.CounterShard{ID: "other", Counts: batch.Counts{Completed: 47}}))
		})
		if woken < 6*time.Second || woken > 11*time.Second {
			t.Errorf("the flow is woken at %v", woken)
		}
	})
}
