package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/erase"
	"github.com/musketry/musketry/internal/tenant"
)

const (
	// erasers is how many files and uploads are erased at once.
	erasers = 8
	// expiringPage is how many entries are read at once.
	expiringPage = 100
	// patience is how long a file whose life is over waits for a batch that needs it
	// still, until it is looked at again.
	patience = time.Hour
	// partsLife is how long the bucket keeps the parts of an upload, and so how long
	// a completion that has begun can go on.
	partsLife = 48 * time.Hour
	// skew is how long after its end a file is erased at the earliest: a batch may be
	// pinning it still by the clock of another process.
	skew = time.Minute
)

// An EraseConfig is what a deployment chooses. A zero field stands for the default.
type EraseConfig struct {
	// Portion is how many files and uploads one call erases at most; 2,000.
	Portion int
	// Margin is how long before its context's deadline a call begins no more; 2 min.
	Margin time.Duration
}

// EraseDeps are what an Eraser works with.
type EraseDeps struct {
	Expiries Expiries
	Files    Files
	Uploads  Uploads
	Objects  Objects
	Quotas   Quotas
	Clock    func() time.Time
	Log      *slog.Logger
}

// An Eraser erases files and uploads whose life is over. Nobody sees them any
// more: whoever reads hides them.
type Eraser struct {
	EraseDeps

	config EraseConfig
}

// NewEraser returns an Eraser.
func NewEraser(deps EraseDeps, config EraseConfig) *Eraser {
	config.Portion = cmp.Or(config.Portion, 2_000)
	config.Margin = cmp.Or(config.Margin, 2*time.Minute)
	return &Eraser{EraseDeps: deps, config: config}
}

// Erase erases what has been over for a minute, the first first, up to a portion or until ctx's
// deadline, less the margin. What is left the next call finds, and what one call
// did not come to the end of it goes on with. One file's failure keeps no other
// from being erased; some of the errors come back together.
//
// What a crash after each write leaves:
//
//	segments, bytes, parts  the rest of them, its record, and its entry: the next call
//	the record              its entry, of nothing, and a file that counts until the next count
//	the quota               its entry, of nothing
//	the entry               nothing
func (e *Eraser) Erase(ctx context.Context) error {
	var errs []error
	var after batch.Expiring
	for n, more := 0, true; more && n < e.config.Portion && !e.short(ctx); {
		var page []batch.Expiring
		var err error
		page, more, err = e.Expiries.Expiring(ctx, e.Clock().Add(-skew), after, min(expiringPage, e.config.Portion-n))
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("sweep: list what has expired: %w", err))...)
		}
		for _, err := range e.each(ctx, page) {
			errs = noted(errs, err)
		}
		if n += len(page); len(page) > 0 {
			after = page[len(page)-1]
		}
	}
	return errors.Join(errs...)
}

// short reports whether ctx's deadline is nearer than the margin.
func (e *Eraser) short(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ok && !e.Clock().Add(e.config.Margin).Before(end)
}

// each erases a page, some at once.
func (e *Eraser) each(ctx context.Context, page []batch.Expiring) []error {
	errs := make([]error, len(page))
	var group errgroup.Group
	group.SetLimit(erasers)
	for i, x := range page {
		group.Go(func() error {
			if e.short(ctx) {
				return nil
			}
			if errs[i] = e.one(ctx, x); errs[i] != nil {
				e.Log.WarnContext(ctx, "what has expired is not erased", slog.String("id", x.ID), slog.String("error", errs[i].Error()))
			}
			return nil
		})
	}
	_ = group.Wait() // each has its own
	return errs
}

// one erases what x names, and then its entry, or looks at it again later.
func (e *Eraser) one(ctx context.Context, x batch.Expiring) error {
	work := e.file
	if _, ok := batch.ParseID(batch.PrefixUpload, x.ID); ok {
		work = e.upload
	}
	later, err := work(ctx, x)
	switch {
	case err != nil:
		return err
	case !later.IsZero():
		err = e.Expiries.Postpone(ctx, x, later)
	default:
		err = e.Expiries.RemoveExpiring(ctx, x)
	}
	if err != nil {
		return fmt.Errorf("sweep: the entry of %s: %w", x.ID, err)
	}
	return nil
}

// file erases a file, or returns when to look at it again.
func (e *Eraser) file(ctx context.Context, x batch.Expiring) (later time.Time, err error) {
	f, err := e.Files.File(ctx, x.Tenant, x.ID)
	now := e.Clock()
	switch {
	case errors.Is(err, batch.ErrNotFound): // deleted, or never made; its bytes are nobody's
		return time.Time{}, e.object(ctx, batch.FileKey(x.Tenant, x.ID))
	case err != nil:
		return time.Time{}, fmt.Errorf("sweep: read file %s: %w", x.ID, err)
	case f.ExpiresAt.IsZero():
		return time.Time{}, nil
	case now.Before(f.ExpiresAt.Add(skew)):
		return f.ExpiresAt, nil
	}
	if unfinished, err := f.Unfinished(e.find(ctx)); unfinished || err != nil {
		return now.Add(patience), err
	}
	if len(f.PinnedBy) > 0 {
		if f, err = e.unpin(ctx, f); err != nil {
			return time.Time{}, err
		}
	}
	if len(f.PinnedBy) > 0 {
		return now.Add(patience), nil
	}
	files := erase.Eraser{Files: e.Files, Objects: e.Objects, Quotas: e.Quotas, Clock: e.Clock}
	if err := files.Erase(ctx, f, f.ExpiresAt); err != nil {
		return time.Time{}, fmt.Errorf("sweep: erase file %s: %w", f.ID, err)
	}
	return time.Time{}, nil
}

// find returns how a batch is found that a file names.
func (e *Eraser) find(ctx context.Context) batch.Find {
	return func(ref batch.Ref) (batch.Batch, error) {
		b, err := e.Files.Batch(ctx, ref)
		if err != nil {
			return b, fmt.Errorf("sweep: read batch %s: %w", ref.ID, err)
		}
		return b, nil
	}
}

// unpin takes off the pins that no batch needs.
func (e *Eraser) unpin(ctx context.Context, f batch.File) (batch.File, error) {
	orphans, err := f.Orphans(e.Clock(), e.find(ctx))
	if err != nil || len(orphans) == 0 {
		return f, err
	}
	f, err = e.Files.UpdateFile(ctx, f.Tenant, f.ID, func(f *batch.File) error {
		f.Unpin(orphans...)
		return nil
	})
	if err != nil {
		return f, fmt.Errorf("sweep: unpin file %s: %w", f.ID, err)
	}
	return f, nil
}

// upload deletes an upload's parts, or returns when to look at it again: one whose
// completion has begun keeps them while it can go on.
func (e *Eraser) upload(ctx context.Context, x batch.Expiring) (later time.Time, err error) {
	u, err := e.Uploads.Upload(ctx, x.Tenant, x.ID)
	now := e.Clock()
	switch {
	case errors.Is(err, batch.ErrNotFound): // left by a crash before it was put
	case err != nil:
		return time.Time{}, fmt.Errorf("sweep: read upload %s: %w", x.ID, err)
	case u.StatusAt(now) == batch.UploadPending && now.Before(u.CreatedAt.Add(partsLife)):
		return u.CreatedAt.Add(partsLife), nil
	}
	if err := e.Objects.DeleteAll(ctx, batch.PartsKey(x.Tenant, x.ID)); err != nil {
		return time.Time{}, fmt.Errorf("sweep: delete parts of upload %s: %w", x.ID, err)
	}
	_, err = e.Quotas.UpdateQuota(ctx, x.Tenant, func(q *tenant.Quota) error {
		q.CloseUpload(x.ID)
		return nil
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("sweep: quota of upload %s: %w", x.ID, err)
	}
	return time.Time{}, nil
}

func (e *Eraser) object(ctx context.Context, key string) error {
	if err := e.Objects.Delete(ctx, key); err != nil {
		return fmt.Errorf("sweep: delete content: %w", err)
	}
	return nil
}
