package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	defaultMaxBody   = 10_000_000
	largestMaxBody   = 1 << 30
	defaultConnect   = 10 * time.Second
	defaultFirstByte = 5 * time.Minute
	defaultTotal     = 10 * time.Minute
	defaultUserAgent = "musketry"

	// idleConns is how many connections are kept for reuse where the configuration sets no bound: more than an
	// invocation has calls in flight, since a dropped one costs the next call a TLS handshake.
	idleConns = 256

	// idleFor is how long an unused connection is kept, in which most servers keep it too.
	idleFor = 45 * time.Second

	// maxResponseHeaders bounds an answer's headers in bytes.
	maxResponseHeaders = 64 << 10

	// firstRead is the most that is allocated on the word of a Content-Length, in bytes.
	firstRead = 1 << 20
)

// A Config is what a Client needs to know. Zero values stand for the defaults.
type Config struct {
	// BaseURL is where the provider's API begins, like "https://api.openai.com/v1": http or https, without user, query
	// or fragment. There is no default.
	BaseURL string

	// Key supplies the provider's key for each call, and should cache it. Nil, or an empty key, sends no Authorization.
	Key func(ctx context.Context) (string, error)

	// MaxBody is the largest answer in bytes after decompression: 10,000,000 by default, at most 1 GiB. It holds also for
	// the answer as it is written down: one that is no JSON becomes a JSON string, in which a byte may take six.
	MaxBody int64

	// ConnectTimeout bounds name resolution with dialing, and again the TLS handshake: 10 s by default.
	ConnectTimeout time.Duration

	// FirstByteTimeout bounds the time from having a connection to having the answer's headers: 5 min by default.
	FirstByteTimeout time.Duration

	// TotalTimeout bounds a whole call: 10 min by default.
	TotalTimeout time.Duration

	// UserAgent is "musketry" by default.
	UserAgent string

	// MaxConns bounds the connections; a call beyond it waits for one, within its TotalTimeout. By default as many are
	// made as calls need them.
	MaxConns int

	// IDHeaders name the headers that carry a request's ids. By default none is sent.
	IDHeaders IDHeaders

	// RootCAs verify the provider's certificate, instead of the system's.
	RootCAs *x509.CertPool

	// Dial makes the connections, instead of a plain dialer. It sees the host's name before it is resolved, and is held
	// to ConnectTimeout by its context.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Transport sends the requests, instead of the client's own. Then the settings of connections above do not apply,
	// and FirstByteTimeout only if it reports GotConn to [net/http/httptrace].
	Transport http.RoundTripper
}

// IDHeaders are names of headers; an empty one sends nothing.
type IDHeaders struct {
	Batch, Request, Custom string
}

// A Client calls one provider. It may be used by many goroutines at once, and keeps connections between calls.
type Client struct {
	base      base
	key       func(context.Context) (string, error)
	transport http.RoundTripper
	limits    limits
	maxBody   int64
	userAgent string
	ids       IDHeaders
}

// New returns a client, or an error that names the setting at fault without quoting it.
func New(cfg Config) (*Client, error) {
	target, err := parseBase(cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	c := &Client{
		base: target, key: cfg.Key, transport: cfg.Transport,
		limits:  limits{connect: cfg.ConnectTimeout, firstByte: cfg.FirstByteTimeout, total: cfg.TotalTimeout},
		maxBody: cfg.MaxBody, userAgent: cfg.UserAgent, ids: cfg.IDHeaders,
	}
	if c.transport == nil {
		c.transport = newTransport(cfg)
	}
	return c, nil
}

// check returns an error for a setting out of its bounds.
func (cfg *Config) check() error {
	switch {
	case cfg.MaxBody < 0 || cfg.MaxBody > largestMaxBody:
		return fmt.Errorf("max body: must be between 1 and %d bytes", largestMaxBody)
	case cfg.ConnectTimeout < 0, cfg.FirstByteTimeout < 0, cfg.TotalTimeout < 0:
		return errors.New("timeouts: must not be negative")
	case cfg.MaxConns < 0:
		return errors.New("max conns: must not be negative")
	case cfg.UserAgent != "" && !headerSafe(cfg.UserAgent):
		return errors.New("user agent: is not fit for a header")
	}
	for _, name := range []string{cfg.IDHeaders.Batch, cfg.IDHeaders.Request, cfg.IDHeaders.Custom} {
		if name != "" && !headerName(name) {
			return errors.New("id headers: a name is no header's, or one that has a meaning of its own")
		}
	}
	return nil
}

// setDefaults fills in what is zero.
func (cfg *Config) setDefaults() {
	if cfg.MaxBody == 0 {
		cfg.MaxBody = defaultMaxBody
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = defaultConnect
	}
	if cfg.FirstByteTimeout == 0 {
		cfg.FirstByteTimeout = defaultFirstByte
	}
	if cfg.TotalTimeout == 0 {
		cfg.TotalTimeout = defaultTotal
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = defaultUserAgent
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
}

// newTransport returns a transport with HTTP/2 and kept connections. It takes no proxy from the environment, which
// only a program's start may read.
func newTransport(cfg Config) *http.Transport {
	idle := idleConns
	if cfg.MaxConns > 0 {
		idle = cfg.MaxConns
	}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
			defer cancel()
			return cfg.Dial(ctx, network, address)
		},
		TLSClientConfig:        &tls.Config{RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    cfg.ConnectTimeout,
		ForceAttemptHTTP2:      true,
		MaxConnsPerHost:        cfg.MaxConns,
		MaxIdleConnsPerHost:    idle,
		IdleConnTimeout:        idleFor,
		MaxResponseHeaderBytes: maxResponseHeaders,
		// A connection that died without a word is found by pings, before every stream on it runs into its time limit.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
}

// Call sends r once and returns the whole answer, whatever its status: redirects are not followed, and a status is
// never an error. It returns
//   - a *BuildError when r cannot be sent, and a *KeyError when the key cannot be had: nothing was sent;
//   - a *TimeoutError when a limit of the configuration ran out;
//   - a *NetworkError when no whole answer arrived;
//   - a *TooLargeError when the answer exceeds MaxBody, as it comes or as it is written down;
//   - when ctx ends before the answer is whole, an error that wraps ctx's error and its cause, and is none of the above.
func (c *Client) Call(ctx context.Context, r Request) (Response, error) {
	ctx, w := newWatch(ctx, c.limits)
	defer w.stop()
	req, err := c.build(ctx, r)
	if err != nil {
		return Response{}, err
	}
	if err := c.authorize(ctx, req); err != nil {
		return Response{}, err
	}
	res, err := c.transport.RoundTrip(req)
	if err != nil {
		return Response{}, w.failure(ctx, err)
	}
	defer func() { _ = res.Body.Close() }() // The answer is read by then, or given up.
	w.headersArrived()
	answer, err := c.receive(req, res)
	if err != nil {
		return Response{}, w.failure(ctx, err)
	}
	if answer.Streamed {
		w.drain(res.Body)
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
