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

// A Phase names the part of an exchange whose time ran out.
type Phase string

const (
	// PhaseConnect is name resolution, dialing and the TLS handshake.
	PhaseConnect Phase = "connect"

	// PhaseFirstByte is the time from having a connection to having the answer's status and headers: the request is
	// uploaded and the provider works.
	PhaseFirstByte Phase = "first_byte"

	// PhaseTotal is the whole call, from the key's look-up to the body's last byte.
	PhaseTotal Phase = "total"
)

// A BuildError says that a request cannot be sent as it is written: nothing was sent, and no retry can help.
type BuildError struct {
	// Field is the part at fault: "method", "url", "body" or "idempotency_key".
	Field string

	// Reason says what is wrong in a fixed phrase, without quoting the request.
	Reason string
}

// Error returns the field and the reason.
func (e *BuildError) Error() string { return "malformed request: " + e.Field + " " + e.Reason }

// A KeyError says that the provider's key could not be had, or is unfit for a header: nothing was sent, so this is no
// attempt.
type KeyError struct {
	// Err is the supplier's own error.
	Err error
}

// Error returns the supplier's error text, which must not hold the key.
func (e *KeyError) Error() string { return "no upstream key: " + e.Err.Error() }

// Unwrap returns the supplier's error.
func (e *KeyError) Unwrap() error { return e.Err }

// A RouteError says that a route cannot be called as it is configured: nothing was sent, so this is no attempt.
type RouteError struct {
	// Reason says what is wrong in a fixed phrase, without quoting the configuration.
	Reason string
}

// Error returns the reason.
func (e *RouteError) Error() string { return "the route cannot be called: " + e.Reason }

// A TimeoutError says that one of a route's limits ran out. The end of the caller's context is never a
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

// A NetworkError says that no whole answer arrived: the connection could not be made or broke, or what came was not HTTP
// or not a whole stream. The provider may or may not have done the work.
type NetworkError struct {
	// Reason says what happened, for whoever's request it is. It quotes nothing that the peer sent, and names no host, no
	// address and nothing of this program.
	Reason string

	// Detail says more to whoever runs this, such as the name that was looked up, in at most 256 bytes; empty if there is
	// no more to say. It quotes no answer.
	Detail string

	// cause is the error beneath, if its text is known to quote nothing: an errno, an end of file.
	cause error
}

// Error returns the reason.
func (e *NetworkError) Error() string { return "upstream call failed: " + e.Reason }

// Unwrap returns the errno or end of file beneath, or nil.
func (e *NetworkError) Unwrap() error { return e.cause }

// A TooLargeError says that an answer, decompressed, is larger than the client takes. What arrived of it is dropped.
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
		return lookupError(dns)
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return &NetworkError{Reason: operation(err) + errno.Error(), cause: errno}
	}
	if detail, ok := tlsDetail(err); ok {
		return &NetworkError{Reason: "no secure connection could be made", Detail: clipDetail(detail)}
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
		return &NetworkError{Reason: "the exchange broke", Detail: clipDetail(fmt.Sprintf("%T", err))}
	}
}

// lookupError says that the provider has no address. The name is the configuration's, and the resolver's address is
// nobody's business.
func lookupError(dns *net.DNSError) *NetworkError {
	reason, why := "the provider's address could not be looked up", " failed"
	if dns.IsNotFound {
		reason, why = "the provider's address is not known", ": no such host"
	}
	return &NetworkError{Reason: reason, Detail: clipDetail("lookup " + dns.Name + why)}
}

// maxDetail bounds a NetworkError's Detail in bytes: a certificate may name many hosts.
const maxDetail = 256

func clipDetail(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxDetail)], "")
}

// operation returns "dial: ", "read: " or the like where the error names one.
func operation(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op + ": "
	}
	return ""
}

// tlsDetail returns the text of a failed handshake: it names hosts, certificates and alerts, and quotes no data.
func tlsDetail(err error) (string, bool) {
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
