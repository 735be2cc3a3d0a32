package state

import "time"

// A Key names one request.
type Key struct {
	Batch string // the batch's id
	Line  int    // the line of the input file, counted from 1
	Shard int    // the write shard, Line modulo the batch's number of shards
}

// A Span is a run of bytes in a stored object.
type Span struct {
	Object string // the object's name; empty for the batch's own input file
	Offset int64  // bytes from the object's start
	Length int64  // bytes
}

// A Spec is what the submitter asked for; no transition changes it.
type Spec struct {
	Key      Key
	CustomID string
	Model    int       // the number of its model in the batch, counted from 1; 0: not known before the body is read
	Body     Span      // where the request's line lies in the input file
	Deadline time.Time // the batch's; no attempt starts at or after it
	// RetryUntil is the deadline less stop_before_deadline: at or after it no
	// attempt starts but the first. Zero: the deadline itself.
	RetryUntil time.Time
}

// StartUntil returns the time at and after which no attempt may start that so
// many failed ones came before.
func (s Spec) StartUntil(attempt int) time.Time {
	if attempt > 0 && !s.RetryUntil.IsZero() && s.RetryUntil.Before(s.Deadline) {
		return s.RetryUntil
	}
	return s.Deadline
}

// A Request is one request in state S. Its zero value belongs to no request
// and has no [Change].
type Request[S State] struct {
	spec  Spec
	phase S
	from  Phase // as which it was read; nil if no store has it
	moved bool
}

// Spec returns what the submitter asked for.
func (r Request[S]) Spec() Spec { return r.spec }

// Phase returns what state S alone knows.
func (r Request[S]) Phase() S { return r.phase }

// Record returns the request as a store would keep it.
func (r Request[S]) Record() Record { return Record{Spec: r.spec, Phase: r.phase} }

// Stored returns r as it is once its [Change] was applied: further transitions
// are guarded by r's own status and claim id.
func (r Request[S]) Stored() Request[S] {
	r.from, r.moved = r.phase, false
	return r
}

// Change returns the write that makes r durable. It returns
// ErrNotTransitioned if no transition made r, and ErrUndecided if r failed
// retryably and neither [Retry] nor [Deny] has spoken.
func (r Request[S]) Change() (Change, error) {
	if !r.moved {
		return Change{}, ErrNotTransitioned
	}
	if f, ok := any(r.phase).(Failed); ok && f.Reason.Retryable() && f.Denial == DenialNone {
		return Change{}, ErrUndecided
	}
	return Change{spec: r.spec, from: r.from, to: r.phase}, nil
}

// A Record is a request as a store read it, its state not yet known.
type Record struct {
	Spec  Spec
	Phase Phase
}

// Guard returns the moment at which rec was read: what a [Change] made from it
// is guarded by. It is zero if rec's Phase is nil.
func (rec Record) Guard() Guard {
	return guardOf(rec.Phase)
}

// New returns a request that no store has yet. Its Change creates it, guarded
// by its absence; a transition made first (Cancel, Expire) creates it in that
// state.
func New(spec Spec) Request[Pending] {
	spec.Deadline, spec.RetryUntil = stamp(spec.Deadline), stamp(spec.RetryUntil)
	return Request[Pending]{spec: spec, moved: true}
}

// As gives rec its type, or returns a *StatusError if it is in another state.
func As[S State](rec Record) (Request[S], error) {
	phase, ok := rec.Phase.(S)
	if !ok {
		got := Status("")
		if rec.Phase != nil {
			got = rec.Phase.Status()
		}
		return Request[S]{}, &StatusError{Want: phase.Status(), Got: got}
	}
	return Request[S]{spec: rec.Spec, phase: phase, from: phase}, nil
}

// A Guard is what the stored request must still be for a [Change] to apply.
type Guard struct {
	Status  Status // empty: the store must not have the request at all
	ClaimID string // the last claim's id; empty before the first
}

func guardOf(p Phase) Guard {
	if p == nil {
		return Guard{}
	}
	return Guard{Status: p.Status(), ClaimID: p.claimID()}
}

// A Change is one legal write. Only a transition makes one. A store applies it
// if, and only if, the stored request still satisfies Guard.
type Change struct {
	spec Spec
	from Phase
	to   Phase
}

// Spec returns the request's specification.
func (c Change) Spec() Spec { return c.spec }

// Guard returns what the stored request must still be.
func (c Change) Guard() Guard { return guardOf(c.from) }

// From returns the phase in which the request was read; nil if c creates it. As
// a guard names one moment in a request's life, a request that satisfies c's is
// stored exactly so: what a store need not write is what To has in common with it.
func (c Change) From() Phase { return c.from }

// To returns the phase to store; nil if c is the zero Change.
func (c Change) To() Phase { return c.to }

// Record returns the request as it is once c was applied.
func (c Change) Record() Record { return Record{Spec: c.spec, Phase: c.to} }

// AppliedIn reports whether stored, found in the way of c, is c's own doing: a
// write that took effect although its answer was lost. The claim id and the
// outcome decide. Where the answer lies may differ, since one who heard nothing
// may have written it again. What ends a request whoever holds it must say the
// same, since another finalizer, who found it in another phase of the same
// claim, may have ended it too.
func (c Change) AppliedIn(stored Phase) bool {
	if c.to == nil || stored == nil || guardOf(c.to) != guardOf(stored) {
		return false
	}
	switch to := c.to.(type) {
	case Pending:
		s, ok := stored.(Pending)
		return ok && s.Attempt == to.Attempt
	case Failed:
		s, ok := stored.(Failed)
		return ok && s.Denial == to.Denial && sameReason(s.Reason, to.Reason)
	case Canceled:
		s, ok := stored.(Canceled)
		return ok && s.Attempt == to.Attempt && s.Last == to.Last && s.StartedAt.Equal(to.StartedAt)
	case Claimed, Processing, Completed:
		return true
	}
	return false
}

// sameReason reports whether two may be one's that was written twice: of one kind,
// and retryable or not, since a worker that recovered from a panic and a finalizer
// that counted dead ones both say TaskTerminated.
func sameReason(a, b Reason) bool {
	if expired, ok := b.(Expired); ok {
		return a == expired
	}
	return a.Kind() == b.Kind() && a.Retryable() == b.Retryable()
}

// stamp cuts t to the precision that stores keep, so that a request read back
// equals the one written.
func stamp(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}
