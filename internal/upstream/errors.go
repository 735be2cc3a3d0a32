package upstream

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// Phase names the part of an exchange whose time ran out.
type Phase string

const (
	// PhaseConnect is name resolution and dialing, or the TLS handshake.
	PhaseConnect Phase = "connect"

	// PhaseFirstByte is the time from having a connection to having the answer's status and headers: the request is
	// uploaded and the provider works.
	PhaseFirstByte Phase = "first_byte"

	// PhaseTotal is the whole call, from the key's look-up to the body's last byte.
	PhaseTotal Phase = "total"
)

// BuildError says that a request cannot be sent as it is written: nothing was sent, and no retry can help.
type BuildError struct {
	// Field is the part at fault: "method", "url" or "idempotency_key".
	Field string

	// Reason says what is wrong in a fixed phrase, without quoting the request.
	Reason string
}

// Error returns the field and the reason.
func (e *BuildError) Error() string { return "malformed request: " + e.Field + " " + e.Reason }

// KeyError says that the provider's key could not be had, or is unfit for a header: nothing was sent, so this is no
// attempt.
type KeyError struct {
	// Err is the supplier's own error.
	Err error
}

// Error returns the supplier's error text, which must not hold the key.
func (e *KeyError) Error() string { return "no upstream key: " + e.Err.Error() }

// Unwrap returns the supplier's error.
func (e *KeyError) Unwrap() error { return e.Err }

// TimeoutError says that one of the client's own limits ran out. The end of the caller's context is never a
// TimeoutError.
type TimeoutError struct {
	// Phase is the part of the exchange that took too long.
	Phase Phase

	// Limit is what that part may take.
	Limit time.Duration
}

// Error returns the phase and its limit.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("upstream call timed out: %s took longer than %s", e.Phase, e.Limit)
}

// Timeout returns true, as [net.Error] has it.
func (e *TimeoutError) Timeout() bool { return true }

// NetworkError says that no whole answer arrived: the connection could not be made or broke, or what came was not HTTP
// or not a whole stream. The provider may or may not have done the work.
type NetworkError struct {
	// Reason says what happened. It quotes nothing that the peer sent.
	Reason string

	// cause is the error beneath, if its text is known to quote nothing: an errno, an end of file.
	cause error
}

// Error returns the reason.
func (e *NetworkError) Error() string { return "upstream call failed: " + e.Reason }

// Unwrap returns the errno or end of file beneath, or nil.
func (e *NetworkError) Unwrap() error { return e.cause }

// TooLargeError says that an answer, decompressed, is larger than the client takes. What arrived of it is dropped.
type TooLargeError struct {
	// Limit is the largest accepted size in bytes.
	Limit int64
}

// Error returns the limit.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("upstream answer is larger than %d bytes", e.Limit)
}

// aborted returns the error for a call whose context has ended with cause: the client's own *TimeoutError, or else the
// caller's cause, which is then no timeout of ours.
func aborted(ctx context.Context, cause error) error {
	if timeout, ok := errors.AsType[*TimeoutError](cause); ok {
		return timeout
	}
	if errors.Is(cause, ctx.Err()) {
		return fmt.Errorf("upstream call aborted: %w", cause)
	}
	return fmt.Errorf("upstream call aborted: %w: %w", ctx.Err(), cause)
}

// networkError translates an error of the transport. Such an error may quote what the peer sent (a malformed status
// line, a header, HTTP/2 debug data), so only texts that are known to be clean are taken over.
func networkError(err error) *NetworkError {
	if known, ok := errors.AsType[*NetworkError](err); ok {
		return known
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return &NetworkError{Reason: lookupReason(dns)}
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return &NetworkError{Reason: operation(err) + errno.Error(), cause: errno}
	}
	if reason, ok := tlsReason(err); ok {
		return &NetworkError{Reason: reason}
	}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return &NetworkError{Reason: "the connection ended before the answer did", cause: io.ErrUnexpectedEOF}
	case errors.Is(err, net.ErrClosed):
		return &NetworkError{Reason: "the connection was closed", cause: net.ErrClosed}
	case corruptGzip(err):
		return &NetworkError{Reason: "the answer's compression is corrupt"}
	case strings.HasPrefix(err.Error(), "stream error: "):
		return &NetworkError{Reason: "the HTTP/2 stream was reset"}
	default:
		return &NetworkError{Reason: fmt.Sprintf("the exchange broke (%T)", err)}
	}
}

// lookupReason returns what went wrong with a name, without the resolver's address.
func lookupReason(dns *net.DNSError) string {
	if dns.IsNotFound {
		return "lookup " + dns.Name + ": no such host"
	}
	return "lookup " + dns.Name + " failed"
}

// operation returns "dial: ", "read: " or the like where the error names one.
func operation(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op + ": "
	}
	return ""
}

// tlsReason returns the text of a failed handshake: it names certificates and alerts, and quotes no data.
func tlsReason(err error) (string, bool) {
	if verify, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return verify.Error(), true
	}
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return alert.Error(), true
	}
	if record, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "tls: " + record.Msg, true
	}
	return "", false
}

// corruptGzip reports whether err comes from decompressing.
func corruptGzip(err error) bool {
	if _, ok := errors.AsType[flate.CorruptInputError](err); ok {
		return true
	}
	return errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum)
}
