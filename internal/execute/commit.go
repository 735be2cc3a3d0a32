package execute

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/metric"
	"github.com/musketry/musketry/internal/state"
)

// A committer makes outcomes durable.
type committer struct {
	kit

	files      Files
	batches    Batches
	requests   requests
	shards     *shards
	reconciler *reconciler
	settler    *settler
	newID      func() string
	alive      func() bool // whether the others must take this worker for living
	until      time.Time   // when what cannot be written is left
}

// again waits before what failed is written again. It reports whether it may be:
// what was answered is paid for, and as long as this worker lives nobody else asks
// for it.
func (c *committer) again() bool {
	ctx, cancel := context.WithTimeout(c.ctx, c.until.Sub(c.clock()))
	defer cancel()
	return c.rest(ctx, rewriteEvery) && c.alive()
}

// insist is persist, again and again.
func (c *committer) insist(what func(ctx context.Context) error) error {
	for {
		err := c.persist(opLimit, what)
		if err == nil || isFact(err) || !c.again() {
			return err
		}
	}
}

// applyAll makes changes durable, again and again, and returns their errors.
func (c *committer) applyAll(changes []state.Change) []error {
	errs := c.requests.applyAll(changes)
	for {
		var failed []state.Change
		var which []int
		for i, err := range errs {
			if err != nil && !isFact(err) {
				failed, which = append(failed, changes[i]), append(which, i)
			}
		}
		if len(failed) == 0 || !c.again() {
			return errs
		}
		for n, err := range c.requests.applyAll(failed) {
			errs[which[n]] = err
		}
	}
}

// commit makes entries of one batch durable, in the order on which everybody
// else relies: lines, requests, journal, counts, the hint to the flow, and only
// then messages acknowledged and deleted, since whoever finds one again gives the
// hint again. Whatever fails leaves its messages in the queue.
func (c *committer) commit(ref batch.Ref, entries []*entry) {
	var outcomes, found []*entry
	for _, e := range entries {
		if e.outcome != nil {
			outcomes = append(outcomes, e)
		} else {
			found = append(found, e)
		}
	}
	written := c.persistOutcomes(ref, outcomes)
	for _, e := range outcomes {
		if isCause(e.end, causeRequestEnded) {
			found = append(found, e)
		}
	}
	c.reconciler.reconcile(ref, found)
	for _, e := range entries {
		c.settler.ledger.reach(e.job, counted)
	}
	if written > 0 || len(found) > 0 {
		c.reconciler.polled.entry(ref).count(written)
	}
	c.reconciler.hint(ref)
	for _, e := range entries {
		why, wait := causeOf(e.end)
		c.settler.settle(e.job, decide(why, e.job.held != heldNot, wait))
	}
}

// persistOutcomes makes outcomes durable, and says of each why its message's way
// ends. It returns how many it has written.
func (c *committer) persistOutcomes(ref batch.Ref, outcomes []*entry) (written int) {
	if len(outcomes) == 0 {
		return 0
	}
	spans, err := c.putSegment(ref, outcomes)
	if err != nil {
		c.log.Error("cannot write a segment", slog.String("batch", ref.ID), errAttr(err))
		for _, e := range outcomes {
			e.end = c.unwritten(e)
		}
		return 0
	}
	phases := c.persistEndings(outcomes, spans)
	c.appendJournal(ref, spans, outcomes, phases)
	counted := c.count(ref, phases)
	for i, e := range outcomes {
		if phases[i] == nil {
			continue
		}
		written++
		e.end = end(causeCounted)
		if !counted {
			e.end = end(causeUncounted) // it must come back, so that someone makes the flow recount
		}
	}
	return written
}

// putSegment writes the lines as one object and returns where each lies.
func (c *committer) putSegment(ref batch.Ref, outcomes []*entry) ([]state.Span, error) {
	size := 0
	for _, e := range outcomes {
		size += len(e.outcome.line)
	}
	id := c.newID()
	body := make([]byte, 0, size)
	spans := make([]state.Span, len(outcomes))
	for i, e := range outcomes {
		spans[i] = state.Span{Object: id, Offset: int64(len(body)), Length: int64(len(e.outcome.line))}
		body = append(body, e.outcome.line...)
		e.outcome.line = nil
	}
	err := c.insist(func(ctx context.Context) error {
		return c.files.Put(ctx, batch.SegmentKey(ref.ID, id), body)
	})
	for _, e := range outcomes {
		e.job.hold.keep(0)
	}
	if err == nil {
		c.metrics.Observe(metric.SegmentLines, float64(len(spans)))
		c.metrics.Observe(metric.SegmentBytes, float64(len(body)))
	}
	return spans, err
}

// persistEndings writes outcomes, whose lines lie at spans, and returns the phases
// that they brought: nil for one that was not written by us, which knows then why
// its message's way ends.
func (c *committer) persistEndings(outcomes []*entry, spans []state.Span) []state.Phase {
	var changes []state.Change
	var changed []int
	for i, e := range outcomes {
		change, err := e.outcome.ending.change(spans[i])
		if err != nil {
			c.log.Error("cannot record an outcome", append(e.job.attrs(), errAttr(err))...)
			e.end = c.unwritten(e)
			continue
		}
		changes, changed = append(changes, change), append(changed, i)
	}
	phases := make([]state.Phase, len(outcomes))
	for n, err := range c.applyAll(changes) {
		i := changed[n]
		if err := c.requests.conclude(outcomes[i].job, err); err != nil {
			c.lost(outcomes[i], err)
			continue
		}
		phases[i] = changes[n].To()
		c.tell(phases[i])
	}
	return phases
}

// lost says that e's outcome was not written, because of err.
func (c *committer) lost(e *entry, err error) {
	e.end = err
	if isCause(err, causeUnwritten) {
		c.shards.lag(e.job.message.Batch)
		e.end = c.unwritten(e)
	}
}

// tell counts an outcome for those who run the service.
func (c *committer) tell(p state.Phase) {
	labels := []string{"status", string(p.Status())}
	if f, ok := p.(state.Failed); ok {
		labels = append(labels, "reason", string(f.Reason.Kind()))
	}
	c.metrics.Count(metric.Outcomes, 1, labels...)
}

// unwritten returns the end of a message whose outcome could not be written: the
// upstream may have asked for a wait.
func (c *committer) unwritten(e *entry) error {
	if wait := e.outcome.wait.Sub(c.clock()); wait > 0 {
		return endFor(causeUnwrittenWait, wait)
	}
	return end(causeUnwritten)
}

// appendJournal tells early readers of the lines that this worker recorded. It is
// tried once: an entry whose writing failed may be there nevertheless, and the
// flow makes up for those that are not when it seals the batch.
func (c *committer) appendJournal(ref batch.Ref, spans []state.Span, outcomes []*entry, phases []state.Phase) {
	e := batch.Entry{}
	for i, at := range spans {
		if phases[i] != nil {
			e.Segment = at.Object
			e.Spans = append(e.Spans, batch.LineSpan{Line: outcomes[i].job.message.Line, Offset: at.Offset, Length: at.Length})
		}
	}
	if len(e.Spans) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(c.ctx, opLimit)
	defer cancel()
	_, err := c.batches.AppendJournal(ctx, ref.ID, e)
	if err != nil && !errors.Is(err, batch.ErrJournalClosed) {
		c.log.Warn("cannot enter lines into the journal", slog.String("batch", ref.ID), errAttr(err))
		c.metrics.Count(metric.JournalFailures, 1)
	}
}

// count adds phases to this process's shard of the batch's counter and writes it,
// again and again. Where that fails and nothing of the batch is under way here any
// more, its flow may wait for nothing else, and is asked to count the requests. It
// reports whether phases are counted, or will be; the next write brings what this
// one did not.
func (c *committer) count(ref batch.Ref, phases []state.Phase) bool {
	shard, changed := c.shards.add(ref.ID, phases)
	if !changed {
		return true
	}
	for {
		err := c.persist(opLimit, func(ctx context.Context) error {
			return c.batches.PutCounter(ctx, ref.ID, shard)
		})
		if err == nil {
			return true
		}
		asked := c.settler.ledger.of(ref).pending == 0 && c.reconciler.askRecount(ref, time.Time{}, false) == nil
		if asked || isFact(err) || !c.again() {
			c.log.Warn("cannot write counts", slog.String("batch", ref.ID), slog.Bool("recount", asked), errAttr(err))
			return asked
		}
	}
}
