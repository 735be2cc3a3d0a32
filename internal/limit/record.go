package limit

import (
	"maps"
	"time"
)

// Limits are what an operator allows of a route, for the whole fleet. 0 is no
// limit.
type Limits struct {
	Concurrency int // calls in flight
	RPM, TPM    int // requests and tokens a minute
	// Spare says that other routes serve the same models: one that fails only is
	// then left to trials.
	Spare bool
}

// A Record is what the fleet knows of a route, by its id. Stores replace the
// whole, guarded by Rev; a route without one was never called.
type Record struct {
	Route string `json:"-"`
	Rev   int64  `json:"-"`

	CallAt   Instant `json:"call_at,omitzero"`   // the first call time that nobody has taken
	Gap      Gap     `json:"gap,omitzero"`       // before it
	RampAt   Instant `json:"ramp_at,omitzero"`   // when it was opened last: the calls of a route without a known pace grow from then
	TokensAt Instant `json:"tokens_at,omitzero"` // when the tokens taken so far are paid for
	Tokens   Window  `json:"tokens,omitzero"`    // of calls by their call times
	Calls    Window  `json:"calls,omitzero"`     // that left and were not refused
	Refused  Window  `json:"refused,omitzero"`   // that were
	ReturnAt Instant `json:"return_at,omitzero"` // until when messages were told to come back

	Took    time.Duration    `json:"took,omitzero"` // by a call of late, of a route with slots
	Learned Learned          `json:"learned,omitzero"`
	Pause   Pause            `json:"pause,omitzero"`
	Health  Health           `json:"health,omitzero"`
	Slots   map[string]Slots `json:"slots,omitempty"` // by worker
}

// Kept returns r as stores keep it: in memory of its own, and what is empty is
// none.
func (r Record) Kept() Record {
	r.Tokens, r.Calls, r.Refused = r.Tokens.clone(), r.Calls.clone(), r.Refused.clone()
	r.Slots = maps.Clone(r.Slots)
	if len(r.Slots) == 0 {
		r.Slots = nil
	}
	return r
}

const (
	// skew is what the clocks of two workers differ by at most.
	skew = 2 * time.Second
	// share is the part of a limit a minute that is used. The rest is the blur of
	// a minute: 60 s / 0.95 are 63.16 s, so that calls a limit's worth apart are as
	// many as it allows in any 63.16 s by the workers' clocks. Clocks take 2 s of
	// the 3.16, lateness at the worker 0.5 s, and 0.66 are left for the network.
	share  = 0.95
	window = time.Minute
	blur   = window + 3*time.Second
)
