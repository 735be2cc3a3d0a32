package upstream

import (
	"bytes"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/musketry/musketry/internal/jsonscan"
)

// maxName is the longest model name or error code in bytes that is taken from an answer: both end up in small items.
const maxName = 256

// escapedBytes is what a character takes as \u and four digits.
const escapedBytes = 6

// A Response is what the provider answered.
type Response struct {
	// Status is the HTTP status, 200 to 999.
	Status int

	// RequestID is the provider's `x-request-id`, or "".
	RequestID string

	// RetryAfter and RetryAfterMS are the headers `retry-after` and `retry-after-ms` as they came, or "".
	RetryAfter, RetryAfterMS string

	// ContentType is the header as it came, or "".
	ContentType string

	// Body is the whole answer, decompressed. Of a stream it is the one object that the stream stands for.
	Body []byte

	// JSON reports that Body is one JSON value in valid UTF-8.
	JSON bool

	// ErrorInBody reports that the status says success but the body is an error.
	ErrorInBody bool

	// Streamed reports that the answer came as an event stream and was put together.
	Streamed bool
}

// inspect fills in what the body says of itself.
func (r *Response) inspect() {
	r.JSON = jsonscan.Valid(r.Body)
	r.ErrorInBody = r.JSON && r.Status < http.StatusMultipleChoices && isError(r.Body)
}

// written returns how many bytes the body takes at most in a line of a result file, where what is no JSON becomes a JSON
// string (its quotes are not counted), and what some readers take for the end of a line is escaped.
func (r *Response) written() int64 {
	total := int64(len(r.Body))
	if r.JSON {
		for _, end := range []string{"\u0085", "\u2028", "\u2029"} {
			total += int64(bytes.Count(r.Body, []byte(end)) * (escapedBytes - len(end)))
		}
		return total
	}
	for rest := r.Body; len(rest) > 0; {
		char, size := utf8.DecodeRune(rest)
		switch {
		case char == utf8.RuneError && size == 1:
			total += int64(len("\uFFFD") - 1)
		case char == '"', char == '\\', char == '\n', char == '\r', char == '\t':
			total++
		case char < ' ', char == '\u0085', char == '\u2028', char == '\u2029':
			total += int64(escapedBytes - size)
		}
		rest = rest[size:]
	}
	return total
}

// Model returns the name of the model that answered, the body's `model`. It is "" where that is absent, not a string or
// longer than 256 bytes. The result does not hold on to the body.
func Model(body []byte) string { return name(member(body, "model")) }

// ErrorCode returns `error.code` of OpenAI's error envelope. It is "" where that is absent, not a string or longer than
// 256 bytes. The result does not hold on to the body.
func ErrorCode(body []byte) string { return name(member(member(body, "error"), "code")) }

// isError reports whether body is an object whose `error` is an object, and which brings no result: nothing in any of
// the members that results come in, or (the Responses API) a status that says it failed.
func isError(body []byte) bool {
	if !bytes.Contains(body, []byte(`"error"`)) {
		return false // The common case, for the price of a search.
	}
	m, err := jsonscan.Pick(body, "error", "status", "choices", "data", "output", "results")
	if err != nil || !object(m[0]) {
		return false
	}
	if name(m[1]) == "failed" {
		return true
	}
	return !slices.ContainsFunc(m[2:], some)
}

// member returns an object's member, or nil if there is none, or no object.
func member(raw []byte, name string) []byte {
	m, err := jsonscan.Pick(raw, name)
	if err != nil {
		return nil
	}
	return m[0]
}

// name reads a short string; any other value reads as "".
func name(raw []byte) string {
	s, _ := jsonscan.Text(raw, maxName)
	return s
}

// object reports whether a value is an object.
func object(raw []byte) bool { return len(raw) > 0 && raw[0] == '{' }

// some reports whether a value is there and neither null nor an empty array, object or string.
func some(raw []byte) bool {
	if jsonscan.Null(raw) {
		return false
	}
	switch raw[0] {
	case '{', '[', '"':
		return len(bytes.TrimSpace(raw[1:len(raw)-1])) > 0
	default:
		return true
	}
}

// headerValue returns a header's first value, or "" for one that is too long to be what it should be.
func headerValue(h http.Header, key string) string {
	if v := h.Get(key); len(v) <= maxHeaderValue {
		return v
	}
	return ""
}
