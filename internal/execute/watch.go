package execute

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// pollEvery is the time between two looks at a batch with calls in flight, and
// the longest that a batch's record is used without another look.
const pollEvery = 2 * time.Second

// A watch knows the batches of a run, and stops the calls of those that stop.
type watch struct {
	run *run

	mu      sync.Mutex
	batches map[batch.Ref]*watched
}

// A watched is one batch of a run.
type watched struct {
	ref  batch.Ref
	ctx  context.Context // of its calls; its cause is why the batch, or the run, stopped
	stop context.CancelCauseFunc

	mu      sync.Mutex
	record  batch.Batch
	readAt  time.Time // zero: never
	reading *reading  // the one in flight; nil if none is
	flights map[*flight]struct{}
}

// A reading is one read of a batch, for all who wait for it.
type reading struct {
	done   chan struct{}
	record batch.Batch
	err    error
}

// A flight is a call of a batch, from its start until it is judged.
type flight struct {
	line int
	stop context.CancelCauseFunc
}

func newWatch(r *run) *watch { return &watch{run: r, batches: make(map[batch.Ref]*watched)} }

// get returns a batch as it is, or was at most two seconds ago. It returns errOver if
// there is no such batch any more. Whoever asks while it is read gets what that
// read brings, its error too: many jobs wait for one read, and not one after
// another for each its own.
func (w *watch) get(ref batch.Ref) (*watched, batch.Batch, error) {
	b := w.entry(ref)
	b.mu.Lock()
	if record := b.record; w.run.Clock().Sub(b.readAt) < pollEvery {
		defer b.mu.Unlock()

		return b, record, nil
	}
	now := b.reading
	if now != nil {
		b.mu.Unlock()
		<-now.done

		return b, now.record, now.err
	}
	now = &reading{done: make(chan struct{}), err: errUnread}
	b.reading = now
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.reading = nil
		close(now.done)
	}()
	now.record, now.err = w.read(b)

	return b, now.record, now.err
}

func (w *watch) entry(ref batch.Ref) *watched {
	w.mu.Lock()
	defer w.mu.Unlock()
	b, ok := w.batches[ref]
	if !ok {
		b = &watched{ref: ref, flights: make(map[*flight]struct{})}
		b.ctx, b.stop = context.WithCancelCause(w.run.calls)
		w.batches[ref] = b
	}

	return b
}

// read reads b anew, and ends its calls if it stops, or those that it names. It
// returns errOver if b is terminal or gone.
func (w *watch) read(b *watched) (batch.Batch, error) {
	at := w.run.Clock()
	record, err := w.run.batch(b.ref)
	if errors.Is(err, batch.ErrNotFound) {
		b.stop(errOver)

		return batch.Batch{}, errOver
	}
	if err != nil {
		return batch.Batch{}, err
	}
	b.mu.Lock()
	b.record, b.readAt = record, at
	for f := range b.flights {
		b.check(f)
	}
	b.mu.Unlock()
	if cause := gate(record, w.run.Clock()); cause != nil {
		b.stop(cause)
		if errors.Is(cause, errOver) {
			return record, errOver
		}
	}

	return record, nil
}

// gate returns nil if b's requests may be called at now, or why not.
func gate(b batch.Batch, now time.Time) error {
	switch b.Status {
	case batch.StatusCompleted, batch.StatusFailed, batch.StatusExpired, batch.StatusCanceled:
		return errOver
	case batch.StatusCanceling, batch.StatusFinalizing, batch.StatusValidating:
		return errStopped
	case batch.StatusInProgress:
	}
	switch {
	case b.GivenUp != "":
		return errStopped
	case b.Overdue(now):
		return errOverdue
	}

	return nil
}

// loop looks at every batch that has calls in flight.
func (w *watch) loop(ctx context.Context) {
	ticks := time.NewTicker(w.run.early(pollEvery))
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		each(w.busy(), func(_ int, b *watched) { //nolint:contextcheck // what one look finds serves all, whoever looks
			if _, err := w.read(b); err != nil && !errors.Is(err, errOver) {
				w.run.Metrics.Count("cancellation_poll_errors_total", 1)
				w.run.log.Warn("cannot look at a batch", errAttr(err))
			}
		})
	}
}

// busy returns the batches that have calls in flight.
func (w *watch) busy() []*watched {
	w.mu.Lock()
	defer w.mu.Unlock()
	busy := make([]*watched, 0, len(w.batches))
	for _, b := range w.batches {
		b.mu.Lock()
		if len(b.flights) > 0 {
			busy = append(busy, b)
		}
		b.mu.Unlock()
	}

	return busy
}

// fed returns how many lines of a batch have surely been fed.
func (w *watch) fed(ref batch.Ref) int { return w.entry(ref).last().Fed }

// last returns b as it was last read.
func (b *watched) last() batch.Batch {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.record
}

// fly returns the context of a call of line, which is in flight until land is
// called.
func (b *watched) fly(line int) (ctx context.Context, land func()) {
	ctx, stop := context.WithCancelCause(b.ctx)
	f := &flight{line: line, stop: stop}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flights[f] = struct{}{}
	b.check(f)

	return ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.flights, f)
		stop(nil)
	}
}

// check aborts f if its request's owner has stopped it; b.mu is held. What the
// batch names has its outcome.
func (b *watched) check(f *flight) {
	if slices.Contains(b.record.Stopped, f.line) {
		f.stop(errDone)
	}
}
