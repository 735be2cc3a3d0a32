package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/tenant"
)

const (
	// countPause is the least time between two counts of a tenant's files, each
	// of which reads all their records.
	countPause = time.Minute
	// compactAt is at how many changes since the last count files are counted
	// again, so that the record stays small.
	compactAt = 100
	// countPage is how many files' records are read at once.
	countPage = 1000
	// mostSwept is how many uploads, whose life is over, one count looks at,
	// sweepers of them at once.
	mostSwept = 100
	sweepers  = 8
)

// errCount says that a tenant's files must be counted first.
var errCount = errors.New("api: the tenant's files must be counted")

// A QuotaStore keeps the quotas of tenants.
type QuotaStore interface {
	// UpdateQuota writes what change changes, if anything, and returns change's
	// own error as it is. It returns batch.ErrBusy if others write it all the
	// time.
	UpdateQuota(ctx context.Context, tenantName string, change func(*tenant.Quota) error) (tenant.Quota, error)
}

// bounded reports whether anything that the API creates is.
func (a *api) bounded() bool {
	l := a.config.Limits
	return l.Bytes > 0 || l.Uploads > 0 || l.Creates > 0
}

// admit records what change records of a create, before it is made. It returns
// change's *tenant.LimitError if that would break a limit. Who meets a limit
// counts what there is: uploads and files whose life is over count no more, and
// nor does what a crash left behind. Erasing is the sweep's, which takes longer
// than a request has.
func (a *api) admit(ctx context.Context, tenantName string, change func(*tenant.Quota) error) error {
	if !a.bounded() {
		return nil
	}
	now, seen := a.Clock(), tenant.Quota{}
	_, err := a.Quotas.UpdateQuota(ctx, tenantName, func(q *tenant.Quota) error {
		seen = *q
		if a.stale(q, now) {
			return errCount
		}
		return change(q)
	})
	if err != nil && a.countable(err, seen, now) {
		if err := a.count(ctx, seen, now); err != nil {
			return err
		}
		_, err = a.Quotas.UpdateQuota(ctx, tenantName, change)
	}
	if err != nil {
		return fmt.Errorf("api: admit: %w", err)
	}
	return nil
}

// stale reports whether q must be counted before it says what is stored.
func (a *api) stale(q *tenant.Quota, now time.Time) bool {
	if a.config.Limits.Bytes == 0 {
		return false
	}
	return !q.Counted() || len(q.Changes) >= compactAt && now.Sub(q.CountedAt) >= countPause
}

// countable reports whether a count may mend err.
func (a *api) countable(err error, seen tenant.Quota, now time.Time) bool {
	limit, met := errors.AsType[*tenant.LimitError](err)
	switch {
	case errors.Is(err, errCount):
		return true
	case !met, limit.Of != tenant.LimitBytes && limit.Of != tenant.LimitUploads:
		return false
	case limit.Of == tenant.LimitBytes && now.Sub(seen.CountedAt) >= countPause:
		return true
	}
	return len(overdue(seen, now)) > 0
}

// overdue returns the uploads of q whose life is over, mostSwept at most.
func overdue(q tenant.Quota, now time.Time) []string {
	var ids []string
	for id := range q.Uploads {
		created, ok := batch.ParseID(batch.PrefixUpload, id)
		if (!ok || now.Sub(created) >= batch.UploadLife) && len(ids) < mostSwept {
			ids = append(ids, id)
		}
	}
	return ids
}

// count holds what was seen of a tenant's quota against what there is.
func (a *api) count(ctx context.Context, seen tenant.Quota, now time.Time) error {
	closed, err := a.over(ctx, seen, now)
	if err != nil {
		return err
	}
	var files map[string]int64
	counts := a.config.Limits.Bytes > 0 && now.Sub(seen.CountedAt) >= countPause
	if counts {
		if files, err = a.tally(ctx, seen.Tenant, now); err != nil {
			return err
		}
	}
	_, err = a.Quotas.UpdateQuota(ctx, seen.Tenant, func(q *tenant.Quota) error {
		for _, id := range closed {
			q.CloseUpload(id)
		}
		if counts {
			q.Recount(files, seen.CountedAt, now)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("api: record the count: %w", err)
	}
	return nil
}

// over returns the uploads whose life is over. One whose completion has begun
// counts while the bucket has its parts.
func (a *api) over(ctx context.Context, seen tenant.Quota, now time.Time) ([]string, error) {
	var (
		mu     sync.Mutex
		closed []string
	)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sweepers)
	for _, id := range overdue(seen, now) {
		group.Go(func() error {
			u, err := a.Uploads.Upload(ctx, seen.Tenant, id)
			switch {
			case errors.Is(err, batch.ErrNotFound): // left by a crash before it was put
			case err != nil:
				return fmt.Errorf("api: read an upload: %w", err)
			case u.StatusAt(now) == batch.UploadPending && now.Sub(u.CreatedAt) < partsLife:
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			closed = append(closed, id)
			return nil
		})
	}
	return closed, group.Wait()
}

// partsLife is how long the bucket keeps the parts of an upload.
const partsLife = 48 * time.Hour

// tally returns the bytes of a tenant's files by id, of those whose life is not
// over.
func (a *api) tally(ctx context.Context, tenantName string, now time.Time) (map[string]int64, error) {
	files := map[string]int64{}
	for q, more := (batch.FileQuery{Limit: countPage, Oldest: true}), true; more; {
		page, rest, err := a.Files.Files(ctx, tenantName, q)
		if err != nil {
			return nil, fmt.Errorf("api: count files: %w", err)
		}
		for _, f := range page {
			if !f.Expired(now) {
				files[f.ID] = f.Bytes
			}
			q.After = f.ID
		}
		more = rest && len(page) > 0
	}
	return files, nil
}

// errLook ends an update that only reads.
var errLook = errors.New("api: nothing is to be written")

// quota reads a tenant's quota, and writes nothing.
func (a *api) quota(ctx context.Context, tenantName string) (tenant.Quota, error) {
	var seen tenant.Quota
	_, err := a.Quotas.UpdateQuota(ctx, tenantName, func(q *tenant.Quota) error {
		seen = *q
		return errLook
	})
	if err != nil && !errors.Is(err, errLook) {
		return tenant.Quota{}, fmt.Errorf("api: read the quota: %w", err)
	}
	return seen, nil
}

// updateQuota records what becomes of what was admitted. Nothing waits for that: what
// it leaves behind is found by the next count, and counts until then.
func (a *api) updateQuota(ctx context.Context, tenantName string, change func(*tenant.Quota)) {
	if !a.bounded() {
		return
	}
	_, err := a.Quotas.UpdateQuota(ctx, tenantName, func(q *tenant.Quota) error {
		change(q)
		return nil
	})
	if err != nil {
		a.leftBehind(ctx, tenantName, err)
	}
}

func (a *api) leftBehind(ctx context.Context, tenantName string, err error) {
	a.Logger.LogAttrs(ctx, slog.LevelWarn, "quota left behind",
		slog.String("tenant", tenantName), slog.String("error", err.Error()))
}

// admitBatch admits a batch: its results will be stored, so there must be room,
// and for a retry room for the lines of its own.
func (a *api) admitBatch(ctx context.Context, o batch.Order) error {
	bytes := int64(0)
	if o.RetryOf != "" && a.config.Limits.Bytes > 0 {
		f, err := a.Files.File(ctx, o.Tenant, o.InputFileID)
		if err != nil && !errors.Is(err, batch.ErrNotFound) { // the Acceptor says so
			return fmt.Errorf("api: read file: %w", err)
		}
		bytes = f.Bytes
	}
	return a.admit(ctx, o.Tenant, func(q *tenant.Quota) error {
		if err := q.CheckBytes(bytes, a.config.Limits); err != nil {
			return err
		}
		return q.CountCreate(a.Clock(), a.config.Limits)
	})
}
