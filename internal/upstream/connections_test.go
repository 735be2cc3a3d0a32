package upstream_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/upstream"
)

// A counter counts connections.
type counter struct {
	made, open, most atomic.Int32
}

// state is a server's ConnState.
func (c *counter) state(_ net.Conn, s http.ConnState) {
	if s == http.StateNew {
		c.made.Add(1)
	}
}

// dial is a client's.
func (c *counter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	now := c.open.Add(1)
	for most := c.most.Load(); now > most && !c.most.CompareAndSwap(most, now); most = c.most.Load() {
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		c.open.Add(-1)
		return nil, err
	}
	c.made.Add(1)
	return &counted{Conn: conn, closed: sync.OnceFunc(func() { c.open.Add(-1) })}, nil
}

// A counted connection is counted until it is closed.
type counted struct {
	net.Conn

	closed func()
}

func (c *counted) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

// meeting returns a handler that answers once so many calls are there at once.
func meeting(calls int) http.HandlerFunc {
	var arrived atomic.Int32
	all := make(chan struct{})
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // Only then the server notices that a client goes away.
		if int(arrived.Add(1)) == calls {
			close(all)
		}
		select {
		case <-all:
			answering(200, "application/json", `{}`)(w, r)
		case <-r.Context().Done():
		}
	}
}

// together makes calls at once.
func together(t *testing.T, calls int, call func() error) {
	t.Helper()
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			if err := call(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestDialsTakeTurns has many calls at once that a few connections of HTTP/2 can carry. Without turns each made its own
// first: 60.
func TestDialsTakeTurns(t *testing.T) {
	t.Parallel()
	const calls, streams, most = 60, 20, 8
	var c counter
	srv := httptest.NewUnstartedServer(meeting(calls))
	srv.EnableHTTP2, srv.Config.HTTP2, srv.Config.ConnState = true, &http.HTTP2Config{MaxConcurrentStreams: streams}, c.state
	srv.StartTLS()
	t.Cleanup(srv.Close)
	client := upstream.New(upstream.Config{Transport: upstream.NewTurning(roots(srv))})
	t.Cleanup(client.CloseIdleConnections)
	together(t, calls, func() error { _, err := client.Call(t.Context(), to(srv.URL, true)); return err })
	if made := c.made.Load(); made > most || made < calls/streams {
		t.Errorf("%d connections for %d calls of which %d fit into one", made, calls, streams)
	}
}

// TestHangingDialHoldsNobodyUp has one dial to a host hang: the next one begins a second later, or at once if the host is
// another.
func TestHangingDialHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int32
		transport := upstream.NewTransport(func(ctx context.Context, _, _ string) (net.Conn, error) {
			if dials.Add(1) == 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return nil, syscall.ECONNREFUSED
		})
		c := upstream.New(upstream.Config{Transport: transport})
		start := time.Now()
		took := func(host string) time.Duration {
			_, err := c.Call(t.Context(), to("https://"+host, true))
			if network, ok := errors.AsType[*upstream.NetworkError](err); !ok || !errors.Is(network, syscall.ECONNREFUSED) {
				t.Errorf("%s: %v", host, err)
			}
			return time.Since(start)
		}
		first := make(chan error, 1)
		go func() {
			_, err := c.Call(t.Context(), to("https://a", true))
			first <- err
		}()
		synctest.Wait()
		if d := took("b"); d != 0 {
			t.Errorf("another host waited %v", d)
		}
		if d := took("a"); d != time.Second {
			t.Errorf("the same host waited %v, want 1s", d)
		}
		wantErr[*upstream.TimeoutError](t, <-first)
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("the dial that hangs took %v", d)
		}
	})
}

// TestDialsAtOnceOverHTTP1 demands that dials wait for each other only until it is known that each call needs one.
func TestDialsAtOnceOverHTTP1(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const calls, dial = 20, 300 * time.Millisecond
		network := newMemory()
		srv := httptest.NewUnstartedServer(meeting(calls))
		_ = srv.Listener.Close() // It is another one's.
		srv.Listener = network
		srv.StartTLS()
		defer srv.Close()
		c := upstream.New(upstream.Config{Transport: upstream.NewDialing(func(ctx context.Context, n, a string) (net.Conn, error) {
			time.Sleep(dial)
			return network.Dial(ctx, n, a)
		}, roots(srv))})
		defer c.CloseIdleConnections()
		start := time.Now()
		together(t, calls, func() error { _, err := c.Call(t.Context(), to("https://example.com", true)); return err })
		if took := time.Since(start); took != 2*dial {
			t.Errorf("%d calls took %v, of which a dial takes %v", calls, took, dial)
		}
	})
}

// TestConnectionsAreBounded calls hosts by turns, each with as many calls at once as there are connections for two thirds of:
// those that the host before has kept must go.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	const calls, most, hosts = 4, 6, 5
	var c counter
	client := upstream.NewBounded(c.dial, most)
	for range hosts {
		srv := httptest.NewServer(meeting(calls))
		t.Cleanup(srv.Close)
		together(t, calls, func() error { _, err := client.Call(t.Context(), to(srv.URL, true)); return err })
	}
	if made, open := c.made.Load(), c.most.Load(); made < hosts*calls || open > most {
		t.Errorf("of %d connections %d were open at once, want at most %d", made, open, most)
	}
}

// TestUnreadAnswersHoldLittle has an answer of HTTP/2 that nobody reads: what comes of it stays with the server. net/http's
// own window is 4 MB a stream.
func TestUnreadAnswersHoldLittle(t *testing.T) {
	t.Parallel()
	const most = 256<<10 + 64<<10 // and what the server has in its own buffers
	sent := make(chan int, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		control, piece, total := http.NewResponseController(w), make([]byte, 16<<10), 0
		_ = control.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		for total < 8<<20 {
			n, err := w.Write(piece)
			if err != nil || control.Flush() != nil {
				break
			}
			total += n
		}
		sent <- total
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	transport := upstream.NewTransportFor(roots(srv))
	t.Cleanup(transport.CloseIdleConnections)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if got := <-sent; res.Proto != "HTTP/2.0" || got > most {
		t.Errorf("%s: %d bytes were sent that nobody read, want at most %d", res.Proto, got, most)
	}
}
