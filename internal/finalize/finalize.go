package finalize

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/multipart"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/tenant"
)

// ErrNotLoaded reports a batch whose requests are not all stored although its
// load step is over.
var ErrNotLoaded = errors.New("finalize: the batch is not loaded")

// ErrUnfinished reports a batch that was given up and that another call of
// Abandon must bring to its end, since time ran short.
var ErrUnfinished = errors.New("finalize: the batch has not ended yet")

// A Next is what the flow is to do after Advance.
type Next string

// The nexts.
const (
	NextAdvance Next = "advance"     // advance again: time ran short
	NextLong    Next = "park_long"   // park for at most LongPark
	NextMedium  Next = "park_medium" // park for at most MediumPark
	NextShort   Next = "park_short"  // park for at most ShortPark
	NextEnd     Next = "end"         // nothing: the batch has ended
)

// The lengths of the flow's parks, which stand in its definition too: Step
// Functions takes them as literals on every cloud.
const (
	LongPark   = 10 * time.Minute
	MediumPark = 30 * time.Second
	ShortPark  = 5 * time.Second
)

// A Config is what a deployment chooses. A zero field stands for the default.
type Config struct {
	// MaxEnqueued is the most unfinished requests of a batch that are enqueued;
	// batch.MaxHighWater, which it cannot exceed.
	MaxEnqueued int
	// Allowance is the most requests of all batches that are enqueued and
	// unfinished; 60,000. A queue with 120,000 messages in flight hands out none
	// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html),
	// and duplicates count.
	Allowance int
	// Grace is how long after a cancel or the deadline answers that were paid
	// for are still taken; 5 s.
	Grace time.Duration
	// Commits is how long after a cancel or the deadline the seal waits at most
	// for workers that still record such answers; 20 s.
	Commits time.Duration
	// Stall is how long a request must have waited to be claimed before its
	// message may be lost; 4 min. A park later, at the latest, it is judged.
	Stall time.Duration
	// Sample is how many of the requests that waited so long are enqueued again
	// to see whether they move; 25.
	Sample int
	// Stale is the age at which a worker's heartbeat is stale; 30 s.
	Stale time.Duration
	// Part is the least size of an upload's part in bytes; 8 MiB. It must not be
	// below 5 MiB (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html).
	Part int64
	// Writers and Readers are how many writes of requests, or reads of segments,
	// run at once; 200, which a store may make in groups, and 8.
	Writers, Readers int
	// FileLife is the life of an output file whose batch names none;
	// batch.MaxFileLife.
	FileLife time.Duration
	// Patience is how long the results of a batch that was given up are tried to
	// be written out, in spite of errors; 30 min.
	Patience time.Duration
	// Margin is how long before its context's deadline a step comes to a stop;
	// 45 s. It must be longer than writing a part takes.
	Margin time.Duration
}

func (c Config) withDefaults() Config {
	c.MaxEnqueued = cmp.Or(c.MaxEnqueued, batch.MaxHighWater)
	c.Allowance = cmp.Or(c.Allowance, 60_000)
	c.Grace = cmp.Or(c.Grace, 5*time.Second)
	c.Commits = cmp.Or(c.Commits, 20*time.Second)
	c.Stall = cmp.Or(c.Stall, 4*time.Minute)
	c.Sample = cmp.Or(c.Sample, 25)
	c.Stale = cmp.Or(c.Stale, 30*time.Second)
	c.Part = cmp.Or(c.Part, 8<<20)
	c.Writers = cmp.Or(c.Writers, 200)
	c.Readers = cmp.Or(c.Readers, 8)
	c.FileLife = cmp.Or(c.FileLife, batch.MaxFileLife)
	c.Patience = cmp.Or(c.Patience, 30*time.Minute)
	c.Margin = cmp.Or(c.Margin, 45*time.Second)
	return c
}

// Deps are what a Finalizer works with. All are needed.
type Deps struct {
	Requests  Requests
	Journal   Journal
	Batches   Batches
	Objects   Objects
	Uploads   multipart.Uploads
	Queue     Queue
	Flow      Flow
	Clock     func() time.Time
	NewFileID func(now time.Time) (string, error) // safe for concurrent use
	Log       *slog.Logger
}

// A Finalizer takes the steps of batches' flows.
type Finalizer struct {
	Deps

	Config Config
}

// New returns a Finalizer.
func New(deps Deps, config Config) *Finalizer {
	return &Finalizer{Deps: deps, Config: config.withDefaults()}
}

// Advance brings a batch as far towards its end as it can at present, and as
// ctx's deadline, less the margin, lets it, and says what the flow is to do
// next. It may run any number of times, at the same time too, and die anywhere.
// It returns ErrNotLoaded, batch.ErrNotFound, and what stores return.
func (f *Finalizer) Advance(ctx context.Context, ref batch.Ref) (Next, error) {
	t := f.turn()
	next, err := t.advance(ctx, ref)
	if err != nil {
		return "", fmt.Errorf("finalize: advance %s: %w", ref.ID, err)
	}
	return next, nil
}

// A turn is one call of a Finalizer with one batch.
type turn struct {
	*Finalizer

	ended []state.Record // its requests as the seal has left them, by line; empty if they are to be read

	seen     batch.Counts  // what the counter shards added up to, when they were read last
	retrying int           // requests that wait for another attempt, as the last recount found
	review   *batch.Review // of those that have their outcome, by that recount; nil if there was none
	sampled  bool          // the batch's history has heard of it
}

func (f *Finalizer) turn() *turn { return &turn{Finalizer: f, retrying: batch.RetryingUnknown} }

func (t *turn) advance(ctx context.Context, ref batch.Ref) (Next, error) {
	b, err := t.Batches.Batch(ctx, ref)
	for err == nil {
		var next Next
		if b, next, err = t.step(ctx, b); err == nil && next != "" {
			return next, nil
		}
		if err == nil && t.short(ctx) {
			return NextAdvance, nil
		}
	}
	return "", err
}

// step takes one step with b. It returns b as it is then, and what the flow is
// to do next; nothing, if another step may follow at once.
func (t *turn) step(ctx context.Context, b batch.Batch) (batch.Batch, Next, error) {
	switch remaining := t.untilStop(b); {
	case b.Status.Terminal():
		return b, NextEnd, t.cleanUp(ctx, b)
	case b.Sealed:
		b, err := t.publish(ctx, b)
		return b, "", err
	case !b.Ready():
		return b, "", ErrNotLoaded
	case remaining <= 0:
		b, err := t.sealAll(ctx, b)
		return b, "", err
	case remaining <= ShortPark:
		if err := t.wait(ctx, remaining); err != nil {
			return b, "", err
		}
		b, err := t.read(ctx, b.Ref)
		return b, "", err
	}
	return t.reconcile(ctx, b)
}

// untilStop is how long it is until b stops, from when on its requests are ended.
func (t *turn) untilStop(b batch.Batch) time.Duration {
	if b.FailCause != "" {
		return 0
	}
	return stopOf(b).Sub(t.Clock())
}

// stopOf returns when b stops: when it was cancelled or given up, and at its
// deadline at the latest.
func stopOf(b batch.Batch) time.Time {
	at := b.Deadline
	for _, stop := range []time.Time{b.CancelingAt, b.FailingSince} {
		if !stop.IsZero() && stop.Before(at) {
			at = stop
		}
	}
	return at
}

// parking returns how b is to be parked: for as long as there is until it
// stops, a recount is due, a sample or the last requests are looked at, but
// hardly longer, since the flow's transitions cost.
func (t *turn) parking(b batch.Batch) Next {
	longest := t.untilStop(b)
	r := b.Reconciled.Reenqueue
	if r.Sample > 0 && r.At.Sub(t.Clock()) <= sampleRest {
		longest = min(longest, MediumPark)
	}
	if r.LastExpected() {
		longest = min(longest, MediumPark)
		if r.LastAt.Sub(t.Clock()) <= lastSoon {
			longest = min(longest, ShortPark)
		}
	}
	if until := b.RecountAt.Sub(t.Clock()); !b.RecountAt.IsZero() && until <= batch.RecountSoon {
		longest = min(longest, MediumPark)
		if until <= 2*ShortPark {
			longest = min(longest, ShortPark)
		}
	}
	if b.Asks(t.Clock()) {
		longest = min(longest, MediumPark)
	}
	switch {
	case longest >= LongPark:
		return NextLong
	case longest >= MediumPark-ShortPark:
		return NextMedium
	}
	return NextShort
}

// cleanUp gives up an ended batch's pins of its input files, its place in
// its tenant's quota, where its results count as stored from now on, its messages
// of the allowance, and last its entry among what runs: until then the sweep
// brings back a flow that died.
func (t *turn) cleanUp(ctx context.Context, b batch.Batch) error {
	for _, id := range b.Inputs() {
		_, err := t.Batches.UpdateFile(ctx, b.Tenant, id, func(f *batch.File) error {
			f.Unpin(b.ID)
			return nil
		})
		if err != nil && !errors.Is(err, batch.ErrNotFound) {
			return fmt.Errorf("unpin input file: %w", err)
		}
	}
	_, err := t.Batches.UpdateQuota(ctx, b.Tenant, func(q *tenant.Quota) error {
		q.RemoveBatch(b.ID)
		for _, r := range results() {
			if f := r.cursor(&b); f.Done {
				q.AddFile(r.id(b.WriteOut), f.Bytes, t.Clock())
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("update quota: %w", err)
	}
	_, err = t.Batches.UpdateAllowance(ctx, func(a *batch.Allowance) error {
		a.Drop(b.ID)
		return nil
	})
	if err != nil {
		return fmt.Errorf("update allowance: %w", err)
	}
	if err := t.Batches.RemoveRunning(ctx, batch.Running{Ref: b.Ref}); err != nil {
		return fmt.Errorf("remove running: %w", err)
	}
	return nil
}

// update changes b. If b's status forbids the change somebody else has moved
// it on, and what they made of it is returned.
func (t *turn) update(ctx context.Context, ref batch.Ref, change func(*batch.Batch) error) (batch.Batch, error) {
	b, err := t.Batches.UpdateBatch(ctx, ref, change)
	var moved *batch.StatusError
	if errors.As(err, &moved) {
		return t.read(ctx, ref)
	}
	if err != nil {
		return batch.Batch{}, fmt.Errorf("update batch: %w", err)
	}
	return b, nil
}

func (t *turn) read(ctx context.Context, ref batch.Ref) (batch.Batch, error) {
	b, err := t.Batches.Batch(ctx, ref)
	if err != nil {
		return batch.Batch{}, fmt.Errorf("read batch: %w", err)
	}
	return b, nil
}

// short reports whether ctx's deadline is nearer than the margin.
func (t *turn) short(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ok && !t.Clock().Add(t.Config.Margin).Before(end)
}

// wait waits for d, or until ctx ends.
func (t *turn) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait: %w", ctx.Err())
	}
}
