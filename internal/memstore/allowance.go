package memstore

import (
	"context"
	"fmt"
	"reflect"

	"github.com/musketry/musketry/internal/batch"
)

// UpdateAllowance stores what change makes of the deployment's allowance, which
// is empty at first, and returns it. An error of change is returned as it is, and
// nothing is written; nor is anything if change leaves the allowance as it was.
func (s *Store) UpdateAllowance(
	ctx context.Context, change func(*batch.Allowance) error,
) (batch.Allowance, error) {
	if err := ctx.Err(); err != nil {
		return batch.Allowance{}, fmt.Errorf("memstore: update allowance: %w", err)
	}
	for {
		s.mu.Lock()
		before := s.allowance.Kept()
		s.mu.Unlock()
		changed := before.Kept()
		if err := change(&changed); err != nil {
			return batch.Allowance{}, err
		}
		after := changed.Kept()
		after.Rev = before.Rev
		if reflect.DeepEqual(before, after) {
			return before, nil
		}
		after.Rev++
		if s.swapAllowance(after) {
			return after.Kept(), nil
		}
	}
}

// swapAllowance stores a if the revision before a's is still stored.
func (s *Store) swapAllowance(a batch.Allowance) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.allowance.Rev != a.Rev-1 {
		return false
	}
	s.allowance = a
	return true
}
