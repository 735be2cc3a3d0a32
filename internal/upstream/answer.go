package upstream

import (
	"bytes"
	"encoding/json"
	"net/http"
	"unicode/utf8"
)

// maxName is the longest model name or error code in bytes that is taken from an answer: both end up in small items.
const maxName = 256

// Response is what the provider answered.
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
	r.JSON = utf8.Valid(r.Body) && json.Valid(r.Body)
	r.ErrorInBody = r.JSON && r.Status < http.StatusMultipleChoices && isError(r.Body)
}

// Model returns the name of the model that answered, the body's `model`. It is "" where that is absent, not a string or
// longer than 256 bytes. The result does not hold on to the body.
func Model(body []byte) string {
	var answer struct {
		Model name `json:"model"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	return string(answer.Model)
}

// ErrorCode returns `error.code` of OpenAI's error envelope. It is "" where that is absent, not a string or longer than
// 256 bytes. The result does not hold on to the body.
func ErrorCode(body []byte) string {
	var answer struct {
		Error lenient[struct {
			Code name `json:"code"`
		}] `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	return string(answer.Error.value.Code)
}

// isError reports whether body is an object whose `error` is an object, and which brings no result: nothing in any of
// the members that results come in, or (the Responses API) a status that says it failed.
func isError(body []byte) bool {
	if !bytes.Contains(body, []byte(`"error"`)) {
		return false // The common case, for the price of a search.
	}
	var answer struct {
		Error   content `json:"error"`
		Status  name    `json:"status"`
		Choices content `json:"choices"`
		Data    content `json:"data"`
		Output  content `json:"output"`
		Results content `json:"results"`
	}
	if json.Unmarshal(body, &answer) != nil || !answer.Error.object {
		return false
	}
	if answer.Status == "failed" {
		return true
	}
	return !answer.Choices.some && !answer.Data.some && !answer.Output.some && !answer.Results.some
}

// name is a short string; any other value reads as "".
type name string

// UnmarshalJSON never fails: a value of another type is no name.
func (n *name) UnmarshalJSON(raw []byte) error {
	*n = ""
	if len(raw) < 2 || raw[0] != '"' || len(raw) > 6*maxName+2 { // A character is written in at most six bytes.
		return nil
	}
	var s string
	if json.Unmarshal(raw, &s) == nil && len(s) <= maxName {
		*n = name(s)
	}
	return nil
}

// content tells what kind of value a member has, without a copy of it.
type content struct {
	object bool // It is an object.
	some   bool // It is neither null nor an empty array, object or string.
}

// UnmarshalJSON never fails.
func (c *content) UnmarshalJSON(raw []byte) error {
	*c = content{object: raw[0] == '{'}
	switch raw[0] {
	case '{', '[', '"':
		c.some = len(bytes.TrimSpace(raw[1:len(raw)-1])) > 0
	default:
		c.some = raw[0] != 'n'
	}
	return nil
}

// lenient reads a T; any other value reads as T's zero value.
type lenient[T any] struct {
	value T
}

// UnmarshalJSON never fails.
func (l *lenient[T]) UnmarshalJSON(raw []byte) error {
	var v T
	if json.Unmarshal(raw, &v) == nil {
		l.value = v
	}
	return nil
}

// headerValue returns a header's first value, or "" for one that is too long to be what it should be.
func headerValue(h http.Header, key string) string {
	if v := h.Get(key); len(v) <= maxHeaderValue {
		return v
	}
	return ""
}
