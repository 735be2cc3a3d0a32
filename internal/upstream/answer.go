package upstream

import (
	"bytes"
	"net/http"
	"unicode/utf8"

	"github.com/musketry/musketry/internal/answer"
	"github.com/musketry/musketry/internal/jsonscan"
	"github.com/musketry/musketry/internal/state"
)

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

	// ShouldRetry is the header `x-should-retry` as it came, or "".
	ShouldRetry string

	// ContentType is the header as it came, or "".
	ContentType string

	// Body is the whole answer, decompressed, without a byte order mark. Of a stream it is the one object that the stream
	// stands for, or as much of the stream as is kept if it stands for none.
	Body []byte

	// JSON reports that Body is one JSON value in valid UTF-8.
	JSON bool

	// Verdict is what the answer means.
	Verdict answer.Verdict

	// Model and Tokens are what the answer says of the model that gave it, and of the tokens that it took.
	Model  string
	Tokens state.Tokens

	// Streamed reports that the answer came as an event stream.
	Streamed bool
}

// inspect fills in what the body says of itself. unclear is why a stream was not put together, nil if it was or was none.
func (r *Response) inspect(kind answer.Kind, unclear *answer.UnclearError) {
	if unclear != nil {
		r.JSON = jsonscan.Valid(r.Body)
		r.Verdict, r.Tokens = answer.Verdict{Sense: answer.Invalid, Why: unclear.Why}, unclear.Tokens
		return
	}
	contentType := r.ContentType
	if r.Streamed {
		contentType = "application/json"
	}
	read := answer.Read(answer.Answer{Kind: kind, Status: r.Status, ContentType: contentType, Body: r.Body})
	r.JSON, r.Verdict, r.Model, r.Tokens = read.JSON, read.Verdict, read.Model, read.Tokens
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

// headerValue returns a header's first value, or "" for one that is too long to be what it should be.
func headerValue(h http.Header, key string) string {
	if v := h.Get(key); len(v) <= maxHeaderValue {
		return v
	}
	return ""
}
