package execute

import (
	"context"
	"errors"
	"time"
)

const (
	// unsure is how long a message rests whose request's state is not known, or
	// whose batch is about to end.
	unsure = 10 * time.Second
	// aMoment is how long a message rests that any other worker may run at once.
	aMoment = time.Second
	// missingRest is how long a message rests whose request is missing: it is
	// created with an outcome when its batch is sealed.
	missingRest = 10 * time.Minute
	// unreadableRest is how long a message rests that is none of ours, so that it
	// reaches the dead-letter queue without a hot loop.
	unreadableRest = 15 * time.Minute
)

// A fate is what becomes of a message. Which, decide says, and nobody else.
//
//sumtype:decl
type fate interface{ isFate() }

type (
	// An acknowledge deletes the message: nothing is to be done for it any more.
	acknowledge struct{}

	// A requeue shows the message again, to this worker or another.
	requeue struct {
		after  time.Duration
		spread bool // after up to half as much more
	}

	// A leaveHidden hides the message no longer than it is hidden now. Of
	// thousands that end together each requeue would cost the time of the sealing.
	leaveHidden struct{}

	// A withhold hides the message for as long as the upstream asked for. Its
	// request's lease must end as a dead worker's does, so this one is not marked
	// ended.
	withhold struct{ wait time.Duration } // 0: it is hidden so already

	// A releaseAtEnd shows the message once this worker has ended, and its leases
	// with it.
	releaseAtEnd struct{}

	// An isolate takes the message up again when all others are settled, alone.
	isolate struct{}

	// A reconcile acknowledges the message once it is sure that its request's
	// outcome is counted: whoever recorded it may have died before.
	reconcile struct{}
)

func (acknowledge) isFate()  {}
func (requeue) isFate()      {}
func (leaveHidden) isFate()  {}
func (withhold) isFate()     {}
func (releaseAtEnd) isFate() {}
func (isolate) isFate()      {}
func (reconcile) isFate()    {}

// A cause is why a message goes no further in this worker.
type cause int

const (
	causeFailed         cause = iota // something was not read or written, or was not foreseen
	causeUnreadable                  // it is not a message of a request
	causeNoHeartbeat                 // no first heartbeat was acknowledged
	causeBatchEnded                  // its batch is terminal, or gone
	causeBatchStopping               // its batch is cancelled, sealed, given up, or past its deadline
	causeWorkerStopping              // time is nearly up, or heartbeats are lost
	causeNoTime                      // it cannot be expected that its call ends in time
	causeMissing                     // its batch is alive and has no such request
	causeRequestEnded                // its request is terminal
	causePoison                      // too many workers have died over its request for it to run beside others
	causeSuspect                     // the same, and it cannot run here alone; or there are as many like it as may run at once
	causeLeased                      // another worker holds its request
	causeBackoff                     // its request's next attempt has to wait
	causeLimited                     // no route of its model may be called, or has a permit for it
	causeOverdue                     // its request's deadline has passed
	causeOutrun                      // other workers were first, again and again
	causeUnsent                      // nothing could be sent, for no fault of its own
	causeSuperseded                  // its request was another worker's when what came of the call was written
	causeUnwritten                   // what came of the call could not be written
	causeUnwrittenWait               // the same, and the upstream asked for a wait
	causeUncounted                   // its outcome is written, and may be counted nowhere
	causeCounted                     // its outcome is written and counted, or its flow will count it

	causes = iota // how many there are
)

func (c cause) String() string {
	return [causes]string{
		"failed", "unreadable", "no heartbeat", "batch ended", "batch stopping", "worker stopping", "no time", "missing",
		"request ended", "poison", "suspect", "leased", "backoff", "limited", "overdue", "outrun", "unsent", "superseded", "unwritten",
		"unwritten wait", "uncounted", "counted",
	}[c]
}

// givesBack reports whether a request that c leaves uncalled is given back: its
// batch goes on, and so does this worker, whose end would do it.
func givesBack(c cause) bool {
	return c == causeFailed || c == causeLimited || c == causeNoTime || c == causeUnsent
}

// decide returns what becomes of a message because of c. claimed says that it is
// stored that its request is this worker's, and wait how long the lease, the rest or the
// backoff lasts that is c. doc.go has this as a table.
func decide(c cause, claimed bool, wait time.Duration) fate {
	if claimed && (givesBack(c) || c == causeWorkerStopping) {
		return releaseAtEnd{}
	}
	switch c {
	case causeCounted, causeBatchEnded:
		return acknowledge{}
	case causeRequestEnded:
		return reconcile{}
	case causePoison:
		return isolate{}
	case causeBatchStopping:
		return leaveHidden{}
	case causeUnwrittenWait:
		return withhold{wait}
	case causeUnwritten, causeUncounted:
		return releaseAtEnd{}
	case causeWorkerStopping:
		return requeue{}
	case causeNoTime:
		return requeue{after: aMoment, spread: true}
	case causeUnreadable:
		return requeue{after: unreadableRest}
	case causeMissing:
		return requeue{after: missingRest, spread: true}
	case causeLeased, causeSuspect:
		return requeue{after: wait, spread: true}
	case causeBackoff:
		return requeue{after: wait}
	case causeLimited:
		return requeue{after: wait}
	case causeFailed, causeNoHeartbeat, causeOverdue, causeOutrun, causeUnsent, causeSuperseded:
	}
	return requeue{after: unsure, spread: true}
}

// An endError ends a message's way in this worker. As a context's cause it ends
// calls. It is no outcome.
type endError struct {
	cause cause
	wait  time.Duration // how long the lease or the backoff lasts that is the cause
}

func (e *endError) Error() string { return "execute: " + e.cause.String() }

func end(c cause) error { return &endError{cause: c} }

func endFor(c cause, wait time.Duration) error { return &endError{cause: c, wait: max(wait, 0)} }

// endOf returns the end of what ctx bounds, or nil. A context that does not say
// why it ended is this worker's.
func endOf(ctx context.Context) error {
	if why := context.Cause(ctx); why != nil {
		return asEnd(why)
	}
	return nil
}

func asEnd(why error) error {
	if _, ok := errors.AsType[*endError](why); ok {
		return why
	}
	return end(causeWorkerStopping)
}

// causeOf returns why err ends a message's way, and how long that lasts.
func causeOf(err error) (c cause, wait time.Duration) {
	if e, ok := errors.AsType[*endError](err); ok {
		return e.cause, e.wait
	}
	return causeFailed, 0
}

// isCause reports whether err ends a message's way because of c.
func isCause(err error, c cause) bool {
	e, ok := errors.AsType[*endError](err)
	return ok && e.cause == c
}
