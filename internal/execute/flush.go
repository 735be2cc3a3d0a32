package execute

import (
	"context"
	"errors"
	"log/slog"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// flush makes entries of one batch durable, in the order on which everybody
// else relies: lines, requests, journal, counts, messages, and then the hint to
// the flow. Whatever fails leaves its messages in the queue.
func (r *run) flush(ref batch.Ref, entries []*entry) {
	if len(entries) == 0 {
		return
	}
	var outcomes []*entry
	found := false // requests that were terminal already
	for _, e := range entries {
		if e.outcome != nil {
			outcomes = append(outcomes, e)
		} else {
			r.ack(e.job)
			found = true
		}
	}
	known := true
	if len(outcomes) > 0 {
		var counted bool
		counted, known = r.record(ref, outcomes)
		found = found || !counted
	}
	if known || found {
		r.wake(ref, found)
	}
}

// record makes outcomes durable and acknowledges their messages. counted is
// false if the counts may lack some of them; known is false if none was
// recorded.
func (r *run) record(ref batch.Ref, outcomes []*entry) (counted, known bool) {
	spans, err := r.putSegment(ref, outcomes)
	if err != nil {
		r.log.Error("cannot write a segment", slog.String("batch", ref.ID), errAttr(err))
		for _, e := range outcomes {
			r.showLate(e.job)
		}

		return true, false
	}
	phases := make([]state.Phase, len(outcomes)) // nil: not written by us
	errs := make([]error, len(outcomes))
	each(outcomes, func(i int, e *entry) { phases[i], errs[i] = r.applyOutcome(e, spans[i]) })
	r.enter(ref, spans, outcomes, phases)
	counted = r.count(ref, phases)
	for i, e := range outcomes {
		if phases[i] != nil && !counted {
			errs[i] = errHeld // it must come back, so that someone makes the flow recount
		}
		r.acknowledge(e.job, errs[i])
		known = known || phases[i] != nil
	}

	return counted, known
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

// acknowledge ends a message whose outcome was written, or was another's.
func (r *run) acknowledge(j *job, err error) {
	var put *asideError
	switch {
	case err == nil, errors.Is(err, errDone):
		r.ack(j)
	case errors.As(err, &put):
		r.putBack(j, put.after)
	default:
		if !errors.Is(err, errHeld) {
			r.log.Error("cannot record an outcome", append(j.attrs(), errAttr(err))...)
		}
		r.showLate(j)
	}
}

// wake hints to the batch's flow that there may be something to do: every line
// that was fed has its outcome; or, if found is set, outcomes were found that
// the cells may lack, and the flow would count the requests again if it woke.
func (r *run) wake(ref batch.Ref, found bool) {
	if err := r.tryWake(ref, found); err != nil {
		r.log.Warn("cannot wake the flow", slog.String("batch", ref.ID), errAttr(err))
	}
}

func (r *run) tryWake(ref batch.Ref, found bool) error {
	done, err := r.progress(ref)
	if err != nil {
		return err
	}
	if !found && done < r.watch.fed(ref) { // what is cached is never more than what is stored
		return nil
	}
	b, err := r.batch(ref)
	switch {
	case errors.Is(err, batch.ErrNotFound):
		return nil
	case err != nil:
		return err
	case b.Status.Terminal() || b.Token == "":
		return nil
	case done < b.Fed && (!found || r.Clock().Before(b.Watch.LookAt)):
		// Messages that come twice, perhaps by the thousand, must not turn the
		// flow for nothing: each turn costs, and its history is bounded.
		return nil
	}

	return r.persist(opLimit, func(ctx context.Context) error {
		return r.Flow.Wake(ctx, b.Token)
	})
}

func (r *run) progress(ref batch.Ref) (int, error) {
	var counts batch.Counts
	err := r.persist(opLimit, func(ctx context.Context) error {
		var err error
		counts, err = r.Batches.Progress(ctx, ref.ID)

		return err
	})

	return counts.Done(), err
}

func (r *run) batch(ref batch.Ref) (batch.Batch, error) {
	var b batch.Batch
	err := r.persist(opLimit, func(ctx context.Context) error {
		var err error
		b, err = r.Batches.Batch(ctx, ref)

		return err
	})

	return b, err
}
