package dynamostore

import (
	"context"
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
	return updateOrCreate(ctx, s, allowanceShape(), allowanceKey(), batch.Allowance{}, change)
}

// encodeAllowance returns a's item, without the mark of a write.
func encodeAllowance(a batch.Allowance) (item, error) {
	a = a.Kept()
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
