package memstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/musketry/musketry/internal/tenant"
)

// PutAct keeps an act for good. It is idempotent.
func (s *Store) PutAct(ctx context.Context, a tenant.Act) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: put act: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a = a.Kept()
	s.acts[a.ID()] = a
	return nil
}

// Acts returns at most limit (at least 1) acts, newest first, that were before a time
// (all, if it is zero), and whether there are more.
func (s *Store) Acts(ctx context.Context, before time.Time, limit int) ([]tenant.Act, bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, false, fmt.Errorf("memstore: acts: %w", err)
	}
	if limit < 1 {
		return nil, false, errPage
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var acts []tenant.Act
	for id, a := range s.acts {
		if before.IsZero() || id < tenant.ActMoment(before) {
			acts = append(acts, a)
		}
	}
	slices.SortFunc(acts, func(a, b tenant.Act) int { return cmp.Compare(b.ID(), a.ID()) })
	more := len(acts) > limit
	return acts[:min(limit, len(acts))], more, nil
}
