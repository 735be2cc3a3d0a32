package memstore

import (
	"context"

	"github.com/musketry/musketry/internal/batch"
)

// Upload returns an upload, or batch.ErrNotFound.
func (s *Store) Upload(ctx context.Context, tenantName, id string) (batch.Upload, error) {
	return s.uploads.get(ctx, tenantName, id)
}

// UpdateUpload does for an upload what UpdateBatch does for a batch.
func (s *Store) UpdateUpload(
	ctx context.Context, tenantName, id string, change func(*batch.Upload) error,
) (batch.Upload, error) {
	return s.uploads.update(func() (batch.Upload, error) { return s.Upload(ctx, tenantName, id) }, change)
}

func newUploads() *records[batch.Upload] {
	return &records[batch.Upload]{sort: "upload", own: copyUpload, id: func(u *batch.Upload) (owner, id *string, rev *int64) {
		return &u.Tenant, &u.ID, &u.Rev
	}}
}

// copyUpload returns u with times of its own, as stores keep them.
func copyUpload(u batch.Upload) batch.Upload {
	u.CreatedAt, u.ReservedAt, u.JoinedUntil = stamp(u.CreatedAt), stamp(u.ReservedAt), stamp(u.JoinedUntil)
	return u
}
