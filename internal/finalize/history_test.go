package finalize_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/finalize"
	"github.com/musketry/musketry/internal/state"
)

// TestHistory has a batch's flow keep how it goes, in one write a turn at most. A recount, which sees every request, knows who
// retries. At the end the requests themselves say it.
func TestHistory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10, 10)
		began := time.Now()
		f := &faults{}
		turn := func() finalize.Next {
			t.Helper()
			before := f.samples
			next, err := w.finalizer(f).Advance(t.Context(), w.ref)
			w.must(err)
			if wrote := f.samples - before; wrote > 1 {
				t.Errorf("a turn writes the history %d times", wrote)
			}
			return next
		}
		turn()
		time.Sleep(10 * time.Minute)
		w.count("w1", w.call("w1", 1, 2, 3)...)
		turn()
		w.retry(4)
		time.Sleep(10 * time.Minute)
		w.ask()
		turn()
		if diff := cmp.Diff([]string{"0s 0 0 -1", "10m0s 2 1 -1", "20m0s 2 1 1"}, w.samples(began)); diff != "" {
			t.Error(diff)
		}
		h, err := w.store.History(t.Context(), w.ref)
		w.must(err)
		if diff := cmp.Diff([]batch.ReasonCount{{Reason: "http_400", Requests: 1}}, h.Failures); diff != "" || h.Settled {
			t.Error(diff)
		}
		time.Sleep(10 * time.Minute)
		w.count("w1", w.call("w1", 4, 5, 6, 7, 8, 9, 10)...)
		if next := turn(); next != finalize.NextEnd {
			t.Errorf("next is %q", next)
		}
		// Each of the 299 samples of half an hour has 7 s.
		got := w.samples(began)
		if want := []string{"0s 0 0 -1", "9m55s 0 0 -1", "10m2s 2 1 -1", "20m4s 2 1 1", "29m59s 2 1 -1", "30m0s 7 3 0"}; cmp.Diff(want, got) != "" {
			t.Error(cmp.Diff(want, got))
		}
		w.checkHistory(w.batch())
	})
}

// retry does what a worker does with a line whose call failed and is to be tried again.
func (w *world) retry(line int) {
	w.t.Helper()
	ctx, now, b := w.t.Context(), time.Now(), w.batch()
	rec, err := w.store.Request(ctx, b.Key(line))
	w.must(err)
	pending, err := state.As[state.Pending](rec)
	w.must(err)
	claimed, err := state.Claim(pending, state.Lease{ClaimID: batch.ClaimID("w9", "1"), Worker: "w9", Expires: now.Add(time.Hour)}, now)
	w.must(err)
	started, err := state.Start(claimed, now)
	w.must(err)
	again, err := state.Retry(state.Fail(started, state.Failure{Reason: state.Timeout{Error: "slow"}}, now), now)
	w.must(err)
	c, err := again.Change()
	w.must(err)
	w.must(w.store.Apply(ctx, c))
}

// samples tells a history's samples, their times since began.
func (w *world) samples(began time.Time) []string {
	w.t.Helper()
	h, err := w.store.History(w.t.Context(), w.ref)
	w.must(err)
	var told []string
	for _, s := range h.Samples {
		told = append(told, fmt.Sprint(s.At.Sub(began.Truncate(time.Second)), s.Counts.Completed, s.Counts.Failed, s.Retrying))
	}
	return told
}

// TestLostSampleFailsNoTurn has the history's write fail in each turn.
func TestLostSampleFailsNoTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10, 10)
		f := &faults{}
		for at := 1; !f.lost; at++ {
			f = &faults{at: at}
			if _, err := w.finalizer(f).Advance(t.Context(), w.ref); f.lost && err != nil {
				t.Fatal(err)
			}
		}
		h, err := w.store.History(t.Context(), w.ref)
		w.must(err)
		if diff := cmp.Diff(batch.History{Ref: w.ref}, h); diff != "" {
			t.Error(diff)
		}
	})
}
