package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/metric"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/sweep"
)

const (
	running = batch.FlowRunning
	ended   = batch.FlowEnded
)

func TestSweepStartsTheNextFlow(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before func(w *world, b batch.Batch)
		age    time.Duration
		want   []batch.FlowState
		gone   bool // its entry
	}{
		"a flow that runs":   {age: time.Hour, want: []batch.FlowState{running}},
		"a flow that ended":  {before: func(w *world, b batch.Batch) { w.flows.End(b.ID) }, age: time.Hour, want: []batch.FlowState{ended, running}},
		"one of a new batch": {before: func(w *world, b batch.Batch) { w.flows.End(b.ID) }, age: time.Minute, want: []batch.FlowState{ended}},
		"the third": {before: func(w *world, b batch.Batch) {
			w.flows.End(b.ID)
			w.sweep()
			w.flows.End(batch.FlowName(b.ID, 2))
		}, age: time.Hour, want: []batch.FlowState{ended, ended, running}},
		"one of an ended batch": {before: func(w *world, b batch.Batch) {
			w.flows.End(b.ID)
			_, err := w.store.UpdateBatch(w.t.Context(), b.Ref, func(b *batch.Batch) error { return b.Fail(batch.FailNow, batch.InternalError("no"), time.Now()) })
			w.must(err)
		}, age: time.Hour, want: []batch.FlowState{ended, running}},
		"one whose last step came so far": {before: func(w *world, b batch.Batch) {
			w.flows.End(b.ID)
			w.must(w.store.RemoveRunning(w.t.Context(), batch.Running{Ref: b.Ref}))
		}, age: time.Hour, want: []batch.FlowState{ended}, gone: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				b := w.batch()
				time.Sleep(tt.age)
				if tt.before != nil {
					tt.before(w, b)
				}
				for range 3 { // once it is mended, a sweep finds nothing
					w.sweep()
				}
				if got := w.flowsOf(b); !slices.Equal(got, tt.want) {
					t.Errorf("its flows are %v, want %v", got, tt.want)
				}
				r, err := w.store.Running(t.Context(), b.ID)
				if tt.gone != errors.Is(err, batch.ErrNotFound) || (!tt.gone && r.Flow != max(len(tt.want), 1) && tt.age > time.Minute) {
					t.Errorf("its entry is %+v, %v", r, err)
				}
				for _, start := range w.flows.Starts() {
					if start.Ref != b.Ref {
						t.Errorf("a flow was started with %+v", start)
					}
				}
			})
		})
	}
}

// TestSweepOfADeadAcceptance dies between acceptance's writes: an entry alone,
// and an entry with a flow that has not put the batch yet, and one with a batch
// whose flow was never started, as the local engine has it after its restart.
func TestSweepOfADeadAcceptance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		other := newWorld(t) // makes the batches
		alone, started, flowless := other.batch(), other.batch(), other.batch()
		for _, b := range []batch.Batch{alone, started, flowless} {
			w.must(w.store.CreateRunning(t.Context(), batch.RunningOf(b)))
		}
		w.must(w.flows.Start(t.Context(), started))
		w.must(w.store.CreateBatch(t.Context(), flowless))
		time.Sleep(9 * time.Minute)
		w.sweep()
		if _, err := w.store.Running(t.Context(), alone.ID); err != nil {
			t.Errorf("the entry of an acceptance that may be slow is gone: %v", err)
		}
		if got := w.flowsOf(flowless); !slices.Equal(got, []batch.FlowState{running}) {
			t.Errorf("a batch without a flow has %v", got)
		}
		time.Sleep(2 * time.Minute)
		w.sweep()
		if r, err := w.store.Running(t.Context(), alone.ID); !errors.Is(err, batch.ErrNotFound) {
			t.Errorf("the entry of a dead acceptance is %+v, %v", r, err)
		}
		if len(w.flowsOf(alone)) > 0 || len(w.flowsOf(started)) != 1 || len(w.flowsOf(flowless)) != 1 {
			t.Errorf("there are flows %v", w.flows.Starts())
		}
		if _, err := w.store.Running(t.Context(), started.ID); err != nil {
			t.Errorf("the entry of a batch whose flow runs is gone: %v", err)
		}
		if w.counts.n[metric.FlowRestarts] != 1 {
			t.Errorf("counted %v", w.counts.n)
		}
	})
}

// TestSweepCrashes fails at each write in turn, after it took effect, and sweeps
// again: each batch has one more flow, and one alone.
func TestSweepCrashes(t *testing.T) {
	t.Parallel()
	for at := 1; ; at++ {
		over := false
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			all := []batch.Batch{w.batch(), w.batch(), w.batch()}
			time.Sleep(time.Hour)
			for _, b := range all {
				w.flows.End(b.ID)
			}
			w.letters.add(message(t, 1), message(t, 2))
			b := w.breaking(at)
			err := w.Sweep(t.Context())
			if over = b.at > 0; over {
				return
			}
			if !errors.Is(err, errDown) {
				t.Fatalf("write %d fails, and the sweep says %v", at, err)
			}
			if restarted := w.counts.n[metric.FlowRestarts]; restarted < 2 && at > 2 {
				t.Errorf("write %d of one batch kept others from being mended: %d were", at, restarted)
			}
			time.Sleep(15 * time.Minute)
			w.sweep()
			for _, b := range all {
				if got := w.flowsOf(b); !slices.Equal(got, []batch.FlowState{ended, running}) {
					t.Errorf("write %d: flows %v", at, got)
				}
			}
			sent := w.sent()
			if len(w.letters.all) > 0 || sent[1] == 0 || sent[2] == 0 {
				t.Errorf("write %d: dead letters %v, sent %v", at, w.letters.all, sent)
			}
		})
		if over {
			if at < 8 {
				t.Errorf("a sweep has %d writes", at-1)
			}
			return
		}
	}
}

// TestSweepsAtOnce has three sweeps and an event at the same time, again and
// again: no batch ever has two flows that run.
func TestSweepsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.batch()
		time.Sleep(time.Hour)
		const rounds = 20
		for n := 1; n <= rounds; n++ {
			w.flows.End(batch.FlowName(b.ID, n))
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() { w.must(w.Sweep(t.Context())) })
			}
			wg.Go(func() { w.must(w.Ended(t.Context(), batch.FlowName(b.ID, n))) })
			wg.Wait()
			got := w.flowsOf(b)
			if len(got) != n+1 || got[n] != running || slices.Contains(got[:n], running) {
				t.Fatalf("after %d flows: %v", n, got)
			}
		}
	})
}

// TestSweepOfMany has more batches than a page and than a sweep looks at. What
// one leaves, the next mends.
func TestSweepOfMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Sweeper = sweep.New(w.Deps, sweep.Config{Looks: 400})
		const all = 1_200
		for i := range all {
			if b := w.batch(); i%2 == 0 {
				w.flows.End(b.ID)
			}
		}
		time.Sleep(time.Hour)
		for i, want := range []int{400, 600, 600} {
			began := time.Now()
			w.sweep()
			if got := w.counts.n[metric.FlowRestarts]; got != want {
				t.Errorf("after sweep %d, %d flows were started again, want %d", i+1, got, want)
			}
			if took := time.Since(began); took > 41*time.Second || (i == 0 && took < 39*time.Second) {
				t.Errorf("sweep %d took %v", i+1, took)
			}
		}
		names, err := w.flows.Running(t.Context())
		if len(names) != all || err != nil {
			t.Errorf("%d flows run, %v", len(names), err)
		}
	})
}

func TestSweepMindsItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 100 {
			w.flows.End(w.batch().ID)
		}
		w.letters.add(message(t, 1))
		time.Sleep(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
		defer cancel()
		w.must(w.Sweep(ctx))
		if n := w.counts.n[metric.FlowRestarts]; n < 40 || n > 60 {
			t.Errorf("in 5 s, 100 ms apart, %d flows were started", n)
		}
		late, cancel := context.WithTimeout(t.Context(), 40*time.Second)
		defer cancel()
		w.letters.add(message(t, 2))
		before := w.letters.calls
		w.must(w.Sweep(late))
		if w.letters.calls != before {
			t.Error("it receives dead letters although its time is over")
		}
	})
}

func TestEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.batch()
		stranger := newWorld(t).batch()
		// It is believed at once, young as it is; and Step Functions may not know yet.
		w.must(w.Ended(t.Context(), b.ID))
		w.flows.End(b.ID)
		for _, flow := range []string{b.ID, batch.FlowName(b.ID, 3), stranger.ID + "-9"} { // not its last one
			w.must(w.Ended(t.Context(), flow))
		}
		if got := w.flowsOf(b); !slices.Equal(got, []batch.FlowState{ended, running}) {
			t.Errorf("its flows are %v", got)
		}
		for n := 2; n < 6; n++ { // they fail as they start
			w.flows.End(batch.FlowName(b.ID, n))
			w.must(w.Ended(t.Context(), batch.FlowName(b.ID, n)))
		}
		if got := w.flowsOf(b); len(got) != 5 {
			t.Errorf("flows chase each other: %v", got)
		}
		if err := w.Ended(t.Context(), "nightly"); err == nil || !strings.Contains(err.Error(), "nightly") {
			t.Errorf("a flow that is not ours: %v", err)
		}
	})
}

func TestSweepTellsOfOverdueBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.batch()
		time.Sleep(24*time.Hour + 59*time.Minute)
		w.sweep()
		if w.counts.n[metric.OverdueBatches] != 0 {
			t.Error("it is overdue too early")
		}
		time.Sleep(2 * time.Minute)
		w.sweep()
		if w.counts.n[metric.OverdueBatches] != 1 || !strings.Contains(w.log.String(), b.ID) {
			t.Errorf("counted %v, told %s", w.counts.n, w.log)
		}
	})
}

func message(t *testing.T, line int) string {
	t.Helper()
	body, err := batch.Message{Tenant: "acme", Batch: "batch_1", Line: line, Length: 1}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestDeadLettersGoBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		pending(t, w)
		want := map[int]int{}
		for line := 1; line <= 25; line++ {
			w.letters.add(message(t, line))
			want[line] = 1
		}
		w.letters.add("a secret of somebody else's", `{"t":"acme"}`)
		time.Sleep(time.Hour)
		for range 3 {
			w.sweep()
			time.Sleep(15 * time.Minute)
		}
		w.same("sent again", w.sent(), want)
		if len(w.letters.all) != 2 {
			t.Errorf("there stay %v", w.letters.all)
		}
		if n := w.counts.n[metric.DeadLetters+" outcome sent_again"]; n != 25 {
			t.Errorf("counted %v", w.counts.n)
		}
		if n := w.counts.n[metric.DeadLetters+" outcome kept"]; n != 6 { // by each sweep
			t.Errorf("counted %v", w.counts.n)
		}
		log := w.log.String()
		for _, part := range []string{
			"batch=batch_1 line=1 age=1h0m0s request=pending attempt=1 reclaims=0 last=", "status 503",
			"line=2 age=1h0m0s request=unknown", "message=letter-26 bytes=27",
		} {
			if !strings.Contains(log, part) {
				t.Errorf("the log lacks %q: %s", part, log)
			}
		}
		if strings.Contains(log, "secret") {
			t.Error("the log has a dead letter's text")
		}
	})
}

// pending makes a request, of batch_1's line 1, whose first attempt failed.
func pending(t *testing.T, w *world) {
	t.Helper()
	now := time.Now()
	fresh := state.New(state.Spec{
		Key: state.Key{Batch: "batch_1", Line: 1}, CustomID: "id", Deadline: now.Add(time.Hour),
	})
	c, err := fresh.Change()
	w.must(err)
	w.must(w.store.Create(t.Context(), []state.Change{c}))
	claimed, err := state.Claim(fresh.Stored(), state.Lease{ClaimID: "c", Worker: "w", Expires: now.Add(time.Minute)}, now)
	w.must(err)
	started, err := state.Start(claimed, now)
	w.must(err)
	c, err = started.Change()
	w.must(err)
	w.must(w.store.Apply(t.Context(), c))
	failed := state.Fail(started.Stored(), state.Failure{Reason: state.RetryableHTTPStatus{Status: 503}}, now)
	retried, err := state.Retry(failed, now.Add(time.Second))
	w.must(err)
	c, err = retried.Change()
	w.must(err)
	w.must(w.store.Apply(t.Context(), c))
}

func TestDeadLettersAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Sweeper = sweep.New(w.Deps, sweep.Config{Letters: 100})
		for line := 1; line <= 250; line++ {
			w.letters.add(message(t, line))
		}
		for i, want := range []int{150, 50, 0} {
			w.sweep()
			if got := len(w.letters.all); got != want {
				t.Errorf("after sweep %d there are %d, want %d", i+1, got, want)
			}
		}
		// Those that stay are received once a sweep, also where they show at once.
		for i := range 30 {
			w.letters.add(fmt.Sprint("strange ", i))
		}
		w.Letters = visible{w.letters}
		before := w.letters.calls
		w.sweep()
		if calls := w.letters.calls - before; calls > 5 {
			t.Errorf("%d receives", calls)
		}
	})
}

// visible letters never hide.
type visible struct{ *letters }

func (v visible) Receive(ctx context.Context) ([]batch.DeadLetter, error) {
	clear(v.hidden)
	return v.letters.Receive(ctx)
}

func TestSweepReportsWhatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.letters.err = errDown
		w.letters.add(message(t, 1))
		b := w.batch()
		time.Sleep(time.Hour)
		w.flows.End(b.ID)
		if err := w.Sweep(t.Context()); !errors.Is(err, errDown) {
			t.Errorf("error is %v", err)
		}
		if got := w.flowsOf(b); len(got) != 2 {
			t.Errorf("dead letters keep batches from their flows: %v", got)
		}
	})
}
