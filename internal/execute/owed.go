package execute

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/state"
)

// owedEvery is the time between two rounds of writes of a retry.
const owedEvery = 5 * time.Second

// An owedError is a retry whose write has failed: what the upstream asked for is
// known to this worker and, once it has hidden the message, to the queue.
type owedError struct {
	change  state.Change
	pending state.Pending
	model   string // as metrics name it
	kind    string // of the failure
}

func (e *owedError) Error() string { return "execute: a retry is not written" }

// writeRetry makes a retry durable. It returns the aside that hides its message, or what else
// becomes of it: the *owedError itself if it could not be written.
func (r *run) writeRetry(j *job, owed *owedError) error {
	err := r.unwritten(j, r.apply(owed.change))
	switch {
	case errors.Is(err, errHeld):
		return owed
	case err != nil:
		return err
	}
	r.log.Debug("retry", append(j.attrs(), slog.Int("attempt", owed.pending.Attempt),
		slog.String("reason", owed.pending.Last))...)
	r.Metrics.Count("retries_total", 1, "model", owed.model, "kind", owed.kind)
	return aside(owed.pending.NotBefore.Sub(r.Clock()), "backoff")
}

// insist hides the message of a retry that could not be written for as long as
// the retry has to wait, so that it waits even if this worker dies, and goes on
// writing it until then, or until the batch or this worker stops. The lease
// keeps everybody else off; other jobs have the place and the room. It returns
// what becomes of the message.
func (r *run) insist(j *job, owed *owedError) error {
	hidden := false
	for r.Clock().Before(owed.pending.NotBefore) {
		if !hidden {
			hidden = r.keep.rest(j.delivery.Handle, owed.pending.NotBefore.Sub(r.Clock())) == nil
		}
		select {
		case <-time.After(min(r.jitter(owedEvery), owed.pending.NotBefore.Sub(r.Clock()))):
		case <-j.watched.ctx.Done():
			return r.owe(j)
		}
		if _, _, err := r.watch.get(j.ref()); errors.Is(err, errOver) {
			return err
		}
		if err := r.writeRetry(j, owed); !errors.As(err, new(*owedError)) {
			return err
		}
	}
	return errHeld // it has waited long enough
}

// owe leaves j's request claimed, and its message hidden, since its batch or
// this worker stops before its retry could be written.
func (r *run) owe(j *job) error {
	cause := r.claimed(context.Cause(j.watched.ctx))
	if !errors.Is(cause, errHeld) {
		return cause
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.owes = true
	return errRest
}

// leaveBehind leaves a request claimed whose outcome could not be recorded. Its
// message shows once this worker has ended; or, if the upstream asked for a wait,
// after that, and its lease ends as a dead worker's does.
func (r *run) leaveBehind(e *entry) {
	wait := e.outcome.wait.Sub(r.Clock())
	if wait <= 0 {
		r.showLate(e.job)
		return
	}
	e.job.watched.leave()
	if err := r.keep.rest(e.job.delivery.Handle, wait); err != nil {
		r.log.Warn("cannot hide a message", append(e.job.attrs(), errAttr(err))...)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.owes = true
}
