package finalize

import (
	"context"
	"iter"
	"log/slog"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// TestLastAreExpected says, an hour after a batch of 1,000 requests began, when
// its last ones should be done.
func TestLastAreExpected(t *testing.T) {
	t.Parallel()
	now := minutes(60)
	for name, tt := range map[string]struct {
		done   int
		change func(*batch.Batch)
		wait   time.Duration // 0: they are not expected
	}{
		"within a medium park":     {990, func(b *batch.Batch) { b.InProgressAt = now.Add(-2970 * time.Second) }, MediumPark}, // 3 s each
		"a little later":           {990, func(b *batch.Batch) { b.InProgressAt = now.Add(-2971 * time.Second) }, 0},
		"none is done":             {0, func(b *batch.Batch) { b.InProgressAt = now }, 0},
		"all are done":             {1_000, func(*batch.Batch) {}, 0},
		"not all are enqueued":     {999, func(b *batch.Batch) { b.Enqueued = 999 }, 0},
		"it has come to be slow":   {990, func(b *batch.Batch) { b.Reconciled.FilledAt, b.Reconciled.FilledDone = now.Add(-40*time.Second), 980 }, 0},
		"none since its low water": {999, func(b *batch.Batch) { b.Reconciled.FilledAt, b.Reconciled.FilledDone = minutes(0), 999 }, MediumPark},
		"once more":                {999, func(b *batch.Batch) { b.Reconciled.Reenqueue.LastTries = batch.LastTries - 1 }, MediumPark},
		"no more":                  {999, func(b *batch.Batch) { b.Reconciled.Reenqueue.LastTries = batch.LastTries }, 0},
		"enqueued long ago":        {990, func(b *batch.Batch) { b.Reconciled = b.Reconciled.Enqueue(1_000, now.Add(-25*time.Second), 0) }, 10 * time.Second},
		"enqueued of late":         {990, func(b *batch.Batch) { b.Reconciled = b.Reconciled.Enqueue(1_000, now.Add(-24*time.Second), 0) }, MediumPark},
		"enqueued long ago, and once more": {990, func(b *batch.Batch) {
			b.Reconciled = b.Reconciled.Enqueue(1_000, now.Add(-25*time.Second), 0)
			b.Reconciled.Reenqueue.LastTries = 1
		}, MediumPark},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := running(func(b *batch.Batch) { b.Enqueued, b.InProgressAt = 1_000, now.Add(-10*time.Minute) })
			tt.change(&b)
			if b.Reconciled.FilledAt.IsZero() {
				b.Reconciled.FilledAt = b.InProgressAt
			}
			want := time.Time{}
			if tt.wait > 0 {
				want = now.Add(tt.wait)
			}
			if got := at(now).expectLast(b, b.Reconciled, tt.done).Reenqueue.LastAt; !got.Equal(want) {
				t.Errorf("they are expected at %v, want %v", got, want)
			}
		})
	}
}

type port = Requests

// A pendings has requests that are all pending.
type pendings struct {
	port

	n int
}

func (p pendings) Requests(context.Context, string, int, int) iter.Seq2[state.Record, error] {
	return func(yield func(state.Record, error) bool) {
		for i := range p.n {
			if !yield(state.Record{Spec: state.Spec{Key: state.Key{Batch: "b", Line: i + 1}}, Phase: state.Pending{}}, nil) {
				return
			}
		}
	}
}

type sendCount struct {
	Queue

	n int
}

func (q *sendCount) Send(_ context.Context, ms []batch.Message) error {
	q.n += len(ms)
	return nil
}

// TestLastThatWait has some of a batch's requests wait when all should be done.
func TestLastThatWait(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		total, waiting int
		waited         time.Duration
		before         int // that were enqueued again before
		sent           int
		putOff         bool
	}{
		"a fortieth":               {1_000, 25, time.Minute, 0, 25, false},
		"more than that":           {1_000, 26, time.Minute, 0, 0, true},
		"ten of few":               {100, 10, time.Minute, 0, 10, false},
		"eleven of few":            {100, 11, time.Minute, 0, 0, true},
		"as many as can be kept":   {10_000, 10, time.Minute, maxReenqueued - 10, 10, false},
		"more than can be kept":    {10_000, 11, time.Minute, maxReenqueued - 10, 0, true},
		"for 25 s":                 {100, 5, 25 * time.Second, 0, 5, false},
		"for less":                 {100, 5, 25*time.Second - 1, 0, 0, false},
		"for less, and there many": {100, 50, 25*time.Second - 1, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now, queue := minutes(60), &sendCount{}
			f := New(Deps{
				Clock: func() time.Time { return now }, Requests: pendings{n: tt.waiting}, Queue: queue, Log: slog.New(slog.DiscardHandler),
			}, Config{})
			b := running(func(b *batch.Batch) {
				b.Counts.Total, b.Enqueued = tt.total, tt.total
				b.Reconciled.Enqueues = []batch.Enqueued{{Line: tt.total, At: now.Add(-tt.waited)}}
			})
			r, whole, err := f.turn().reenqueueLast(t.Context(), b, batch.Reenqueue{
				LastAt: now, LastTries: 1, Reenqueued: make([]batch.Enqueued, tt.before),
			})
			if err != nil || !whole || queue.n != tt.sent || len(r.Reenqueued) != tt.before+tt.sent {
				t.Errorf("%d are sent again, %d remembered; %t, %v", queue.n, len(r.Reenqueued), whole, err)
			}
			if putOff := r.LastAt.IsZero() && r.LastTries == 2; putOff != tt.putOff || !putOff && r.LastTries != batch.LastTries {
				t.Errorf("tried %d times, and next at %v", r.LastTries, r.LastAt)
			}
		})
	}
}
