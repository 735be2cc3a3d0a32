package execute

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// flush makes entries of one batch durable, in the order on which everybody
// else relies: lines, requests, journal, counts, messages acknowledged, the hint
// to the flow, and only then messages deleted, since whoever finds one again
// gives the hint again. Whatever fails leaves its messages in the queue.
func (r *run) flush(ref batch.Ref, entries []*entry) {
	if len(entries) == 0 {
		return
	}
	var outcomes []*entry
	var found []*job // their requests were terminal already
	for _, e := range entries {
		if e.outcome != nil {
			outcomes = append(outcomes, e)
		} else {
			found = append(found, e.job)
		}
	}
	known := false
	if len(outcomes) > 0 {
		var late []*job
		late, known = r.record(ref, outcomes)
		found = append(found, late...)
	}
	r.reconcile(ref, found)
	if known || len(found) > 0 {
		r.wake(ref)
	}
	r.discard(entries)
}

// record makes outcomes durable and acknowledges their messages. It returns the
// jobs whose requests were terminal already; known is false if none was recorded.
func (r *run) record(ref batch.Ref, outcomes []*entry) (found []*job, known bool) {
	spans, err := r.putSegment(ref, outcomes)
	if err != nil {
		r.log.Error("cannot write a segment", slog.String("batch", ref.ID), errAttr(err))
		for _, e := range outcomes {
			r.leaveBehind(e)
		}
		return nil, false
	}
	phases := make([]state.Phase, len(outcomes)) // nil: not written by us
	errs := make([]error, len(outcomes))
	each(outcomes, func(i int, e *entry) { phases[i], errs[i] = r.applyOutcome(e, spans[i]) })
	r.enter(ref, spans, outcomes, phases)
	counted := r.count(ref, phases)
	for i, e := range outcomes {
		if errors.Is(errs[i], errDone) {
			found = append(found, e.job)
			continue
		}
		if phases[i] != nil && !counted {
			errs[i], e.outcome.wait = errHeld, time.Time{} // it must come back, so that someone makes the flow recount
		}
		r.acknowledge(e, errs[i])
		known = known || phases[i] != nil
	}
	return found, known
}

// putSegment writes the lines as one object and returns where each lies.
func (r *run) putSegment(ref batch.Ref, outcomes []*entry) ([]state.Span, error) {
	size := 0
	for _, e := range outcomes {
		size += len(e.outcome.line)
	}
	id := r.NewID()
	body := make([]byte, 0, size)
	spans := make([]state.Span, len(outcomes))
	for i, e := range outcomes {
		spans[i] = state.Span{Object: id, Offset: int64(len(body)), Length: int64(len(e.outcome.line))}
		body = append(body, e.outcome.line...)
		e.outcome.line = nil
	}
	err := r.persist(opLimit, func(ctx context.Context) error {
		return r.Files.Put(ctx, batch.SegmentKey(ref.ID, id), body)
	})
	return spans, err
}

// applyOutcome writes one outcome and returns the phase it brought, or nil and
// what becomes of the message.
func (r *run) applyOutcome(e *entry, at state.Span) (state.Phase, error) {
	change, err := e.outcome.change(at)
	if err != nil {
		return nil, err
	}
	if err := r.unwritten(e.job, r.apply(change)); err != nil {
		if errors.Is(err, errHeld) {
			r.cells.lag(e.job.message.Batch)
		}
		return nil, err
	}
	labels := []string{"status", string(change.To().Status())}
	if f, ok := change.To().(state.Failed); ok {
		labels = append(labels, "reason", string(f.Reason.Kind()))
	}
	r.Metrics.Count("outcomes_total", 1, labels...)
	return change.To(), nil
}

// enter tells early readers of the lines that this worker recorded. It is tried
// once: an entry whose writing failed may be there nevertheless, and the flow
// makes up for those that are not when it seals the batch.
func (r *run) enter(ref batch.Ref, spans []state.Span, outcomes []*entry, phases []state.Phase) {
	e := batch.Entry{}
	for i, at := range spans {
		if phases[i] != nil {
			e.Segment = at.Object
			e.Places = append(e.Places, batch.Place{Line: outcomes[i].job.message.Line, Offset: at.Offset, Length: at.Length})
		}
	}
	if len(e.Places) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(r.ops, opLimit)
	defer cancel()
	_, err := r.Batches.AppendJournal(ctx, ref.ID, e)
	if err != nil && !errors.Is(err, batch.ErrJournalClosed) {
		r.log.Warn("cannot enter lines into the journal", slog.String("batch", ref.ID), errAttr(err))
		r.Metrics.Count("journal_failures_total", 1)
	}
}

// count adds phases to this process's cell of the batch and writes it. It
// reports whether that succeeded; the next write brings what this one did not.
func (r *run) count(ref batch.Ref, phases []state.Phase) bool {
	cell, changed := r.cells.add(ref.ID, phases)
	if !changed {
		return true
	}
	err := r.persist(opLimit, func(ctx context.Context) error {
		return r.Batches.PutCell(ctx, ref.ID, cell)
	})
	if err != nil {
		r.log.Warn("cannot write counts", slog.String("batch", ref.ID), errAttr(err))
	}
	return err == nil
}

// acknowledge ends a message whose outcome was to be written.
func (r *run) acknowledge(e *entry, err error) {
	j := e.job
	var put *asideError
	switch {
	case err == nil:
		r.ack(j)
	case errors.As(err, &put):
		r.putBack(j, put.after)
	default:
		if !errors.Is(err, errHeld) {
			r.log.Error("cannot record an outcome", append(j.attrs(), errAttr(err))...)
		}
		r.leaveBehind(e)
	}
}
