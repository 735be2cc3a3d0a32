package batch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

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

// AppendAnswer appends the result line of an answer. reason is nil unless the
// request failed although an answer came.
func AppendAnswer(dst []byte, k state.Key, customID string, a Answer, reason state.Reason) []byte {
	start := len(dst)
	dst = appendHead(dst, k, customID)
	dst = append(dst, `,"response":{"status_code":`...)
	dst = fmt.Appendf(dst, "%d", a.StatusCode)
	dst = append(dst, `,"request_id":`...)
	dst = appendString(dst, a.RequestID)
	dst = append(dst, `,"body":`...)
	dst = appendBody(dst, a.Body)
	dst = append(dst, `},"error":`...)
	if reason != nil && reason.Kind() == state.KindErrorInBody {
		dst = appendError(dst, CodeErrorInBody, reason.String())
	} else {
		dst = append(dst, "null"...)
	}
	return appendEnd(dst, start)
}

// AppendFailure appends the error line of a request that failed without an
// answer.
func AppendFailure(dst []byte, k state.Key, customID string, reason state.Reason) []byte {
	start := len(dst)
	dst = appendHead(dst, k, customID)
	dst = append(dst, `,"response":null,"error":`...)
	code, message := explain(reason)
	dst = appendError(dst, code, message)
	return appendEnd(dst, start)
}

// AppendCanceled appends the error line of a request that was canceled, with its
// batch or by itself.
func AppendCanceled(dst []byte, k state.Key, customID string, withBatch bool) []byte {
	message := "This request was cancelled before it was completed."
	if withBatch {
		message = "This request was not executed because the batch was cancelled."
	}
	start := len(dst)
	dst = appendHead(dst, k, customID)
	dst = append(dst, `,"response":null,"error":`...)
	dst = appendError(dst, CodeCanceled, message)
	return appendEnd(dst, start)
}

func explain(reason state.Reason) (code, message string) {
	switch r := reason.(type) {
	case state.Expired:
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
	dst = appendString(dst, RequestID(k))
	dst = append(dst, `,"custom_id":`...)
	return appendString(dst, customID)
}

// appendEnd ends the line that begins at start. It escapes what JSON lets stand
// in a string and some readers take for the end of a line: Python's splitlines,
// and so the iter_lines of the openai SDK's answers, split at U+0085, U+2028
// and U+2029 (https://docs.python.org/3/library/stdtypes.html#str.splitlines).
func appendEnd(dst []byte, start int) []byte {
	for char, escape := range map[string]string{"\u0085": `\u0085`, "\u2028": `\u2028`, "\u2029": `\u2029`} {
		if line := dst[start:]; bytes.Contains(line, []byte(char)) {
			dst = append(dst[:start], bytes.ReplaceAll(line, []byte(char), []byte(escape))...)
		}
	}
	return append(dst, "}\n"...)
}

func appendError(dst []byte, code, message string) []byte {
	dst = append(dst, `{"code":`...)
	dst = appendString(dst, code)
	dst = append(dst, `,"message":`...)
	dst = appendString(dst, message)
	return append(dst, '}')
}

// appendBody appends body on one line: as it is if it is JSON, else as a
// JSON string. Bytes that are no UTF-8 become U+FFFD, since a JSON text is
// UTF-8 (https://www.rfc-editor.org/rfc/rfc8259#section-8.1).
func appendBody(dst, body []byte) []byte {
	if !utf8.Valid(body) {
		body = bytes.ToValidUTF8(body, []byte("\uFFFD"))
	}
	buf := bytes.NewBuffer(dst)
	if json.Compact(buf, body) == nil {
		return buf.Bytes()
	}
	return appendString(dst, string(body))
}

func appendString(dst []byte, s string) []byte {
	buf := bytes.NewBuffer(dst)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes, and a Buffer never fails
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
