package limit

import "time"

// A Why says why requests of a route wait. It is told to users.
type Why string

// Why a route is paused, as it is written.
const (
	RateLimited  Why = "rate_limited" // it refused calls for their number
	QuotaSpent   Why = "quota_spent"  // what was paid for is used up
	Unauthorized Why = "unauthorized" // it refuses its key
	MissingKey   Why = "missing_key"  // its key cannot be read
	// Misconfigured: it cannot be called as it is configured.
	Misconfigured Why = "misconfigured"
	Unreachable   Why = "unreachable" // it fails, and other routes serve its models
)

const (
	// A route that did not say for how long rests for the interval of its calls
	// within these two, doubled each time that its trial is refused, up to backoffMost.
	firstBackoff, firstMost = time.Second, 10 * time.Second
	backoffMost             = time.Minute
	// refusedFor is after how long without a refusal a trial shows that a route
	// refuses no more: refusals come at once, and answers take their time.
	refusedFor = 2 * time.Second
	// trialEvery is the time between two trials of what no wait mends.
	trialEvery = time.Minute
)

// A Pause keeps a route from being called. When it is over there is one trial
// call, unless few were refused; as soon as that shows that the route serves again,
// the others follow at their pace.
type Pause struct {
	Why     Why     `json:"why,omitzero"` // "": not paused
	Since   Instant `json:"since,omitzero"`
	Until   Instant `json:"until,omitzero"`
	TrialAt Instant `json:"trial_at,omitzero"` // of the trial call that was made last; 0: none was
	Tries   int     `json:"tries,omitzero"`    // pauses without a call that was not refused between them
	Brief   bool    `json:"brief,omitzero"`    // it ends without a trial
}

// An openness is whether a route may be called.
type openness int

const (
	open openness = iota
	toTry
	shut
)

// opening returns whether and from when the route may be called.
func (r *Record) opening(now Instant) (Instant, openness) {
	p := &r.Pause
	switch {
	case p.Why == "":
		return now, open
	case now < p.Until:
		return p.Until, shut
	case p.Brief:
		r.resume(now)
		return now, open
	case p.TrialAt == 0:
		return now, toTry
	case p.Why == RateLimited && now >= p.TrialAt.Add(refusedFor):
		r.resume(now)
		return now, open
	case p.Why != RateLimited && now >= p.TrialAt.Add(trialEvery):
		return now, toTry
	case p.Why == RateLimited:
		return p.TrialAt.Add(refusedFor), shut
	}
	return p.TrialAt.Add(trialEvery), shut
}

// pause pauses the route, or goes on to. What no wait mends is not ended by what
// some does, and a wait that was asked for is kept by all.
func (r *Record) pause(now, until Instant, why Why) {
	p := &r.Pause
	if p.Why == "" {
		p.Since = now
	}
	if p.Why == "" || p.Why == RateLimited || why != RateLimited {
		p.Why = why
	}
	p.Until, p.TrialAt, p.Tries, p.Brief = max(p.Until, until), 0, p.Tries+1, false
}

// resume ends a pause.
func (r *Record) resume(now Instant) {
	r.Pause = Pause{}
	r.RampAt = now
}

// backoff returns for how long a route rests that did not say for how long.
func (r *Record) backoff() time.Duration {
	first := max(firstBackoff, min(r.Learned.interval(), firstMost))
	return min(first<<min(max(r.Pause.Tries, 0), 6), backoffMost)
}

// PausedUntil returns until when the route is not called, and why; "": it may be.
func (r *Record) PausedUntil(now Instant) (Instant, Why) {
	if r.Pause.Why == "" {
		return 0, ""
	}
	probe := *r
	until, how := probe.opening(now)
	if how == open {
		return 0, ""
	}
	return until, r.Pause.Why
}
