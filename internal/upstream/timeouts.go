package upstream

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/route"
)

const (
	// maxDrain and drainFor bound what is read after a stream's last event.
	maxDrain = 64 << 10
	drainFor = time.Second
)

// callTimeouts hold one call to its route's limits: they end the call's context with a *TimeoutError as the cause.
// The connect limit is held where connections are dialed, since one may be dialed for another call than it serves.
type callTimeouts struct {
	cancel    context.CancelCauseFunc
	connect   time.Duration // name resolution, dialing and the TLS handshake together
	firstByte time.Duration // from having a connection to having the answer's headers; 0: no limit
	total     *time.Timer   // nil: no limit

	mu        sync.Mutex
	connected bool
	answered  bool
	unwanted  chan struct{} // closed when the call needs no connection any more; nil before and after
	turn      func()        // ends the turn of the dial that has made one for it; nil if there is none
	first     *time.Timer   // runs from having a connection on, if there is a limit
}

// timeoutsKey is where a call's context has its *callTimeouts, for those who dial for it.
type timeoutsKey struct{}

// startTimeouts starts the total limit and returns the context that the call has to use. The caller must stop them.
func startTimeouts(parent context.Context, r route.Route) (context.Context, *callTimeouts) {
	ctx, cancel := context.WithCancelCause(parent)
	c := &callTimeouts{cancel: cancel, connect: cmp.Or(r.Connect, route.DefaultConnect), firstByte: r.FirstByte}
	if r.Total > 0 {
		c.total = time.AfterFunc(r.Total, func() { cancel(&TimeoutError{Phase: PhaseTotal, Limit: r.Total}) })
	}
	ctx = context.WithValue(ctx, timeoutsKey{}, c)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { c.connecting() },
		GotConn: func(httptrace.GotConnInfo) { c.gotConn() },
	}), c
}

// connectLimit returns the context of a dial, which ends with the connect limit of the call that dials.
func connectLimit(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := route.DefaultConnect
	if c, ok := ctx.Value(timeoutsKey{}).(*callTimeouts); ok {
		limit = c.connect
	}
	return context.WithTimeout(ctx, limit)
}

// wanted returns the call that dials, and what is closed when it needs no connection any more.
func wanted(ctx context.Context) (*callTimeouts, <-chan struct{}) {
	c, ok := ctx.Value(timeoutsKey{}).(*callTimeouts)
	if !ok {
		return &callTimeouts{}, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c, c.unwanted
}

// dialed keeps the turn of a dial that was made for the call until the call has a connection. Others that wait for theirs may
// be served by it too.
func (c *callTimeouts) dialed(done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unwanted == nil {
		done()
		return
	}
	c.turn = done
}

// connecting marks that the call wants a connection. That happens again when an idle one turns out to be dead before a
// byte was written to it, or to have no room for another stream.
func (c *callTimeouts) connecting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connected = false
	c.served()
	c.unwanted = make(chan struct{})
	if c.first != nil {
		c.first.Stop()
	}
}

// served ends the turn of the call's dial, or the wait for one; c.mu is held.
func (c *callTimeouts) served() {
	if c.unwanted != nil {
		close(c.unwanted)
		c.unwanted = nil
	}
	if c.turn != nil {
		c.turn()
		c.turn = nil
	}
}

// gotConn starts the first byte's limit.
func (c *callTimeouts) gotConn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connected = true
	c.served()
	if c.answered || c.firstByte == 0 {
		return
	}
	c.first = time.AfterFunc(c.firstByte, func() {
		c.cancel(&TimeoutError{Phase: PhaseFirstByte, Limit: c.firstByte})
	})
}

// headersArrived ends the first byte's limit.
func (c *callTimeouts) headersArrived() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered = true
	c.served()
	if c.first != nil {
		c.first.Stop()
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
	if c.total != nil {
		c.total.Stop()
	}
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
	if address, ok := errors.AsType[*AddressError](err); ok {
		return address
	}
	c.mu.Lock()
	connected := c.connected
	c.mu.Unlock()
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() && !connected {
		return &TimeoutError{Phase: PhaseConnect, Limit: c.connect}
	}
	return networkError(err)
}
