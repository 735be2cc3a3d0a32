package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// maxBody is the largest answer in bytes after decompression. It holds also for the answer as it is written down: one
	// that is no JSON becomes a JSON string, in which a byte may take six.
	maxBody = 10_000_000

	userAgent = "musketry"

	// idleConns is how many connections are kept for reuse: more than an invocation has calls in flight, since a dropped
	// one costs the next call a TLS handshake.
	idleConns = 256

	// idleFor is how long an unused connection is kept, in which most servers keep it too.
	idleFor = 45 * time.Second

	// maxResponseHeaders bounds an answer's headers in bytes.
	maxResponseHeaders = 64 << 10

	// firstRead is the most that is allocated on the word of a Content-Length, in bytes.
	firstRead = 1 << 20
)

// A Config is what a Client needs to know.
type Config struct {
	// BaseURL is where the provider's API begins, like "https://api.openai.com/v1": http or https, without user, query
	// or fragment. There is no default.
	BaseURL string

	// Key supplies the provider's key for each call, and should cache it. Nil, or an empty key, sends no Authorization.
	Key func(ctx context.Context) (string, error)

	// Transport sends the requests, instead of the client's own, which holds each dial and each TLS handshake to 10 s. The
	// first byte's limit holds only if it reports GotConn to [net/http/httptrace].
	Transport http.RoundTripper
}

// A Client calls one provider. It may be used by many goroutines at once, and keeps connections between calls.
type Client struct {
	base      base
	key       func(context.Context) (string, error)
	transport http.RoundTripper
	maxBody   int64
}

// New returns a client, or an error that names the setting at fault without quoting it.
func New(cfg Config) (*Client, error) {
	target, err := parseBase(cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	c := &Client{base: target, key: cfg.Key, transport: cfg.Transport, maxBody: maxBody}
	if c.transport == nil {
		c.transport = newTransport((&net.Dialer{KeepAlive: 30 * time.Second}).DialContext)
	}
	return c, nil
}

// newTransport returns a transport with HTTP/2 and kept connections, which dial makes. It takes no proxy from the
// environment, which only a program's start may read.
func newTransport(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, connectTimeout)
			defer cancel()
			return dial(ctx, network, address)
		},
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    connectTimeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    idleConns,
		IdleConnTimeout:        idleFor,
		MaxResponseHeaderBytes: maxResponseHeaders,
		// A connection that died without a word is found by pings, before every stream on it runs into its time limit.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
}

// Call sends r once and returns the whole answer, whatever its status: redirects are not followed, and a status is
// never an error. It returns
//   - a *BuildError when r cannot be sent, and a *KeyError when the key cannot be had: nothing was sent;
//   - a *TimeoutError when one of the client's time limits ran out;
//   - a *NetworkError when no whole answer arrived;
//   - a *TooLargeError when the answer exceeds 10,000,000 bytes, as it comes or as it is written down;
//   - when ctx ends before the answer is whole, an error that wraps ctx's error and its cause, and is none of the above.
func (c *Client) Call(ctx context.Context, r Request) (Response, error) {
	ctx, limits := startTimeouts(ctx)
	defer limits.stop()
	req, err := c.build(ctx, r)
	if err != nil {
		return Response{}, err
	}
	if err := c.authorize(ctx, req); err != nil {
		return Response{}, err
	}
	res, err := c.transport.RoundTrip(req)
	if err != nil {
		return Response{}, limits.failure(ctx, err)
	}
	defer func() { _ = res.Body.Close() }() // The answer is read by then, or given up.
	limits.headersArrived()
	answer, err := c.receive(req, res)
	if err != nil {
		return Response{}, limits.failure(ctx, err)
	}
	if answer.Streamed {
		limits.drain(res.Body)
	}
	return answer, nil
}

// CloseIdleConnections closes the connections that no call uses. A Lambda's environment may be frozen for longer than
// servers keep them; closing them then spares the next invocation the calls that would find them dead.
func (c *Client) CloseIdleConnections() {
	if closer, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// authorize sets the key, if there is one. It returns a *KeyError, or the abort of a call whose time ended meanwhile.
func (c *Client) authorize(ctx context.Context, req *http.Request) error {
	if c.key == nil {
		return nil
	}
	key, err := c.key(ctx)
	if cause := context.Cause(ctx); cause != nil {
		return aborted(ctx, cause)
	}
	if err != nil {
		return &KeyError{Err: err}
	}
	key = strings.TrimSpace(key) // Secrets are often stored with the newline of the shell that stored them.
	if key == "" {
		return nil
	}
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return &KeyError{Err: errors.New("the key has a character that no header can carry")}
	}
	req.Header.Set("Authorization", "Bearer "+key)
	return nil
}

// receive reads an answer to its end.
func (c *Client) receive(req *http.Request, res *http.Response) (Response, error) {
	if res.StatusCode < http.StatusOK {
		return Response{}, &NetworkError{Reason: "the answer changes the protocol"}
	}
	answer := Response{
		Status:       res.StatusCode,
		RequestID:    headerValue(res.Header, "X-Request-Id"),
		RetryAfter:   headerValue(res.Header, "Retry-After"),
		RetryAfterMS: headerValue(res.Header, "Retry-After-Ms"),
		ContentType:  headerValue(res.Header, "Content-Type"),
	}
	var err error
	if parts := assemblerFor(req.URL.Path, answer); parts != nil {
		answer.Streamed = true
		answer.Body, err = reassemble(res.Body, parts, c.maxBody)
	} else {
		answer.Body, err = readBounded(res, c.maxBody)
	}
	if err != nil {
		return Response{}, err
	}
	answer.conceal(req.Header.Get("Authorization"))
	answer.inspect()
	if answer.written() > c.maxBody {
		return Response{}, &TooLargeError{Limit: c.maxBody}
	}
	return answer, nil
}

// readBounded reads a body of at most limit bytes, or returns a *TooLargeError.
func readBounded(res *http.Response, limit int64) ([]byte, error) {
	if res.ContentLength > limit {
		return nil, &TooLargeError{Limit: limit}
	}
	body, err := readKept(io.LimitReader(res.Body, limit+1), res.ContentLength)
	if int64(len(body)) > limit {
		return nil, &TooLargeError{Limit: limit}
	}
	if err != nil {
		return nil, err
	}
	return body, nil
}

// readKept reads all of r, known bytes if that is not negative. What it returns is kept until the answer is stored, so it
// has the size of what came: a buffer that doubles had 16 MiB for 9 MB, and had allocated 32 on the way.
func readKept(r io.Reader, known int64) ([]byte, error) {
	if known < 0 || known > firstRead {
		return io.ReadAll(r)
	}
	var buf bytes.Buffer
	buf.Grow(int(known) + bytes.MinRead)
	_, err := buf.ReadFrom(r)
	return buf.Bytes(), err
}
