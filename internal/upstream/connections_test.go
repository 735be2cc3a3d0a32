package upstream_test

import (
	"context"
	"errors"
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

// A counter counts a server's connections.
type counter struct {
	made, open, most atomic.Int32
}

// state is a server's ConnState.
func (c *counter) state(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		c.made.Add(1)
		now := c.open.Add(1)
		for most := c.most.Load(); now > most && !c.most.CompareAndSwap(most, now); most = c.most.Load() {
		}
	case http.StateClosed, http.StateHijacked:
		c.open.Add(-1)
	case http.StateActive, http.StateIdle:
	}
}

// meeting returns a handler that answers once so many calls are there at once.
func meeting(calls int) http.HandlerFunc {
	var arrived atomic.Int32
	all := make(chan struct{})
	return func(w http.ResponseWriter, r *http.Request) {
		if int(arrived.Add(1)) == calls {
			close(all)
		}
		select {
		case <-all:
			answer(200, "application/json", `{}`)(w, r)
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
	client := upstream.New(upstream.Config{RootCAs: roots(srv)})
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

// TestConnectionsAreBounded has two hosts, of which the second is called when the first has all connections, idle.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	const places, rounds = 3, 4
	var c counter
	client := upstream.New(upstream.Config{Places: places})
	t.Cleanup(client.CloseIdleConnections)
	for range rounds {
		for range 2 {
			srv := httptest.NewUnstartedServer(meeting(places))
			srv.Config.ConnState = c.state
			srv.Start()
			t.Cleanup(srv.Close)
			together(t, places, func() error { _, err := client.Call(t.Context(), to(srv.URL, true)); return err })
		}
	}
	if made, most := c.made.Load(), c.most.Load(); made < 2*rounds*places || most > 2*places+places {
		t.Errorf("%d connections were open at once of %d, want at most %d and those whose end the server has yet to see", most, made, 2*places)
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
