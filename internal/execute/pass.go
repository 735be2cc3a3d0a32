package execute

import (
	"bytes"
	"cmp"
	"context"
	"strconv"
	"time"

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
	spent  bool  // its call has left, or never will
}

// asks returns j's ask for a permit.
func (p *pass) asks(j *job, trial bool) *ask {
	return &ask{
		key: batch.RequestID(j.message.Key()), tokens: p.tokens, since: p.lane.clock(), claimed: j.claimed, trial: trial,
		done: make(chan granted, 1),
	}
}

// await waits until p's call may leave. If its time goes by, it waits for another
// one: j is claimed, so nobody else would.
func (p *pass) await(ctx context.Context, j *job) error {
	for p.lane != nil {
		wait, late := p.lane.until(*p.permit)
		if late {
			p.lose()
			g, err := p.lane.ask(ctx, p.asks(j, false))
			if err != nil || !g.ok {
				return cmp.Or(err, end(causeLimited))
			}
			p.permit, p.spent = &g.permit, false
			continue
		}
		if wait == 0 {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return endOf(ctx)
		}
	}
	return nil
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
	p.lane.over(p.permit, res)
}

// says returns what an answer says of its route.
func (w way) says(reply Reply, now time.Time) limit.Result {
	res := limit.Result{Kind: limit.Answered, Tokens: -1}
	if reply.Tokens.Total > 0 {
		res.Tokens = reply.Tokens.Total
	}
	status, code := reply.StatusCode, reply.ErrorCode
	switch {
	case retry.QuotaSpent(status, code):
		if w.waits {
			res.Kind = limit.Spent
		}
	case status == 401, status == 403:
		res.Kind = limit.Denied
	case status == 429 && tooLarge(reply.Body): // it waits alone
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

// tooLarge reports whether a refusal is for what one request asks, which no wait
// mends: more than the limit allows at all.
func tooLarge(body []byte) bool {
	return bytes.Contains(bytes.ToLower(body[:min(len(body), 4096)]), []byte("request too large"))
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
// limit of them: one for each four bytes, and the most that it may answer.
func estimate(body []byte, ways []way) int64 {
	limited := false
	for _, w := range ways {
		limited = limited || w.route.TPM > 0
	}
	if !limited {
		return 0
	}
	answer := int64(defaultAnswer)
	values, err := jsonscan.Pick(body, "max_completion_tokens", "max_output_tokens", "max_tokens")
	if err != nil { // it was read before
		return int64(len(body))
	}
	for _, v := range values {
		if n, err := strconv.ParseInt(string(v), 10, 32); err == nil && n > 0 {
			answer = n
			break
		}
	}
	return int64(len(body))/4 + 1 + answer
}
