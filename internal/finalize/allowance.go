package finalize

import (
	"context"
	"fmt"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// grantRest is the least time between two checks of the allowance's grants
	// against what runs, each of which lists all of that.
	grantRest = time.Minute
	// grantPage is how many running batches are read at once.
	grantPage = 500
)

// grant asks the deployment's allowance for wants of b's requests to be enqueued
// and unfinished at once, and returns how many may be: those that are at least,
// and all of them that it can have. It is written before their messages are
// sent. Who does not get all looks whether others have ended that never gave
// back what they had.
func (t *turn) grant(ctx context.Context, b batch.Batch, done, wants int) (int, error) {
	outstanding := b.Enqueued - done
	ask := batch.Ask{Ref: b.Ref, Due: t.due(b, done), Outstanding: outstanding, Wants: max(wants, outstanding)}
	now := t.Clock()
	var seen batch.Allowance
	granted := 0
	_, err := t.Batches.UpdateAllowance(ctx, func(a *batch.Allowance) error {
		seen = *a
		granted = a.Ask(ask, t.Config.Allowance, now)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("ask the allowance: %w", err)
	}
	if granted >= wants || now.Sub(seen.CheckedAt) < grantRest {
		return granted, nil
	}
	runs, err := t.runs(ctx)
	if err != nil {
		return 0, err
	}
	_, err = t.Batches.UpdateAllowance(ctx, func(a *batch.Allowance) error {
		a.CheckedAt = now
		for id := range seen.Grants {
			if !runs[id] {
				a.Drop(id)
			}
		}
		granted = a.Ask(ask, t.Config.Allowance, now)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("ask the allowance anew: %w", err)
	}
	return granted, nil
}

// runs returns the batches that may be unfinished.
func (t *turn) runs(ctx context.Context) (map[string]bool, error) {
	all := map[string]bool{}
	for after, more := "", true; more; {
		var page []batch.Running
		var err error
		if page, more, err = t.Batches.Runnings(ctx, after, grantPage); err != nil {
			return nil, fmt.Errorf("list what runs: %w", err)
		}
		for _, r := range page {
			all[r.ID], after = true, r.ID
		}
	}
	return all, nil
}

// due returns by when b's work must go on: its deadline, less the time that what
// is left takes at the pace so far.
func (t *turn) due(b batch.Batch, done int) time.Time {
	if done == 0 {
		return b.Deadline
	}
	each := float64(t.Clock().Sub(b.InProgressAt)) / float64(done)
	return b.Deadline.Add(-min(time.Duration(each*float64(b.Counts.Total-done)), batch.MaxWindow))
}

// giveBack lowers what b was granted to what is outstanding, once all its requests
// are enqueued and that is much less.
func (t *turn) giveBack(ctx context.Context, b batch.Batch, done int) (batch.Reconciliation, error) {
	r, outstanding := b.Reconciled, b.Enqueued-done
	if b.Enqueued < b.Counts.Total || 2*outstanding > r.HighWater || r.HighWater <= batch.MinHighWater {
		return r, nil
	}
	granted, err := t.grant(ctx, b, done, outstanding)
	r.HighWater = max(granted, 1)
	return r, err
}
