package memstore

import (
	"context"
	"errors"

	"github.com/musketry/musketry/internal/batch"
)

// History returns a batch's history, which is empty at first.
func (s *Store) History(ctx context.Context, ref batch.Ref) (batch.History, error) {
	h, err := s.histories.get(ctx, ref.Tenant, ref.ID)
	if errors.Is(err, batch.ErrNotFound) {
		return batch.History{Ref: ref}, nil
	}
	return h, err
}

// UpdateHistory stores what change makes of a batch's history, which is empty at
// first, and returns it, under the rules of UpdateBatch.
func (s *Store) UpdateHistory(
	ctx context.Context, ref batch.Ref, change func(*batch.History) error,
) (batch.History, error) {
	return s.histories.update(func() (batch.History, error) { return s.History(ctx, ref) }, change)
}

func newHistories() *records[batch.History] {
	return &records[batch.History]{
		sort: "history", own: batch.History.Kept,
		id: func(h *batch.History) (owner, id *string, rev *int64) { return &h.Tenant, &h.ID, &h.Rev },
	}
}
