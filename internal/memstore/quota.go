package memstore

import (
	"context"
	"errors"
	"maps"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/tenant"
)

// UpdateQuota stores what change makes of a tenant's quota, which is empty at
// first, and returns it, under the rules of UpdateBatch.
func (s *Store) UpdateQuota(
	ctx context.Context, tenantName string, change func(*tenant.Quota) error,
) (tenant.Quota, error) {
	return s.quotas.update(func() (tenant.Quota, error) {
		q, err := s.quotas.get(ctx, tenantName, "")
		if errors.Is(err, batch.ErrNotFound) {
			return tenant.Quota{Tenant: tenantName}, nil
		}
		return q, err
	}, change)
}

func newQuotas() *records[tenant.Quota] {
	return &records[tenant.Quota]{sort: "quota", own: copyQuota, id: func(q *tenant.Quota) (owner, id *string, rev *int64) {
		return &q.Tenant, new(string), &q.Rev
	}}
}

// copyQuota returns q with memory and times of its own, as stores keep them: an
// empty map is none.
func copyQuota(q tenant.Quota) tenant.Quota {
	q.Batches, q.Changes, q.Uploads = copyMap(q.Batches), copyMap(q.Changes), copyMap(q.Uploads)
	q.CheckedAt, q.CountedAt, q.Minute = stamp(q.CheckedAt), stamp(q.CountedAt), stamp(q.Minute)
	return q
}

func copyMap[V any](m map[string]V) map[string]V {
	if len(m) == 0 {
		return nil
	}
	return maps.Clone(m)
}
