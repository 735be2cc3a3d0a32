package state

import "time"

func move[S, T State](r Request[S], to T) Request[T] {
	return Request[T]{spec: r.spec, phase: to, from: r.from, moved: true}
}

// Claim gives r to one worker. It returns ErrTooEarly before r's not-before and
// ErrDeadline from the deadline on, or, of a retry, from Spec.RetryUntil on.
func Claim(r Request[Pending], l Lease, now time.Time) (Request[Claimed], error) {
	p := r.phase
	if now.Before(p.NotBefore) {
		return Request[Claimed]{}, ErrTooEarly
	}
	if !now.Before(r.spec.StartUntil(p.Attempt)) {
		return Request[Claimed]{}, ErrDeadline
	}
	l.Expires = stamp(l.Expires)
	return move(r, Claimed{
		Attempt: p.Attempt, Lease: l, Reclaims: p.Reclaims, Doubts: p.Doubts, Last: p.Last, ClaimedAt: stamp(now),
	}), nil
}

// Reclaim gives r, whose lease came to its end by loss, to another worker. It
// counts as a reclaim unless the worker had ended in good order. It returns
// ErrLeaseHeld where loss is LossNone and ErrDeadline from the deadline on. From
// Spec.RetryUntil on a retry is not started any more: Release and Deny it.
func Reclaim[S Leased](r Request[S], l Lease, now time.Time, loss Loss) (Request[Claimed], error) {
	if loss == LossNone {
		return Request[Claimed]{}, ErrLeaseHeld
	}
	if !now.Before(r.spec.Deadline) {
		return Request[Claimed]{}, ErrDeadline
	}
	t := r.phase.tenure()
	if loss != LossEnded {
		t.reclaims++
	}
	l.Expires = stamp(l.Expires)
	return move(r, Claimed{
		Attempt: t.attempt, Lease: l, Reclaims: t.reclaims, Doubts: t.doubts, Last: t.last, ClaimedAt: stamp(now),
	}), nil
}

// Release gives r back untried, claimable at once: on the way to Deny, or because
// the worker that claimed it will not call it.
func Release(r Request[Claimed]) Request[Pending] {
	c := r.phase
	return move(r, Pending{
		Attempt: c.Attempt, ClaimID: c.Lease.ClaimID, Reclaims: c.Reclaims, Doubts: c.Doubts, Last: c.Last,
	})
}

// Start records that r's call is about to leave. It returns ErrDeadline from
// the deadline on, or, of a retry, from Spec.RetryUntil on.
func Start(r Request[Claimed], now time.Time) (Request[Processing], error) {
	c := r.phase
	if !now.Before(r.spec.StartUntil(c.Attempt)) {
		return Request[Processing]{}, ErrDeadline
	}
	return move(r, Processing{
		Attempt: c.Attempt, Lease: c.Lease, Reclaims: c.Reclaims, Doubts: c.Doubts, Last: c.Last,
		ClaimedAt: c.ClaimedAt, StartedAt: stamp(now),
	}), nil
}

// A Result is what a call brought.
type Result struct {
	StatusCode int
	Answer     Span   // the finished output line, already durable
	Model      string // the model that answered; empty if it did not say
	Tokens     Tokens // the tokens it took, as the answer says
}

// Complete records r's answer.
func Complete(r Request[Processing], res Result, now time.Time) Request[Completed] {
	p := r.phase
	return move(r, Completed{
		Attempt: p.Attempt, ClaimID: p.Lease.ClaimID,
		StatusCode: res.StatusCode, Answer: res.Answer, Model: clip(res.Model), Tokens: res.Tokens,
		ClaimedAt: p.ClaimedAt, StartedAt: p.StartedAt, CompletedAt: stamp(now),
	})
}

// A Failure is what went wrong.
type Failure struct {
	Reason Reason
	Answer Span   // the finished error line, already durable; zero if there is none
	Model  string // the model called; empty if none was
	Tokens Tokens // the tokens that its answer took all the same

	// Doubtful counts it among those after which few more calls are made.
	Doubtful bool
}

// Fail records that r failed. If the failure is retryable, Retry or Deny must
// follow before there is a Change; its Answer is needed only for a Deny. Before
// its Start a request fails permanently or is given back by Release: of a
// retryable failure without a call there is no Change.
func Fail[S Leased](r Request[S], f Failure, now time.Time) Request[Failed] {
	t := r.phase.tenure()
	if f.Doubtful {
		t.doubts++
	}
	return move(r, Failed{
		Attempt: t.attempt, ClaimID: t.lease.ClaimID, Reclaims: t.reclaims, Doubts: t.doubts,
		Reason: f.Reason.clipped(), Answer: f.Answer, Model: clip(f.Model), Tokens: f.Tokens,
		ClaimedAt: t.claimedAt, StartedAt: t.startedAt, FailedAt: stamp(now),
	})
}

// Retry puts r back, one attempt later, not to be claimed before notBefore. It
// returns ErrNotRetryable if r's failure is permanent, decided or stored
// already, or if no call was made, and ErrDeadline if notBefore is not before
// Spec.RetryUntil.
func Retry(r Request[Failed], notBefore time.Time) (Request[Pending], error) {
	if err := open(r); err != nil {
		return Request[Pending]{}, err
	}
	f := r.phase
	notBefore = ceil(notBefore)
	if !notBefore.Before(r.spec.StartUntil(f.Attempt + 1)) {
		return Request[Pending]{}, ErrDeadline
	}
	return move(r, Pending{
		Attempt: f.Attempt + 1, NotBefore: notBefore, ClaimID: f.ClaimID, Reclaims: f.Reclaims, Doubts: f.Doubts,
		Last: clip(f.Reason.String()),
	}), nil
}

// A Refusal is why, and for a pending request how, another attempt is denied.
type Refusal struct {
	Why Denial

	// What a pending request, which no claim protects, is failed with. A failure
	// has its own.
	ClaimID string    // unique over all claims ever made, as a lease's is
	Answer  Span      // the finished error line, already durable
	Model   string    // the model that was called
	At      time.Time // now
}

// Deny leaves r failed for good although its failure is retryable, or fails r
// because its retry comes too late: at or after Spec.RetryUntil. Of a failure it returns ErrNotRetryable as Retry does, and where
// d.Why is DenialNone. Of a pending request, for which only DenialDeadline
// counts, it returns ErrNotLate while r may be claimed, and always of a first
// attempt.
func Deny[S Deniable](r Request[S], d Refusal) (Request[Failed], error) {
	f, err := r.phase.denied(r.spec, r.moved, d)
	if err != nil {
		return Request[Failed]{}, err
	}
	return move(r, f), nil
}

func (f Failed) denied(_ Spec, moved bool, d Refusal) (Failed, error) {
	if !f.undecided(moved) || d.Why == DenialNone {
		return Failed{}, ErrNotRetryable
	}
	f.Denial = d.Why
	return f, nil
}

func (p Pending) denied(spec Spec, _ bool, d Refusal) (Failed, error) {
	if d.Why != DenialDeadline || p.Attempt < 1 || d.At.Before(spec.StartUntil(p.Attempt)) {
		return Failed{}, ErrNotLate
	}
	return Failed{
		Attempt: p.Attempt, ClaimID: d.ClaimID, Reclaims: p.Reclaims, Doubts: p.Doubts,
		Reason: RetryTooLate{Last: p.Last}, Denial: d.Why, Answer: d.Answer, Model: clip(d.Model),
		FailedAt: stamp(d.At),
	}, nil
}

// open reports whether r's failure still waits for a decision.
func open(r Request[Failed]) error {
	if !r.phase.undecided(r.moved) {
		return ErrNotRetryable
	}
	return nil
}

func (f Failed) undecided(moved bool) bool {
	return moved && f.Reason.Retryable() && f.Denial == DenialNone && !f.StartedAt.IsZero()
}

// Cancel stops r for its owner. What its calls came to stays beside.
func Cancel[S Active](r Request[S], now time.Time) Request[Canceled] {
	p := r.phase.past()
	return move(r, Canceled{
		Attempt: p.attempt, ClaimID: r.phase.claimID(), Last: p.last, StartedAt: p.startedAt, CanceledAt: stamp(now),
	})
}

// Expire ends r because its deadline has passed. What its calls came to stays
// beside.
func Expire[S Active](r Request[S], now time.Time) Request[Failed] {
	p := r.phase.past()
	return ended(r, p, Expired{Last: p.last, Called: p.attempt > 0 || !p.startedAt.IsZero()}, now)
}

func ended[S Active](r Request[S], p past, reason Reason, now time.Time) Request[Failed] {
	return move(r, Failed{
		Attempt: p.attempt, ClaimID: r.phase.claimID(), Reclaims: p.reclaims, Reason: reason.clipped(),
		ClaimedAt: p.claimedAt, StartedAt: p.startedAt, FailedAt: stamp(now),
	})
}

// Terminate ends r because deaths workers died over it, or, where none did,
// because its batch is given up.
func Terminate[S Active](r Request[S], deaths int, now time.Time) Request[Failed] {
	p := r.phase.past()
	reason := TaskTerminated{Deaths: deaths}
	if deaths < 1 {
		reason = TaskTerminated{Deaths: 1, Error: "the request was given up with its batch"}
		if p.last != "" {
			reason.Error += "; the last attempt that failed: " + p.last
		}
	}
	return ended(r, p, reason, now)
}

// ceil rounds t up to the precision that stores keep, so that a wait is never
// cut short.
func ceil(t time.Time) time.Time {
	s := stamp(t)
	if s.Before(t) {
		s = s.Add(time.Millisecond)
	}
	return s
}
