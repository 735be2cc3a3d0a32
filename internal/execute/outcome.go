package execute

import (
	"errors"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// A result is what came of a job: an outcome, a retry that is due, or the end of
// its way here.
//
//sumtype:decl
type result interface{ isResult() }

// A halted is a job that goes no further because of err.
type halted struct{ err error }

// An outcome is what ends a request, once its line is durable.
type outcome struct {
	line   []byte // for the output or the error file
	ending ending
	wait   time.Time // no call before it, should this not be recorded; zero: no such time
}

func (halted) isResult()   {}
func (*outcome) isResult() {}

// An entry is a job whose request's outcome is known. It is found if the outcome
// is not this job's.
type entry struct {
	job     *job
	outcome *outcome // nil: found
	end     error    // its message's, once it was to be committed
}

// An ending is a request's last transition, but for where its line lies.
type ending interface {
	change(at state.Span) (state.Change, error)
}

type completed struct {
	request state.Request[state.Processing]
	result  state.Result
	at      time.Time
}

func (c completed) change(at state.Span) (state.Change, error) {
	c.result.Answer = at
	return state.Complete(c.request, c.result, c.at).Change()
}

type failed[S state.Leased] struct {
	request state.Request[S]
	failure state.Failure
	denial  state.Denial // DenialNone of a failure that is not retryable
	at      time.Time
}

func (f failed[S]) change(at state.Span) (state.Change, error) {
	f.failure.Answer = at
	ended := state.Fail(f.request, f.failure, f.at)
	if f.denial == state.DenialNone {
		return ended.Change()
	}
	refused, err := state.Deny(ended, state.Refusal{Why: f.denial})
	if err != nil {
		return state.Change{}, err
	}
	return refused.Change()
}

// A late is a retry that may not start any more.
type late struct {
	request state.Request[state.Pending]
	refusal state.Refusal
}

func (l late) change(at state.Span) (state.Change, error) {
	l.refusal.Answer = at
	refused, err := state.Deny(l.request, l.refusal)
	if err != nil {
		return state.Change{}, err
	}
	return refused.Change()
}

// A lateRetry is a retry to be denied under a claim id of its own.
type lateRetry struct {
	request state.Request[state.Pending]
	claimID string
}

// tooLate returns the outcome of a retry that may not start any more.
func tooLate(r lateRetry, model string, now time.Time) *outcome {
	spec := r.request.Spec()
	return &outcome{
		line: batch.AppendFailure(nil, spec.Key, spec.CustomID, batch.Failing{Reason: state.RetryTooLate{Last: r.request.Phase().Last}}),
		ending: late{r.request, state.Refusal{
			Why: state.DenialDeadline, ClaimID: r.claimID, Model: model, At: now,
		}},
	}
}

// uncalled returns the outcome of a request that is not worth a call.
func uncalled(r state.Request[state.Claimed], reason state.Reason, now time.Time) *outcome {
	return &outcome{
		line:   batch.AppendFailure(nil, r.Spec().Key, r.Spec().CustomID, batch.Failing{Reason: reason}),
		ending: failed[state.Claimed]{request: r, failure: state.Failure{Reason: reason}, at: now},
	}
}

// unsendable returns the reason of a line that cannot be sent.
func unsendable(err error) state.Reason {
	if line, ok := errors.AsType[*batch.LineError](err); ok {
		return state.RequestBuilderError{Error: line.Message}
	}
	return state.RequestBuilderError{Error: err.Error()}
}
