package execute

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// reconcile acknowledges the messages of jobs whose requests were terminal
// already, once it is sure that their outcomes are counted, or will be: whoever
// recorded them may have died before. A cancel by its owner has a cell of its
// own, which anybody may write. For all others the flow is asked to recount.
func (r *run) reconcile(ref batch.Ref, found []*job) {
	asked := r.cells.lags(ref.ID)
	var dated time.Time // the latest; zero if one is not known
	again := !asked
	var others []*job
	for _, j := range found {
		if r.canceled(j) {
			r.settleFound([]*job{j}, r.putStopped(ref, j.message.Line))
			continue
		}
		if at := state.EndedAt(j.record.Phase); !asked && at.After(dated) {
			dated = at
		}
		again = again && j.message.Again
		others = append(others, j)
	}
	if len(others) > 0 || asked {
		r.settleFound(others, r.askRecount(ref, dated, again))
	}
}

// canceled reports whether j's request was canceled by its owner.
func (r *run) canceled(j *job) bool {
	return j.record.Phase != nil && (j.record.Phase.Status() == state.StatusCanceled || !j.record.Phase.Status().Terminal())
}

// settleFound acknowledges the messages of jobs, or lets them come back if err
// says that their outcomes may be counted nowhere.
func (r *run) settleFound(jobs []*job, err error) {
	if err != nil && len(jobs) > 0 {
		r.log.Warn("cannot have an outcome counted", append(jobs[0].attrs(), errAttr(err))...)
	}
	for _, j := range jobs {
		if err != nil {
			r.showLate(j)
		} else {
			r.ack(j)
		}
	}
}

func (r *run) putStopped(ref batch.Ref, line int) error {
	return r.persist(opLimit, func(ctx context.Context) error {
		return r.Batches.PutCell(ctx, ref.ID, batch.StoppedCell(line))
	})
}

// askRecount has ref's flow count the requests because of an outcome dated so;
// again says that the flow's own second messages found it.
// Who asks first wakes it, so that thousands of messages that come twice do not
// turn it a thousand times.
func (r *run) askRecount(ref batch.Ref, dated time.Time, again bool) error {
	wake := false
	var b batch.Batch
	err := r.persist(opLimit, func(ctx context.Context) error {
		var err error
		b, err = r.Batches.UpdateBatch(ctx, ref, func(b *batch.Batch) error {
			wake = b.AskRecount(dated, again, r.Clock())
			return nil
		})
		return err
	})
	if errors.Is(err, batch.ErrNotFound) {
		return nil
	}
	if err != nil || !wake {
		return err
	}
	r.rouse(b)
	return nil
}

// wake hints to the batch's flow that as many requests have their outcome as it
// wants to know of. The cells are read after this worker's own was written, and
// the token after the cells: a flow that parks later reads the cells later.
func (r *run) wake(ref batch.Ref) {
	done, err := r.progress(ref)
	if err == nil && done < r.watch.mark(ref) {
		return
	}
	var b batch.Batch
	if err == nil {
		b, err = r.batch(ref)
	}
	switch {
	case errors.Is(err, batch.ErrNotFound):
	case err != nil:
		r.log.Warn("cannot see whether the flow is to be woken", slog.String("batch", ref.ID), errAttr(err))
	case done >= b.Mark:
		r.rouse(b)
	}
}

// rouse wakes b's flow, once for each of its parks.
func (r *run) rouse(b batch.Batch) {
	if b.Status.Terminal() || b.Token == "" || !r.watch.entry(b.Ref).rouse(b.Token) {
		return
	}
	err := r.persist(opLimit, func(ctx context.Context) error {
		return r.Flow.Wake(ctx, b.Token)
	})
	if err != nil {
		r.log.Warn("cannot wake the flow", slog.String("batch", b.ID), errAttr(err))
		r.watch.entry(b.Ref).rouse("")
	}
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
