package execute

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// A reconciler sees to it that outcomes are counted which others recorded, and
// that flows hear of what they wait for.
type reconciler struct {
	kit

	batches Batches
	flow    Flow
	polled  *poller
	shards  *shards
}

// reconcile says of entries whose requests were terminal already why their
// messages' ways end: their outcomes are counted for sure, or will be, since
// whoever recorded them may have died before; or they may be counted nowhere. A
// cancel by its owner has a counter shard of its own, which anybody may write.
// For all others the flow is asked to recount.
func (c *reconciler) reconcile(ref batch.Ref, found []*entry) {
	asked := c.shards.lags(ref.ID)
	var dated time.Time // the latest; zero if one is not known
	reenqueued := !asked
	var stopped, others []*entry
	for _, e := range found {
		if canceled(e.job) {
			stopped = append(stopped, e)
			continue
		}
		if at := state.EndedAt(e.job.record.Phase); !asked && at.After(dated) {
			dated = at
		}
		reenqueued = reenqueued && e.job.message.Reenqueued
		others = append(others, e)
	}
	each(stopped, func(_ int, e *entry) {
		c.conclude([]*entry{e}, c.countCanceled(ref, e.job.message.Line))
	})
	if len(others) > 0 || asked {
		c.conclude(others, c.askRecount(ref, dated, reenqueued))
	}
}

// canceled reports whether j's request was canceled by its owner.
func canceled(j *job) bool {
	return j.record.Phase != nil && (j.record.Phase.Status() == state.StatusCanceled || !j.record.Phase.Status().Terminal())
}

// conclude ends the ways of found's messages, whose outcomes are counted unless
// there is an err.
func (c *reconciler) conclude(found []*entry, err error) {
	if err != nil && len(found) > 0 {
		c.log.Warn("cannot have an outcome counted", append(found[0].job.attrs(), errAttr(err))...)
	}
	for _, e := range found {
		if e.end = end(causeCounted); err != nil {
			e.end = end(causeUncounted)
		}
	}
}

func (c *reconciler) countCanceled(ref batch.Ref, line int) error {
	return c.persist(opLimit, func(ctx context.Context) error {
		return c.batches.PutCounter(ctx, ref.ID, batch.CanceledLineShard(line))
	})
}

// askRecount has ref's flow count the requests because of an outcome dated so;
// reenqueued says that messages found it which the flow enqueued again. Who asks
// first wakes it, so that thousands of messages that come twice do not turn it a
// thousand times.
func (c *reconciler) askRecount(ref batch.Ref, dated time.Time, reenqueued bool) error {
	wake := false
	var b batch.Batch
	err := c.persist(opLimit, func(ctx context.Context) error {
		var err error
		b, err = c.batches.UpdateBatch(ctx, ref, func(b *batch.Batch) error {
			wake = b.AskRecount(dated, reenqueued, c.clock())
			return nil
		})
		return err
	})
	if errors.Is(err, batch.ErrNotFound) {
		return nil
	}
	if err != nil || !wake {
		return err
	}
	c.wakeOnce(b)
	return nil
}

// loop hints for the batches of which requests are in hand for long.
func (c *reconciler) loop(ctx context.Context) {
	for c.rest(ctx, time.Second) {
		each(c.polled.all(), func(_ int, b *polled) { c.hint(b.ref) }) //nolint:contextcheck // what is begun is done
	}
}

// hint hints to ref's flow what it waits for, if that is due. What is put off
// while something of the batch is in hand is not lost if this worker dies: that
// comes back, and whoever gets it hints.
func (c *reconciler) hint(ref batch.Ref) {
	b, t := c.polled.entry(ref), c.polled.ledger.of(ref)
	if b.takeSum(c.clock(), t.pending == 0 && t.inHand == 0) {
		c.wake(b)
	}
}

// wake hints to the batch's flow that as many requests have their outcome as it
// wants to know of. The counter shards are read after this worker's own was
// written, and the token after them: a flow that parks later reads them later.
// The mark that was read last will do, since it only grows.
func (c *reconciler) wake(known *polled) {
	ref := known.ref
	done, err := c.progress(ref)
	if err == nil {
		known.tookSum(done)
	} else {
		known.count(0) // it is still to be read
	}
	if err == nil && done < known.last().Mark {
		return
	}
	var b batch.Batch
	if err == nil {
		b, err = c.polled.fetch(ref)
	}
	switch {
	case errors.Is(err, batch.ErrNotFound):
	case err != nil:
		c.log.Warn("cannot see whether the flow is to be woken", slog.String("batch", ref.ID), errAttr(err))
	case done >= b.Mark:
		c.wakeOnce(b)
	}
}

// wakeOnce wakes b's flow, once for each of its parks.
func (c *reconciler) wakeOnce(b batch.Batch) {
	if b.Status.Terminal() || b.Token == "" || !c.polled.entry(b.Ref).markWoken(b.Token) {
		return
	}
	err := c.persist(opLimit, func(ctx context.Context) error {
		return c.flow.Wake(ctx, b.Token)
	})
	if err != nil {
		c.log.Warn("cannot wake the flow", slog.String("batch", b.ID), errAttr(err))
		c.polled.entry(b.Ref).markWoken("")
	}
}

// progress returns how many of ref's outcomes are counted.
func (c *reconciler) progress(ref batch.Ref) (int, error) {
	var counts batch.Counts
	err := c.persist(opLimit, func(ctx context.Context) error {
		var err error
		counts, err = c.batches.Progress(ctx, ref.ID)
		return err
	})
	return counts.Done(), err
}
