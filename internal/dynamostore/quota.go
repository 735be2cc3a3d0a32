package dynamostore

import (
	"context"
	"errors"
	"fmt"

	"github.com/musketry/musketry/internal/tenant"
)

// The attributes of a tenant's quota.
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

func quotaShape() shape[tenant.Quota] {
	return shape[tenant.Quota]{
		encode: encodeQuota,
		decode: decodeQuota,
		next: func(before tenant.Quota, after *tenant.Quota, step int64) {
			after.Tenant, after.Rev = before.Tenant, before.Rev+step
		},
	}
}

// UpdateQuota stores what change makes of a tenant's quota, which is empty at
// first, and returns it. An error of change is returned as it is, and nothing is
// written; nor is anything if change leaves the quota as it was. It returns
// batch.ErrBusy where UpdateBatch does.
func (s *Store) UpdateQuota(
	ctx context.Context, tenantName string, change func(*tenant.Quota) error,
) (tenant.Quota, error) {
	return updateOrCreate(ctx, s, quotaShape(), quotaKey(tenantName), tenant.Quota{Tenant: tenantName}, change)
}

// encodeQuota returns q's item, without the mark of a write.
func encodeQuota(q tenant.Quota) (item, error) {
	it := quotaKey(q.Tenant).item()
	it.setInt(attrRev, q.Rev)
	it.setTime(attrCheckedAt, q.CheckedAt)
	it.setInt(attrFileBytes, q.FileBytes)
	it.setTime(attrCountedAt, q.CountedAt)
	it.setTime(attrMinute, q.Minute)
	it.setInt(attrCreates, int64(q.Creates))
	return it, errors.Join(
		setMap(it, attrBatches, q.Batches), setMap(it, attrChanges, q.Changes), setMap(it, attrUploads, q.Uploads))
}

// setMap stores m, unless it is empty.
func setMap[V any](it item, name string, m map[string]V) error {
	if len(m) == 0 {
		return nil
	}
	return it.setJSON(name, m)
}

// decodeQuota reads what encodeQuota wrote.
func decodeQuota(it item) (tenant.Quota, error) {
	r := &reader{item: it}
	q := tenant.Quota{
		Tenant: tenantOf(r.string(attrPK)), Rev: r.int64(attrRev), CheckedAt: r.time(attrCheckedAt),
		FileBytes: r.int64(attrFileBytes), CountedAt: r.time(attrCountedAt),
		Minute: r.time(attrMinute), Creates: r.int(attrCreates),
	}
	r.json(attrBatches, &q.Batches)
	r.json(attrChanges, &q.Changes)
	r.json(attrUploads, &q.Uploads)
	if r.err != nil {
		return tenant.Quota{}, fmt.Errorf("quota of %s: %w", q.Tenant, r.err)
	}
	return q, nil
}
