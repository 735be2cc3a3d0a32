package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
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

// An event is one server-sent event (https://html.spec.whatwg.org/multipage/server-sent-events.html).
type event struct {
	name string
	data []byte
}

// An assembler puts the events of one stream together into the answer it stands for.
type assembler interface {
	// add takes the next event and reports whether it was the last.
	add(e event) (done bool, err error)

	// size returns about how many bytes the answer has so far.
	size() int64

	// answer returns the whole answer as JSON, or a *NetworkError if the stream ended too soon.
	answer() ([]byte, error)
}

// assemblerFor returns what puts the answer together, or nil for an answer that is not a successful event stream, or
// whose kind of stream is not known: such a body is kept as it is.
func assemblerFor(path string, r Response) assembler {
	kind, _, err := mime.ParseMediaType(r.ContentType)
	if err != nil || kind != "text/event-stream" || r.Status >= http.StatusMultipleChoices {
		return nil
	}
	switch {
	case strings.HasSuffix(path, "/completions"):
		return &completion{}
	case strings.HasSuffix(path, "/responses"):
		return &response{}
	default:
		return nil
	}
}

// reassemble reads a stream until its last event. It returns a *TooLargeError when the answer exceeds limit bytes or
// the stream limit × streamOverhead or its share of events, and a *NetworkError for a stream that ends too soon.
func reassemble(body io.Reader, parts assembler, limit int64, m *meter) ([]byte, error) {
	bounded := &io.LimitedReader{R: body, N: limit*streamOverhead + 1}
	events := newEventReader(bounded, limit, func(longest int64) error {
		return m.need(eventCopies*longest + pieceCopies*parts.size())
	})
	remaining := max(limit/eventBytes, fewEvents)
	for done := false; !done; remaining-- {
		e, err := events.next()
		if bounded.N <= 0 || remaining <= 0 || errors.Is(err, bufio.ErrTooLong) {
			return nil, &TooLargeError{Limit: limit}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if done, err = parts.add(e); err != nil {
			return nil, err
		}
		if parts.size() > limit {
			return nil, &TooLargeError{Limit: limit}
		}
	}
	whole, err := parts.answer()
	if int64(len(whole)) > limit {
		return nil, &TooLargeError{Limit: limit}
	}
	return whole, err
}

// An eventReader splits a stream into its events.
type eventReader struct {
	lines   *bufio.Scanner
	limit   int64
	longest int64                     // of the lines and the events, as far as they have come
	grow    func(longest int64) error // is asked before it becomes more
}

// newEventReader reads from r; an event's data holds at most limit bytes. It asks grow before it holds more of an event
// than it ever did, and after each event.
func newEventReader(r io.Reader, limit int64, grow func(longest int64) error) *eventReader {
	lines := bufio.NewScanner(r)
	events := &eventReader{lines: lines, limit: limit, grow: grow}
	const fieldName = 64
	lines.Buffer(nil, int(limit)+fieldName)
	lines.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		advance, line := splitLine(data, atEOF)
		if advance == 0 {
			return 0, nil, events.have(len(data))
		}
		return advance, line, nil
	})
	return events
}

// have asks for room for a line or an event that has n bytes, and may have more.
func (r *eventReader) have(n int) error {
	r.longest = max(r.longest, int64(n))
	return r.grow(r.longest)
}

// haveData is have for an event, or bufio.ErrTooLong.
func (r *eventReader) haveData(n int) error {
	if int64(n) > r.limit {
		return bufio.ErrTooLong
	}
	return r.have(n)
}

// next returns the next event that has data, io.EOF at the stream's end, bufio.ErrTooLong for an event beyond the
// limit, or the error that the stream gave. An event that lacks its blank line at the very end counts as well.
func (r *eventReader) next() (event, error) {
	var e event
	var data bytes.Buffer
	for r.lines.Scan() {
		line := bytes.TrimPrefix(r.lines.Bytes(), []byte("\ufeff"))
		if len(line) == 0 {
			if data.Len() > 0 {
				e.data = data.Bytes()
				return e, nil
			}
			e = event{}
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			e.name = string(value)
		case "data":
			if data.Len() > 0 {
				data.WriteByte('\n')
			}
			data.Write(value)
		}
		if err := r.haveData(data.Len()); err != nil {
			return event{}, err
		}
	}
	if err := r.lines.Err(); err != nil {
		return event{}, err
	}
	if data.Len() == 0 {
		return event{}, io.EOF
	}
	e.data = data.Bytes()
	return e, nil
}

// splitLine returns the first line, which ends with CR, LF or both, and how many bytes it takes; none if more must come.
func splitLine(data []byte, atEOF bool) (advance int, line []byte) {
	end := bytes.IndexAny(data, "\r\n")
	switch {
	case end < 0 && atEOF && len(data) > 0:
		return len(data), data
	case end < 0:
		return 0, nil
	case data[end] == '\n':
		return end + 1, data[:end]
	case end+1 < len(data) && data[end+1] == '\n':
		return end + 2, data[:end]
	case end+1 < len(data) || atEOF:
		return end + 1, data[:end]
	default:
		return 0, nil // A CR at the very end of what has arrived: an LF may follow.
	}
}
