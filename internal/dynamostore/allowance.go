package dynamostore

import (
	"context"
	"errors"
	"fmt"

	"github.com/musketry/musketry/internal/batch"
)

// attrGrants is what an allowance has granted: JSON, by batch.
const attrGrants = "grants"

func allowanceShape() shape[batch.Allowance] {
	return shape[batch.Allowance]{
		encode: encodeAllowance,
		decode: decodeAllowance,
		next: func(before batch.Allowance, after *batch.Allowance, step int64) {
			after.Rev = before.Rev + step
		},
	}
}

// UpdateAllowance stores what change makes of the deployment's allowance, which
// is empty at first, and returns it. An error of change is returned as it is, and
// nothing is written; nor is anything if change leaves the allowance as it was. It
// returns batch.ErrBusy where UpdateBatch does.
func (s *Store) UpdateAllowance(
	ctx context.Context, change func(*batch.Allowance) error,
) (batch.Allowance, error) {
	for range updates {
		it, err := s.get(ctx, allowanceKey())
		if err != nil {
			return batch.Allowance{}, err
		}
		if it != nil {
			return update(ctx, s, allowanceShape(), it, change)
		}
		var first batch.Allowance
		if err := change(&first); err != nil {
			return batch.Allowance{}, err
		}
		if first.Rev = 0; len(first.Grants) == 0 && first.CheckedAt.IsZero() {
			return first, nil
		}
		first.Rev = 1
		err = create(ctx, s, allowanceShape(), first)
		if err == nil || !errors.Is(err, batch.ErrExists) {
			return first, err
		}
	}

	return batch.Allowance{}, fmt.Errorf("dynamostore: allowance: %w", batch.ErrBusy)
}

// encodeAllowance returns a's item, without the mark of a write.
func encodeAllowance(a batch.Allowance) (item, error) {
	it := allowanceKey().item()
	it.setInt(attrRev, a.Rev)
	it.setTime(attrCheckedAt, a.CheckedAt)
	if len(a.Grants) == 0 {
		return it, nil
	}

	return it, it.setJSON(attrGrants, a.Grants)
}

// decodeAllowance reads what encodeAllowance wrote.
func decodeAllowance(it item) (batch.Allowance, error) {
	r := &reader{item: it}
	a := batch.Allowance{Rev: r.int64(attrRev), CheckedAt: r.time(attrCheckedAt)}
	r.json(attrGrants, &a.Grants)
	if r.err != nil {
		return batch.Allowance{}, fmt.Errorf("allowance: %w", r.err)
	}

	return a, nil
}
