package upstream_test

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/upstream"
)

// serve returns the base URL of a server that ends with the test.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL + "/v1"
}

// A config is a client and the one route that a test calls by it.
type config struct {
	BaseURL   string
	Key       func(context.Context) (string, error)
	Transport http.RoundTripper
	Route     route.Route // the rest of it
}

// A client calls one route.
type client struct {
	*upstream.Client

	route route.Route
}

// Call calls the client's route.
func (c *client) Call(ctx context.Context, r upstream.Request) (upstream.Response, error) {
	r.Route = c.route
	return c.Client.Call(ctx, r)
}

// roots returns the authority of a server's certificate.
func roots(srv *httptest.Server) *x509.CertPool {
	if srv.Certificate() == nil {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return pool
}

// newClient returns a client whose connections end with the test, for a route that any address may have.
func newClient(t *testing.T, cfg config) *client {
	t.Helper()
	all := upstream.Config{Transport: cfg.Transport}
	c := &client{route: cfg.Route}
	c.route.BaseURL, c.route.AllowPrivate = cfg.BaseURL, true
	if cfg.Key != nil {
		c.route.Auth = cmp.Or(c.route.Auth, route.Auth{Kind: route.Bearer, Key: "ssm:key"})
		all.Key = func(ctx context.Context, ref string) (string, error) {
			if ref != c.route.Auth.Key {
				t.Errorf("the key %q was asked for, want %q", ref, c.route.Auth.Key)
			}
			return cfg.Key(ctx)
		}
	}
	c.Client = upstream.New(all)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// bound has c take answers of at most most bytes; 0: as many as it does.
func bound(c *client, most int64) { c.route.AnswerLimit = most }

// chat returns a plain request.
func chat(body string) upstream.Request {
	return upstream.Request{
		Method: http.MethodPost, URL: "/v1/chat/completions", Body: []byte(body), IdempotencyKey: "batch_req_1",
	}
}

// answer returns a handler that always answers the same.
func answering(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// hijack takes over a handler's connection, after its request was read.
func hijack(t *testing.T, w http.ResponseWriter) *net.TCPConn {
	t.Helper()
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Errorf("hijack: %v", err)
		panic(http.ErrAbortHandler)
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		t.Errorf("hijack: %T is no TCP connection", conn)
		panic(http.ErrAbortHandler)
	}
	return tcp
}

// wantErr fails the test unless err is an E.
func wantErr[E error](t *testing.T, err error) {
	t.Helper()
	_ = asErr[E](t, err)
}

// asErr fails the test unless err is an E, and returns it.
func asErr[E error](t *testing.T, err error) E {
	t.Helper()
	typed, ok := errors.AsType[E](err)
	if !ok {
		t.Fatalf("error is %T (%v), want %T", err, err, typed)
	}
	return typed
}

// memory is a network without sockets, so that tests may run in fake time.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemory() *memory {
	return &memory{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial is a transport's.
func (m *memory) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case m.conns <- server:
		return client, nil
	case <-m.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

// serveMemory serves h on a network without sockets until the returned function is called, which waits for its end.
func serveMemory(t *testing.T, h http.HandlerFunc) (*memory, func()) {
	t.Helper()
	m := newMemory()
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(m) }()
	return m, func() {
		_ = srv.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	}
}

// A roundTrip is a transport made of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// canned returns a transport that always answers the same.
func canned(status int, contentType, body string) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: status, ContentLength: -1, Request: r, Proto: "HTTP/1.1",
			Header: http.Header{"Content-Type": {contentType}},
			Body:   io.NopCloser(strings.NewReader(body)),
		}, nil
	}
}
