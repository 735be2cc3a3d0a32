package finalize

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// counterLag is the age at which an outcome that is not in its counter shard is
// taken for one that its worker will not count.
const counterLag = 30 * time.Second

// recount counts b's requests and seals it if all have their outcome. If not, it
// writes the counter shards that lag what is true, and returns b and the sum of
// the counter shards as they are then. Who dies in between leaves a recount that
// is due.
func (t *turn) recount(ctx context.Context, b batch.Batch) (batch.Batch, int, error) {
	begun := t.Clock()
	b, err := t.update(ctx, b.Ref, func(b *batch.Batch) error {
		b.BeginRecount(begun)
		return nil
	})
	if err != nil {
		return b, 0, err
	}
	c := actual{review: reviewOf(b, begun), now: begun, counts: batch.Counts{Total: b.Counts.Total}, counters: map[string]batch.Counts{}, late: map[string]batch.Counts{}}
	for rec, err := range t.walk(ctx, b, 0) {
		if err != nil || t.short(ctx) {
			return b, 0, err
		}
		c.add(rec)
	}
	t.retrying, t.review = c.retrying, c.review
	if c.counts.Done() == c.counts.Total {
		b, err = t.seal(ctx, b, c.counts, c.tokens, c.review)
		return b, 0, err
	}
	lag, err := t.repairCounters(ctx, b, c)
	if err != nil {
		return b, 0, err
	}
	b, err = t.update(ctx, b.Ref, func(b *batch.Batch) error {
		b.EndRecount(begun, lag)
		return nil
	})
	if err != nil {
		return b, 0, err
	}
	done, err := t.done(ctx, b)
	return b, done, err
}

// repairCounters writes what is true into the counter shards that have less, whether
// their owner is about to write it or has died. Stores keep the larger of that and what
// a living owner has written since. It returns how far the counter shards were behind.
func (t *turn) repairCounters(ctx context.Context, b batch.Batch, c actual) (lag batch.Lag, err error) {
	counters, err := t.Requests.Counters(ctx, b.ID)
	if err != nil {
		return 0, fmt.Errorf("read counters: %w", err)
	}
	stored := make(map[string]batch.Counts, len(counters))
	for _, counter := range counters {
		stored[counter.ID] = counter.Counts
	}
	for _, id := range slices.Sorted(maps.Keys(c.counters)) {
		if stored[id].Most(c.counters[id]) == stored[id] {
			continue
		}
		lag = max(lag, batch.LagNew)
		if stored[id].Most(c.late[id]) != stored[id] {
			lag = batch.LagOld
		}
		t.Log.InfoContext(ctx, "counters repaired", slog.String("batch", b.ID), slog.String("counter", id),
			slog.Int("requests", c.counters[id].Done()-stored[id].Done()))
		if err := t.Requests.PutCounter(ctx, b.ID, batch.CounterShard{ID: id, Counts: c.counters[id]}); err != nil {
			return 0, fmt.Errorf("put counter: %w", err)
		}
	}
	return lag, nil
}

// An actual is what the requests say: their outcomes, in all and for each
// counter shard.
type actual struct {
	now      time.Time
	counts   batch.Counts
	tokens   state.Tokens
	counters map[string]batch.Counts // what is true of each
	late     map[string]batch.Counts // of that, what must be in the counter shards
	review   *batch.Review
	retrying int // of those that have none, how many failed once at least
}

func (c *actual) add(rec state.Record) {
	if !rec.Phase.Status().Terminal() {
		if batch.Retrying(rec.Phase) {
			c.retrying++
		}
		return
	}
	c.counts, c.tokens = c.counts.Add(rec.Phase), c.tokens.Plus(tokensOf(rec.Phase))
	c.review.Add(rec.Phase)
	id := batch.CounterShardOf(rec)
	c.counters[id] = c.counters[id].Add(rec.Phase)
	if c.now.Sub(state.EndedAt(rec.Phase)) >= counterLag {
		c.late[id] = c.late[id].Add(rec.Phase)
	}
}
