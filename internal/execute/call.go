package execute

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/metric"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/state"
)

// attempts call the upstream.
type attempts struct {
	kit

	refusals *refusals
	caller   Caller
	batches  *poller
	ledger   *ledger
	gate     *gate
	limit    time.Duration // of one attempt
}

// attempt makes one call of j's request, if it still may, and returns what came of
// it: nothing, if its permit is not good any more.
func (a *attempts) attempt(j *job, r state.Request[state.Processing]) result {
	b := a.batches.entry(j.ref())
	ctx, cancel := a.callContext(j, b)
	defer cancel()
	if err := cmp.Or(a.gate.open(b, j, 0), endOf(ctx)); err != nil {
		return halted{err}
	}
	if done := r.Phase(); done.Attempt > 0 && !a.clock().Before(r.Spec().StartUntil(done.Attempt)) { // the write took long
		late := way{model: j.input.Model, label: a.modelLabel(j.input.Model)}
		return a.deny(r, late, verdict{reason: state.RetryTooLate{Last: done.Last}, doubts: retry.Unlimited}, state.DenialDeadline)
	}
	w := j.pass.way
	if j.pass.none != nil {
		return a.conclude(r, w, judge(w, a.limit, 0, context.Cause(ctx), Reply{}, j.pass.none))
	}
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	if !j.pass.leave(abort) {
		return nil
	}
	j.held = heldCalled
	a.metrics.Count(metric.Calls, 1, "model", w.label)
	sent := a.clock()
	reply, err := a.send(ctx, j, callOf(j, r, w))
	if err == nil && a.refusals.refused(w, reply.means(), a.clock()) {
		err = &CallError{Kind: CallDenied, Text: "the upstream refuses the key"}
	}
	if err == nil {
		a.gate.durations.add(j.input.Model, a.clock().Sub(sent))
	}
	aborted := context.Cause(ctx)
	var v verdict
	var res result
	panicked := a.guard(j, func() {
		left := r.Spec().Deadline.Add(-w.policy.StopBeforeDeadline).Sub(a.clock())
		v = judge(w, a.limit, left, aborted, reply, err)
		res = a.conclude(r, w, v)
	})
	if panicked != nil {
		v = judge(w, a.limit, 0, nil, Reply{}, panicked)
		res = a.conclude(r, w, v)
	}
	if v.unsent != "" {
		j.held = heldUncalled
	}
	j.pass.over(sent, v, err)
	return res
}

// callContext returns the context of one attempt: it ends when the batch stops, when
// the request's owner stops it, at the batch's deadline and at the attempt's
// limit, each with its cause.
func (a *attempts) callContext(j *job, b *polled) (context.Context, context.CancelFunc) {
	a.ledger.reach(j, calling)
	own, land := b.fly(j.message.Line)
	due, cancelDue := context.WithDeadlineCause(own, b.last().Deadline, end(causeBatchStopping))
	ctx, cancel := context.WithTimeoutCause(due, a.limit, errCallLimit)
	return ctx, func() {
		cancel()
		cancelDue()
		land()
	}
}

func callOf(j *job, r state.Request[state.Processing], w way) Call {
	key := r.Spec().Key
	return Call{
		BatchID: key.Batch, RequestID: batch.RequestID(key), CustomID: r.Spec().CustomID,
		IdempotencyKey: batch.RequestID(key), URL: j.input.URL, Body: j.input.Body, Route: w.route, Room: j.hold,
	}
}

// send makes the call.
func (a *attempts) send(ctx context.Context, j *job, c Call) (reply Reply, err error) {
	panicked := a.guard(j, func() { reply, err = a.caller.Call(ctx, c) })
	return reply, cmp.Or(panicked, err)
}

// guard calls f. A panic in it becomes a *panicError: it is that request's
// failure and no other's.
func (a *attempts) guard(j *job, f func()) (panicked error) {
	defer func() {
		if v := recover(); v != nil {
			// A panic's value may quote an answer; its type and the stack do not.
			what := fmt.Sprintf("%T", v)
			if e, ok := v.(runtime.Error); ok {
				what = e.Error()
			}
			a.log.Error("a call panicked", append(j.attrs(),
				slog.String("panic", what), slog.String("stack", string(debug.Stack())))...)
			a.metrics.Count(metric.Panics, 1)
			panicked = &panicError{what: what}
		}
	}()
	f()
	return nil
}

// conclude turns a verdict into an outcome, or, for a failure worth another
// attempt, into a retry.
func (a *attempts) conclude(r state.Request[state.Processing], w way, v verdict) result {
	a.tell(w, v)
	switch {
	case v.end != nil:
		return halted{v.end}
	case v.reason == nil || !v.reason.Retryable():
		return called(r, w, v, state.DenialNone, a.clock())
	}
	pending, denial, err := next(w.policy, r, v, w.model, a.clock(), a.uniform)
	if denial != state.DenialNone {
		return a.deny(r, w, v, denial)
	}
	if err != nil {
		return halted{err}
	}
	change, err := pending.Change()
	if err != nil {
		return halted{err}
	}
	return &dueRetry{
		change: change, pending: pending.Phase(), model: w.label, kind: v.reason.Kind(),
	}
}

// deny returns the outcome of a failure whose retry is denied.
func (a *attempts) deny(r state.Request[state.Processing], w way, v verdict, why state.Denial) *outcome {
	a.denied(w.label, why)
	return called(r, w, v, why, a.clock())
}

// tell counts and logs what those should know of who run the service.
func (a *attempts) tell(w way, v verdict) {
	if v.answered && v.reason != nil && v.reason.Retryable() {
		a.metrics.Count(metric.RetryableAnswers, 1, "model", w.label,
			"status", strconv.Itoa(v.reply.means()), "code", retry.CodeLabel(v.reply.ErrorCode))
	}
	if v.unsent != "" && a.refusals.tell(w.route.ID+" "+v.unsent, a.clock()) {
		a.log.Error("nothing could be sent", slog.String("route", w.route.ID), slog.String("reason", v.unsent))
	}
	if v.unknown != "" {
		a.log.Error("a call failed in a way that nobody foresaw", slog.String("type", v.unknown))
	}
}
