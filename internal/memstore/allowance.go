package memstore

import (
	"context"
	"errors"

	"github.com/musketry/musketry/internal/batch"
)

// UpdateAllowance stores what change makes of the deployment's allowance, which
// is empty at first, and returns it, under the rules of UpdateBatch.
func (s *Store) UpdateAllowance(
	ctx context.Context, change func(*batch.Allowance) error,
) (batch.Allowance, error) {
	return s.allowance.update(func() (batch.Allowance, error) {
		a, err := s.allowance.get(ctx, "", "")
		if errors.Is(err, batch.ErrNotFound) {
			return batch.Allowance{}, nil
		}
		return a, err
	}, change)
}

func newAllowance() *records[batch.Allowance] {
	return &records[batch.Allowance]{
		sort: "allowance", own: func(a batch.Allowance) batch.Allowance { return a.Kept() },
		id: func(a *batch.Allowance) (owner, id *string, rev *int64) { return new(string), new(string), &a.Rev },
	}
}
