package finalize_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/finalize"
)

// allow changes the deployment's allowance, and returns it.
func (w *world) allow(change func(*batch.Allowance)) batch.Allowance {
	w.t.Helper()
	a, err := w.store.UpdateAllowance(w.t.Context(), func(a *batch.Allowance) error { change(a); return nil })
	w.must(err)
	return a
}

// A lists counts how often what runs is listed.
type lists struct {
	finalize.Batches
	n int
}

func (l *lists) Runnings(ctx context.Context, after string, limit int) ([]batch.Running, bool, error) {
	l.n++
	return l.Batches.Runnings(ctx, after, limit)
}

// TestGrantsOfWhatEnded has a batch ask for messages of an allowance of 200 that
// others were granted. What those have that do not run any more is taken back,
// and looked for once a minute at most.
func TestGrantsOfWhatEnded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lines    int
		granted  int           // to another tenant's batch
		runs     bool          // that one runs
		checked  time.Duration // so long ago that was looked at; 0: never
		enqueued int
		lists    int
	}{
		"nobody has any":             {lines: 300, enqueued: 100, lists: 1},
		"nobody has any, and enough": {lines: 100, enqueued: 100},
		"one that ended":             {lines: 300, granted: 200, enqueued: 100, lists: 1},
		"one that runs":              {lines: 300, granted: 200, runs: true, lists: 2}, // 501 run
		"looked at lately":           {lines: 300, granted: 200, checked: time.Minute - time.Millisecond},
		"looked at a minute ago":     {lines: 300, granted: 200, checked: time.Minute, enqueued: 100, lists: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tc.lines, 10)
				want := map[string]int{}
				w.allow(func(a *batch.Allowance) {
					if tc.granted > 0 {
						a.Grants = map[string]batch.Grant{"batch_z": {Tenant: "other", Messages: tc.granted}}
					}
					if tc.checked > 0 {
						a.CheckedAt = time.Now().Add(-tc.checked)
					}
				})
				if tc.runs {
					for i := range 499 {
						w.must(w.store.CreateRunning(t.Context(), batch.Running{Ref: batch.Ref{Tenant: "other", ID: fmt.Sprintf("batch_%03d", i+2)}}))
					}
					w.must(w.store.CreateRunning(t.Context(), batch.Running{Ref: batch.Ref{Tenant: "other", ID: "batch_z"}}))
				}
				if tc.granted > 0 && (tc.runs || tc.enqueued == 0) {
					want["batch_z"] = tc.granted
				}
				want[w.ref.ID] = tc.enqueued
				f := w.finalizer(nil)
				f.Config.Allowance = 200
				l := &lists{Batches: f.Batches}
				f.Batches = l
				walks := &walks{port: f.Requests}
				f.Requests = walks
				_, err := f.Advance(t.Context(), w.ref)
				w.must(err)
				got := map[string]int{}
				for id, g := range w.allow(func(*batch.Allowance) {}).Grants {
					got[id] = g.Messages
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("grants (-want +got):\n%s", diff)
				}
				if n := w.batch().Enqueued; n != tc.enqueued || l.n != tc.lists {
					t.Errorf("%d enqueued, want %d; %d lists, want %d", n, tc.enqueued, l.n, tc.lists)
				}
				if since := w.batch().Reconciled.Enqueues; tc.enqueued == 0 && (walks.n > 0 || len(since) > 0) {
					t.Errorf("none is enqueued, since %v, and the requests are read %d times", since, walks.n)
				}
			})
		})
	}
}

// TestNoMoreThanIsLeftIsAsked has a batch come to its last low water.
func TestNoMoreThanIsLeftIsAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 120, 10)
		f := w.finalizer(nil)
		f.Config.MaxEnqueued = 100
		for _, want := range []int{100, 60} {
			_, err := f.Advance(t.Context(), w.ref)
			w.must(err)
			if got := w.allow(func(*batch.Allowance) {}).Grants[w.ref.ID].Messages; got != want {
				t.Errorf("it was granted %d messages, want %d", got, want)
			}
			var lines []int
			for line := range 60 {
				lines = append(lines, line+1)
			}
			w.count("w1", w.call("w1", lines...)...)
		}
	})
}

// TestMessagesAreGivenBack has a batch all of whose requests are enqueued hold
// less and less of what it was granted.
func TestMessagesAreGivenBack(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lines, done int
		highWater   int // 0: as it was granted
		granted     int // in the end
	}{
		"more than half":             {lines: 300, done: 149, granted: 300},
		"half":                       {lines: 300, done: 150, granted: 150},
		"hardly any":                 {lines: 300, done: 299, granted: 1},
		"not all are enqueued":       {lines: 5_100, done: 240, granted: 5_000},
		"of the least":               {lines: 300, done: 250, highWater: batch.MinHighWater, granted: 300},
		"of a little more than that": {lines: 300, done: 250, highWater: batch.MinHighWater + 1, granted: 50},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tc.lines, 10)
				w.advance()
				if tc.highWater > 0 {
					w.update(func(b *batch.Batch) error { b.Reconciled.HighWater = tc.highWater; return nil })
				}
				var lines []int
				for line := range tc.done {
					lines = append(lines, line+1)
				}
				w.count("w1", w.call("w1", lines...)...)
				w.advance()
				if got := w.allow(func(*batch.Allowance) {}).Grants[w.ref.ID].Messages; got != tc.granted {
					t.Errorf("it has %d messages, want %d", got, tc.granted)
				}
			})
		})
	}
}
