package finalize

import (
	"context"
	"fmt"

	"github.com/musketry/musketry/internal/batch"
)

// reconcile keeps a batch in progress going by three steps, each due at times of
// its own: enqueue at low water, recount where the counter shards are to be
// doubted, and re-enqueue where messages may be lost. With nothing due the batch
// is parked.
func (t *turn) reconcile(ctx context.Context, b batch.Batch) (batch.Batch, Next, error) {
	done, err := t.done(ctx, b)
	if err != nil {
		return b, "", err
	}
	if b.AskDue(done, t.Clock()) {
		t.sample(ctx, b)
		b, err = t.enqueue(ctx, b, done)
		return b, "", err
	}
	if t.recountDue(b, done) {
		was := done
		b, done, err = t.recount(ctx, b)
		last := done >= b.Counts.Total && was < done // the last outcomes came while it counted
		if err != nil || b.Sealed || t.short(ctx) || b.AskDue(done, t.Clock()) || last {
			return b, "", err
		}
	}
	t.sample(ctx, b)
	r, err := t.giveBack(ctx, b, done)
	if err != nil {
		return b, "", err
	}
	r = t.expectLast(b, r.See(done, t.Clock()), done)
	var whole bool
	if r.Reenqueue, whole, err = t.reenqueueLost(ctx, b, r.Reenqueue, done); err != nil || !whole {
		return b, "", err
	}
	b, err = t.update(ctx, b.Ref, func(b *batch.Batch) error {
		b.Reconcile(r)
		return nil
	})
	if err != nil || b.RecountDue(done, t.Clock()) { // asked for meanwhile, or put off
		return b, "", err
	}
	return b, t.parking(b), nil
}

// recountDue reports whether b's requests are to be counted: all seem to have their
// outcome, or the counter shards are to be doubted. Where nobody asked for a
// recount, the last requests are judged before.
func (t *turn) recountDue(b batch.Batch, done int) bool {
	return done >= b.Counts.Total ||
		b.RecountDue(done, t.Clock()) && (!b.RecountAt.IsZero() || !t.lastDue(b.Reconciled.Reenqueue))
}

// reenqueueLost enqueues again what is lost, where that is due: the last requests
// of a batch too, which those that are judged at any time must not put off. It
// returns how the search stands then; whole is false if time ran short.
func (t *turn) reenqueueLost(
	ctx context.Context, b batch.Batch, r batch.Reenqueue, done int,
) (_ batch.Reenqueue, whole bool, err error) {
	if t.lastDue(r) {
		if r, whole, err = t.reenqueueLast(ctx, b, r); err != nil || !whole {
			return r, false, err
		}
	}
	if b.Reconciled.Reenqueue = r; t.reenqueueDue(b) {
		return t.reenqueue(ctx, b, done)
	}
	return r, true, nil
}

// done returns how many of b's requests have their outcome, as the counter
// shards say.
func (t *turn) done(ctx context.Context, b batch.Batch) (int, error) {
	counters, err := t.Requests.Counters(ctx, b.ID)
	if err != nil {
		return 0, fmt.Errorf("read counters: %w", err)
	}
	t.seen = batch.Sum(counters)
	return t.seen.Done(), nil
}
