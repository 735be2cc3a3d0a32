package execute

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/state"
)

// An outcome is what ends a request, once its line is durable.
type outcome struct {
	line   []byte                                 // for the output or the error file
	change func(state.Span) (state.Change, error) // given where the line lies
	wait   time.Time                              // no call before it, should this not be recorded; zero: no such time
}

// hopeless returns the outcome of a request that is not worth a call: a retry
// that comes too late, one over which too many workers died, or whose line
// cannot be sent.
func (r *run) hopeless(j *job, h hold) *outcome {
	var reason state.Reason
	switch {
	case h.late != nil:
		return r.tooLate(j, *h.late)
	case h.deaths >= maxDeaths:
		reason = state.TaskTerminated{Deaths: h.deaths}
	case j.bad != nil:
		reason = unsendable(j.bad)
	default:
		return nil
	}
	spec, now := h.request.Spec(), r.Clock()
	return &outcome{
		line: batch.AppendFailure(nil, spec.Key, spec.CustomID, reason),
		change: func(at state.Span) (state.Change, error) {
			return state.Fail(h.request, state.Failure{Reason: reason, Answer: at}, now).Change()
		},
	}
}

// tooLate returns the outcome of a retry that may not start any more.
func (r *run) tooLate(j *job, l lateRetry) *outcome {
	r.denied(j, state.DenialDeadline)
	spec, now, model := l.request.Spec(), r.Clock(), j.input.Model
	return &outcome{
		line: batch.AppendFailure(nil, spec.Key, spec.CustomID, state.RetryTooLate{Last: l.request.Phase().Last}),
		change: func(at state.Span) (state.Change, error) {
			failed, err := state.Deny(l.request, state.Refusal{
				Why: state.DenialDeadline, ClaimID: l.claimID, Answer: at, Model: model, At: now,
			})
			if err != nil {
				return state.Change{}, err
			}
			return failed.Change()
		},
	}
}

// unsendable returns the reason of a line that cannot be sent.
func unsendable(err error) state.Reason {
	if line, ok := errors.AsType[*batch.LineError](err); ok {
		return state.RequestBuilderError{Error: line.Message}
	}
	return state.RequestBuilderError{Error: err.Error()}
}

// A verdict is what a call means for its request.
type verdict struct {
	reply  Reply
	answer bool         // reply is one
	reason state.Reason // why it failed; nil if it completed
}

// judge turns what a call brought into an outcome, or, for a failure worth
// another attempt, into a request that is pending again and an aside.
func (r *run) judge(j *job, p state.Request[state.Processing], reply Reply, callErr error) (*outcome, error) {
	v := verdict{reply: reply, answer: callErr == nil}
	policy := j.watched.last().Policy
	if callErr == nil {
		v.reason = r.reasonOfReply(policy, j.input.Model, reply)
	} else {
		var err error
		if v.reason, err = r.reasonOfError(callErr); err != nil {
			return nil, r.claimed(err)
		}
	}
	if v.reason == nil || !v.reason.Retryable() {
		return r.final(j, p, v, state.DenialNone), nil
	}
	return r.again(j, p, v, policy)
}

// reasonOfReply returns why an answer is a failure, or nil if it is none.
func (r *run) reasonOfReply(policy retry.Policy, model string, reply Reply) state.Reason {
	switch policy.Classify(reply.StatusCode, reply.ErrorCode) {
	case retry.Retryable:
		r.Metrics.Count("http_status_retryable_total", 1, "model", r.modelLabel(model),
			"status", strconv.Itoa(reply.StatusCode), "code", retry.CodeLabel(reply.ErrorCode))
		return state.RetryableHTTPStatus{Status: reply.StatusCode}
	case retry.Permanent:
		return state.NonRetryableHTTPStatus{Status: reply.StatusCode}
	case retry.Success:
	}
	if reply.ErrorInBody {
		return state.ErrorInBody{Status: reply.StatusCode}
	}
	return nil
}

// reasonOfError returns why a call without an answer failed, and errUnsent if
// that was no fault of the request.
func (r *run) reasonOfError(err error) (state.Reason, error) {
	if _, ok := errors.AsType[*panicError](err); ok { // the log has more
		return state.TaskTerminated{Error: "an error of this service"}, nil
	}
	call, ok := errors.AsType[*CallError](err)
	switch {
	case ok && call.Kind == CallUnsent:
		r.log.Error("nothing could be sent", slog.String("reason", call.Text))
		return nil, errUnsent
	case ok && call.Kind == CallUnsendable:
		return state.RequestBuilderError{Error: call.Text}, nil
	case ok && call.Kind == CallTooLarge:
		return state.ResponseTooLarge{Limit: call.Limit}, nil
	case ok && call.Kind == CallTimedOut:
		return state.Timeout{Error: call.Text}, nil
	case errors.Is(err, errCallLimit), errors.Is(err, context.DeadlineExceeded):
		return state.Timeout{Error: "the attempt took longer than " + r.limit.String()}, nil
	case ok:
		return state.NetworkError{Error: call.Text}, nil
	}

	r.log.Error("a call failed in a way that nobody foresaw", slog.String("type", fmt.Sprintf("%T", err)))
	return state.NetworkError{Error: "the reason is not known"}, nil
}

// final returns the outcome of a call that is not repeated.
func (r *run) final(j *job, p state.Request[state.Processing], v verdict, why state.Denial) *outcome {
	spec, now, model := p.Spec(), r.Clock(), j.input.Model
	o := &outcome{}
	if v.answer {
		o.line = batch.AppendAnswer(nil, spec.Key, spec.CustomID, batch.Answer{
			StatusCode: v.reply.StatusCode, RequestID: v.reply.RequestID, Body: v.reply.Body,
		}, v.reason)
	} else {
		o.line = batch.AppendFailure(nil, spec.Key, spec.CustomID, v.reason)
	}
	result := state.Result{StatusCode: v.reply.StatusCode, Model: v.reply.Model, Usage: v.reply.Usage}
	o.change = func(at state.Span) (state.Change, error) {
		if v.reason == nil {
			result.Answer = at
			return state.Complete(p, result, now).Change()
		}
		failed := state.Fail(p, state.Failure{Reason: v.reason, Answer: at, Model: model}, now)
		if why != state.DenialNone {
			var err error
			if failed, err = state.Deny(failed, state.Refusal{Why: why}); err != nil {
				return state.Change{}, err
			}
		}
		return failed.Change()
	}
	v.reply.Body = nil
	return o
}

// again puts a request whose failure is retryable back to pending, one attempt
// later, or returns its outcome if no retry is left.
func (r *run) again(
	j *job, p state.Request[state.Processing], v verdict, policy retry.Policy,
) (*outcome, error) {
	now := r.Clock()
	decision := policy.Decide(retry.Failed{
		Now: now, Deadline: p.Spec().Deadline, Attempt: p.Phase().Attempt, RetryAfter: v.reply.RetryAfter,
	}, r.Uniform)
	if decision.Denied != retry.DeniedNot {
		return r.deny(j, p, v, state.Denial(decision.Denied)), nil
	}
	pending, err := state.Retry(state.Fail(p, state.Failure{Reason: v.reason, Model: j.input.Model}, now), decision.NotBefore)
	if errors.Is(err, state.ErrDeadline) {
		return r.deny(j, p, v, state.DenialDeadline), nil
	}
	if err != nil {
		return nil, err
	}
	change, err := pending.Change()
	if err != nil {
		return nil, err
	}
	owed := &owedError{
		change: change, pending: pending.Phase(), model: r.modelLabel(j.input.Model), kind: string(v.reason.Kind()),
	}
	return nil, r.writeRetry(j, owed)
}

func (r *run) deny(j *job, p state.Request[state.Processing], v verdict, why state.Denial) *outcome {
	r.denied(j, why)
	o := r.final(j, p, v, why)
	if v.reply.RetryAfter > 0 {
		o.wait = r.Clock().Add(v.reply.RetryAfter)
	}
	return o
}

// denied counts a retry that is not made.
func (r *run) denied(j *job, why state.Denial) {
	r.Metrics.Count("retry_denied_total", 1, "model", r.modelLabel(j.input.Model), "reason", string(why))
}

// modelLabel returns the name by which metrics call model. A tenant writes into
// its lines what it likes, and CloudWatch takes money for each name.
func (r *run) modelLabel(model string) string {
	if model == "" || slices.Contains(r.cfg.Models, model) {
		return model
	}
	return "other"
}

// unwritten says what becomes of a message whose request's write after its
// call ended with err; nil if the write took effect.
func (r *run) unwritten(j *job, err error) error {
	lost, ok := errors.AsType[*state.ConflictError](err)
	switch {
	case err == nil:
		return nil
	case !ok:
		r.log.Error("cannot record what came of a call", append(j.attrs(), errAttr(err))...)
		return errHeld
	case lost.Winner.Phase == nil:
		return aside(r.jitter(unsure), "its request is gone")
	case lost.Winner.Phase.Status().Terminal():
		j.record = lost.Winner
		return errDone
	}
	return aside(r.jitter(unsure), "another worker has claimed it since")
}
