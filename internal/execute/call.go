package execute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// work takes a job whose line is at hand to an outcome, or to an error that
// says what becomes of its message.
func (r *run) work(j *job) (*outcome, error) {
	if err := r.slots.Acquire(r.calls, 1); err != nil {
		return nil, r.unclaimed(context.Cause(r.calls))
	}
	defer r.slots.Release(1)
	if j.bad != nil { // the line cannot say whose outcome it is; the request does
		if err := r.look(j); err != nil {
			return nil, err
		}
	}
	p, o, err := r.seize(j)
	if err != nil || o != nil {
		return o, err
	}
	return r.attempt(j, p)
}

// attempt makes one call, if it still may, and judges what came of it.
func (r *run) attempt(j *job, p state.Request[state.Processing]) (*outcome, error) {
	ctx, cancel := r.callContext(j)
	defer cancel()
	if err := cmp.Or(r.mayStart(j.watched), context.Cause(ctx)); err != nil {
		return nil, r.claimed(err)
	}
	if done := p.Phase(); done.Attempt > 0 && !r.Clock().Before(p.Spec().StartUntil(done.Attempt)) { // the write took long
		return r.deny(j, p, verdict{reason: state.RetryTooLate{Last: done.Last}}, state.DenialDeadline), nil
	}
	reply, err := r.send(ctx, j, r.callOf(j, p))
	if err != nil {
		cause := context.Cause(ctx)
		if cause != nil && !errors.Is(cause, errCallLimit) {
			return nil, r.claimed(cause)
		}
		err = cmp.Or(cause, err) // whatever the caller made of the limit's end
	}
	var o *outcome
	var end error
	if panicked := r.guard(j, func() { o, end = r.judge(j, p, reply, err) }); panicked != nil {
		return r.judge(j, p, Reply{}, panicked)
	}
	return o, end
}

// callContext returns the context of one attempt: it ends when the batch
// stops, when the request's owner stops it, at the batch's deadline and at the
// attempt's limit, each with its cause.
func (r *run) callContext(j *job) (context.Context, context.CancelFunc) {
	r.group.call(j)
	b := j.watched.last()
	own, land := j.watched.fly(j.message.Line)
	due, cancelDue := context.WithDeadlineCause(own, b.Deadline, errOverdue)
	ctx, cancel := context.WithTimeoutCause(due, r.limit, errCallLimit)
	return ctx, func() {
		cancel()
		cancelDue()
		land()
	}
}

func (r *run) callOf(j *job, p state.Request[state.Processing]) Call {
	key := p.Spec().Key
	return Call{
		BatchID: key.Batch, RequestID: batch.RequestID(key), CustomID: p.Spec().CustomID,
		IdempotencyKey: batch.RequestID(key), URL: j.input.URL, Body: j.input.Body,
	}
}

// send makes the call.
func (r *run) send(ctx context.Context, j *job, c Call) (reply Reply, err error) {
	panicked := r.guard(j, func() { reply, err = r.Caller.Call(ctx, c) })
	return reply, cmp.Or(panicked, err)
}

// guard calls f. A panic in it becomes a *panicError: it is that request's
// failure and no other's.
func (r *run) guard(j *job, f func()) (panicked error) {
	defer func() {
		if v := recover(); v != nil {
			// A panic's value may quote an answer; its type and the stack do not.
			what := fmt.Sprintf("%T", v)
			if e, ok := v.(runtime.Error); ok {
				what = e.Error()
			}
			r.log.Error("a call panicked", append(j.attrs(),
				slog.String("panic", what), slog.String("stack", string(debug.Stack())))...)
			r.Metrics.Count("panics_total", 1)
			panicked = &panicError{what: what}
		}
	}()
	f()
	return nil
}

// unclaimed says what becomes of a message whose request this worker has not
// claimed and will not call, because of cause.
func (r *run) unclaimed(cause error) error {
	switch {
	case errors.Is(cause, errOver):
		return errOver
	case errors.Is(cause, errStopped), errors.Is(cause, errOverdue):
		return errRest
	}
	return aside(0, "another worker may take it at once")
}

// claimed says what becomes of a message whose request this worker has claimed
// and leaves as it is, because of cause.
func (r *run) claimed(cause error) error {
	switch {
	case errors.Is(cause, errOver):
		return errOver
	case errors.Is(cause, errDone): // its owner stopped it, and has written so
		return errDone
	case errors.Is(cause, errStopped), errors.Is(cause, errOverdue):
		return errRest
	case errors.Is(cause, errUnsent):
		return aside(r.jitter(unsure), cause.Error())
	}
	return errHeld
}
