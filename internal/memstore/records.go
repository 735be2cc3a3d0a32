package memstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/musketry/musketry/internal/batch"
)

// errPage reports a page of no lines, which could never end a listing.
var errPage = errors.New("memstore: a page has at least one entry")

// CreateBatch stores b as its first revision, or returns batch.ErrExists.
func (s *Store) CreateBatch(ctx context.Context, b batch.Batch) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: create batch: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.batches[b.Tenant][b.ID]; ok {
		return fmt.Errorf("memstore: batch %s: %w", b.ID, batch.ErrExists)
	}
	if s.batches[b.Tenant] == nil {
		s.batches[b.Tenant] = map[string]batch.Batch{}
	}
	b = copyBatch(b)
	b.Rev = 1
	s.batches[b.Tenant][b.ID] = b
	return nil
}

// Batch returns a batch, or batch.ErrNotFound.
func (s *Store) Batch(ctx context.Context, ref batch.Ref) (batch.Batch, error) {
	if err := ctx.Err(); err != nil {
		return batch.Batch{}, fmt.Errorf("memstore: batch: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.batches[ref.Tenant][ref.ID]
	if !ok {
		return batch.Batch{}, fmt.Errorf("memstore: batch %s: %w", ref.ID, batch.ErrNotFound)
	}
	return copyBatch(b), nil
}

// UpdateBatch stores what change makes of a batch and returns it. An error of
// change is returned as it is, and nothing is written; nor is anything if
// change leaves the batch as it was. It returns batch.ErrNotFound if there is
// no such batch. change may be called more than once and must not call s.
func (s *Store) UpdateBatch(
	ctx context.Context, ref batch.Ref, change func(*batch.Batch) error,
) (batch.Batch, error) {
	for {
		before, err := s.Batch(ctx, ref)
		if err != nil {
			return batch.Batch{}, err
		}
		changed := copyBatch(before)
		if err := change(&changed); err != nil {
			return batch.Batch{}, err
		}
		after := copyBatch(changed) // change may have kept its pointer
		after.Ref, after.Rev = before.Ref, before.Rev
		if reflect.DeepEqual(before, after) {
			return before, nil
		}
		after.Rev++
		if s.swapBatch(before.Rev, after) {
			return copyBatch(after), nil
		}
	}
}

// swapBatch stores b if the stored revision is still rev.
func (s *Store) swapBatch(rev int64, b batch.Batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.batches[b.Tenant][b.ID].Rev != rev {
		return false
	}
	s.batches[b.Tenant][b.ID] = b
	return true
}

// Batches returns at most limit (at least 1) of a tenant's batches, newest
// first, that come after the batch named after (from the newest, if empty),
// and whether there are more.
func (s *Store) Batches(
	ctx context.Context, tenantName, after string, limit int,
) ([]batch.Batch, bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, false, fmt.Errorf("memstore: batches: %w", err)
	}
	if limit < 1 {
		return nil, false, errPage
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var page []batch.Batch
	for id, b := range s.batches[tenantName] {
		if after == "" || id < after {
			page = append(page, copyBatch(b))
		}
	}
	slices.SortFunc(page, func(a, b batch.Batch) int { return cmp.Compare(b.ID, a.ID) })
	more := len(page) > limit
	return page[:min(limit, len(page))], more, nil
}

// CreateFile stores f as its first revision, or returns batch.ErrExists.
func (s *Store) CreateFile(ctx context.Context, f batch.File) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: create file: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.files[f.Tenant][f.ID]; ok {
		return fmt.Errorf("memstore: file %s: %w", f.ID, batch.ErrExists)
	}
	if s.files[f.Tenant] == nil {
		s.files[f.Tenant] = map[string]batch.File{}
	}
	f = copyFile(f)
	f.Rev = 1
	s.files[f.Tenant][f.ID] = f
	return nil
}

// File returns a file, or batch.ErrNotFound.
func (s *Store) File(ctx context.Context, tenantName, id string) (batch.File, error) {
	if err := ctx.Err(); err != nil {
		return batch.File{}, fmt.Errorf("memstore: file: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.files[tenantName][id]
	if !ok {
		return batch.File{}, fmt.Errorf("memstore: file %s: %w", id, batch.ErrNotFound)
	}
	return copyFile(f), nil
}

// UpdateFile does for a file what UpdateBatch does for a batch.
func (s *Store) UpdateFile(
	ctx context.Context, tenantName, id string, change func(*batch.File) error,
) (batch.File, error) {
	for {
		before, err := s.File(ctx, tenantName, id)
		if err != nil {
			return batch.File{}, err
		}
		changed := copyFile(before)
		if err := change(&changed); err != nil {
			return batch.File{}, err
		}
		after := copyFile(changed) // change may have kept its pointer
		after.Tenant, after.ID, after.Rev = before.Tenant, before.ID, before.Rev
		if reflect.DeepEqual(before, after) {
			return before, nil
		}
		after.Rev++
		if s.swapFile(before.Rev, after) {
			return copyFile(after), nil
		}
	}
}

// swapFile stores f if the stored revision is still rev.
func (s *Store) swapFile(rev int64, f batch.File) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files[f.Tenant][f.ID].Rev != rev {
		return false
	}
	s.files[f.Tenant][f.ID] = f
	return true
}

// DeleteFile deletes f if it is still at f.Rev. It returns batch.ErrBusy if it
// is at another, and batch.ErrNotFound if it is not there.
func (s *Store) DeleteFile(ctx context.Context, f batch.File) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: delete file: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, ok := s.files[f.Tenant][f.ID]
	if !ok {
		return fmt.Errorf("memstore: file %s: %w", f.ID, batch.ErrNotFound)
	}
	if stored.Rev != f.Rev {
		return fmt.Errorf("memstore: file %s has changed: %w", f.ID, batch.ErrBusy)
	}
	delete(s.files[f.Tenant], f.ID)
	return nil
}

// Files returns the page of a tenant's files that q asks for, and whether
// there are more after it.
func (s *Store) Files(
	ctx context.Context, tenantName string, q batch.FileQuery,
) ([]batch.File, bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, false, fmt.Errorf("memstore: files: %w", err)
	}
	if q.Limit < 1 {
		return nil, false, errPage
	}
	order := func(a, b string) int { return cmp.Compare(b, a) }
	if q.Oldest {
		order = cmp.Compare[string]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var page []batch.File
	for id, f := range s.files[tenantName] {
		if (q.Purpose == "" || q.Purpose == f.Purpose) && (q.After == "" || order(id, q.After) > 0) {
			page = append(page, copyFile(f))
		}
	}
	slices.SortFunc(page, func(a, b batch.File) int { return order(a.ID, b.ID) })
	more := len(page) > q.Limit
	return page[:min(q.Limit, len(page))], more, nil
}

// copyBatch returns b with memory and times of its own, as stores keep them.
func copyBatch(b batch.Batch) batch.Batch {
	b.Metadata = maps.Clone(b.Metadata)
	b.Errors = slices.Clone(b.Errors)
	b.Policy.Retryable = slices.Clone(b.Policy.Retryable)
	b.WriteOut.Output.Parts = slices.Clone(b.WriteOut.Output.Parts)
	b.WriteOut.Error.Parts = slices.Clone(b.WriteOut.Error.Parts)
	b.Gather.File.Parts = slices.Clone(b.Gather.File.Parts)
	b.Stopped = slices.Clone(b.Stopped)
	b.CreatedAt, b.Deadline = stamp(b.CreatedAt), stamp(b.Deadline)
	b.InProgressAt, b.FinalizingAt = stamp(b.InProgressAt), stamp(b.FinalizingAt)
	b.CompletedAt, b.FailedAt = stamp(b.CompletedAt), stamp(b.FailedAt)
	b.ExpiredAt = stamp(b.ExpiredAt)
	b.CancelingAt, b.CanceledAt = stamp(b.CancelingAt), stamp(b.CanceledAt)
	b.GivenUpAt = stamp(b.GivenUpAt)
	b.RecountAt, b.RecountedAt = stamp(b.RecountAt), stamp(b.RecountedAt)
	b.Reconciled = b.Reconciled.Kept()
	return b
}

// copyFile returns f with memory and times of its own, as stores keep them.
func copyFile(f batch.File) batch.File {
	f.Users = slices.Clone(f.Users)
	f.CreatedAt, f.ExpiresAt = stamp(f.CreatedAt), stamp(f.ExpiresAt)
	return f
}
