package execute

import (
	"errors"
	"fmt"
	"time"
)

// A CallKind is how a call came to no answer.
type CallKind int

// The kinds of a CallError.
const (
	CallBroken     CallKind = iota // the connection failed or the answer was cut short
	CallTimedOut                   // a time limit of the caller ran out
	CallTooLarge                   // the answer exceeds Limit
	CallUnsendable                 // the request is malformed: nothing was sent, and nothing would mend it
	CallUnsent                     // nothing was sent, for no fault of the request: not an attempt
)

// A CallError reports a call that brought no whole answer.
type CallError struct {
	Kind  CallKind
	Text  string // quotes neither request nor answer
	Limit int64  // bytes; only of CallTooLarge
}

func (e *CallError) Error() string { return "execute: " + e.Text }

// Why a call may not start, or is aborted. None of them is an outcome.
var (
	errShutdown = errors.New("execute: the invocation's time is nearly up")
	errNoTime   = errors.New("execute: a call may last longer than the invocation's time")
	errLost     = errors.New("execute: no heartbeat was acknowledged for too long")
	errStopped  = errors.New("execute: the batch is stopping")
	errOverdue  = errors.New("execute: the batch's deadline has passed")
	errUnsent   = errors.New("execute: nothing could be sent")
	errUnread   = errors.New("execute: the batch was not read")
)

// errCallLimit ends an attempt that took too long, which is an outcome.
var errCallLimit = errors.New("execute: the attempt's time limit ran out")

// What becomes of a message whose request brings no outcome here.
var (
	errDone  = errors.New("execute: the request has its outcome") // acknowledge, and wake the flow
	errOver  = errors.New("execute: the batch has ended")         // acknowledge
	errAlone = errors.New("execute: the request must run alone")  // take it up again after the others
	errHeld  = errors.New("execute: aborted after its claim")     // show it once this worker has ended
	errRest  = errors.New("execute: the batch is about to end")   // leave it hidden for as long as it is
)

// An asideError puts a message back without an outcome.
type asideError struct {
	after time.Duration // not to be seen again for so long
	why   string
}

func (e *asideError) Error() string {
	return fmt.Sprintf("execute: put aside for %s: %s", e.after, e.why)
}

func aside(after time.Duration, why string) error { return &asideError{after: max(after, 0), why: why} }

// A panicError is what a call that panicked brought.
type panicError struct{ what string }

func (e *panicError) Error() string { return "execute: panic: " + e.what }
