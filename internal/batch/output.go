package batch

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/musketry/musketry/internal/state"
)

// The codes of an outcome's error, OpenAI's where it has one.
const (
	CodeExpired          = "batch_expired"
	CodeCanceled         = "batch_cancelled"
	CodeTimeout          = "request_timeout"
	CodeNetwork          = "network_error"
	CodeTerminated       = "task_terminated"
	CodeResponseTooLarge = "response_too_large"
	CodeErrorInBody      = "error_in_body"
	CodeInvalidAnswer    = "invalid_answer"
	CodeUnsendable       = "invalid_request"
	CodeRetryTooLate     = "retry_too_late"
)

// RequestID returns the id of a batch's request, by which its line in the
// output names it.
func RequestID(k state.Key) string {
	return fmt.Sprintf("%s%d", requestPrefix(k.Batch), k.Line)
}

// An Answer is what the upstream sent.
type Answer struct {
	StatusCode int
	RequestID  string // the upstream's own id of the call; empty if it gave none
	Body       []byte // delivered as a JSON string if it is not JSON
}

const (
	// aroundBody is about what a result line has besides a body, in bytes.
	aroundBody = 512
	// longBody is the length in bytes from which a line must not be copied as it
	// grows.
	longBody = 64 << 10
)

// A Failing is why a request failed, in as many words as its owner needs.
type Failing struct {
	Reason state.Reason
	Said   string // the provider's own message; empty if it gave none
	Denied string // why it was not tried again; empty if that would not mend it
}

// words returns the code and the message of the error.
func (f Failing) words() (code, message string) {
	code, message = explain(f.Reason)
	if f.Said != "" {
		message += ": " + f.Said
	}
	if f.Denied != "" {
		message = strings.TrimSuffix(message, ".") + ". It was not tried again: " + f.Denied + "."
	}
	return code, message
}

// told reports whether f says more than the answer that it is of.
func (f Failing) told() bool {
	if f.Reason == nil {
		return false
	}
	kind := f.Reason.Kind()
	return f.Denied != "" || kind == state.KindErrorInBody || kind == state.KindInvalidAnswer
}

// AppendAnswer appends the result line of an answer, whose body is on it as it
// is if it is JSON, but without space, and else as a JSON string. It allocates
// the line once. f has no reason unless the request failed although an answer
// came.
func AppendAnswer(dst []byte, k state.Key, customID string, a Answer, f Failing) []byte {
	quote, length := !json.Valid(a.Body), len(a.Body)
	if length > longBody {
		length = lengthWritten(a.Body, quote)
	}
	dst = appendHead(slices.Grow(dst, length+aroundBody), k, customID)
	dst = append(dst, `,"response":{"status_code":`...)
	dst = fmt.Appendf(dst, "%d", a.StatusCode)
	dst = append(dst, `,"request_id":`...)
	dst = appendText(dst, a.RequestID)
	dst = append(dst, `,"body":`...)
	dst = appendWritten(dst, a.Body, quote)
	dst = append(dst, `},"error":`...)
	if f.told() {
		dst = appendError(dst, f.words)
	} else {
		dst = append(dst, "null"...)
	}
	return append(dst, "}\n"...)
}

// AppendFailure appends the error line of a request that failed without an
// answer.
func AppendFailure(dst []byte, k state.Key, customID string, f Failing) []byte {
	dst = appendHead(dst, k, customID)
	dst = append(dst, `,"response":null,"error":`...)
	dst = appendError(dst, f.words)
	return append(dst, "}\n"...)
}

// AppendCanceled appends the error line of a request that was canceled as p, with
// its batch or by itself.
func AppendCanceled(dst []byte, k state.Key, customID string, p state.Canceled, withBatch bool) []byte {
	message := "This request was cancelled before it was completed."
	inFlight := !p.StartedAt.IsZero()
	called := p.Attempt > 0 || inFlight
	switch {
	case withBatch && called:
		message = "This request was not completed because the batch was cancelled."
	case withBatch:
		message = "This request was not executed because the batch was cancelled."
	}
	if p.Last != "" {
		message += " The last attempt that failed: " + p.Last + "."
	}
	if inFlight {
		message += " A call was in flight."
	}
	dst = appendHead(dst, k, customID)
	dst = append(dst, `,"response":null,"error":`...)
	dst = appendError(dst, func() (string, string) { return CodeCanceled, message })
	return append(dst, "}\n"...)
}

func explain(reason state.Reason) (code, message string) {
	switch r := reason.(type) {
	case state.Expired:
		switch {
		case r.Last != "":
			return CodeExpired, "This request could not be completed before the completion window expired. " +
				"The last attempt that failed: " + r.Last + "."
		case r.Called:
			return CodeExpired, "This request could not be completed before the completion window expired: a call was in flight."
		}
		return CodeExpired, "This request could not be executed before the completion window expired."
	case state.Timeout:
		return CodeTimeout, r.String()
	case state.NetworkError:
		return CodeNetwork, r.String()
	case state.RequestBuilderError:
		return CodeUnsendable, r.String()
	case state.TaskTerminated:
		return CodeTerminated, r.String()
	case state.ResponseTooLarge:
		return CodeResponseTooLarge, r.String()
	case state.ErrorInBody:
		return CodeErrorInBody, r.String()
	case state.InvalidAnswer:
		return CodeInvalidAnswer, r.String()
	case state.RetryTooLate:
		return CodeRetryTooLate, r.String()
	case state.RetryableHTTPStatus:
		return fmt.Sprintf("http_%d", r.Status), r.String()
	case state.NonRetryableHTTPStatus:
		return fmt.Sprintf("http_%d", r.Status), r.String()
	}
	return CodeInternal, "The request failed."
}

func appendHead(dst []byte, k state.Key, customID string) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendText(dst, RequestID(k))
	dst = append(dst, `,"custom_id":`...)
	return appendText(dst, customID)
}

func appendError(dst []byte, words func() (code, message string)) []byte {
	code, message := words()
	dst = append(dst, `{"code":`...)
	dst = appendText(dst, code)
	dst = append(dst, `,"message":`...)
	dst = appendText(dst, message)
	return append(dst, '}')
}
