package finalize

import (
	"context"
	"fmt"
	"iter"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// walk returns those of b's requests that are stored whose line is above after,
// in the order of their lines.
func (t *turn) walk(ctx context.Context, b batch.Batch, after int) iter.Seq2[state.Record, error] {
	return func(yield func(state.Record, error) bool) {
		for rec, err := range t.Requests.Requests(ctx, b.ID, b.Shards, after) {
			if err != nil {
				yield(state.Record{}, fmt.Errorf("read requests: %w", err))
				return
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// walkSealed is walk of a sealed batch, of which none may be missing: it yields
// an error where one is. What this turn has sealed itself is not read.
func (t *turn) walkSealed(ctx context.Context, b batch.Batch, after int) iter.Seq2[state.Record, error] {
	walk := t.walk(ctx, b, after)
	if kept := t.ended; kept != nil {
		walk = inOrder(kept[after:])
	}
	return func(yield func(state.Record, error) bool) {
		line := after
		for rec, err := range walk {
			line++
			switch {
			case err != nil:
				yield(state.Record{}, err)
				return
			case rec.Spec.Key.Line != line:
				yield(state.Record{}, fmt.Errorf("line %d: %w", line, state.ErrNotFound))
				return
			case !yield(rec, nil):
				return
			}
		}
		if line < b.Counts.Total {
			yield(state.Record{}, fmt.Errorf("line %d: %w", line+1, state.ErrNotFound))
		}
	}
}

// inOrder returns records one after another.
func inOrder(records []state.Record) iter.Seq2[state.Record, error] {
	return func(yield func(state.Record, error) bool) {
		for _, rec := range records {
			if !yield(rec, nil) {
				return
			}
		}
	}
}
