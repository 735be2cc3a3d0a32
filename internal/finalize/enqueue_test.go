package finalize_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/finalize"
)

// A sent is how many messages were sent at once, and up to which line the batch
// said then that they were.
type sent struct{ Messages, Enqueued int }

type sends struct {
	finalize.Queue
	w   *world
	all []sent
}

func (s *sends) Send(ctx context.Context, ms []batch.Message) error {
	s.all = append(s.all, sent{len(ms), s.w.batch().Enqueued}) //nolint:contextcheck // who looks is not the finalizer
	return s.Queue.Send(ctx, ms)
}

// TestEnqueuedByChunks enqueues many requests at once: no more messages than are
// held in memory are sent together, nor more sent twice after a crash than lie
// between two writes of the cursor.
func TestEnqueuedByChunks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 6_200, 10)
		w.update(func(b *batch.Batch) error {
			b.Reconciled = batch.Reconciliation{HighWater: 5_000, FilledAt: time.Now()}
			return b.Enqueue(100)
		})
		f := w.finalizer(nil)
		s := &sends{Queue: f.Queue, w: w}
		f.Queue = s
		if next, err := f.Advance(t.Context(), w.ref); next != finalize.NextLong || err != nil {
			t.Fatalf("next is %q, %v", next, err)
		}
		want := []sent{{1_000, 100}, {1_000, 100}, {1_000, 100}, {1_000, 100}, {1_000, 100}, {1_000, 5_100}, {100, 5_100}}
		if diff := cmp.Diff(want, s.all); diff != "" || w.batch().Enqueued != 6_200 {
			t.Errorf("%d enqueued; sent (-want +got):\n%s", w.batch().Enqueued, diff)
		}
	})
}
