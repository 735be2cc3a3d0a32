package execute

import "errors"

// A CallKind is how a call came to no answer.
type CallKind int

// The kinds of a CallError.
const (
	CallBroken     CallKind = iota // the connection failed or the answer was cut short
	CallTimedOut                   // a time limit of the caller ran out
	CallTooLarge                   // the answer exceeds Limit
	CallUnsendable                 // the request is malformed: nothing was sent, and nothing would mend it
	CallUnsent                     // nothing was sent, for no fault of the request: not an attempt
	CallNoKey                      // the same, since there was no key to call with
	CallDenied                     // the same as far as the request goes: the upstream refuses the key
)

// A CallError reports a call that brought no whole answer.
type CallError struct {
	Kind  CallKind
	Text  string // quotes neither request nor answer
	Limit int64  // bytes; only of CallTooLarge
}

func (e *CallError) Error() string { return "execute: " + e.Text }

// callErrorOf returns err's CallError, nil if it has none.
func callErrorOf(err error) *CallError {
	e, _ := errors.AsType[*CallError](err)
	return e
}

// errCallLimit ends an attempt that took too long, which is an outcome.
var errCallLimit = errors.New("execute: the attempt's time limit ran out")

// A panicError is what a call that panicked brought.
type panicError struct{ what string }

func (e *panicError) Error() string { return "execute: panic: " + e.what }
