package retry

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Range is a run of HTTP statuses, both ends included.
type Range struct{ From, To int }

// Statuses is a set of HTTP statuses.
type Statuses []Range

// DefaultStatuses returns the statuses worth another attempt: 408 (timeout),
// 425 (too early), 429 (rate limit), 499 (a proxy's client closed) and 5xx.
func DefaultStatuses() Statuses {
	return Statuses{{408, 408}, {425, 425}, {429, 429}, {499, 499}, {500, 599}}
}

// ParseStatuses reads a comma-separated list of statuses and classes, such as
// "408,429,5xx". It returns an error wrapping ErrPolicy that names the entry it
// cannot read.
func ParseStatuses(list string) (Statuses, error) {
	var out Statuses
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimSpace(entry)
		if class, ok := strings.CutSuffix(strings.ToLower(entry), "xx"); ok {
			if n, err := strconv.Atoi(class); err == nil && len(class) == 1 {
				out = append(out, Range{From: n * 100, To: n*100 + 99})
				continue
			}
		}
		n, err := strconv.Atoi(entry)
		if err != nil {
			return nil, fmt.Errorf("%w: %q is neither a status such as 429 nor a class such as 5xx", ErrPolicy, entry)
		}
		out = append(out, Range{From: n, To: n})
	}

	if err := out.validate(); err != nil {
		return nil, err
	}
	return out, nil
}

func (s Statuses) validate() error {
	for _, r := range s {
		if r.From < 100 || r.To > 599 || r.From > r.To {
			return fmt.Errorf("%w: %d-%d is no range of HTTP statuses (100 to 599)", ErrPolicy, r.From, r.To)
		}
	}
	return nil
}

// Has reports whether s contains status.
func (s Statuses) Has(status int) bool {
	return slices.ContainsFunc(s, func(r Range) bool { return r.From <= status && status <= r.To })
}

// A Class is what an answer's status means for its request.
type Class int

// The classes.
const (
	Success   Class = iota // the answer is the outcome
	Retryable              // another attempt may bring another answer
	Permanent              // another attempt would bring the same
)

// QuotaExhausted is the error code of a 429 that no wait mends
// (https://platform.openai.com/docs/guides/error-codes).
const QuotaExhausted = "insufficient_quota"

// QuotaSpent reports whether an answer says that the account has nothing left.
func QuotaSpent(status int, code string) bool { return status == 429 && code == QuotaExhausted }

// Classify returns what an answer of status means, given its OpenAI error code
// ("" if it has none). Redirects are not followed, so a 3xx is permanent.
func (p Policy) Classify(status int, code string) Class {
	switch {
	case QuotaSpent(status, code):
		return Permanent
	case p.Retryable.Has(status):
		return Retryable
	case status >= 200 && status <= 299:
		return Success
	}
	return Permanent
}

// CodeLabel returns code as a metric's label: itself if it is one of OpenAI's
// documented codes or "", and "other" if not, so that an upstream cannot grow
// the number of labels without bound.
func CodeLabel(code string) string {
	switch code {
	case "", QuotaExhausted, "rate_limit_exceeded", "rate_limit_error", "tokens", "requests",
		"server_error", "internal_error", "internal_server_error", "service_unavailable", "overloaded",
		"overloaded_error", "engine_overloaded", "slow_down", "timeout", "request_timeout", "bad_gateway",
		"model_not_found", "context_length_exceeded", "invalid_api_key", "invalid_request_error":
		return code
	}
	return "other"
}
