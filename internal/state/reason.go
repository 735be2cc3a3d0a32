package state

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxText is the most bytes of a failure's text that a request keeps, so that
// its item stays below one write unit (1 KB:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html).
const MaxText = 256

// A Kind is a reason's stored name.
type Kind string

// The kinds, one for each reason.
const (
	KindRetryableHTTPStatus    Kind = "retryable_http_status"
	KindNonRetryableHTTPStatus Kind = "non_retryable_http_status"
	KindTimeout                Kind = "timeout"
	KindNetworkError           Kind = "network_error"
	KindRequestBuilderError    Kind = "request_builder_error"
	KindTaskTerminated         Kind = "task_terminated"
	KindResponseTooLarge       Kind = "response_too_large"
	KindErrorInBody            Kind = "error_in_body"
	KindInvalidAnswer          Kind = "invalid_answer"
	KindRetryTooLate           Kind = "retry_too_late"
	KindExpired                Kind = "expired"
)

// A Reason is why a request failed. Bodies are not part of it: they lie where
// Failed.Answer says.
//
//sumtype:decl
type Reason interface {
	Kind() Kind
	// Retryable reports whether another attempt may mend it.
	Retryable() bool
	// String describes it in at most MaxText bytes, without any body.
	String() string
	clipped() Reason
}

type (
	// RetryableHTTPStatus is an answer whose status is worth another attempt.
	RetryableHTTPStatus struct{ Status int }
	// NonRetryableHTTPStatus is an answer that another attempt would not change.
	NonRetryableHTTPStatus struct{ Status int }
	// Timeout is a call that ran out of its time limit.
	Timeout struct{ Error string }
	// NetworkError is a call that broke off before a whole answer had come.
	NetworkError struct{ Error string }
	// RequestBuilderError is a request that cannot be sent at all.
	RequestBuilderError struct{ Error string }
	// TaskTerminated is a call that its worker did not survive. With Deaths 0
	// it was a panic, recovered, and is tried again; otherwise the request is
	// given up: for what Error says, or for the workers that died over it.
	TaskTerminated struct {
		Error  string
		Deaths int
	}
	// ResponseTooLarge is an answer of more bytes than Limit.
	ResponseTooLarge struct{ Limit int64 }
	// ErrorInBody is an answer whose status says success and whose body an error,
	// which means the status Means. Again says that it is worth another attempt.
	ErrorInBody struct {
		Status int
		Means  int
		Again  bool
	}
	// InvalidAnswer is an answer whose status says success and which is none, as
	// Error says. Again says that it is worth another attempt.
	InvalidAnswer struct {
		Status int
		Error  string
		Again  bool
	}
	// RetryTooLate is a retry that could not start in time. Last is the failure
	// of the attempt before it, in short.
	RetryTooLate struct{ Last string }
	// Expired is a request that the deadline overtook. Called says that calls were
	// made, and Last what the last that failed did, in short.
	Expired struct {
		Last   string
		Called bool
	}
)

// Kind returns KindRetryableHTTPStatus.
func (RetryableHTTPStatus) Kind() Kind { return KindRetryableHTTPStatus }

// Kind returns KindNonRetryableHTTPStatus.
func (NonRetryableHTTPStatus) Kind() Kind { return KindNonRetryableHTTPStatus }

// Kind returns KindTimeout.
func (Timeout) Kind() Kind { return KindTimeout }

// Kind returns KindNetworkError.
func (NetworkError) Kind() Kind { return KindNetworkError }

// Kind returns KindRequestBuilderError.
func (RequestBuilderError) Kind() Kind { return KindRequestBuilderError }

// Kind returns KindTaskTerminated.
func (TaskTerminated) Kind() Kind { return KindTaskTerminated }

// Kind returns KindResponseTooLarge.
func (ResponseTooLarge) Kind() Kind { return KindResponseTooLarge }

// Kind returns KindErrorInBody.
func (ErrorInBody) Kind() Kind { return KindErrorInBody }

// Kind returns KindInvalidAnswer.
func (InvalidAnswer) Kind() Kind { return KindInvalidAnswer }

// Kind returns KindRetryTooLate.
func (RetryTooLate) Kind() Kind { return KindRetryTooLate }

// Kind returns KindExpired.
func (Expired) Kind() Kind { return KindExpired }

// Retryable returns true.
func (RetryableHTTPStatus) Retryable() bool { return true }

// Retryable returns false.
func (NonRetryableHTTPStatus) Retryable() bool { return false }

// Retryable returns true.
func (Timeout) Retryable() bool { return true }

// Retryable returns true.
func (NetworkError) Retryable() bool { return true }

// Retryable returns false.
func (RequestBuilderError) Retryable() bool { return false }

// Retryable reports whether it was a panic and not the end of a worker.
func (t TaskTerminated) Retryable() bool { return t.Deaths == 0 }

// Retryable returns false.
func (ResponseTooLarge) Retryable() bool { return false }

// Retryable reports whether what the error means is worth another attempt.
func (e ErrorInBody) Retryable() bool { return e.Again }

// Retryable reports whether another attempt may bring an answer.
func (i InvalidAnswer) Retryable() bool { return i.Again }

// Retryable returns true: only its time was over.
func (RetryTooLate) Retryable() bool { return true }

// Retryable returns false.
func (Expired) Retryable() bool { return false }

func (r RetryableHTTPStatus) String() string {
	return fmt.Sprintf("the upstream answered with status %d", r.Status)
}

func (r NonRetryableHTTPStatus) String() string {
	return fmt.Sprintf("the upstream answered with status %d", r.Status)
}
func (t Timeout) String() string             { return clip("the call timed out: " + t.Error) }
func (n NetworkError) String() string        { return clip("the call broke off: " + n.Error) }
func (r RequestBuilderError) String() string { return clip("the request cannot be sent: " + r.Error) }

func (t TaskTerminated) String() string {
	switch {
	case t.Deaths == 0:
		return clip("the call panicked: " + t.Error)
	case t.Error != "":
		return clip(t.Error)
	}
	return fmt.Sprintf("%d workers died over this request", t.Deaths)
}

func (r ResponseTooLarge) String() string {
	return fmt.Sprintf("the answer is larger than %d bytes", r.Limit)
}

func (e ErrorInBody) String() string {
	text := fmt.Sprintf("the upstream answered with status %d and an error in the body", e.Status)
	if e.Means != 0 {
		text += fmt.Sprintf(" that means %d", e.Means)
	}
	return text
}

func (i InvalidAnswer) String() string {
	return clip(fmt.Sprintf("the upstream's answer with status %d cannot be used: %s", i.Status, i.Error))
}

func (r RetryTooLate) String() string {
	return clip("it was too late for another attempt after the last one failed: " + r.Last)
}

func (e Expired) String() string {
	switch {
	case e.Last != "":
		return clip("the completion window expired; the last attempt that failed: " + e.Last)
	case e.Called:
		return "the completion window expired while a call was in flight"
	}
	return "the request could not be executed before the completion window expired"
}

func (r RetryableHTTPStatus) clipped() Reason    { return r }
func (r NonRetryableHTTPStatus) clipped() Reason { return r }
func (t Timeout) clipped() Reason                { return Timeout{Error: clip(t.Error)} }
func (n NetworkError) clipped() Reason           { return NetworkError{Error: clip(n.Error)} }
func (r RequestBuilderError) clipped() Reason    { return RequestBuilderError{Error: clip(r.Error)} }

func (t TaskTerminated) clipped() Reason {
	return TaskTerminated{Error: clip(t.Error), Deaths: t.Deaths}
}
func (r ResponseTooLarge) clipped() Reason { return r }
func (e ErrorInBody) clipped() Reason      { return e }
func (r RetryTooLate) clipped() Reason     { return RetryTooLate{Last: clip(r.Last)} }
func (e Expired) clipped() Reason          { return Expired{Last: clip(e.Last), Called: e.Called} }

func (i InvalidAnswer) clipped() Reason {
	return InvalidAnswer{Status: i.Status, Error: clip(i.Error), Again: i.Again}
}

// A Denial is why a retryable failure was not tried again.
type Denial string

// The denials.
const (
	DenialNone       Denial = ""
	DenialMaxRetries Denial = "max_retries" // the attempts are used up
	DenialDeadline   Denial = "deadline"    // the next attempt would come too late
)

// clip cuts s to MaxText bytes of whole characters. Bytes that are no UTF-8
// become U+FFFD first, since stores keep text as UTF-8 and a request read back
// must equal the one written.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= MaxText {
		return s
	}
	end := MaxText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
