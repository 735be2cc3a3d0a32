package sim

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/musketry/musketry/internal/answer"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/state"
)

// A manner is how the upstream treats one request: what becomes of its first
// calls, one after another, and of all that follow.
type manner struct {
	first []fault // empty: an answer at once
	then  fault   // empty: an answer
	lo    time.Duration
	hi    time.Duration // how long an answer takes
	wait  time.Duration // what a refusal asks for
}

// Call calls the upstream.
func (p ports) Call(ctx context.Context, c execute.Call) (execute.Reply, error) {
	w := p.world
	nick, number, _ := strings.Cut(c.CustomID, "-")
	line, _ := strconv.Atoi(number)
	j := w.job(nick)
	if j == nil || line < 1 || line > len(j.lines) {
		w.check.wrong("a call of the unknown custom id %q", c.CustomID)
		return execute.Reply{}, &execute.CallError{Kind: execute.CallUnsendable, Text: "unknown"}
	}
	n := w.check.called(p.process, j, line, c)
	defer w.gate.enter(p.process)()
	defer j.lines[line-1].flies(p.process)()
	what := fmt.Sprintf("%s calls %s (%d)", p.name, c.CustomID, n)
	kind, after := w.treatment(j.lines[line-1].manner, what, n)
	if kind == crashCalling || kind == poisonous {
		if err := w.sched.await(ctx, p.process, what, after); err != nil {
			return execute.Reply{}, err
		}
		w.hit(kind)
		w.sched.note(what, "dies")
		p.die()
	}
	if err := w.sched.await(ctx, p.process, what, after); err != nil {
		return execute.Reply{}, err
	}
	if kind != "" {
		w.hit(kind)
	}
	w.sched.note(what, "answers "+string(kind))
	wait := j.lines[line-1].manner.wait
	if kind == routeRefuses {
		wait = w.refusesFor(w.sched.now())
		w.gate.told(p.process, wait)
	}
	reply, err := answerOf(kind, c.CustomID, n, wait)
	w.check.answered(p.process, j, line, reply, err)
	return reply, err
}

// treatment returns what becomes of a request's n-th call, and after how long.
func (w *world) treatment(m manner, what string, n int) (fault, time.Duration) {
	d := w.sched.dice(what)
	w.sched.passed(what)
	took := d.between(m.lo, m.hi)
	kind := m.then
	if n <= len(m.first) {
		kind = m.first[n-1]
	}
	if !w.calm() {
		if d.chance(w.plan.rates[crashCalling]) {
			return crashCalling, took
		}
		switch w.plan.weather(w.sched.now()) {
		case upstreamDown:
			return one(d, upstreamDown, upstreamHangs), took
		case upstreamSlow:
			w.hit(upstreamSlow)
			took *= 20
		case routeRefuses:
			return routeRefuses, d.between(10*time.Millisecond, 200*time.Millisecond)
		default:
		}
	}
	if kind == upstreamHangs {
		took = 24 * time.Hour
	}
	return kind, took
}

// answerOf returns what the upstream answers.
func answerOf(kind fault, id string, n int, wait time.Duration) (execute.Reply, error) {
	refuse := func(status int, code string, wait time.Duration) execute.Reply {
		return execute.Reply{
			StatusCode: status, ErrorCode: code, RetryAfter: wait, RequestID: id,
			Body: fmt.Appendf(nil, `{"error":{"code":%q}}`, code),
		}
	}
	switch kind {
	case upstreamErrs:
		return refuse(500, "server_error", 0), nil
	case upstreamLimits: // for what this one asks: the route is not paused for it
		own := refuse(429, "rate_limit_exceeded", wait)
		own.Body = []byte(`{"error":{"code":"rate_limit_exceeded","message":"Request too large for m"}}`)
		return own, nil
	case routeRefuses:
		return refuse(429, "rate_limit_exceeded", wait), nil
	case upstreamRefuses:
		return refuse(400, "invalid_request", 0), nil
	case upstreamOdd:
		return execute.Reply{
			StatusCode: 200, RequestID: id, Verdict: answer.Verdict{Sense: answer.Invalid, Why: "it has no `choices`"},
			Body: fmt.Appendf(nil, `{"id":%q,"call":%d,"choices":[]}`, id, n), Tokens: state.Tokens{Input: 3, Total: 3},
		}, nil
	case upstreamResets, upstreamDown:
		return execute.Reply{}, &execute.CallError{Kind: execute.CallBroken, Text: "connection reset"}
	case keyMissing:
		return execute.Reply{}, &execute.CallError{Kind: execute.CallNoKey, Text: "no key"}
	case upstreamHangs:
		return execute.Reply{}, &execute.CallError{Kind: execute.CallTimedOut, Text: "no answer"}
	default:
	}
	return execute.Reply{
		StatusCode: 200, RequestID: id, Model: "m", Tokens: state.Tokens{Input: 3, Output: 4, Total: 7},
		Body: fmt.Appendf(nil, `{"id":%q,"call":%d}`, id, n),
	}, nil
}
