package execute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/musketry/musketry/internal/answer"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/state"
)

// A verdict is what the end of a call means for its request.
type verdict struct {
	reply    Reply
	answered bool         // reply is an answer
	reason   state.Reason // why it failed; nil if it completed
	doubts   int          // how often it is tried again after failures like this; retry.Unlimited: as all
	end      error        // it was no attempt, and ends the message's way; nil if it was one
	unsent   string       // why nothing could be sent
	unknown  string       // the type of an error that no Caller may return
}

// judge returns what it means that a call brought reply or err, with so much time
// left for other attempts. aborted is why its context ended, nil if it has not. It
// has no effects.
func judge(w way, limit, left time.Duration, aborted error, reply Reply, err error) verdict {
	if err == nil {
		v := verdict{reply: reply, answered: true}
		v.reason, v.doubts = reasonOf(w, left, reply)
		return v
	}
	v := noAnswer(limit, aborted, err)
	v.doubts = retry.Unlimited
	return v
}

// noAnswer returns what it means that a call brought err in place of an answer.
func noAnswer(limit time.Duration, aborted, err error) verdict {
	if aborted != nil && !errors.Is(aborted, errCallLimit) {
		return verdict{end: asEnd(aborted)}
	}
	err = cmp.Or(aborted, err) // whatever the caller made of the limit's end
	if _, ok := errors.AsType[*panicError](err); ok {
		return verdict{reason: state.TaskTerminated{Error: "an error of this service"}} // the log has more
	}
	call, ok := errors.AsType[*CallError](err)
	switch {
	case ok && call.Kind >= CallUnsent:
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

// reasonOf returns why an answer is a failure, or nil if it is none, and how often
// it is tried again after failures like it.
func reasonOf(w way, left time.Duration, reply Reply) (reason state.Reason, doubts int) {
	status, code := reply.means(), reply.ErrorCode
	class, doubtful := w.policy.Hear(status, code, retry.Hint{
		Should: reply.ShouldRetry, Soon: reply.RetryAfter > 0 && reply.RetryAfter < left,
	})
	if w.waits && retry.QuotaSpent(status, code) {
		class = retry.Retryable // somebody may pay
	}
	doubts = retry.Unlimited
	if doubtful {
		doubts = retry.MaxHinted
	}
	sense := reply.Verdict.Sense
	switch {
	case status != reply.StatusCode:
		return state.ErrorInBody{Status: reply.StatusCode, Means: status, Again: class == retry.Retryable}, doubts
	case class == retry.Retryable:
		return state.RetryableHTTPStatus{Status: status}, doubts
	case class == retry.Permanent:
		return state.NonRetryableHTTPStatus{Status: status}, doubts
	case sense == answer.Invalid, sense == answer.Held:
		again := sense == answer.Invalid
		return state.InvalidAnswer{Status: status, Error: reply.Verdict.Why, Again: again}, w.policy.MaxInvalid
	}
	return nil, doubts
}

// next returns r one attempt later, or why there is none.
func next(
	policy retry.Policy, r state.Request[state.Processing], v verdict, model string, now time.Time, uniform func() float64,
) (state.Request[state.Pending], state.Denial, error) {
	doubtful := v.doubts != retry.Unlimited
	decision := policy.Decide(retry.Failed{
		Now: now, Deadline: r.Spec().Deadline, Attempt: r.Phase().Attempt, RetryAfter: v.reply.RetryAfter,
		Doubtful: doubtful, Doubts: r.Phase().Doubts, MaxDoubts: v.doubts,
	}, uniform)
	if decision.Denied != retry.DeniedNot {
		return state.Request[state.Pending]{}, state.Denial(decision.Denied), nil
	}
	failed := state.Fail(r, state.Failure{Reason: v.reason, Model: model, Doubtful: doubtful}, now)
	pending, err := state.Retry(failed, decision.NotBefore)
	if errors.Is(err, state.ErrDeadline) {
		return pending, state.DenialDeadline, nil
	}
	return pending, state.DenialNone, err
}

// called returns the outcome of a call by w that is not repeated, because of why.
// The model that answered is the one that the answer names, if it does.
func called(r state.Request[state.Processing], w way, v verdict, why state.Denial, now time.Time) *outcome {
	spec, o := r.Spec(), &outcome{}
	failing := batch.Failing{Reason: v.reason, Said: v.reply.Message, Denied: denied(r, w, v, why, now)}
	if v.answered {
		o.line = batch.AppendAnswer(nil, spec.Key, spec.CustomID, batch.Answer{
			StatusCode: v.reply.StatusCode, RequestID: v.reply.RequestID, Body: v.reply.Body,
		}, failing)
	} else {
		o.line = batch.AppendFailure(nil, spec.Key, spec.CustomID, failing)
	}
	if v.reason == nil {
		o.ending = completed{r, state.Result{
			StatusCode: v.reply.StatusCode, Model: cmp.Or(v.reply.Model, w.model), Tokens: v.reply.Tokens,
		}, now}
	} else {
		o.ending = failed[state.Processing]{r, state.Failure{Reason: v.reason, Model: w.model, Tokens: v.reply.Tokens}, why, now}
	}
	if why != state.DenialNone && v.reply.RetryAfter > 0 {
		o.wait = now.Add(v.reply.RetryAfter)
	}
	return o
}

// denied says in words why a failure is not tried again, and by which setting; "" if
// another attempt would not mend it.
func denied(r state.Request[state.Processing], w way, v verdict, why state.Denial, now time.Time) string {
	left := max(r.Spec().Deadline.Add(-w.policy.StopBeforeDeadline).Sub(now), 0)
	switch {
	case why == state.DenialMaxRetries && v.doubts != retry.Unlimited && r.Phase().Doubts >= v.doubts:
		return fmt.Sprintf("after such answers it is tried again %d times at most (max_retries)", v.doubts)
	case why == state.DenialMaxRetries:
		return fmt.Sprintf("it is tried again %d times at most (max_retries)", w.policy.MaxRetries)
	case why == state.DenialDeadline && v.reply.RetryAfter > left:
		return fmt.Sprintf("the upstream asks for a wait of %v, which is longer than the %v that the batch has left (deadline)",
			v.reply.RetryAfter.Round(time.Second), left.Round(time.Second))
	case why == state.DenialDeadline:
		return "the next attempt would come too late for the batch's deadline (deadline)"
	}
	return ""
}
