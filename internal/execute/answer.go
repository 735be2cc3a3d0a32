package execute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/state"
)

// A verdict is what the end of a call means for its request.
type verdict struct {
	reply    Reply
	answered bool         // reply is an answer
	reason   state.Reason // why it failed; nil if it completed
	end      error        // it was no attempt, and ends the message's way; nil if it was one
	unsent   string       // why nothing could be sent
	unknown  string       // the type of an error that no Caller may return
}

// judge returns what it means that a call brought reply or err. aborted is why
// its context ended, nil if it has not. It has no effects.
func judge(w way, limit time.Duration, aborted error, reply Reply, err error) verdict {
	if err == nil {
		return verdict{reply: reply, answered: true, reason: reasonOf(w, reply)}
	}
	if aborted != nil && !errors.Is(aborted, errCallLimit) {
		return verdict{end: asEnd(aborted)}
	}
	err = cmp.Or(aborted, err) // whatever the caller made of the limit's end
	if _, ok := errors.AsType[*panicError](err); ok {
		return verdict{reason: state.TaskTerminated{Error: "an error of this service"}} // the log has more
	}
	call, ok := errors.AsType[*CallError](err)
	switch {
	case ok && call.Kind == CallUnsent:
		return verdict{end: end(causeUnsent), unsent: call.Text}
	case ok && call.Kind == CallUnsendable:
		return verdict{reason: state.RequestBuilderError{Error: call.Text}}
	case ok && call.Kind == CallTooLarge:
		return verdict{reason: state.ResponseTooLarge{Limit: call.Limit}}
	case ok && call.Kind == CallTimedOut:
		return verdict{reason: state.Timeout{Error: call.Text}}
	case errors.Is(err, errCallLimit), errors.Is(err, context.DeadlineExceeded):
		return verdict{reason: state.Timeout{Error: "the attempt took longer than " + limit.String()}}
	case ok:
		return verdict{reason: state.NetworkError{Error: call.Text}}
	}
	return verdict{reason: state.NetworkError{Error: "the reason is not known"}, unknown: fmt.Sprintf("%T", err)}
}

// reasonOf returns why an answer is a failure, or nil if it is none.
func reasonOf(w way, reply Reply) state.Reason {
	if w.waits && retry.QuotaSpent(reply.StatusCode, reply.ErrorCode) {
		return state.RetryableHTTPStatus{Status: reply.StatusCode} // somebody may pay
	}
	switch w.policy.Classify(reply.StatusCode, reply.ErrorCode) {
	case retry.Retryable:
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

// next returns r one attempt later, or why there is none.
func next(
	policy retry.Policy, r state.Request[state.Processing], v verdict, model string, now time.Time, uniform func() float64,
) (state.Request[state.Pending], state.Denial, error) {
	decision := policy.Decide(retry.Failed{
		Now: now, Deadline: r.Spec().Deadline, Attempt: r.Phase().Attempt, RetryAfter: v.reply.RetryAfter,
	}, uniform)
	if decision.Denied != retry.DeniedNot {
		return state.Request[state.Pending]{}, state.Denial(decision.Denied), nil
	}
	pending, err := state.Retry(state.Fail(r, state.Failure{Reason: v.reason, Model: model}, now), decision.NotBefore)
	if errors.Is(err, state.ErrDeadline) {
		return pending, state.DenialDeadline, nil
	}
	return pending, state.DenialNone, err
}

// called returns the outcome of a call of model that is not repeated, because of
// why. The model that answered is the one that the answer names, if it does.
func called(r state.Request[state.Processing], v verdict, model string, why state.Denial, now time.Time) *outcome {
	spec, o := r.Spec(), &outcome{}
	if v.answered {
		o.line = batch.AppendAnswer(nil, spec.Key, spec.CustomID, batch.Answer{
			StatusCode: v.reply.StatusCode, RequestID: v.reply.RequestID, Body: v.reply.Body,
		}, v.reason)
	} else {
		o.line = batch.AppendFailure(nil, spec.Key, spec.CustomID, v.reason)
	}
	if v.reason == nil {
		o.ending = completed{r, state.Result{
			StatusCode: v.reply.StatusCode, Model: cmp.Or(v.reply.Model, model), Tokens: v.reply.Tokens,
		}, now}
	} else {
		o.ending = failed[state.Processing]{r, state.Failure{Reason: v.reason, Model: model}, why, now}
	}
	if why != state.DenialNone && v.reply.RetryAfter > 0 {
		o.wait = now.Add(v.reply.RetryAfter)
	}
	return o
}
