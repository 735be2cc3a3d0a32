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

// DefaultStatuses returns the statuses worth another attempt: 408 (timeout), 409
// (conflict), 425 (too early), 429 (rate limit), 498 (no capacity), 499 (a
// proxy's client closed) and 5xx. 424 is none: who sends it, such as Bedrock and
// TGI, says that the model failed at this very request.
func DefaultStatuses() Statuses {
	return Statuses{{408, 408}, {409, 409}, {425, 425}, {429, 429}, {498, 498}, {499, 499}, {500, 599}}
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

// QuotaSpent reports whether an answer says that the account has nothing left: a 402, or a
// 429 of OpenAI's or Moonshot's code for it.
func QuotaSpent(status int, code string) bool {
	if status != 429 {
		return status == 402
	}
	switch code {
	case QuotaExhausted, "billing_not_active", "exceeded_current_quota", "exceeded_current_quota_error":
		return true
	}
	return false
}

// SaysRate reports whether an answer says that it was refused for the number of
// calls or tokens. A 429 says so by itself, unless its code is a word that says
// something else: Azure, OpenRouter and LiteLLM have the status for a code.
func SaysRate(status int, code string) bool {
	if status == 429 && strings.Trim(code, "0123456789") == "" {
		return true
	}
	if status != 429 && status != 503 {
		return false
	}
	code = strings.ToLower(code)
	for _, word := range []string{"rate", "quota", "throttl", "exhausted", "too_many", "slow_down", "tokens", "requests", "limit"} {
		if strings.Contains(code, word) {
			return true
		}
	}
	return false
}

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

// A Hint is what an answer says of its being tried again.
type Hint struct {
	// Should is the header x-should-retry, by which OpenAI's SDKs decide: "true",
	// "false", or anything else, which says nothing.
	Should string

	// Soon says that the answer asks for a wait that ends in time.
	Soon bool
}

// Hear returns what an answer of status and code means, as Classify does, once it
// is heard: it may ask for another attempt, which is doubtful, and only few of those
// are made, or against one. A spent quota is heard before it, and so is a wait that a
// 429 or a 503 asks for.
func (p Policy) Hear(status int, code string, h Hint) (class Class, doubtful bool) {
	class = p.Classify(status, code)
	waits := h.Soon && (status == 429 || status == 503)
	switch {
	case class == Success || QuotaSpent(status, code):
	case class == Permanent && strings.EqualFold(h.Should, "true"):
		return Retryable, true
	case class == Retryable && strings.EqualFold(h.Should, "false") && !waits:
		return Permanent, false
	}
	return class, false
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
