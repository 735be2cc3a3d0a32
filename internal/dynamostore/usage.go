package dynamostore

import (
	"context"
	"errors"
	"fmt"

	"github.com/musketry/musketry/internal/batch"
)

// The attributes of a tenant's usage.
const (
	attrBatches   = "batches" // JSON: requests by batch
	attrCheckedAt = "checked_at"
)

func usageShape() shape[batch.Usage] {
	return shape[batch.Usage]{
		encode: encodeUsage,
		decode: decodeUsage,
		next: func(before batch.Usage, after *batch.Usage, step int64) {
			after.Tenant, after.Rev = before.Tenant, before.Rev+step
		},
	}
}

// UpdateUsage stores what change makes of a tenant's usage, which is empty at
// first, and returns it. An error of change is returned as it is, and nothing is
// written; nor is anything if change leaves the usage as it was. It returns
// batch.ErrBusy where UpdateBatch does.
func (s *Store) UpdateUsage(
	ctx context.Context, tenantName string, change func(*batch.Usage) error,
) (batch.Usage, error) {
	for range updates {
		it, err := s.get(ctx, usageKey(tenantName))
		if err != nil {
			return batch.Usage{}, err
		}
		if it != nil {
			return update(ctx, s, usageShape(), it, change)
		}
		first := batch.Usage{Tenant: tenantName}
		if err := change(&first); err != nil {
			return batch.Usage{}, err
		}
		first.Tenant, first.Rev = tenantName, 0
		if len(first.Batches) == 0 && first.CheckedAt.IsZero() {
			return first, nil
		}
		first.Rev = 1
		err = create(ctx, s, usageShape(), first)
		if err == nil || !errors.Is(err, batch.ErrExists) {
			return first, err
		}
	}

	return batch.Usage{}, fmt.Errorf("dynamostore: usage: %w", batch.ErrBusy)
}

// encodeUsage returns u's item, without the mark of a write.
func encodeUsage(u batch.Usage) (item, error) {
	it := usageKey(u.Tenant).item()
	it.setInt(attrRev, u.Rev)
	it.setTime(attrCheckedAt, u.CheckedAt)
	if len(u.Batches) == 0 {
		return it, nil
	}

	return it, it.setJSON(attrBatches, u.Batches)
}

// decodeUsage reads what encodeUsage wrote.
func decodeUsage(it item) (batch.Usage, error) {
	r := &reader{item: it}
	u := batch.Usage{
		Tenant: tenantOf(r.string(attrPK)), Rev: r.int64(attrRev), CheckedAt: r.time(attrCheckedAt),
	}
	r.json(attrBatches, &u.Batches)
	if r.err != nil {
		return batch.Usage{}, fmt.Errorf("usage of %s: %w", u.Tenant, r.err)
	}

	return u, nil
}
