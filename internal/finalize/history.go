package finalize

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// sample adds how far b is to its history, once a turn. It is the flow's one
// write that may be lost: the turn goes on without.
func (t *turn) sample(ctx context.Context, b batch.Batch) {
	if t.sampled {
		return
	}
	t.sampled = true
	s := batch.Sample{At: t.Clock(), Counts: t.seen.Within(b.Counts.Total), Retrying: t.retrying}
	_, err := t.Batches.UpdateHistory(ctx, b.Ref, func(h *batch.History) error {
		h.Add(s)
		if t.review != nil {
			h.Count(t.review)
		}
		return nil
	})
	if err != nil {
		t.Log.WarnContext(ctx, "a sample of a batch's history is missing", slog.String("batch", b.ID), slog.String("error", err.Error()))
	}
}

// settle makes b's history what its requests say, each of which has its outcome.
func (t *turn) settle(ctx context.Context, b batch.Batch, review *batch.Review) error {
	_, err := t.Batches.UpdateHistory(ctx, b.Ref, func(h *batch.History) error {
		h.Settle(review, t.Clock())
		return nil
	})
	if err != nil {
		return fmt.Errorf("settle history: %w", err)
	}
	return nil
}

// reviewOf returns a review of b, which is to end by now or soon.
func reviewOf(b batch.Batch, now time.Time) *batch.Review {
	began := b.InProgressAt
	if began.IsZero() { // it was stopped while it was loaded
		began = b.CreatedAt
	}
	return batch.NewReview(began, now)
}
