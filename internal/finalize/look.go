package finalize

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

const (
	// lookRest is the least time between two counts of a batch's requests, and
	// lookMost the longest. A count of 10,000 requests reads about 4 MB.
	lookRest = 30 * time.Second
	lookMost = 5 * time.Minute
	// quiet is how long the cells must stand still before they are doubted.
	quiet = 5 * time.Second
	// settled is the age at which an outcome must be in its worker's cell.
	settled = 30 * time.Second
)

// run keeps a batch in progress going: it feeds the window, counts the requests
// where the cells say that all is done or have come to a standstill, and seals
// the batch if so it is. Otherwise there is nothing to do but to park it.
func (s steps) run(ctx context.Context, b batch.Batch) (batch.Batch, Next, error) {
	p, err := s.progress(ctx, b)
	if err != nil {
		return b, "", err
	}
	if b.Fed < min(b.Counts.Total, p.Done()+s.Config.Window) {
		b, err = s.feed(ctx, b, p.Done())

		return b, "", err
	}
	still := p.Done() >= b.Counts.Total
	if !still && !s.Clock().Before(b.Watch.LookAt) {
		was := p
		if err = s.wait(ctx, quiet); err != nil {
			return b, "", err
		}
		if p, err = s.progress(ctx, b); err != nil {
			return b, "", err
		}
		if still = p == was; !still && p.Done() >= b.Fed {
			return b, "", nil // the next step feeds, or counts
		}
	}
	if still {
		return s.look(ctx, b, p.Done())
	}
	b, err = s.update(ctx, b.Ref, func(b *batch.Batch) error {
		b.Watched(b.Watch.See(p.Done(), s.Clock(), s.Config.Stall))

		return nil
	})

	return b, s.parking(b), err
}

func (s steps) progress(ctx context.Context, b batch.Batch) (batch.Counts, error) {
	p, err := s.Requests.Progress(ctx, b.ID)
	if err != nil {
		return batch.Counts{}, fmt.Errorf("read cells: %w", err)
	}

	return p, nil
}

// look counts b's requests and seals it if all have their outcome. If not, it
// enqueues again what nobody seems to have, if that is due, and makes up for
// what the cells, which added up to was, lack.
func (s steps) look(ctx context.Context, b batch.Batch, was int) (batch.Batch, Next, error) {
	now := s.Clock()
	watch := b.Watch.See(was, now, s.Config.Stall)
	c := census{
		steps: s, batch: b, now: now, resend: !now.Before(watch.ResendAt), out: outbox{steps: s},
		counts: batch.Counts{Total: b.Counts.Total}, lost: map[string]bool{},
	}
	for rec, err := range s.walk(ctx, b, 0) {
		if err != nil || s.short(ctx) {
			return b, "", err
		}
		if err := c.add(ctx, rec); err != nil {
			return b, "", err
		}
	}
	if c.counts.Done() == c.counts.Total {
		b, err := s.seal(ctx, b, c.counts, c.usage)

		return b, "", err
	}
	if err := c.out.flush(ctx); err != nil {
		return b, "", err
	}
	if c.out.sent > 0 {
		s.Log.WarnContext(ctx, "requests enqueued again", slog.String("batch", b.ID), slog.Int("requests", c.out.sent))
	}
	done, err := s.makeUp(ctx, b, c.sure)
	if err != nil {
		return b, "", err
	}
	if watch = watch.Looked(now, lookRest, lookMost); c.resend {
		watch = watch.Resent(now)
	}
	b, err = s.update(ctx, b.Ref, func(b *batch.Batch) error {
		b.Watched(watch.See(done, now, s.Config.Stall))

		return nil
	})
	if err != nil || done != was {
		return b, "", err // something moved meanwhile, or was put right: see again
	}

	return b, s.parking(b), nil
}

// makeUp writes what the cells lack of the outcomes that were found, and are so
// old that their workers must have died before counting them, as one more cell.
// It returns how many outcomes the cells hold then. The cell's id follows from
// what was found, so two who find the same write it once.
func (s steps) makeUp(ctx context.Context, b batch.Batch, found batch.Counts) (int, error) {
	p, err := s.progress(ctx, b)
	if err != nil {
		return 0, err
	}
	lost := batch.Counts{
		Completed: max(found.Completed-p.Completed, 0), Failed: max(found.Failed-p.Failed, 0),
		Expired: max(found.Expired-p.Expired, 0), Canceled: max(found.Canceled-p.Canceled, 0),
	}
	if lost.Done() == 0 {
		return p.Done(), nil
	}
	s.Log.WarnContext(ctx, "outcomes were not counted", slog.String("batch", b.ID), slog.Int("requests", lost.Done()))
	cell := batch.Cell{ID: "lost-" + strconv.Itoa(p.Done()), Counts: lost}
	if err := s.Requests.PutCell(ctx, b.ID, cell); err != nil {
		return 0, fmt.Errorf("put cell: %w", err)
	}

	return p.Done() + lost.Done(), nil
}

// outcomeAt returns when a request got its outcome, and the zero time if it has
// none.
func outcomeAt(p state.Phase) time.Time {
	switch p := p.(type) {
	case state.Completed:
		return p.CompletedAt
	case state.Failed:
		return p.FailedAt
	case state.Canceled:
		return p.CanceledAt
	case state.Pending, state.Claimed, state.Processing:
	}

	return time.Time{}
}

// A census counts requests, and enqueues again those that nobody seems to have.
type census struct {
	steps
	batch  batch.Batch
	now    time.Time
	resend bool
	out    outbox
	counts batch.Counts
	usage  state.Usage
	sure   batch.Counts    // of outcomes that must be in the cells
	lost   map[string]bool // whether a worker is, of those looked up
}

func (c *census) add(ctx context.Context, rec state.Record) error {
	if rec.Phase.Status().Terminal() {
		c.counts, c.usage = c.counts.Add(rec.Phase), c.usage.Plus(usageOf(rec.Phase))
		if c.now.Sub(outcomeAt(rec.Phase)) >= settled {
			c.sure = c.sure.Add(rec.Phase)
		}

		return nil
	}
	if !c.resend || rec.Spec.Key.Line > c.batch.Fed {
		return nil
	}
	if silent, err := c.silent(ctx, rec.Phase); err != nil || !silent {
		return err
	}

	return c.out.add(ctx, batch.MessageOf(c.batch.Tenant, rec.Spec))
}

// silent reports whether a request that has not ended seems forgotten: it could
// have been claimed for long, or its worker is gone.
func (c *census) silent(ctx context.Context, p state.Phase) (bool, error) {
	switch p := p.(type) {
	case state.Pending:
		return c.now.Sub(p.NotBefore) >= c.Config.Stall, nil
	case state.Claimed:
		return c.gone(ctx, p.Lease)
	case state.Processing:
		return c.gone(ctx, p.Lease)
	case state.Completed, state.Failed, state.Canceled:
	}

	return false, nil
}

func (c *census) gone(ctx context.Context, lease state.Lease) (bool, error) {
	if !c.now.Before(lease.Expires) {
		return true, nil
	}
	if lost, ok := c.lost[lease.Worker]; ok {
		return lost, nil
	}
	w, err := c.Requests.Worker(ctx, lease.Worker)
	if err != nil {
		return false, fmt.Errorf("read worker: %w", err)
	}
	c.lost[lease.Worker] = lease.Lost(w, c.now, c.Config.Stale) != state.LossNone

	return c.lost[lease.Worker], nil
}
