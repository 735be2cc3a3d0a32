package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// keepAliveIdle, keepAliveEvery and keepAliveCount find a peer that died without a word within a minute: an answer that
	// is not streamed sends no byte before its end, so silence alone means nothing.
	keepAliveIdle  = 30 * time.Second
	keepAliveEvery = 10 * time.Second
	keepAliveCount = 3

	// alone is how long a dial to a host has no other beside it, while it is not known that each call needs its own.
	alone = time.Second

	// makeRoom is how often idle connections are closed while a dial waits because there are too many.
	makeRoom = 100 * time.Millisecond

	http2 = "h2"
)

// errNotWanted ends a dial whose call has another connection by now, or has ended. Nobody sees it.
var errNotWanted = errors.New("upstream: the connection is not wanted any more")

// A dialer makes the connections of one transport.
//
// net/http dials for each call that finds no idle connection, and learns only afterwards that one HTTP/2 connection would
// have served them all: 250 calls at once made 250 handshakes, of which it dropped 247. So dials to a host take turns until it
// is known to speak HTTP/1.1, and those whose call was served meanwhile do not happen.
type dialer struct {
	private bool // any address may be dialed
	lookup  func(ctx context.Context, network, host string) ([]netip.Addr, error)
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	tls     *tls.Config
	slots   *slots
	alone   time.Duration // how long a dial to a host has no other beside it; 0: a second

	mu    sync.Mutex
	hosts map[string]*turns
}

// newNetDialer returns what dials for real.
func newNetDialer(private bool) *net.Dialer {
	d := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: keepAliveIdle, Interval: keepAliveEvery, Count: keepAliveCount,
	}}
	if !private {
		d.Control = checkSocket
	}
	return d
}

// plain dials for http.
func (d *dialer) plain(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := connectLimit(ctx)
	defer cancel()
	return d.open(ctx, network, address)
}

// secure dials for https.
func (d *dialer) secure(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := connectLimit(ctx)
	defer cancel()
	host := d.turns(address)
	call, unwanted := wanted(ctx)
	done, err := host.take(ctx, unwanted, cmp.Or(d.alone, alone))
	if err != nil {
		return nil, err
	}
	conn, err := d.handshake(ctx, network, address)
	if err != nil {
		done()
		return nil, err
	}
	host.spoke(conn.ConnectionState().NegotiatedProtocol)
	call.dialed(done)
	return conn, nil
}

// handshake makes a connection with TLS.
func (d *dialer) handshake(ctx context.Context, network, address string) (*tls.Conn, error) {
	raw, err := d.open(ctx, network, address)
	if err != nil {
		return nil, err
	}
	cfg := d.tls.Clone()
	if cfg.ServerName, _, err = net.SplitHostPort(address); err != nil {
		_ = raw.Close()
		return nil, err
	}
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

// open dials within the bound of all connections.
func (d *dialer) open(ctx context.Context, network, address string) (net.Conn, error) {
	if !d.private {
		if err := d.checkName(ctx, address); err != nil {
			return nil, err
		}
	}
	if err := d.slots.acquire(ctx); err != nil {
		return nil, err
	}
	conn, err := d.dial(ctx, network, address)
	if err != nil {
		d.slots.free.Release(1)
		return nil, err
	}
	return &slotConn{Conn: conn, release: sync.OnceFunc(func() { d.slots.free.Release(1) })}, nil
}

func (d *dialer) turns(address string) *turns {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, ok := d.hosts[address]
	if !ok {
		t = &turns{turn: make(chan struct{}, 1), single: make(chan struct{})}
		d.hosts[address] = t
	}
	return t
}

// turns are those of the dials to one host.
type turns struct {
	turn chan struct{} // holds a token while a dial has its turn

	mu     sync.Mutex
	single chan struct{} // closed while the host speaks HTTP/1.1, where each call needs a connection of its own
	closed bool          // single is
}

// take waits for a turn, which ends with done or after so long. It returns errNotWanted once unwanted is closed.
func (t *turns) take(ctx context.Context, unwanted <-chan struct{}, long time.Duration) (done func(), err error) {
	t.mu.Lock()
	single := t.single
	t.mu.Unlock()
	select {
	case <-single:
		return func() {}, nil
	default:
	}
	select {
	case <-unwanted:
		return nil, errNotWanted
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-single:
		return func() {}, nil
	case t.turn <- struct{}{}:
	}
	release := sync.OnceFunc(func() { <-t.turn })
	timer := time.AfterFunc(long, release)
	select {
	case <-unwanted: // also if it was served in the very moment in which its turn came
		timer.Stop()
		release()
		return nil, errNotWanted
	default:
		return func() { timer.Stop(); release() }, nil
	}
}

// spoke remembers what the host speaks.
func (t *turns) spoke(protocol string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case protocol == http2 && t.closed:
		t.single, t.closed = make(chan struct{}), false
	case protocol != http2 && !t.closed:
		close(t.single)
		t.closed = true
	}
}

// slots bound the connections that are open at once, to all hosts.
type slots struct {
	free      *semaphore.Weighted
	closeIdle func() // closes the connections that no call uses
}

// acquire waits for a slot. A connection that no call uses goes before one that a call waits for.
func (s *slots) acquire(ctx context.Context) error {
	for !s.free.TryAcquire(1) {
		s.closeIdle()
		wait, cancel := context.WithTimeout(ctx, makeRoom)
		err := s.free.Acquire(wait, 1)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// A slotConn gives its slot back when it is closed.
type slotConn struct {
	net.Conn

	release func()
}

// Close closes the connection.
func (c *slotConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
