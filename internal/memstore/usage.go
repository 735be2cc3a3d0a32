package memstore

import (
	"context"
	"fmt"
	"maps"
	"reflect"

	"github.com/musketry/musketry/internal/batch"
)

// UpdateUsage stores what change makes of a tenant's usage, which is empty at
// first, and returns it. An error of change is returned as it is, and nothing is
// written; nor is anything if change leaves the usage as it was.
func (s *Store) UpdateUsage(
	ctx context.Context, tenantName string, change func(*batch.Usage) error,
) (batch.Usage, error) {
	if err := ctx.Err(); err != nil {
		return batch.Usage{}, fmt.Errorf("memstore: update usage: %w", err)
	}
	for {
		before := s.usage(tenantName)
		changed := copyUsage(before)
		if err := change(&changed); err != nil {
			return batch.Usage{}, err
		}
		after := copyUsage(changed)
		after.Tenant, after.Rev = tenantName, before.Rev
		if reflect.DeepEqual(before, after) {
			return before, nil
		}
		after.Rev++
		if s.swapUsage(after) {
			return copyUsage(after), nil
		}
	}
}

func (s *Store) usage(tenantName string) batch.Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := copyUsage(s.usages[tenantName])
	u.Tenant = tenantName
	return u
}

// swapUsage stores u if the revision before u's is still stored.
func (s *Store) swapUsage(u batch.Usage) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.usages[u.Tenant].Rev != u.Rev-1 {
		return false
	}
	s.usages[u.Tenant] = u
	return true
}

// copyUsage returns u with memory and times of its own, as stores keep them: an
// empty map is none.
func copyUsage(u batch.Usage) batch.Usage {
	u.Batches, u.Changes, u.Uploads = copyMap(u.Batches), copyMap(u.Changes), copyMap(u.Uploads)
	u.CheckedAt, u.CountedAt, u.Minute = stamp(u.CheckedAt), stamp(u.CountedAt), stamp(u.Minute)
	return u
}

func copyMap[V any](m map[string]V) map[string]V {
	if len(m) == 0 {
		return nil
	}
	return maps.Clone(m)
}
