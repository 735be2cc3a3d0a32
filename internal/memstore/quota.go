package memstore

import (
	"context"
	"fmt"
	"maps"
	"reflect"

	"github.com/musketry/musketry/internal/tenant"
)

// UpdateQuota stores what change makes of a tenant's quota, which is empty at
// first, and returns it. An error of change is returned as it is, and nothing is
// written; nor is anything if change leaves the quota as it was.
func (s *Store) UpdateQuota(
	ctx context.Context, tenantName string, change func(*tenant.Quota) error,
) (tenant.Quota, error) {
	if err := ctx.Err(); err != nil {
		return tenant.Quota{}, fmt.Errorf("memstore: update quota: %w", err)
	}
	for {
		before := s.quota(tenantName)
		changed := copyQuota(before)
		if err := change(&changed); err != nil {
			return tenant.Quota{}, err
		}
		after := copyQuota(changed)
		after.Tenant, after.Rev = tenantName, before.Rev
		if reflect.DeepEqual(before, after) {
			return before, nil
		}
		after.Rev++
		if s.swapQuota(after) {
			return copyQuota(after), nil
		}
	}
}

func (s *Store) quota(tenantName string) tenant.Quota {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := copyQuota(s.quotas[tenantName])
	q.Tenant = tenantName
	return q
}

// swapQuota stores q if the revision before q's is still stored.
func (s *Store) swapQuota(q tenant.Quota) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quotas[q.Tenant].Rev != q.Rev-1 {
		return false
	}
	s.quotas[q.Tenant] = q
	return true
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
