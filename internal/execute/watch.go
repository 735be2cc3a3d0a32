package execute

import (
	"context"
	"errors"
	"maps"
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
	claimed bool   // this worker has claimed requests of it
	left    bool   // one of them stays this worker's although nothing is done with it
	told    bool   // that this worker has let go of it was told, or tried to be
	roused  string // the token that was woken last
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
		w.run.group.hurry(b)
		if errors.Is(cause, errOver) {
			return record, errOver
		}
	}
	return record, nil
}

// stops reports whether a batch is known to stop, and not to have ended.
func (w *watch) stops(ref batch.Ref) bool {
	b := w.entry(ref)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stops(w.run.Clock())
}

// stops is watch.stops; b.mu is held.
func (b *watched) stops(now time.Time) bool {
	if b.readAt.IsZero() {
		return false
	}
	cause := gate(b.record, now)
	return errors.Is(cause, errStopped) || errors.Is(cause, errOverdue)
}

// letGo returns the ids of the batches that this worker has let go of.
func (r *run) letGo() []string {
	var ids []string
	for _, b := range r.watch.all() {
		if r.hasLetGo(b) {
			ids = append(ids, b.ref.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// hasLetGo reports whether b stops, and nothing of it is in hand any more that
// this worker had claimed. Nothing of it ever will be: asked in this order, since
// mayStart, once a job is counted, knows what is known here.
func (r *run) hasLetGo(b *watched) bool {
	return b.claims(false) && r.watch.stops(b.ref) && !r.group.holds(b.ref)
}

// tellLetGo has the others hear at once that this worker has let go of b, if it
// has, and if that is news.
func (r *run) tellLetGo(b *watched) {
	if r.hasLetGo(b) && b.tell() {
		r.heart.once(r.ops)
	}
}

// claims reports whether this worker has claimed requests of b, now included if
// it does now.
func (b *watched) claims(now bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claimed = b.claimed || now
	return b.claimed
}

// tell returns true the first time.
func (b *watched) tell() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := !b.told
	b.told = true
	return first
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

// loop looks at every batch that has calls in flight, or answers in hand, or a
// request left behind.
func (w *watch) loop(ctx context.Context) {
	for w.run.rest(ctx, pollEvery) {
		each(w.busy(), func(_ int, b *watched) { //nolint:contextcheck // what one look finds serves all, whoever looks
			if _, err := w.read(b); err != nil && !errors.Is(err, errOver) {
				w.run.Metrics.Count("cancellation_poll_errors_total", 1)
				w.run.log.Warn("cannot look at a batch", errAttr(err))
			}
		})
	}
}

// busy returns the batches that loop looks at.
func (w *watch) busy() []*watched {
	return slices.DeleteFunc(w.all(), func(b *watched) bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		needed := b.left && !b.stops(w.run.Clock())
		return !needed && !w.run.group.holds(b.ref)
	})
}

func (w *watch) all() []*watched {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Values(w.batches))
}

// mark returns the number of outcomes at which a batch's flow wanted to be woken
// when the batch was last read. It has only grown since.
func (w *watch) mark(ref batch.Ref) int { return w.entry(ref).last().Mark }

// last returns b as it was last read.
func (b *watched) last() batch.Batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.record
}

// rouse reports whether token is another than the last time.
func (b *watched) rouse(token string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	news := b.roused != token
	b.roused = token
	return news
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

// leave says that a request of b stays this worker's although nothing is done
// with it: the seal waits until this worker is known to have let go of b.
func (b *watched) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = true
}

// check aborts f if its request's owner has stopped it; b.mu is held. What the
// batch names has its outcome.
func (b *watched) check(f *flight) {
	if slices.Contains(b.record.Stopped, f.line) {
		f.stop(errDone)
	}
}
