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
	attrFileBytes = "file_bytes"
	attrCountedAt = "counted_at"
	attrChanges   = "changes" // JSON: changes of files by id
	attrUploads   = "uploads" // JSON: bytes by upload
	attrMinute    = "minute"
	attrCreates   = "creates"
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
	return updateOrCreate(ctx, s, usageShape(), usageKey(tenantName), batch.Usage{Tenant: tenantName}, change)
}

// encodeUsage returns u's item, without the mark of a write.
func encodeUsage(u batch.Usage) (item, error) {
	it := usageKey(u.Tenant).item()
	it.setInt(attrRev, u.Rev)
	it.setTime(attrCheckedAt, u.CheckedAt)
	it.setInt(attrFileBytes, u.FileBytes)
	it.setTime(attrCountedAt, u.CountedAt)
	it.setTime(attrMinute, u.Minute)
	it.setInt(attrCreates, int64(u.Creates))
	return it, errors.Join(
		setMap(it, attrBatches, u.Batches), setMap(it, attrChanges, u.Changes), setMap(it, attrUploads, u.Uploads))
}

// setMap stores m, unless it is empty.
func setMap[V any](it item, name string, m map[string]V) error {
	if len(m) == 0 {
		return nil
	}
	return it.setJSON(name, m)
}

// decodeUsage reads what encodeUsage wrote.
func decodeUsage(it item) (batch.Usage, error) {
	r := &reader{item: it}
	u := batch.Usage{
		Tenant: tenantOf(r.string(attrPK)), Rev: r.int64(attrRev), CheckedAt: r.time(attrCheckedAt),
		FileBytes: r.int64(attrFileBytes), CountedAt: r.time(attrCountedAt),
		Minute: r.time(attrMinute), Creates: r.int(attrCreates),
	}
	r.json(attrBatches, &u.Batches)
	r.json(attrChanges, &u.Changes)
	r.json(attrUploads, &u.Uploads)
	if r.err != nil {
		return batch.Usage{}, fmt.Errorf("usage of %s: %w", u.Tenant, r.err)
	}
	return u, nil
}
