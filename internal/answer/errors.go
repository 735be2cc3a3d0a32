package answer

import (
	"fmt"

	"github.com/musketry/musketry/internal/state"
)

// An UnclearError says that a stream has come to its end and is no whole answer: it was cut short, or what its events say
// does not go together.
type UnclearError struct {
	Why    string       // in a fixed phrase
	Came   []byte       // the stream's first 64 KiB
	Tokens state.Tokens // that it said it took
}

// Error returns why.
func (e *UnclearError) Error() string { return "answer: " + e.Why }

// A TooLargeError says that an answer has more bytes than may be, or that its stream has many times more.
type TooLargeError struct{ Limit int64 }

// Error returns the limit.
func (e *TooLargeError) Error() string { return fmt.Sprintf("answer: larger than %d bytes", e.Limit) }

// errUnclear is an UnclearError without what came.
func errUnclear(why string) error { return &UnclearError{Why: why} }

func errNotJSON() error { return errUnclear("its stream has an event that is not a JSON object") }

func errCutShort() error { return errUnclear("its stream ended before the answer did") }
