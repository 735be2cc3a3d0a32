package memstore

import (
	"context"
	"maps"
	"slices"

	"github.com/musketry/musketry/internal/batch"
)

// CreateBatch stores b as its first revision, or returns batch.ErrExists.
func (s *Store) CreateBatch(ctx context.Context, b batch.Batch) error {
	return s.batches.create(ctx, b)
}

// Batch returns a batch, or batch.ErrNotFound.
func (s *Store) Batch(ctx context.Context, ref batch.Ref) (batch.Batch, error) {
	return s.batches.get(ctx, ref.Tenant, ref.ID)
}

// UpdateBatch stores what change makes of a batch and returns it. An error of
// change is returned as it is, and nothing is written; nor is anything if
// change leaves the batch as it was. It returns batch.ErrNotFound if there is
// no such batch. change may be called more than once and must not call s.
func (s *Store) UpdateBatch(
	ctx context.Context, ref batch.Ref, change func(*batch.Batch) error,
) (batch.Batch, error) {
	return s.batches.update(func() (batch.Batch, error) { return s.Batch(ctx, ref) }, change)
}

// Batches returns at most limit (at least 1) of a tenant's batches, newest
// first, that come after the batch named after (from the newest, if empty),
// and whether there are more.
func (s *Store) Batches(
	ctx context.Context, tenantName, after string, limit int,
) ([]batch.Batch, bool, error) {
	return s.batches.page(ctx, tenantName, limit, newestFirst, func(b *batch.Batch) bool {
		return after == "" || b.ID < after
	})
}

func newBatches() *records[batch.Batch] {
	return &records[batch.Batch]{sort: "batch", own: copyBatch, id: func(b *batch.Batch) (owner, id *string, rev *int64) {
		return &b.Tenant, &b.ID, &b.Rev
	}}
}

// copyBatch returns b with memory and times of its own, as stores keep them.
func copyBatch(b batch.Batch) batch.Batch {
	b.Metadata = maps.Clone(b.Metadata)
	b.Errors = slices.Clone(b.Errors)
	b.Policy.Retryable = slices.Clone(b.Policy.Retryable)
	b.WriteOut.Output.Parts = slices.Clone(b.WriteOut.Output.Parts)
	b.WriteOut.Error.Parts = slices.Clone(b.WriteOut.Error.Parts)
	b.Gather.File.Parts = slices.Clone(b.Gather.File.Parts)
	b.Models = slices.Clone(b.Models)
	b.CanceledLines = slices.Clone(b.CanceledLines)
	b.CreatedAt, b.Deadline = stamp(b.CreatedAt), stamp(b.Deadline)
	b.InProgressAt, b.FinalizingAt = stamp(b.InProgressAt), stamp(b.FinalizingAt)
	b.CompletedAt, b.FailedAt = stamp(b.CompletedAt), stamp(b.FailedAt)
	b.ExpiredAt = stamp(b.ExpiredAt)
	b.CancelingAt, b.CanceledAt = stamp(b.CancelingAt), stamp(b.CanceledAt)
	b.FailingSince = stamp(b.FailingSince)
	b.RecountAt, b.RecountedAt = stamp(b.RecountAt), stamp(b.RecountedAt)
	b.Reconciled = b.Reconciled.Kept()
	return b
}
