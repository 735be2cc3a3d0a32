package upstream

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/sync/semaphore"

	"github.com/musketry/musketry/internal/answer"
	"github.com/musketry/musketry/internal/route"
)

const (
	userAgent = "musketry"

	// defaultPlaces is how many calls at once a client is made for, unless it is told.
	defaultPlaces = 250

	// mostConnections leaves a Lambda, which has 1,024 file descriptors for everything, those that AWS's services take
	// (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
	mostConnections = 900

	// idleFor is how long an unused connection is kept, in which most servers keep it too.
	idleFor = 45 * time.Second

	// maxResponseHeaders bounds an answer's headers in bytes.
	maxResponseHeaders = 64 << 10

	// streamBuffer is how many bytes of an answer a stream of HTTP/2 brings unread. Each call is reckoned to take as much.
	streamBuffer = 256 << 10
)

// A Config is what a Client works with. All fields may be zero.
type Config struct {
	// Key returns the key that a route's Auth names, and should cache it. An empty key sends none. Nil: all are empty.
	Key func(ctx context.Context, ref string) (string, error)

	// Credentials sign the calls of routes that want AWS's Signature Version 4, as of the time that Now says. Nil: no such
	// route can be called.
	Credentials aws.CredentialsProvider
	Now         func() time.Time

	// Places is how many calls may be in flight at once: 250 by default. At most twice as many connections are open, and
	// 900, to all hosts together.
	Places int

	// RootCAs are the authorities whose certificates count. Nil: the system's.
	RootCAs *x509.CertPool

	// Transport sends the requests, instead of the client's own. Limits of time hold only if it reports GetConn and
	// GotConn to [net/http/httptrace], addresses are not checked.
	Transport http.RoundTripper
}

// A Client calls upstreams. It may be used by many goroutines at once, and keeps connections between calls.
type Client struct {
	cfg     Config
	public  http.RoundTripper // to addresses in the internet alone
	private http.RoundTripper // to any
}

// New returns a client.
func New(cfg Config) *Client {
	c := &Client{cfg: cfg, public: cfg.Transport, private: cfg.Transport}
	if cfg.Transport == nil {
		connections := min(2*cmp.Or(cfg.Places, defaultPlaces), mostConnections)
		s := &slots{free: semaphore.NewWeighted(int64(connections)), closeIdle: c.CloseIdleConnections}
		made := func(private bool) *http.Transport {
			return newTransport(&dialer{
				private: private, lookup: net.DefaultResolver.LookupNetIP, dial: newNetDialer(private).DialContext, slots: s,
			}, cfg.RootCAs, connections)
		}
		c.public, c.private = made(false), made(true)
	}
	return c
}

// newTransport returns a transport with HTTP/2 and kept connections, which d makes. It takes no proxy from the
// environment, which only a program's start may read.
func newTransport(d *dialer, roots *x509.CertPool, connections int) *http.Transport {
	d.hosts = make(map[string]*turns)
	d.tls = &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: roots, NextProtos: []string{http2, "http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
	}
	return &http.Transport{
		DialContext:            d.plain,
		DialTLSContext:         d.secure,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    connections,
		IdleConnTimeout:        idleFor,
		MaxResponseHeaderBytes: maxResponseHeaders,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream: streamBuffer,
			// A connection that died without a word is found by pings, before every stream on it runs into its time limit.
			SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second,
		},
	}
}

// Call sends r once and returns the whole answer, whatever its status: redirects are not followed, and a status is
// never an error. It returns
//   - a *BuildError when r cannot be sent;
//   - a *KeyError when the key cannot be had, an *AddressError when the route leads where it must not, and a *RouteError
//     when it cannot be called at all: nothing was sent;
//   - a *TimeoutError when one of the route's time limits ran out;
//   - a *NetworkError when no whole answer arrived;
//   - a *TooLargeError when the answer exceeds the route's limit, as it comes or as it is written down;
//   - when ctx ends before the answer is whole, an error that wraps ctx's error and its cause, and is none of the above.
func (c *Client) Call(ctx context.Context, r Request) (Response, error) {
	ctx, limits := startTimeouts(ctx, r.Route)
	defer limits.stop()
	body, err := rewrite(r.Body, r.Route.Model)
	if err != nil {
		return Response{}, err
	}
	req, err := build(ctx, r, body)
	if err != nil {
		return Response{}, err
	}
	secrets, err := c.authorize(ctx, req, r.Route.Auth, body)
	if err != nil {
		return Response{}, err
	}
	identify(req, r.IdempotencyKey)
	res, err := c.transport(r.Route).RoundTrip(req)
	if err != nil {
		return Response{}, limits.failure(ctx, err)
	}
	defer func() { _ = res.Body.Close() }() // The answer is read by then, or given up.
	limits.headersArrived()
	m := &meter{ctx: ctx, room: r.Room}
	got, err := receive(req, res, cmp.Or(r.Route.AnswerLimit, route.DefaultAnswerLimit), secrets, m)
	if err != nil {
		return Response{}, limits.failure(ctx, err)
	}
	if got.Streamed {
		limits.drain(res.Body)
	}
	return got, nil
}

// transport returns what sends a route's calls. Connections that were dialed to any address serve no route that must keep
// to public ones.
func (c *Client) transport(r route.Route) http.RoundTripper {
	if r.AllowPrivate {
		return c.private
	}
	return c.public
}

// CloseIdleConnections closes the connections that no call uses. A Lambda's environment may be frozen for longer than
// servers keep them; closing them then spares the next invocation the calls that would find them dead.
func (c *Client) CloseIdleConnections() {
	for _, t := range []http.RoundTripper{c.public, c.private} {
		if closer, ok := t.(interface{ CloseIdleConnections() }); ok {
			closer.CloseIdleConnections()
		}
	}
}

// receive reads an answer of at most limit bytes to its end. The limit holds also for the answer as it is written down: one
// that is no JSON becomes a JSON string, in which a byte may take six.
func receive(req *http.Request, res *http.Response, limit int64, secrets []string, m *meter) (Response, error) {
	if res.StatusCode < http.StatusOK {
		return Response{}, &NetworkError{Reason: "the answer changes the protocol"}
	}
	got := Response{
		Status:       res.StatusCode,
		RequestID:    headerValue(res.Header, "X-Request-Id"),
		RetryAfter:   headerValue(res.Header, "Retry-After"),
		RetryAfterMS: headerValue(res.Header, "Retry-After-Ms"),
		ShouldRetry:  headerValue(res.Header, "X-Should-Retry"),
		ContentType:  headerValue(res.Header, "Content-Type"),
	}
	kind := answer.KindOf(req.URL.Path)
	var err error
	got.Streamed = got.Status < http.StatusMultipleChoices && kind.Streams() && answer.IsStream(got.ContentType)
	if got.Streamed {
		got.Body, err = answer.Assemble(res.Body, kind, limit, m.need)
	} else {
		got.Body, err = readBounded(res, limit, m)
	}
	if err == nil && !got.Streamed && got.Status < http.StatusMultipleChoices && kind.Streams() && answer.LooksStreamed(got.Body) {
		got.Streamed = true
		got.Body, err = answer.Assemble(bytes.NewReader(got.Body), kind, limit, m.need)
	}
	unclear, ok := errors.AsType[*answer.UnclearError](err)
	if ok {
		got.Body, err = unclear.Came, nil
	}
	if large, ok := errors.AsType[*answer.TooLargeError](err); ok {
		err = &TooLargeError{Limit: large.Limit}
	}
	if err != nil {
		return Response{}, err
	}
	got.Body = bytes.TrimPrefix(got.Body, []byte("\ufeff"))
	got.conceal(secrets)
	got.inspect(kind, unclear)
	written := got.written()
	if written > limit {
		return Response{}, &TooLargeError{Limit: limit}
	}
	return got, m.need(copies * written)
}
