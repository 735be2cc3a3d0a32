package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"sync"
	"time"
)

const (
	// maxDrain and drainFor bound what is read after a stream's last event.
	maxDrain = 64 << 10
	drainFor = time.Second
)

// limits are how long the parts of one call may take.
type limits struct {
	connect, firstByte, total time.Duration
}

// A watch holds one call to its limits: it ends the call's context with a *TimeoutError as the cause.
// The connect limit is the transport's own, since a connection may be dialed for another call than the one it serves.
type watch struct {
	limits limits
	cancel context.CancelCauseFunc
	total  *time.Timer

	mu        sync.Mutex
	connected bool
	answered  bool
	firstByte *time.Timer // nil until there is a connection
}

// newWatch starts the total limit and returns the context that the call has to use. The caller must stop the watch.
func newWatch(parent context.Context, l limits) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(parent)
	w := &watch{limits: l, cancel: cancel}
	w.total = time.AfterFunc(l.total, func() { cancel(&TimeoutError{Phase: PhaseTotal, Limit: l.total}) })
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { w.connecting() },
		GotConn: func(httptrace.GotConnInfo) { w.gotConn() },
	}), w
}

// connecting marks that the call wants a connection. That happens again when an idle one turns out to be dead before a
// byte was written to it.
func (w *watch) connecting() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.connected = false
	if w.firstByte != nil {
		w.firstByte.Stop()
	}
}

// gotConn starts the first byte's limit.
func (w *watch) gotConn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.connected = true
	if w.answered {
		return
	}
	limit := w.limits.firstByte
	w.firstByte = time.AfterFunc(limit, func() { w.cancel(&TimeoutError{Phase: PhaseFirstByte, Limit: limit}) })
}

// headersArrived ends the first byte's limit.
func (w *watch) headersArrived() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answered = true
	if w.firstByte != nil {
		w.firstByte.Stop()
	}
}

// drain reads what little follows a stream's last event, so that its connection can be kept. A server that leaves the
// stream open does not hold up the answer.
func (w *watch) drain(body io.Reader) {
	enough := time.AfterFunc(drainFor, func() { w.cancel(context.Canceled) })
	defer enough.Stop()
	_, _ = io.CopyN(io.Discard, body, maxDrain) // The answer is whole, whatever follows.
}

// stop releases the timers and the context.
func (w *watch) stop() {
	w.headersArrived()
	w.total.Stop()
	w.cancel(context.Canceled)
}

// failure returns the call's typed error for an error that the transport or the body gave: what ended the call's
// context, if that was it, before anything else.
func (w *watch) failure(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return aborted(ctx, cause)
	}
	if large, ok := errors.AsType[*TooLargeError](err); ok {
		return large
	}
	w.mu.Lock()
	connected := w.connected
	w.mu.Unlock()
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() && !connected {
		return &TimeoutError{Phase: PhaseConnect, Limit: w.limits.connect}
	}
	return networkError(err)
}
