package memstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// CreateFile stores f as its first revision, or returns batch.ErrExists.
func (s *Store) CreateFile(ctx context.Context, f batch.File) error {
	if ctx.Err() == nil && !f.ExpiresAt.IsZero() {
		s.expires(batch.NewExpiring(f.Tenant, f.ID, f.ExpiresAt))
	}
	return s.files.create(ctx, f)
}

// CreateUpload stores u as its first revision, or returns batch.ErrExists.
func (s *Store) CreateUpload(ctx context.Context, u batch.Upload) error {
	if ctx.Err() == nil {
		s.expires(batch.NewExpiring(u.Tenant, u.ID, u.ExpiresAt()))
	}
	return s.uploads.create(ctx, u)
}

// expires enters what will expire, before what it names, as a store does that may
// die in between.
func (s *Store) expires(e batch.Expiring) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, there := slices.BinarySearchFunc(s.expiring, e, compareExpiring); !there {
		s.expiring = slices.Insert(s.expiring, at, e)
	}
}

// Expiring returns at most limit (at least 1) of those whose end has come by now,
// the first first, that come after the one given, and whether there are more.
func (s *Store) Expiring(
	ctx context.Context, now time.Time, after batch.Expiring, limit int,
) ([]batch.Expiring, bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, false, fmt.Errorf("memstore: expiring: %w", err)
	}
	if limit < 1 {
		return nil, false, errPage
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	page := []batch.Expiring{}
	for _, e := range s.expiring {
		switch {
		case e.At.After(now), after.ID != "" && compareExpiring(e, after) <= 0:
		case len(page) == limit:
			return page, true, nil
		default:
			page = append(page, e)
		}
	}
	return page, false, nil
}

// Postpone has e end at another instant.
func (s *Store) Postpone(ctx context.Context, e batch.Expiring, at time.Time) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: postpone: %w", err)
	}
	later := batch.NewExpiring(e.Tenant, e.ID, at)
	if later == e {
		return nil
	}
	s.expires(later)
	return s.RemoveExpiring(ctx, e)
}

// RemoveExpiring forgets e. One that is not there is no error.
func (s *Store) RemoveExpiring(ctx context.Context, e batch.Expiring) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: remove expiring: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expiring = slices.DeleteFunc(s.expiring, func(o batch.Expiring) bool { return compareExpiring(o, e) == 0 })
	return nil
}

func compareExpiring(a, b batch.Expiring) int {
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.ID, b.ID))
}
