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
func reassemble(body io.Reader, parts assembler, limit int64) ([]byte, error) {
	bounded := &io.LimitedReader{R: body, N: limit*streamOverhead + 1}
	events := newEventReader(bounded, limit)
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
	lines *bufio.Scanner
	limit int64
}

// newEventReader reads from r; an event's data holds at most limit bytes.
func newEventReader(r io.Reader, limit int64) *eventReader {
	lines := bufio.NewScanner(r)
	const fieldName = 64
	lines.Buffer(nil, int(limit)+fieldName)
	lines.Split(splitLine)
	return &eventReader{lines: lines, limit: limit}
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
		if int64(data.Len()) > r.limit {
			return event{}, bufio.ErrTooLong
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

// splitLine is a bufio.SplitFunc for lines that end with CR, LF or both.
func splitLine(data []byte, atEOF bool) (advance int, token []byte, err error) {
	end := bytes.IndexAny(data, "\r\n")
	switch {
	case end < 0 && atEOF && len(data) > 0:
		return len(data), data, nil
	case end < 0:
		return 0, nil, nil
	case data[end] == '\n':
		return end + 1, data[:end], nil
	case end+1 < len(data) && data[end+1] == '\n':
		return end + 2, data[:end], nil
	case end+1 < len(data) || atEOF:
		return end + 1, data[:end], nil
	default:
		return 0, nil, nil // A CR at the very end of what has arrived: an LF may follow.
	}
}
