package upstream

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/sync/semaphore"
)

// NewTransport returns a client's own transport, whose connections dial makes.
func NewTransport(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
	return newTransport(testDialer(dial), nil, mostConnections)
}

// NewTransportFor returns one that trusts roots.
func NewTransportFor(roots *x509.CertPool) *http.Transport {
	return NewDialing((&net.Dialer{}).DialContext, roots)
}

// NewTurning returns one that trusts roots, of whose dials one has a host for itself however long it takes.
func NewTurning(roots *x509.CertPool) *http.Transport {
	d := testDialer((&net.Dialer{}).DialContext)
	d.alone = time.Hour
	return newTransport(d, roots, mostConnections)
}

// NewBounded returns a client with so many connections at most, which dial makes, to any address.
func NewBounded(dial func(ctx context.Context, network, address string) (net.Conn, error), most int) *Client {
	c := &Client{}
	d := testDialer(dial)
	d.slots = &slots{free: semaphore.NewWeighted(int64(most)), closeIdle: c.CloseIdleConnections}
	c.private = newTransport(d, nil, most)
	return c
}

// NewDialing returns one that trusts roots, whose connections dial makes.
func NewDialing(
	dial func(ctx context.Context, network, address string) (net.Conn, error), roots *x509.CertPool,
) *http.Transport {
	return newTransport(testDialer(dial), roots, mostConnections)
}

func testDialer(dial func(ctx context.Context, network, address string) (net.Conn, error)) *dialer {
	s := &slots{free: semaphore.NewWeighted(mostConnections), closeIdle: func() {}}
	return &dialer{private: true, dial: dial, slots: s}
}

// NewResolving returns a client that looks names up by lookup before it dials them.
func NewResolving(lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)) *Client {
	c := &Client{}
	s := &slots{free: semaphore.NewWeighted(1), closeIdle: c.CloseIdleConnections}
	c.public = newTransport(&dialer{lookup: lookup, dial: newNetDialer(false).DialContext, slots: s}, nil, 1)
	return c
}

// Public reports whether a is the address of a host that anybody could reach.
func Public(a netip.Addr) bool { return public(a) }
