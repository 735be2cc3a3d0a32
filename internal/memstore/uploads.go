package memstore

import (
	"context"
	"fmt"
	"reflect"

	"github.com/musketry/musketry/internal/batch"
)

// CreateUpload stores u as its first revision, or returns batch.ErrExists.
func (s *Store) CreateUpload(ctx context.Context, u batch.Upload) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: create upload: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.uploads[u.Tenant][u.ID]; ok {
		return fmt.Errorf("memstore: upload %s: %w", u.ID, batch.ErrExists)
	}
	if s.uploads[u.Tenant] == nil {
		s.uploads[u.Tenant] = map[string]batch.Upload{}
	}
	u = copyUpload(u)
	u.Rev = 1
	s.uploads[u.Tenant][u.ID] = u
	return nil
}

// Upload returns an upload, or batch.ErrNotFound.
func (s *Store) Upload(ctx context.Context, tenantName, id string) (batch.Upload, error) {
	if err := ctx.Err(); err != nil {
		return batch.Upload{}, fmt.Errorf("memstore: upload: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.uploads[tenantName][id]
	if !ok {
		return batch.Upload{}, fmt.Errorf("memstore: upload %s: %w", id, batch.ErrNotFound)
	}
	return copyUpload(u), nil
}

// UpdateUpload stores what change makes of an upload and returns it, under the
// rules of UpdateBatch.
func (s *Store) UpdateUpload(
	ctx context.Context, tenantName, id string, change func(*batch.Upload) error,
) (batch.Upload, error) {
	for {
		before, err := s.Upload(ctx, tenantName, id)
		if err != nil {
			return batch.Upload{}, err
		}
		changed := copyUpload(before)
		if err := change(&changed); err != nil {
			return batch.Upload{}, err
		}
		after := copyUpload(changed) // change may have kept its pointer
		after.Tenant, after.ID, after.Rev = before.Tenant, before.ID, before.Rev
		if reflect.DeepEqual(before, after) {
			return before, nil
		}
		after.Rev++
		if s.swapUpload(before.Rev, after) {
			return copyUpload(after), nil
		}
	}
}

// swapUpload stores u if the stored revision is still rev.
func (s *Store) swapUpload(rev int64, u batch.Upload) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uploads[u.Tenant][u.ID].Rev != rev {
		return false
	}
	s.uploads[u.Tenant][u.ID] = u
	return true
}

// copyUpload returns u with memory and times of its own, as stores keep them.
func copyUpload(u batch.Upload) batch.Upload {
	u.CreatedAt, u.TakenAt = stamp(u.CreatedAt), stamp(u.TakenAt)
	return u
}
