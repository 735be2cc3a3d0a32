package batch

import "errors"

// ErrJournalClosed reports a journal to which nobody but the flow may append
// any more.
var ErrJournalClosed = errors.New("batch: the journal is closed")

// An Entry is one of a batch's journal: it says which finished lines were
// recorded next. Entries are numbered from 1 without gaps, so a reader who has
// come to one never misses a later one.
type Entry struct {
	N       int    // its number; 0 before it has one
	Segment string // where its lines lie, named by no other entry; empty if it has none
	// Closed marks the entry that closes the journal, and all after it, which
	// make up for what was recorded and not entered.
	Closed bool
	Spans  []LineSpan // by Offset
}

// A LineSpan is where in a segment a finished line lies. In a closed entry it
// holds all lines up to Line that no entry has before it.
type LineSpan struct {
	Line   int
	Offset int64
	Length int64
}
