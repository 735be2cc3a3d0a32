package execute

import (
	"context"
	"strconv"
	"time"

	"github.com/musketry/musketry/internal/answer"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/jsonscan"
	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/state"
)

// A pass is the way of a job's call, and the permit with which it leaves.
type pass struct {
	way    way
	none   error // why there is no way
	lane   *lane // nil: there is none
	permit *limit.Permit
	tokens int64 // that the call may take
	bound  bool  // its line says how many its answer may have
	spent  bool  // its call has left, or never will
}

// asks returns j's ask for a permit.
func (p *pass) asks(j *job, trial, spare bool) *ask {
	return &ask{
		key: batch.RequestID(j.message.Key()), tokens: p.tokens, since: p.lane.clock(), claimed: j.held != heldNot, trial: trial,
		spare: spare, done: make(chan granted, 1),
	}
}

// leave says that p's call leaves now, which abort ends. It reports whether it may.
func (p *pass) leave(abort context.CancelCauseFunc) bool {
	if p.lane == nil {
		return true
	}
	left := p.lane.leave(p.permit, abort)
	p.spent = p.spent || left
	return left
}

// lose gives up p's permit, unless its call has left.
func (p *pass) lose() {
	if p == nil || p.lane == nil || p.spent {
		return
	}
	p.spent = true
	p.lane.mu.Lock()
	defer p.lane.mu.Unlock()
	p.lane.drop(*p.permit)
}

// over says how p's call ended, which left at a time: with an answer, or failed.
func (p *pass) over(sent time.Time, v verdict, failed error) {
	if p.lane == nil {
		return
	}
	res := limit.Result{Kind: unanswered(v, failed)}
	if v.answered {
		res = p.way.says(v.reply, p.lane.clock())
	}
	res.At = limit.At(sent)
	if p.bound && res.Tokens >= 0 { // providers charge what was asked for when it comes
		res.Tokens = max(res.Tokens, p.tokens)
	}
	p.lane.over(p.permit, res)
}

// says returns what an answer says of its route.
func (w way) says(reply Reply, now time.Time) limit.Result {
	res := limit.Result{Kind: limit.Answered, Tokens: -1}
	if reply.Tokens.Total > 0 {
		res.Tokens = reply.Tokens.Total
	}
	status, code := reply.means(), reply.ErrorCode
	switch {
	case retry.QuotaSpent(status, code):
		if w.waits {
			res.Kind = limit.Spent
		}
	case status == 401, status == 403:
		res.Kind = limit.Denied
	case status == 429 && answer.TooLarge(reply.Body): // it waits alone
	case status == 429, status == 503:
		res.Kind, res.Says = limit.Refused, retry.SaysRate(status, code)
		if reply.RetryAfter > 0 {
			res.Until = limit.At(now.Add(reply.RetryAfter))
		}
	case status >= 500:
		res.Kind = limit.Failed
	}
	return res
}

// unanswered returns what it says of a route that no answer came.
func unanswered(v verdict, failed error) limit.Kind {
	_, late := v.reason.(state.Timeout)
	_, broken := v.reason.(state.NetworkError)
	if late || broken {
		return limit.Failed
	}
	if _, large := v.reason.(state.ResponseTooLarge); large {
		return limit.Answered
	}
	switch call := callErrorOf(failed); {
	case call == nil:
		return limit.Aborted
	case call.Kind == CallNoKey:
		return limit.NoKey
	case call.Kind == CallDenied:
		return limit.Denied
	case call.Kind == CallUnsent:
		return limit.Unfit
	}
	return limit.Aborted
}

// defaultAnswer is how many tokens an answer may have that sets no bound.
const defaultAnswer = 1_000

// estimate returns how many tokens a call of body may take, if one of ways has a
// limit of them: one for each four bytes, and the most that each of its answers may
// have. It reports whether body says that.
func estimate(body []byte, ways []way) (tokens int64, bound bool) {
	limited := false
	for _, w := range ways {
		limited = limited || w.route.TPM > 0
	}
	if !limited {
		return 0, false
	}
	values, err := jsonscan.Pick(body, "n", "max_completion_tokens", "max_output_tokens", "max_tokens")
	if err != nil { // it was read before
		return int64(len(body)), false
	}
	answers, answer := int64(1), int64(defaultAnswer)
	for i, v := range values {
		n, err := strconv.ParseInt(string(v), 10, 32)
		switch {
		case err != nil || n <= 0:
		case i == 0:
			answers = n
		case !bound:
			answer, bound = n, true
		}
	}
	return int64(len(body))/4 + 1 + answers*answer, bound
}
