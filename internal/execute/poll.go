package execute

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/metric"
)

// pollEvery is the time between two looks at a batch with calls in flight, and
// the longest that a batch's record is used without another look.
const pollEvery = 2 * time.Second

// sumEvery is the time between two looks at a batch's counter shards while its
// requests are in hand.
const sumEvery = 10 * time.Second

// A poller knows the batches of a worker, and stops the calls of those that
// stop.
type poller struct {
	kit

	batches  Batches
	ledger   *ledger
	calls    context.Context // of all calls
	stopping func(batch.Ref) // is told each time that a batch is seen to stop, and does not wait

	mu    sync.Mutex
	known map[batch.Ref]*polled
}

// A polled is one batch of a worker.
type polled struct {
	ref  batch.Ref
	ctx  context.Context // of its calls; its cause is why the batch, or the worker, stopped
	stop context.CancelCauseFunc

	mu        sync.Mutex
	record    batch.Batch
	readAt    time.Time // zero: never
	reading   *reading  // the one in flight; nil if none is
	flights   map[*flight]struct{}
	announced bool   // the others were told that this worker has let go of it, or it was tried
	wokenWith string // the token that its flow was woken with last
	sum       sum
}

// A sum is what this worker knows of a batch's counter shards.
type sum struct {
	readAt time.Time // when all of them were last read; zero: never
	done   int       // outcomes that were counted then
	own    int       // outcomes that this worker has counted since
	owed   bool      // this worker has counted since, or found what others have
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

// errUnread is what those get who waited for a read that panicked.
var errUnread = errors.New("execute: nothing was read")

// get returns a batch as it is, or was at most two seconds ago. Its error is the
// batch's end if there is no such batch any more. Whoever asks while it is read
// gets what that read brings, its error too: many jobs wait for one read, and not
// one after another for each its own.
func (p *poller) get(ref batch.Ref) (*polled, batch.Batch, error) {
	b := p.entry(ref)
	b.mu.Lock()
	if record := b.record; p.clock().Sub(b.readAt) < pollEvery {
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
	now.record, now.err = p.read(b)
	return b, now.record, now.err
}

func (p *poller) entry(ref batch.Ref) *polled {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, ok := p.known[ref]
	if !ok {
		b = &polled{ref: ref, flights: make(map[*flight]struct{})}
		b.ctx, b.stop = context.WithCancelCause(p.calls)
		p.known[ref] = b
	}
	return b
}

// read reads b anew, and ends its calls if it stops, or those that it names. Its
// error is the batch's end if b is terminal or gone.
func (p *poller) read(b *polled) (batch.Batch, error) {
	at := p.clock()
	record, err := p.fetch(b.ref)
	if errors.Is(err, batch.ErrNotFound) {
		b.stop(end(causeBatchEnded))
		return batch.Batch{}, end(causeBatchEnded)
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
	if why := stopOf(record, p.clock()); why != nil {
		b.stop(why)
		p.stopping(b.ref)
		if isCause(why, causeBatchEnded) {
			return record, why
		}
	}
	return record, nil
}

// fetch reads a batch, and returns batch.ErrNotFound.
func (p *poller) fetch(ref batch.Ref) (batch.Batch, error) {
	var b batch.Batch
	err := p.persist(opLimit, func(ctx context.Context) error {
		var err error
		b, err = p.batches.Batch(ctx, ref)
		return err
	})
	return b, err
}

// loop looks at every batch that has calls in flight, or answers in hand, or a
// request left behind.
func (p *poller) loop(ctx context.Context) {
	for p.rest(ctx, pollEvery) {
		each(p.busy(), func(_ int, b *polled) { //nolint:contextcheck // what one look finds serves all, whoever looks
			if _, err := p.read(b); err != nil && !isCause(err, causeBatchEnded) {
				p.metrics.Count(metric.CancelPollFailures, 1)
				p.log.Warn("cannot look at a batch", errAttr(err))
			}
		})
	}
}

// busy returns the batches that loop looks at. The seal waits until this worker
// is known to have let go of what it left behind.
func (p *poller) busy() []*polled {
	return slices.DeleteFunc(p.all(), func(b *polled) bool {
		t := p.ledger.of(b.ref)
		return t.inHand == 0 && (!t.leftBehind || b.stops(p.clock()))
	})
}

func (p *poller) all() []*polled {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Values(p.known))
}

// letGo returns the ids of the batches that this worker has let go of.
func (p *poller) letGo() []string {
	var ids []string
	for _, b := range p.all() {
		if p.hasLetGo(b) {
			ids = append(ids, b.ref.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// hasLetGo reports whether b stops, and nothing of it is in hand any more that
// this worker had claimed. Nothing of it ever will be: asked in this order, since
// the gate, once a call is in the ledger, knows what is known here.
func (p *poller) hasLetGo(b *polled) bool {
	return p.ledger.of(b.ref).claimed > 0 && b.stops(p.clock()) && p.ledger.of(b.ref).inHand == 0
}

// stops reports whether b is known to stop, and not to have ended.
func (b *polled) stops(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.readAt.IsZero() && isCause(stopOf(b.record, now), causeBatchStopping)
}

// stopOf returns nil if b's requests may be called at now, or why not.
func stopOf(b batch.Batch, now time.Time) error {
	switch b.Status {
	case batch.StatusCompleted, batch.StatusFailed, batch.StatusExpired, batch.StatusCanceled:
		return end(causeBatchEnded)
	case batch.StatusCanceling, batch.StatusFinalizing, batch.StatusValidating:
		return end(causeBatchStopping)
	case batch.StatusInProgress:
	}
	if b.FailCause != "" || b.Overdue(now) {
		return end(causeBatchStopping)
	}
	return nil
}

// last returns b as it was last read.
func (b *polled) last() batch.Batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.record
}

// markAnnounced reports whether that b was let go of is news.
func (b *polled) markAnnounced() (news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	news = !b.announced
	b.announced = true
	return news
}

// markWoken reports whether token is another than the last time.
func (b *polled) markWoken(token string) (news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	news = b.wokenWith != token
	b.wokenWith = token
	return news
}

// count says that this worker has counted n outcomes, so that the sum of the
// counter shards is to be read.
func (b *polled) count(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sum.own += n
	b.sum.owed = true
}

// takeSum reports whether the sum is to be read now, and that is this worker's to
// do: it is owed, and that nothing of the batch is in hand any more (last), that it
// was not read for long enough, or that it has come to the mark for sure, of which
// the flow does not know.
func (b *polled) takeSum(now time.Time, last bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	marked := b.sum.done+b.sum.own >= b.record.Mark && b.wokenWith != b.record.Token
	if !b.sum.owed || !last && !marked && now.Sub(b.sum.readAt) < sumEvery {
		return false
	}
	b.sum.readAt, b.sum.own, b.sum.owed = now, 0, false
	return true
}

// tookSum says that so many outcomes are counted.
func (b *polled) tookSum(done int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sum.done = max(b.sum.done, done)
}

// fly returns the context of a call of line, which is in flight until land is
// called.
func (b *polled) fly(line int) (ctx context.Context, land func()) {
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
func (b *polled) check(f *flight) {
	if slices.Contains(b.record.CanceledLines, f.line) {
		f.stop(end(causeRequestEnded))
	}
}
