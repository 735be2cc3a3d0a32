package upstream

import (
	"context"
	"net"
	"net/http"
)

// Limit has c take answers of at most maxBody bytes.
func Limit(c *Client, maxBody int64) { c.maxBody = maxBody }

// NewTransport returns a client's own transport, whose connections dial makes.
func NewTransport(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
	return newTransport(dial)
}
