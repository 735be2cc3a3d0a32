package inspect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// maxRaces bounds how often one cancel is tried against workers that move the
// request on meanwhile.
const maxRaces = 10

// Deps are what an Inspector works with.
type Deps struct {
	Requests Requests
	Batches  Batches
	Objects  Objects
	Flow     Flow
	Clock    func() time.Time
}

// An Inspector looks at single requests.
type Inspector struct{ Deps }

// New returns an Inspector.
func New(deps Deps) *Inspector { return &Inspector{deps} }

// List returns a page of b's requests in the order of their lines; none until
// all are stored. Of requests that q leaves out it looks
// through batch.MaxScan at most, so a page may be short, or empty, with more
// behind it.
func (i *Inspector) List(ctx context.Context, b batch.Batch, q batch.RequestQuery) (batch.RequestPage, error) {
	page := batch.RequestPage{Last: q.After}
	if !b.Ready() {
		return page, nil
	}
	scanned := 0
	for rec, err := range i.Requests.Requests(ctx, b.ID, b.Shards, q.After) {
		if err != nil {
			return batch.RequestPage{}, fmt.Errorf("inspect: requests of %s: %w", b.ID, err)
		}
		page.Last = rec.Spec.Key.Line
		if q.Wants(rec) {
			page.Requests = append(page.Requests, rec)
		}
		if scanned++; len(page.Requests) >= q.Limit || scanned >= batch.MaxScan {
			page.More = page.Last < b.Counts.Total
			break
		}
	}
	return page, nil
}

// Find returns the request of b with this custom_id. It returns
// state.ErrNotFound if there is none, and as long as b's requests are not all
// stored.
func (i *Inspector) Find(ctx context.Context, b batch.Batch, customID string) (state.Record, error) {
	if !b.Ready() {
		return state.Record{}, absent(b)
	}
	lines, err := batch.FindLines(customID, b.Counts.Total, func(offset, length int64) ([]byte, error) {
		return i.Objects.Read(ctx, batch.IndexKey(b.ID), offset, length)
	})
	if err != nil && !errors.Is(err, batch.ErrNoObject) { // the index's life ends before the record's may
		return state.Record{}, fmt.Errorf("inspect: index of %s: %w", b.ID, err)
	}
	for _, line := range lines {
		rec, err := i.line(ctx, b, line)
		if err == nil && rec.Spec.CustomID == customID || err != nil && !errors.Is(err, state.ErrNotFound) {
			return rec, err
		}
	}
	return state.Record{}, absent(b)
}

// Get returns the request of b with this id, by which result files and lists
// name it. It returns what Find does.
func (i *Inspector) Get(ctx context.Context, b batch.Batch, id string) (state.Record, error) {
	line, ok := batch.ParseRequestID(b.ID, id)
	if !ok || !b.Ready() {
		return state.Record{}, absent(b)
	}
	return i.line(ctx, b, line)
}

// line returns the request of a line, or state.ErrNotFound.
func (i *Inspector) line(ctx context.Context, b batch.Batch, line int) (state.Record, error) {
	rec, err := i.Requests.Request(ctx, b.Key(line))
	if err != nil {
		return state.Record{}, fmt.Errorf("inspect: line %d of %s: %w", line, b.ID, err)
	}
	return rec, nil
}

func absent(b batch.Batch) error {
	return fmt.Errorf("inspect: a request of %s: %w", b.ID, state.ErrNotFound)
}

// Cancel stops the request with this id and returns it. It is idempotent: what a
// crash left undone after the request was canceled is done again. It returns
// state.ErrNotFound, a *batch.RequestError if the request has another outcome,
// and a *batch.StatusError if b ended without one for it.
//
// What a crash after each write leaves:
//
//	the request        it has its outcome; a call of it comes to nothing; the next count finds it
//	the batch's list   the call is aborted, its message acknowledged and the flow woken by its worker
//	the counter shard  the flow sees it at its next tick
func (i *Inspector) Cancel(ctx context.Context, b batch.Batch, id string) (state.Record, error) {
	rec, err := i.Get(ctx, b, id)
	if err != nil {
		return state.Record{}, err
	}
	if rec, err = i.cancel(ctx, b, rec); err != nil {
		return state.Record{}, err
	}
	if err := i.notify(ctx, b.Ref, rec.Spec.Key.Line); err != nil {
		return state.Record{}, fmt.Errorf("inspect: cancel line %d of %s: %w", rec.Spec.Key.Line, b.ID, err)
	}
	return rec, nil
}

// cancel gives a request its last state. It is idempotent.
func (i *Inspector) cancel(ctx context.Context, b batch.Batch, rec state.Record) (state.Record, error) {
	for range maxRaces {
		switch {
		case rec.Phase.Status() == state.StatusCanceled:
			return rec, nil
		case rec.Phase.Status().Terminal():
			return state.Record{}, &batch.RequestError{Op: "cancel", Outcome: batch.OutcomeOf(rec.Phase)}
		case b.Status.Terminal():
			return state.Record{}, &batch.StatusError{Op: "cancel a request of", Status: b.Status}
		}
		change, err := canceling(rec, i.Clock())
		if err != nil {
			return state.Record{}, fmt.Errorf("inspect: cancel line %d of %s: %w", rec.Spec.Key.Line, b.ID, err)
		}
		err = i.Requests.Apply(ctx, change)
		if err == nil {
			return change.Record(), nil
		}
		var conflict *state.ConflictError
		if !errors.As(err, &conflict) || conflict.Winner.Phase == nil {
			return state.Record{}, fmt.Errorf("inspect: cancel: %w", err)
		}
		rec = conflict.Winner
	}
	return state.Record{}, fmt.Errorf("inspect: line %d of %s: %w", rec.Spec.Key.Line, b.ID, batch.ErrBusy)
}

// canceling returns the change that cancels a request without an outcome.
func canceling(rec state.Record, now time.Time) (state.Change, error) {
	if r, err := state.As[state.Pending](rec); err == nil {
		return state.Cancel(r, now).Change()
	}
	if r, err := state.As[state.Claimed](rec); err == nil {
		return state.Cancel(r, now).Change()
	}
	r, err := state.As[state.Processing](rec)
	if err != nil {
		return state.Change{}, err
	}
	return state.Cancel(r, now).Change()
}

// notify has the workers abort the call of a canceled request, counts it, and
// wakes the flow if it was the last. A batch whose requests all have their
// outcomes needs none of it.
func (i *Inspector) notify(ctx context.Context, ref batch.Ref, line int) error {
	b, err := i.Batches.UpdateBatch(ctx, ref, func(b *batch.Batch) error {
		b.CancelLine(line)
		return nil
	})
	if err != nil {
		return fmt.Errorf("name it to the workers: %w", err)
	}
	if b.Sealed || b.Status.Terminal() {
		return nil
	}
	if err := i.Batches.PutCounter(ctx, ref.ID, batch.CanceledLineShard(line)); err != nil {
		return fmt.Errorf("count it: %w", err)
	}
	counts, err := i.Batches.Progress(ctx, ref.ID)
	if err != nil {
		return fmt.Errorf("read counts: %w", err)
	}
	// Read after the counter shard was written: a flow that parks later reads the
	// counter shards later.
	if b, err = i.Batches.Batch(ctx, ref); err != nil {
		return fmt.Errorf("read batch: %w", err)
	}
	if b.Token == "" || b.Status.Terminal() || counts.Done() < b.Mark {
		return nil
	}
	if err := i.Flow.Wake(ctx, b.Token); err != nil {
		return fmt.Errorf("wake the flow: %w", err)
	}
	return nil
}
