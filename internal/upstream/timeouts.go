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

// How long the parts of one call may take.
const (
	connectTimeout   = 10 * time.Second // name resolution with dialing, and again the TLS handshake
	firstByteTimeout = 5 * time.Minute  // from having a connection to having the answer's headers
	totalTimeout     = 10 * time.Minute // all of it
)

// callTimeouts hold one call to its limits: they end the call's context with a *TimeoutError as the cause.
// The connect limit is the transport's own, since a connection may be dialed for another call than the one it serves.
type callTimeouts struct {
	cancel context.CancelCauseFunc
	total  *time.Timer

	mu        sync.Mutex
	connected bool
	answered  bool
	firstByte *time.Timer // nil until there is a connection
}

// startTimeouts starts the total limit and returns the context that the call has to use. The caller must stop them.
func startTimeouts(parent context.Context) (context.Context, *callTimeouts) {
	ctx, cancel := context.WithCancelCause(parent)
	c := &callTimeouts{cancel: cancel}
	c.total = time.AfterFunc(totalTimeout, func() { cancel(&TimeoutError{Phase: PhaseTotal, Limit: totalTimeout}) })
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { c.connecting() },
		GotConn: func(httptrace.GotConnInfo) { c.gotConn() },
	}), c
}

// connecting marks that the call wants a connection. That happens again when an idle one turns out to be dead before a
// byte was written to it.
func (c *callTimeouts) connecting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connected = false
	if c.firstByte != nil {
		c.firstByte.Stop()
	}
}

// gotConn starts the first byte's limit.
func (c *callTimeouts) gotConn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connected = true
	if c.answered {
		return
	}
	c.firstByte = time.AfterFunc(firstByteTimeout, func() {
		c.cancel(&TimeoutError{Phase: PhaseFirstByte, Limit: firstByteTimeout})
	})
}

// headersArrived ends the first byte's limit.
func (c *callTimeouts) headersArrived() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered = true
	if c.firstByte != nil {
		c.firstByte.Stop()
	}
}

// drain reads what little follows a stream's last event, so that its connection can be kept. A server that leaves the
// stream open does not hold up the answer.
func (c *callTimeouts) drain(body io.Reader) {
	enough := time.AfterFunc(drainFor, func() { c.cancel(context.Canceled) })
	defer enough.Stop()
	_, _ = io.CopyN(io.Discard, body, maxDrain) // The answer is whole, whatever follows.
}

// stop releases the timers and the context.
func (c *callTimeouts) stop() {
	c.headersArrived()
	c.total.Stop()
	c.cancel(context.Canceled)
}

// failure returns the call's typed error for an error that the transport or the body gave: what ended the call's
// context, if that was it, before anything else.
func (c *callTimeouts) failure(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return aborted(ctx, cause)
	}
	if large, ok := errors.AsType[*TooLargeError](err); ok {
		return large
	}
	c.mu.Lock()
	connected := c.connected
	c.mu.Unlock()
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() && !connected {
		return &TimeoutError{Phase: PhaseConnect, Limit: connectTimeout}
	}
	return networkError(err)
}
