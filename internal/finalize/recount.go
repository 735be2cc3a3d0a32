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

// counterLag is the age at which an outcome that is not in its cell is taken
// for one that its worker will not count.
const counterLag = 30 * time.Second

// recount counts b's requests and seals it if all have their outcome. If not, it
// writes the cells that lag what is true, and returns b and the sum of the cells
// as they are then. Who dies in between leaves a recount that is due.
func (t *turn) recount(ctx context.Context, b batch.Batch) (batch.Batch, int, error) {
	begun := t.Clock()
	b, err := t.update(ctx, b.Ref, func(b *batch.Batch) error {
		b.BeginRecount(begun)
		return nil
	})
	if err != nil {
		return b, 0, err
	}
	c := actual{now: begun, counts: batch.Counts{Total: b.Counts.Total}, cells: map[string]batch.Counts{}, late: map[string]batch.Counts{}}
	for rec, err := range t.walk(ctx, b, 0) {
		if err != nil || t.short(ctx) {
			return b, 0, err
		}
		c.add(rec)
	}
	if c.counts.Done() == c.counts.Total {
		b, err = t.seal(ctx, b, c.counts, c.tokens)
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

// repairCounters writes what is true into the cells that have less, whether their owner
// is about to write it or has died. Stores keep the larger of that and what a
// living owner has written since. It returns how far the cells were behind.
func (t *turn) repairCounters(ctx context.Context, b batch.Batch, c actual) (lag batch.Lag, err error) {
	cells, err := t.Requests.Cells(ctx, b.ID)
	if err != nil {
		return 0, fmt.Errorf("read cells: %w", err)
	}
	stored := make(map[string]batch.Counts, len(cells))
	for _, cell := range cells {
		stored[cell.ID] = cell.Counts
	}
	for _, id := range slices.Sorted(maps.Keys(c.cells)) {
		if stored[id].Most(c.cells[id]) == stored[id] {
			continue
		}
		lag = max(lag, batch.LagNew)
		if stored[id].Most(c.late[id]) != stored[id] {
			lag = batch.LagOld
		}
		t.Log.InfoContext(ctx, "counters repaired", slog.String("batch", b.ID), slog.String("cell", id),
			slog.Int("requests", c.cells[id].Done()-stored[id].Done()))
		if err := t.Requests.PutCell(ctx, b.ID, batch.Cell{ID: id, Counts: c.cells[id]}); err != nil {
			return 0, fmt.Errorf("put cell: %w", err)
		}
	}
	return lag, nil
}

// An actual is what the requests say: their outcomes, in all and for each cell.
type actual struct {
	now    time.Time
	counts batch.Counts
	tokens state.Tokens
	cells  map[string]batch.Counts // what is true of each
	late   map[string]batch.Counts // of that, what must be in the cells
}

func (c *actual) add(rec state.Record) {
	if !rec.Phase.Status().Terminal() {
		return
	}
	c.counts, c.tokens = c.counts.Add(rec.Phase), c.tokens.Plus(tokensOf(rec.Phase))
	id := batch.CellOf(rec)
	c.cells[id] = c.cells[id].Add(rec.Phase)
	if c.now.Sub(state.EndedAt(rec.Phase)) >= counterLag {
		c.late[id] = c.late[id].Add(rec.Phase)
	}
}
