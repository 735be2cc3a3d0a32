package finalize

import (
	"context"
	"errors"
	"fmt"

	"github.com/musketry/musketry/internal/batch"
)

// Park stores the token with which b's flow waits, and wakes it at once if
// there is something to do already. A batch that ended, or is not there, wakes
// the flow too. An error leaves the flow waiting until its tick.
//
// Nothing that happens while it parks is missed. Who cancels writes the batch
// and then wakes the token that the write found there: either it finds this
// one, or the write of the token finds the cancel. A worker writes its counter
// shard and then reads the token: either it finds this one, or the counter
// shards, read after the token was written, hold what it counted.
func (f *Finalizer) Park(ctx context.Context, ref batch.Ref, token string) error {
	t := f.turn()
	due, err := t.park(ctx, ref, token)
	if err == nil && due {
		err = t.Flow.Wake(ctx, token)
	}
	if err != nil {
		return fmt.Errorf("finalize: park %s: %w", ref.ID, err)
	}
	return nil
}

// errOutrun reports a token in whose place a later park has put its own.
var errOutrun = errors.New("finalize: a later park was faster")

// park stores token and reports whether there is something to do.
func (t *turn) park(ctx context.Context, ref batch.Ref, token string) (due bool, err error) {
	b, err := t.Batches.UpdateBatch(ctx, ref, storing(token))
	var ended *batch.StatusError
	if errors.As(err, &ended) || errors.Is(err, batch.ErrNotFound) || errors.Is(err, errOutrun) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("store token: %w", err)
	}
	if b.Sealed || b.Canceling() || t.untilStop(b) <= 0 {
		return true, nil
	}
	done, err := t.done(ctx, b)
	if err != nil {
		return false, err
	}
	return b.Due(done), nil // the mark is above what Advance saw, so they do not go round in circles
}

// storing returns the change that stores token. A store makes a change anew
// when its write was lost in a race, or its answer: if meanwhile this token was
// stored, woken, and followed by that of the next park, it must not come back.
func storing(token string) func(*batch.Batch) error {
	var found *string
	return func(b *batch.Batch) error {
		if found == nil {
			first := b.Token
			found = &first
		}
		if b.Token != *found && b.Token != token {
			return errOutrun
		}
		return b.Park(token)
	}
}
