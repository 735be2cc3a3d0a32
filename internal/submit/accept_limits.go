package submit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// usageGrace is how long a recorded batch may be without its record:
	// acceptance takes seconds, and an older one was left by a crash.
	usageGrace = 10 * time.Minute
	// usagePause is the least time between two checks of a tenant's usage, each
	// of which reads all its unfinished batches.
	usagePause = time.Minute
	// usageReaders is how many of them are read at once.
	usageReaders = 16
)

// take records b, whose input file has so many bytes, among its tenant's
// unfinished batches. It returns a *batch.LimitError if that would break a
// limit; what a crash left behind does not count.
//
// Until its lines are counted, b counts as many requests as its file can have,
// so that no burst of batches passes a limit.
func (a *Acceptor) take(ctx context.Context, b batch.Batch, bytes int64) error {
	if a.config.Limits.None() {
		return nil
	}
	var seen batch.Usage
	now := a.clock()
	most := batch.MostRequests(bytes, a.config.MaxRequests)
	_, err := a.store.UpdateUsage(ctx, b.Tenant, func(u *batch.Usage) error {
		seen = *u
		return u.Take(b.ID, most, a.config.Limits)
	})
	var limit *batch.LimitError
	if !errors.As(err, &limit) || now.Sub(seen.CheckedAt) < usagePause {
		return wrapTake(err)
	}
	checked, err := a.checked(ctx, seen, now)
	if err != nil {
		return err
	}
	limit = nil
	_, err = a.store.UpdateUsage(ctx, b.Tenant, func(u *batch.Usage) error {
		u.CheckedAt = now
		for id, requests := range checked {
			if requests < 0 {
				u.Drop(id)
			} else {
				u.Count(id, requests)
			}
		}
		limit = nil
		// The check is kept although the batch is refused.
		if err := u.Take(b.ID, most, a.config.Limits); !errors.As(err, &limit) {
			return err
		}
		return nil
	})
	if err == nil && limit != nil {
		err = limit
	}
	return wrapTake(err)
}

func wrapTake(err error) error {
	if err != nil {
		return fmt.Errorf("submit: take up the batch: %w", err)
	}
	return nil
}

// checked returns what the records say of u's batches: how many requests they
// have, of those that were counted, and -1 of those that are unfinished no more.
func (a *Acceptor) checked(ctx context.Context, u batch.Usage, now time.Time) (map[string]int, error) {
	var mu sync.Mutex
	found := map[string]int{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(usageReaders)
	for id := range u.Batches {
		group.Go(func() error {
			b, err := a.store.Batch(ctx, batch.Ref{Tenant: u.Tenant, ID: id})
			created, known := batch.ParseID(batch.PrefixBatch, id)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, batch.ErrNotFound):
				if !known || now.Sub(created) > usageGrace {
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

// drop takes back what take recorded of a batch that was refused.
func (a *Acceptor) drop(ctx context.Context, ref batch.Ref) error {
	if a.config.Limits.None() {
		return nil
	}
	_, err := a.store.UpdateUsage(ctx, ref.Tenant, func(u *batch.Usage) error {
		u.Drop(ref.ID)
		return nil
	})
	if err != nil {
		return fmt.Errorf("submit: give back the batch's place: %w", err)
	}
	return nil
}
