package memstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/musketry/musketry/internal/batch"
)

// File returns a file, or batch.ErrNotFound.
func (s *Store) File(ctx context.Context, tenantName, id string) (batch.File, error) {
	return s.files.get(ctx, tenantName, id)
}

// UpdateFile does for a file what UpdateBatch does for a batch.
func (s *Store) UpdateFile(
	ctx context.Context, tenantName, id string, change func(*batch.File) error,
) (batch.File, error) {
	return s.files.update(func() (batch.File, error) { return s.File(ctx, tenantName, id) }, change)
}

// DeleteFile deletes f if it is still at f.Rev. It returns batch.ErrBusy if it
// is at another, and batch.ErrNotFound if it is not there.
func (s *Store) DeleteFile(ctx context.Context, f batch.File) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: delete file: %w", err)
	}
	s.files.mu.Lock()
	defer s.files.mu.Unlock()
	stored, ok := s.files.all[f.Tenant][f.ID]
	if !ok {
		return fmt.Errorf("memstore: file %s: %w", f.ID, batch.ErrNotFound)
	}
	if stored.Rev != f.Rev {
		return fmt.Errorf("memstore: file %s has changed: %w", f.ID, batch.ErrBusy)
	}
	delete(s.files.all[f.Tenant], f.ID)
	return nil
}

// Files returns the page of a tenant's files that q asks for, and whether
// there are more after it.
func (s *Store) Files(
	ctx context.Context, tenantName string, q batch.FileQuery,
) ([]batch.File, bool, error) {
	order := newestFirst
	if q.Oldest {
		order = cmp.Compare[string]
	}
	return s.files.page(ctx, tenantName, q.Limit, order, func(f *batch.File) bool {
		return (q.Purpose == "" || q.Purpose == f.Purpose) && (q.After == "" || order(f.ID, q.After) > 0)
	})
}

func newFileRecords() *records[batch.File] {
	return &records[batch.File]{sort: "file", own: copyFile, id: func(f *batch.File) (owner, id *string, rev *int64) {
		return &f.Tenant, &f.ID, &f.Rev
	}}
}

// copyFile returns f with memory and times of its own, as stores keep them.
func copyFile(f batch.File) batch.File {
	f.PinnedBy = slices.Clone(f.PinnedBy)
	f.CreatedAt, f.ExpiresAt = stamp(f.CreatedAt), stamp(f.ExpiresAt)
	return f
}
