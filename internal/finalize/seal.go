package finalize

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// maxConflicts bounds how often one request is tried to be ended. No attempt
// starts any more when a batch is sealed, so a request has one late write in it
// at most, or a few where a clock is off.
const maxConflicts = 10

// maxKept is how many requests are kept from the seal to the write-out, which
// then reads none again: all of a batch of OpenAI's largest, in some 50 MB
// (https://platform.openai.com/docs/api-reference/batch/create).
const maxKept = 50_000

// sealAll gives every request that has no outcome its last state, by
// conditional write, and then seals b. A request that is missing is created in
// that state, so that each line has one; those that somebody holds come last,
// when the grace is over and their workers record no more answers. What was
// ended stays so: after a crash, or when time ran short, another walk finds the
// less to do.
func (t *turn) sealAll(ctx context.Context, b batch.Batch) (batch.Batch, error) {
	tally := newTally(b, t.Clock())
	commits := t.newCommits(b)
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(t.Config.Writers)
	var walkErr error
	for rec, err := range t.everyLine(gctx, b) {
		if walkErr = err; err != nil {
			break
		}
		if rec.Phase != nil && rec.Phase.Status().Terminal() {
			tally.add(rec)
			continue
		}
		if t.short(ctx) {
			break
		}
		group.Go(func() error { return t.end(gctx, tally, b, rec, commits) })
	}
	if err := group.Wait(); err != nil || walkErr != nil {
		return batch.Batch{}, errors.Join(err, walkErr)
	}
	if err := t.endDeferred(ctx, b, commits, tally); err != nil {
		return batch.Batch{}, err
	}
	if tally.counts.Done() < tally.counts.Total {
		return b, nil // time ran short
	}
	t.ended = tally.kept
	return t.seal(ctx, b, tally.counts, tally.tokens, tally.review)
}

// endDeferred gives the requests that were deferred their last state, once
// their workers have recorded what they could. One that somebody else has
// claimed meanwhile, who did not know of the stop, is deferred once more.
func (t *turn) endDeferred(ctx context.Context, b batch.Batch, commits *commits, tally *tally) error {
	for last := commits.drain(); len(last) > 0 && !t.short(ctx); last = commits.drain() {
		if err := commits.wait(ctx, last); err != nil {
			return err
		}
		group, gctx := errgroup.WithContext(ctx)
		group.SetLimit(t.Config.Writers)
		for _, rec := range last {
			group.Go(func() error { return t.end(gctx, tally, b, rec, commits) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// A tally counts outcomes; many may add to it at once.
type tally struct {
	mu     sync.Mutex
	counts batch.Counts
	tokens state.Tokens
	review *batch.Review
	kept   []state.Record // in the order of lines; nil if they are more than maxKept
}

func newTally(b batch.Batch, now time.Time) *tally {
	t := &tally{counts: batch.Counts{Total: b.Counts.Total}, review: reviewOf(b, now)}
	if b.Counts.Total <= maxKept {
		t.kept = make([]state.Record, b.Counts.Total)
	}
	return t
}

// add counts the outcome of a request.
func (t *tally) add(rec state.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts, t.tokens = t.counts.Add(rec.Phase), t.tokens.Plus(tokensOf(rec.Phase))
	t.review.Add(rec.Phase)
	if t.kept != nil {
		t.kept[rec.Spec.Key.Line-1] = rec
	}
}

// tokensOf returns the tokens that an outcome took.
func tokensOf(p state.Phase) state.Tokens {
	switch p := p.(type) {
	case state.Completed:
		return p.Tokens
	case state.Failed:
		return p.Tokens
	case state.Pending, state.Claimed, state.Processing, state.Canceled:
	}
	return state.Tokens{}
}

// end gives a request its last state and counts it, or that of another writer
// who was faster, unless commits defers it. A request without a phase
// is missing.
func (t *turn) end(ctx context.Context, tally *tally, b batch.Batch, rec state.Record, commits *commits) error {
	var conflict *state.ConflictError
	for range maxConflicts {
		if deferred, err := commits.deferred(ctx, rec); err != nil || deferred {
			return err
		}
		change, err := ending(b, rec, t.Clock())
		if err == nil {
			err = t.Requests.Apply(ctx, change)
		}
		switch {
		case err == nil:
			rec.Phase = change.To()
		case errors.As(err, &conflict):
			rec.Phase = conflict.Winner.Phase
		default:
			return fmt.Errorf("end line %d: %w", rec.Spec.Key.Line, err)
		}
		if rec.Phase != nil && rec.Phase.Status().Terminal() {
			tally.add(rec)
			return nil
		}
	}
	return fmt.Errorf("end line %d: %w", rec.Spec.Key.Line, conflict)
}

// ending returns the change that ends an unfinished request of a batch that is
// sealed, or creates it in that state if it is missing.
func ending(b batch.Batch, rec state.Record, now time.Time) (state.Change, error) {
	if rec.Phase == nil {
		return endingOf(b, state.New(rec.Spec), 0, now)
	}
	if r, err := state.As[state.Pending](rec); err == nil {
		return endingOf(b, r, r.Phase().Reclaims, now)
	}
	if r, err := state.As[state.Claimed](rec); err == nil {
		return endingOf(b, r, r.Phase().Reclaims, now)
	}
	r, err := state.As[state.Processing](rec)
	if err != nil {
		return state.Change{}, err
	}
	return endingOf(b, r, r.Phase().Reclaims, now)
}

// endingOf cancels r if its batch was cancelled, and terminates it if its batch
// was given up before the deadline. Otherwise the deadline has passed.
func endingOf[S state.Active](b batch.Batch, r state.Request[S], deaths int, now time.Time) (state.Change, error) {
	switch {
	case b.Canceling():
		return state.Cancel(r, now).Change()
	case b.FailCause != "" && !b.Overdue(now):
		return state.Terminate(r, deaths, now).Change()
	}
	return state.Expire(r, now).Change()
}

// seal settles b's history, freezes its counts and tokens and chooses the ids of
// its result files. The history comes first: whoever finds it settled and b not
// sealed counts the same.
func (t *turn) seal(
	ctx context.Context, b batch.Batch, counts batch.Counts, tokens state.Tokens, review *batch.Review,
) (batch.Batch, error) {
	now := t.Clock()
	outputID, err := t.NewFileID(now)
	if err != nil {
		return batch.Batch{}, fmt.Errorf("id of the output file: %w", err)
	}
	errorID, err := t.NewFileID(now)
	if err != nil {
		return batch.Batch{}, fmt.Errorf("id of the error file: %w", err)
	}
	if err := t.settle(ctx, b, review); err != nil {
		return batch.Batch{}, err
	}
	b, err = t.update(ctx, b.Ref, func(b *batch.Batch) error {
		if b.Sealed {
			return nil
		}
		b.WriteOut, b.Tokens = batch.WriteOut{OutputID: outputID, ErrorID: errorID}, tokens
		return b.Seal(counts, now)
	})
	if err == nil {
		t.Log.InfoContext(ctx, "batch sealed", slog.String("batch", b.ID),
			slog.Int("completed", counts.Completed), slog.Int("failed", counts.Failed),
			slog.Int("expired", counts.Expired), slog.Int("canceled", counts.Canceled))
	}
	return b, err
}
