package answer

import (
	"bufio"
	"bytes"
	"io"
	"strings"

	"github.com/musketry/musketry/internal/jsonscan"
)

// An event is one server-sent event (https://html.spec.whatwg.org/multipage/server-sent-events.html).
type event struct {
	name string
	data []byte
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
		case "error": // As llama.cpp sends one.
			e.name = "error"
			appendLine(&data, value)
		case "data":
			appendLine(&data, value)
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

// appendLine adds a line to an event's data.
func appendLine(data *bytes.Buffer, line []byte) {
	if data.Len() > 0 {
		data.WriteByte('\n')
	}
	data.Write(line)
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

// lives reports whether an event is only a sign of life.
func (e event) lives() bool {
	switch strings.ToLower(e.name) {
	case "ping", "keepalive", "keep-alive", "heartbeat":
		return true
	}
	return string(bytes.TrimSpace(e.data)) == "null"
}

// ends reports whether an event is the one behind the last.
func (e event) ends() bool { return string(bytes.TrimSpace(e.data)) == "[DONE]" }

// pick returns the values of an object's members, or an error if raw is no object.
func pick(raw []byte, names ...string) ([][]byte, error) {
	values, err := jsonscan.Pick(raw, names...)
	if err != nil {
		return nil, errNotJSON()
	}
	return values, nil
}

// errorEvent returns the error body that an event stands for, of one that has an error or is called one. A text is the
// message of an error that an event is called.
func errorEvent(e event) ([]byte, bool) {
	m, err := jsonscan.Pick(e.data, "error", "type", "object", "choices", "x_groq")
	if err == nil && !some(m[0]) {
		m[0] = member(m[4], "error")
	}
	switch {
	case err != nil && e.name == "error":
		return envelope(jsonscan.AppendQuoted(nil, e.data)), true
	case err != nil:
		return nil, false
	case some(m[0]) && (len(m[3]) > 0 || len(m[4]) > 0):
		return envelope(m[0]), true // Not with a choice that would be taken for a result.
	case some(m[0]):
		return bytes.Clone(e.data), true
	case e.name == "error", name(m[1]) == "error", name(m[2]) == "error":
		return envelope(e.data), true
	}
	return nil, false
}

// envelope returns OpenAI's error envelope around an error.
func envelope(raw []byte) []byte {
	return append(append([]byte(`{"error":`), raw...), '}')
}
