package finalize

import (
	"context"
	"fmt"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// enqueueChunk is how many lines are enqueued between two writes of the
	// cursor: so many messages at most are sent twice after a crash.
	enqueueChunk = 5_000
	// sendChunk bounds the messages held in memory.
	sendChunk = 1_000
)

// enqueue enqueues requests of a batch at its low water until as many are
// unfinished as its new high water says, or all are enqueued, or time runs
// short. Messages are sent before the cursor passes their lines, so a crash
// between the two sends them twice, which is harmless. done is how many of those
// enqueued have their outcome.
func (t *turn) enqueue(ctx context.Context, b batch.Batch, done int) (batch.Batch, error) {
	r := b.Reconciled.See(done, t.Clock()).Raise(done, t.Config.MaxEnqueued, t.Clock())
	wants := min(r.HighWater, b.Counts.Total-done)
	granted, err := t.grant(ctx, b, done, wants)
	if err != nil {
		return b, err
	}
	r = r.Grant(granted, wants, t.Clock())
	until := max(b.Enqueued, min(b.Counts.Total, done+granted))
	for {
		line := max(min(until, b.Enqueued+enqueueChunk), b.Enqueued)
		if err := t.send(ctx, b, b.Enqueued, line); err != nil {
			return batch.Batch{}, err
		}
		if line > b.Enqueued {
			r = r.Enqueue(line, t.Clock(), t.Config.Stall)
		}
		b, err = t.update(ctx, b.Ref, func(b *batch.Batch) error {
			if err := b.Enqueue(line); err != nil {
				return err
			}
			b.Reconcile(r)
			return nil
		})
		if err != nil || b.Enqueued >= until || b.Status != batch.StatusInProgress || t.short(ctx) {
			return b, err
		}
	}
}

// send sends the messages of the lines above after, up to line, that wait for
// one.
func (t *turn) send(ctx context.Context, b batch.Batch, after, line int) error {
	if line <= after {
		return nil
	}
	out := outbox{turn: t}
	for rec, err := range t.walk(ctx, b, after) {
		if err != nil {
			return err
		}
		if rec.Spec.Key.Line > line { // line itself may be missing
			break
		}
		if !rec.Phase.Status().Terminal() {
			if err := out.add(ctx, batch.MessageOf(b.Tenant, rec.Spec)); err != nil {
				return err
			}
		}
	}
	return out.flush(ctx)
}

// An outbox sends messages in chunks.
type outbox struct {
	*turn
	messages []batch.Message
}

func (o *outbox) add(ctx context.Context, m batch.Message) error {
	if o.messages = append(o.messages, m); len(o.messages) < sendChunk {
		return nil
	}
	return o.flush(ctx)
}

func (o *outbox) flush(ctx context.Context) error {
	if len(o.messages) == 0 {
		return nil
	}
	if err := o.Queue.Send(ctx, o.messages); err != nil {
		return fmt.Errorf("send messages: %w", err)
	}
	o.messages = o.messages[:0]
	return nil
}
