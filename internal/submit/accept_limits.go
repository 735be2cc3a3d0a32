package submit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/tenant"
)

const (
	// quotaGrace is how long a recorded batch may be without its record:
	// acceptance takes seconds, and an older one was left by a crash.
	quotaGrace = 10 * time.Minute
	// quotaPause is the least time between two checks of a tenant's quota, each
	// of which reads all its unfinished batches.
	quotaPause = time.Minute
	// quotaReaders is how many of them are read at once.
	quotaReaders = 16
)

// countBatch records b, whose input file has so many bytes, among its tenant's
// unfinished batches. It returns a *tenant.LimitError if that would break a
// limit; what a crash left behind does not count.
//
// Until its lines are counted, b counts as many requests as its file can have,
// so that no burst of batches passes a limit.
func (a *Acceptor) countBatch(ctx context.Context, b batch.Batch, bytes int64) error {
	if a.config.Limits.None() {
		return nil
	}
	var seen tenant.Quota
	now := a.Clock()
	most := batch.MostRequests(bytes, a.config.MaxRequests)
	_, err := a.Store.UpdateQuota(ctx, b.Tenant, func(q *tenant.Quota) error {
		seen = *q
		return q.AddBatch(b.ID, most, a.config.Limits)
	})
	var limit *tenant.LimitError
	if !errors.As(err, &limit) || now.Sub(seen.CheckedAt) < quotaPause {
		return wrapCount(err)
	}
	checked, err := a.checked(ctx, seen, now)
	if err != nil {
		return err
	}
	limit = nil
	_, err = a.Store.UpdateQuota(ctx, b.Tenant, func(q *tenant.Quota) error {
		q.CheckedAt = now
		for id, requests := range checked {
			if requests < 0 {
				q.RemoveBatch(id)
			} else {
				q.SetRequests(id, requests)
			}
		}
		limit = nil
		// The check is kept although the batch is refused.
		if err := q.AddBatch(b.ID, most, a.config.Limits); !errors.As(err, &limit) {
			return err
		}
		return nil
	})
	if err == nil && limit != nil {
		err = limit
	}
	return wrapCount(err)
}

func wrapCount(err error) error {
	if err != nil {
		return fmt.Errorf("submit: take up the batch: %w", err)
	}
	return nil
}

// checked returns what the records say of q's batches: how many requests they
// have, of those that were counted, and -1 of those that are unfinished no more.
func (a *Acceptor) checked(ctx context.Context, q tenant.Quota, now time.Time) (map[string]int, error) {
	var mu sync.Mutex
	found := map[string]int{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(quotaReaders)
	for id := range q.Batches {
		group.Go(func() error {
			b, err := a.Store.Batch(ctx, batch.Ref{Tenant: q.Tenant, ID: id})
			created, known := batch.ParseID(batch.PrefixBatch, id)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, batch.ErrNotFound):
				if !known || now.Sub(created) > quotaGrace {
					found[id] = -1
				}
			case err != nil:
				return fmt.Errorf("submit: check the tenant's batches: %w", err)
			case b.Status.Terminal():
				found[id] = -1
			case b.Load.Validated:
				found[id] = b.Counts.Total
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return found, nil
}

// uncountBatch takes back what countBatch recorded of a batch that was refused.
func (a *Acceptor) uncountBatch(ctx context.Context, ref batch.Ref) error {
	if a.config.Limits.None() {
		return nil
	}
	_, err := a.Store.UpdateQuota(ctx, ref.Tenant, func(q *tenant.Quota) error {
		q.RemoveBatch(ref.ID)
		return nil
	})
	if err != nil {
		return fmt.Errorf("submit: give back the batch's place: %w", err)
	}
	return nil
}
