package answer

import (
	"bufio"
	"errors"
	"io"

	"github.com/musketry/musketry/internal/jsonscan"
)

// streamOverhead is how many times larger than the answer it stands for a stream may be. A chunk that brings one token
// of four bytes repeats some two hundred bytes of ids around it.
const streamOverhead = 64

// eventBytes and fewEvents bound the events of a stream: one for every 16 bytes of the largest answer, but 10,000 at
// least. With answers of 64 MiB that is 4,194,304, many times the tokens that models commonly give at most.
const (
	eventBytes = 16
	fewEvents  = 10_000
)

// keptBytes is how much of a stream is kept in case that it cannot be put together.
const keptBytes = 64 << 10

// eventCopies and pieceCopies are how often a stream's longest event is there at once, as a line in a buffer that has
// just doubled and as the event's data, and what its events were put together to, as a text that has just grown and
// then as the whole.
const eventCopies, pieceCopies = 4, 3

// An assembler puts the events of one stream together into the answer it stands for.
type assembler interface {
	// add takes the next event and reports whether it was the last. Returns an *UnclearError or a *TooLargeError.
	add(e event) (done bool, err error)

	// size returns about how many bytes the answer has so far.
	size() int64

	// answer returns the whole answer as JSON, or an *UnclearError if the stream ended too soon.
	answer() ([]byte, error)

	// usage returns the `usage` that has come, or nil.
	usage() []byte
}

// Assemble reads a stream of a kind that [Kind.Streams] until its last event, and returns the answer that it stands for.
// It asks need for the bytes that it takes in all before it takes more. It returns
//   - an *UnclearError if what came is no whole answer;
//   - a *TooLargeError if the answer exceeds limit bytes, or the stream many times as many, or its share of events;
//   - the error of r or need as it is.
func Assemble(r io.Reader, kind Kind, limit int64, need func(bytes int64) error) ([]byte, error) {
	var parts assembler = &completion{chat: kind == Chat}
	if kind == Responses {
		parts = &response{}
	}
	kept := &head{r: r}
	whole, none, err := assemble(kept, parts, limit, need)
	unclear, ok := errors.AsType[*UnclearError](err)
	if !ok {
		return whole, err
	}
	if none && !kept.more && jsonscan.Valid(kept.bytes) {
		return kept.bytes, nil // It is called a stream, and is none.
	}
	unclear.Came = kept.bytes
	if u := parts.usage(); u != nil {
		unclear.Tokens = tokens(u)
	}
	return nil, unclear
}

// assemble is Assemble without what came. none reports that there was no event.
func assemble(r io.Reader, parts assembler, limit int64, need func(int64) error) (whole []byte, none bool, err error) {
	bounded := &io.LimitedReader{R: r, N: limit*streamOverhead + 1}
	events := newEventReader(bounded, limit, func(longest int64) error {
		return need(eventCopies*longest + pieceCopies*parts.size() + keptBytes)
	})
	remaining := max(limit/eventBytes, fewEvents)
	none = true
	for done := false; !done; remaining-- {
		e, err := events.next()
		if bounded.N <= 0 || remaining <= 0 || errors.Is(err, bufio.ErrTooLong) {
			return nil, none, &TooLargeError{Limit: limit}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, none, err
		}
		none = false
		if e.lives() {
			continue
		}
		if done, err = parts.add(e); err != nil {
			return nil, none, err
		}
		if parts.size() > limit {
			return nil, none, &TooLargeError{Limit: limit}
		}
	}
	whole, err = parts.answer()
	if int64(len(whole)) > limit {
		return nil, none, &TooLargeError{Limit: limit}
	}
	return whole, none, err
}

// A head keeps the first bytes of what is read.
type head struct {
	r     io.Reader
	bytes []byte
	more  bool // there were more
}

// Read reads from what is kept of.
func (h *head) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	room := min(n, keptBytes-len(h.bytes))
	h.bytes, h.more = append(h.bytes, p[:room]...), h.more || room < n
	return n, err
}
