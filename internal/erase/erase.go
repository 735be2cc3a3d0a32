package erase

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/tenant"
)

// ErrCounts says that a file is erased, and counts until files are counted next.
var ErrCounts = errors.New("it counts until the next count")

// A Files keeps files' records.
type Files interface {
	// DeleteFile returns batch.ErrBusy if f has changed, and batch.ErrNotFound if
	// it is not there.
	DeleteFile(ctx context.Context, f batch.File) error
}

// An Objects keeps bytes.
type Objects interface {
	// Delete returns nil if there is no such object.
	Delete(ctx context.Context, key string) error
	// DeleteAll deletes every object whose name begins with prefix.
	DeleteAll(ctx context.Context, prefix string) error
}

// A Quotas keeps what tenants have stored.
type Quotas interface {
	// UpdateQuota writes what change changes, if anything.
	UpdateQuota(ctx context.Context, tenantName string, change func(*tenant.Quota) error) (tenant.Quota, error)
}

// An Eraser erases files. All but Quotas are needed.
type Eraser struct {
	Files   Files
	Objects Objects
	Quotas  Quotas // nil: no file counts
	Clock   func() time.Time
}

// Erase deletes the bytes of a file that nobody sees any more and no batch needs, a
// result's segments among them, and then its record. If others are faster, the
// file is theirs to record. One whose life was over, at end, when its tenant's
// files were last counted does not count already; a zero end is none. It returns
// an ErrCounts if only the quota could not be written, and batch.ErrBusy if f has
// changed since it was read.
func (e Eraser) Erase(ctx context.Context, f batch.File, end time.Time) error {
	countedAt := e.countedAt(ctx, f.Tenant)
	if f.Batch != "" {
		if err := e.Objects.DeleteAll(ctx, batch.SegmentsKey(f.Batch)); err != nil {
			return fmt.Errorf("delete segments: %w", err)
		}
	}
	if err := e.Objects.Delete(ctx, f.ObjectKey()); err != nil {
		return fmt.Errorf("delete content: %w", err)
	}
	switch err := e.Files.DeleteFile(ctx, f); {
	case errors.Is(err, batch.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("delete the record: %w", err)
	case !end.IsZero() && !end.After(countedAt):
		return nil
	}
	return e.uncount(ctx, f, countedAt)
}

// countedAt returns when a tenant's files were last counted; the zero time if that
// is not known, and then a deletion counts from the next count on.
func (e Eraser) countedAt(ctx context.Context, tenantName string) time.Time {
	if e.Quotas == nil {
		return time.Time{}
	}
	var at time.Time
	_, _ = e.Quotas.UpdateQuota(ctx, tenantName, func(q *tenant.Quota) error {
		at = q.CountedAt
		return nil
	})
	return at
}

func (e Eraser) uncount(ctx context.Context, f batch.File, countedAt time.Time) error {
	if e.Quotas == nil {
		return nil
	}
	_, err := e.Quotas.UpdateQuota(ctx, f.Tenant, func(q *tenant.Quota) error {
		q.RemoveFile(f.ID, f.Bytes, countedAt, e.Clock())
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCounts, err)
	}
	return nil
}
