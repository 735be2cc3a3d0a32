package provider

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	baseName      = "standin"
	maxDirectives = 16
	maxWait       = time.Hour
	maxSize       = 64 << 20 // Bytes.
	defaultSlow   = time.Second
	maxSigma      = 3
)

// An effect is what a call meets in place of its answer.
type effect int

const (
	effectNone effect = iota
	effectStatus
	effectQuota
	effectErrorInBody
	effectText
	effectReset
	effectHang
	effectOdd
)

// A step is an effect for a number of calls.
type step struct {
	effect effect
	status int    // Of effectStatus.
	odd    string // Of effectOdd: the answer's name.
	calls  int    // 0 is every call.
}

// A waitForm is how a Retry-After is written.
type waitForm int

const (
	waitNone waitForm = iota
	waitSeconds
	waitDate
	waitMillis
)

// A plan is how the calls of a request go.
type plan struct {
	steps          []step
	latency, spare time.Duration // Latency lies between latency and latency+spare,
	sigma          float64       // or, if this is not 0, around latency with this deviation of its logarithm.
	retryForm      waitForm
	retryAfter     time.Duration
	size           int
	slow           time.Duration
}

// A DirectiveError says that a model's name has a directive that means nothing.
type DirectiveError struct {
	// Directive is the text at fault.
	Directive string

	// Reason says what is wrong with it.
	Reason string
}

// Error names the directive.
func (e *DirectiveError) Error() string {
	return fmt.Sprintf("The model's directive %q %s.", e.Directive, e.Reason)
}

// parsePlan reads a model's name, or returns a *DirectiveError. A name that does not begin with "standin" is no plan.
func parsePlan(model string) (plan, error) {
	var p plan
	base, directives, has := strings.Cut(model, ":")
	if !has || !strings.HasPrefix(base, baseName) {
		return p, nil
	}
	all := strings.FieldsFunc(directives, func(r rune) bool { return r == '+' || r == ',' })
	if len(all) > maxDirectives {
		return p, &DirectiveError{Directive: all[maxDirectives], Reason: "is one too many"}
	}
	for _, directive := range all {
		if reason := p.add(directive); reason != "" {
			return p, &DirectiveError{Directive: directive, Reason: reason}
		}
	}
	return p, nil
}

// add takes one directive, or returns what is wrong with it.
func (p *plan) add(directive string) string {
	name, value, _ := strings.Cut(directive, "=")
	switch name {
	case "status":
		return p.addStatus(value)
	case "insufficient-quota":
		return p.addStep(effectQuota, value)
	case "error-in-body":
		return p.addStep(effectErrorInBody, value)
	case "nonjson":
		return p.addStep(effectText, value)
	case "reset":
		return p.addStep(effectReset, value)
	case "hang":
		return p.addStep(effectHang, value)
	case "odd":
		return p.addOdd(value)
	case "latency":
		return p.setLatency(value)
	case "retry-after":
		return p.setRetryAfter(value)
	case "size":
		return p.setSize(value)
	case "slow-body":
		return p.setSlow(value)
	default:
		return "is not known"
	}
}

func (p *plan) addStep(e effect, value string) string {
	calls := 0
	if value != "" {
		var err error
		if calls, err = strconv.Atoi(value); err != nil || calls < 0 {
			return "must have a number of calls"
		}
	}
	p.steps = append(p.steps, step{effect: e, calls: calls})
	return ""
}

func (p *plan) addStatus(value string) string {
	code, count, counted := strings.Cut(value, "x")
	status, err := strconv.Atoi(code)
	if err != nil || status < 300 || status > 599 {
		return "must have a status from 300 to 599"
	}
	calls := 0
	if counted {
		if calls, err = strconv.Atoi(count); err != nil || calls < 0 {
			return "must have a number of calls after its x"
		}
	}
	p.steps = append(p.steps, step{effect: effectStatus, status: status, calls: calls})
	return ""
}

func (p *plan) setLatency(value string) string {
	if median, sigma, spread := strings.Cut(value, "~"); spread {
		var err error
		if p.sigma, err = strconv.ParseFloat(sigma, 64); err != nil || !(p.sigma > 0 && p.sigma <= maxSigma) {
			return "must have a deviation above 0 and up to 3 after its ~"
		}
		value = median
	}
	low, high, between := strings.Cut(value, "..")
	least, ok := parseWait(low)
	if !ok || between && p.sigma > 0 {
		return "must have a duration up to an hour"
	}
	most := least
	if between {
		if most, ok = parseWait(high); !ok || most < least {
			return "must have two durations up to an hour, the smaller first"
		}
	}
	p.latency, p.spare = least, most-least
	return ""
}

func (p *plan) setRetryAfter(value string) string {
	p.retryForm = waitSeconds
	unit := time.Second
	if date, ok := strings.CutPrefix(value, "date:"); ok {
		p.retryForm, value = waitDate, date
	}
	if millis, ok := strings.CutPrefix(value, "ms:"); ok {
		p.retryForm, unit, value = waitMillis, time.Millisecond, millis
	}
	number, err := strconv.ParseFloat(value, 64)
	// Written so that a NaN is refused too.
	if err != nil || !(number >= 0 && number*float64(unit) <= float64(maxWait)) {
		return "must have a number of seconds, date:seconds or ms:milliseconds, up to an hour"
	}
	p.retryAfter = time.Duration(number * float64(unit))
	return ""
}

func (p *plan) setSize(value string) string {
	size, err := strconv.Atoi(value)
	if err != nil || size < 0 || size > maxSize {
		return fmt.Sprintf("must have a number of bytes up to %d", maxSize)
	}
	p.size = size
	return ""
}

func (p *plan) setSlow(value string) string {
	p.slow = defaultSlow
	if value == "" {
		return ""
	}
	var ok bool
	if p.slow, ok = parseWait(value); !ok {
		return "must have a duration up to an hour"
	}
	return ""
}

func parseWait(value string) (time.Duration, bool) {
	d, err := time.ParseDuration(value)
	return d, err == nil && d >= 0 && d <= maxWait
}

// at returns what a request's call number n, from 1, meets.
func (p *plan) at(n int) step {
	for _, s := range p.steps {
		if s.calls == 0 || n <= s.calls {
			return s
		}
		n -= s.calls
	}
	return step{effect: effectNone}
}

// wait returns the latency of a request, by its digest.
func (p *plan) wait(d digest) time.Duration {
	if p.sigma > 0 {
		return time.Duration(min(float64(p.latency)*math.Exp(p.sigma*d.normal()), float64(maxWait)))
	}
	if p.spare == 0 {
		return p.latency
	}
	return p.latency + time.Duration(d.number()%uint64(p.spare+1)) //nolint:gosec // Spare is between 0 and an hour.
}
