package retry

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Unlimited as MaxRetries sets no cap: only the deadline ends the attempts.
const Unlimited = -1

// A Policy says how often and how soon a failed request is tried again.
type Policy struct {
	MaxRetries         int           // calls after the first, at most; Unlimited for no cap
	StopBeforeDeadline time.Duration // no retry is scheduled this close to the deadline; not negative
	Backoff            time.Duration // the first backoff; positive
	Factor             float64       // the growth of each backoff over the last; at least 1
	MaxBackoff         time.Duration // the ceiling; at least Backoff
	Jitter             bool          // wait a uniform part of the backoff, not all of it
	Retryable          Statuses      // tested first, whatever the status

	// MaxInvalid is how often a request is tried again after answers that are none,
	// each of which was paid for; not negative.
	MaxInvalid int
}

// Default returns the policy of a deployment that configures none.
func Default() Policy {
	return Policy{
		MaxRetries: 1000,
		Backoff:    time.Second,
		Factor:     2,
		MaxBackoff: time.Minute,
		Jitter:     true,
		Retryable:  DefaultStatuses(),
		MaxInvalid: 3,
	}
}

// ErrPolicy reports a policy that makes no sense; the error wrapping it says
// which field and why.
var ErrPolicy = errors.New("retry: invalid policy")

// Validate returns an error wrapping ErrPolicy if p breaks a bound of its
// fields.
func (p Policy) Validate() error {
	switch {
	case p.MaxRetries < Unlimited:
		return fmt.Errorf("%w: MaxRetries is %d, want %d (no cap) or more", ErrPolicy, p.MaxRetries, Unlimited)
	case p.StopBeforeDeadline < 0:
		return fmt.Errorf("%w: StopBeforeDeadline is %v, want 0 or more", ErrPolicy, p.StopBeforeDeadline)
	case p.Backoff <= 0:
		return fmt.Errorf("%w: Backoff is %v, want more than 0", ErrPolicy, p.Backoff)
	case !(p.Factor >= 1) || math.IsInf(p.Factor, 1):
		return fmt.Errorf("%w: Factor is %v, want a number of 1 or more", ErrPolicy, p.Factor)
	case p.MaxInvalid < 0:
		return fmt.Errorf("%w: MaxInvalid is %d, want 0 or more", ErrPolicy, p.MaxInvalid)
	case p.MaxBackoff < p.Backoff:
		return fmt.Errorf("%w: MaxBackoff is %v, want Backoff (%v) or more", ErrPolicy, p.MaxBackoff, p.Backoff)
	}
	return p.Retryable.validate()
}

// BackoffAt returns the backoff after the call numbered attempt, counted from
// 0. It saturates at MaxBackoff.
func (p Policy) BackoffAt(attempt int) time.Duration {
	grown := float64(p.Backoff) * math.Pow(p.Factor, float64(max(attempt, 0)))
	if !(grown < float64(p.MaxBackoff)) { // NaN and +Inf saturate too
		return p.MaxBackoff
	}
	return time.Duration(grown)
}

// A Denial is why a failed request is not tried again.
type Denial string

// The denials.
const (
	DeniedNot        Denial = ""            // not denied
	DeniedMaxRetries Denial = "max_retries" // attempt ≥ MaxRetries
	DeniedDeadline   Denial = "deadline"    // the next attempt would come too late
)

// A Failed says when which call failed.
type Failed struct {
	Now        time.Time
	Deadline   time.Time     // the batch's
	Attempt    int           // calls that had failed before this one
	RetryAfter time.Duration // what the upstream asked for; 0 if nothing

	// Doubtful says that few more calls are made after a failure like this:
	// MaxDoubts, of which Doubts were.
	Doubtful          bool
	Doubts, MaxDoubts int
}

// MaxHinted is how often a request is tried again only because answers ask for it.
const MaxHinted = 3

// A Decision is either a NotBefore or a Denial.
type Decision struct {
	NotBefore time.Time
	Denied    Denial
}

// Decide returns whether and when a retryable failure is tried again. uniform
// returns a number in [0, 1); it is not called without jitter.
func (p Policy) Decide(f Failed, uniform func() float64) Decision {
	if p.MaxRetries != Unlimited && f.Attempt >= p.MaxRetries {
		return Decision{Denied: DeniedMaxRetries}
	}
	if f.Doubtful && f.Doubts >= f.MaxDoubts {
		return Decision{Denied: DeniedMaxRetries}
	}
	wait := p.BackoffAt(f.Attempt)
	if p.Jitter {
		wait = time.Duration(uniform() * float64(wait))
	}
	wait = max(wait, f.RetryAfter)
	at := f.Now.Add(wait)
	// Stores keep milliseconds: rounded up, so that no wait is cut short.
	if ms := at.Truncate(time.Millisecond); ms.Before(at) {
		at = ms.Add(time.Millisecond)
	}
	if !at.Before(f.Deadline.Add(-p.StopBeforeDeadline)) {
		return Decision{Denied: DeniedDeadline}
	}
	return Decision{NotBefore: at}
}
