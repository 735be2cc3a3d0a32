package state

import (
	"errors"
	"fmt"
)

var (
	// ErrNotTransitioned reports a Request that no transition made, such as a
	// zero value or one just read.
	ErrNotTransitioned = errors.New("state: no transition made this request")
	// ErrUndecided reports a retryable failure that neither Retry nor Deny has
	// decided: it must not be stored.
	ErrUndecided = errors.New("state: a retryable failure was neither retried nor denied")
	// ErrTooEarly reports a Claim before the request's not-before.
	ErrTooEarly = errors.New("state: the request may not be claimed yet")
	// ErrDeadline reports an attempt that would start, or a retry that would be
	// scheduled, at or after the deadline, or, from the second attempt on,
	// Spec.RetryUntil.
	ErrDeadline = errors.New("state: the deadline has passed")
	// ErrLeaseHeld reports a Reclaim of a request whose lease has not run out.
	ErrLeaseHeld = errors.New("state: the lease has not run out")
	// ErrNotRetryable reports a Retry or Deny of a failure that is not open to
	// one: it is permanent, it is stored already, or no call was made.
	ErrNotRetryable = errors.New("state: the failure is not open to a retry")
	// ErrNotLate reports a Deny of a pending request that may still be claimed,
	// now or later: of a first attempt, or before the time of the last retry.
	ErrNotLate = errors.New("state: the request may still be claimed")
	// ErrGroup reports changes that cannot be applied in one call: too many, or two
	// of one request.
	ErrGroup = errors.New("state: the changes are too many for one call, or two are of one request")
	// ErrNotFound reports that a store has no such request.
	ErrNotFound = errors.New("state: no such request")
	// ErrConflict reports that a Change's guard failed: another writer was first.
	// The error that wraps it is a *ConflictError.
	ErrConflict = errors.New("state: another change was first")
)

// A StatusError reports a request in another state than its reader needs.
type StatusError struct{ Want, Got Status }

func (e *StatusError) Error() string {
	return fmt.Sprintf("state: request is %q, want %q", e.Got, e.Want)
}

// A ConflictError reports a Change whose guard failed, and who won.
type ConflictError struct {
	Key    Key
	Guard  Guard
	Winner Record // as stored now; its Phase is nil if the store has no such request
}

func (e *ConflictError) Error() string {
	found := "absent"
	if e.Winner.Phase != nil {
		found = fmt.Sprintf("%s under claim %q", e.Winner.Phase.Status(), e.Winner.Phase.claimID())
	}
	wanted := "absent"
	if e.Guard.Status != "" {
		wanted = fmt.Sprintf("%s under claim %q", e.Guard.Status, e.Guard.ClaimID)
	}
	return fmt.Sprintf("state: line %d of %s is %s, not %s", e.Key.Line, e.Key.Batch, found, wanted)
}

// Unwrap returns ErrConflict.
func (e *ConflictError) Unwrap() error { return ErrConflict }
