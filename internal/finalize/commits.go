package finalize

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// commitPoll is the time between two reads of a worker that commits.
const commitPoll = time.Second

// commits knows which workers may still record answers of a batch that stops.
// A worker that has let go of a batch never commits for it again, so one that has
// been seen to commit no more is not read again.
type commits struct {
	*turn
	batch batch.Batch
	grace time.Time // until then every lease is respected, whoever has it
	until time.Time // when nobody is waited for any more

	mu   sync.Mutex
	done map[string]bool      // workers that commit no more
	seen map[string]time.Time // when others were last seen to commit
	last []state.Record       // requests that were deferred
}

func (t *turn) newCommits(b batch.Batch) *commits {
	stop := stopOf(b)
	c := &commits{
		turn: t, batch: b, until: stop.Add(t.Config.Commits), done: map[string]bool{}, seen: map[string]time.Time{},
	}
	if b.FailCause == "" {
		c.grace = stop.Add(t.Config.Grace)
	}
	return c
}

// pending reports whether rec's request may get its outcome from a worker that
// holds it, within the grace, or still commits after it.
func (c *commits) pending(ctx context.Context, rec state.Record) (bool, error) {
	lease, leased := leaseOf(rec.Phase)
	if !leased {
		return false, nil
	}
	now := c.Clock()
	if now.Before(c.grace) {
		return true, nil
	}
	c.mu.Lock()
	done := c.done[lease.Worker] || !now.Before(c.until)
	fresh := now.Sub(c.seen[lease.Worker]) < commitPoll
	c.mu.Unlock()
	if done || fresh {
		return !done, nil
	}
	w, err := c.Requests.Worker(ctx, lease.Worker)
	if err != nil {
		return false, fmt.Errorf("read worker: %w", err)
	}
	commits := w.Commits(c.batch.ID) && lease.Lost(w, now, c.Config.Stale) == state.LossNone
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done[lease.Worker], c.seen[lease.Worker] = !commits, now
	return commits, nil
}

// deferred reports whether rec's request is to be ended last, and remembers it.
func (c *commits) deferred(ctx context.Context, rec state.Record) (bool, error) {
	pending, err := c.pending(ctx, rec)
	if pending {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.last = append(c.last, rec)
	}
	return pending, err
}

// drain returns the requests that were deferred since it was called before, by
// line: those who deferred them ran beside one another.
func (c *commits) drain() []state.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.last
	c.last = nil
	slices.SortFunc(last, func(a, b state.Record) int { return cmp.Compare(a.Spec.Key.Line, b.Spec.Key.Line) })
	return last
}

// wait waits until nobody commits who has one of these requests, and no longer
// than it may.
func (c *commits) wait(ctx context.Context, last []state.Record) error {
	c.Log.InfoContext(ctx, "workers still record answers", slog.String("batch", c.batch.ID), slog.Int("requests", len(last)))
	for _, rec := range last {
		for {
			pending, err := c.pending(ctx, rec)
			if err != nil {
				return err
			}
			if !pending {
				break
			}
			rest := min(max(c.grace.Sub(c.Clock()), commitPoll), c.until.Sub(c.Clock()))
			if err := c.turn.wait(ctx, rest); err != nil {
				return err
			}
		}
	}
	return nil
}

// leaseOf returns the lease under which a request is.
func leaseOf(p state.Phase) (state.Lease, bool) {
	switch p := p.(type) {
	case state.Claimed:
		return p.Lease, true
	case state.Processing:
		return p.Lease, true
	case state.Pending, state.Completed, state.Failed, state.Canceled:
	}
	return state.Lease{}, false
}
