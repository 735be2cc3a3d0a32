package main

import (
	"bytes"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/upstream"
)

// TestPlacesCallAtOnce has as many calls in flight as a worker has places, over each protocol that providers speak.
func TestPlacesCallAtOnce(t *testing.T) {
	t.Parallel()
	const places = 250
	for proto, most := range map[string]int32{"HTTP/1.1": places, "HTTP/2.0": 60} { // 100 streams a connection, and a turn of a second on a machine that is busy
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			var arrived, made atomic.Int32
			all := make(chan struct{})
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if arrived.Add(1) == places {
					close(all)
				}
				select {
				case <-all:
				case <-r.Context().Done():
				}
				if r.Proto != proto {
					t.Errorf("it is called by %s", r.Proto)
				}
				_, _ = w.Write([]byte(`{"model":"m","choices":[{"message":{"content":"a"}}]}`))
			}))
			srv.EnableHTTP2, srv.Config.HTTP2 = proto == "HTTP/2.0", &http.HTTP2Config{MaxConcurrentStreams: 100}
			srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					made.Add(1)
				}
			}
			srv.StartTLS()
			t.Cleanup(srv.Close)
			trusted := x509.NewCertPool()
			trusted.AddCert(srv.Certificate())
			a := calling(upstream.Config{RootCAs: trusted, Places: places}, srv.URL)
			t.Cleanup(a.client.CloseIdleConnections)
			var wg sync.WaitGroup
			for range places {
				wg.Go(func() {
					reply, err := a.Call(t.Context(), execute.Call{URL: "/v1/chat/completions", Body: []byte(`{}`), IdempotencyKey: "r"})
					if err != nil || reply.Model != "m" {
						t.Errorf("%+v, %v", reply, err)
					}
				})
			}
			wg.Wait()
			if got := made.Load(); got > most {
				t.Errorf("%d connections for %d calls at once, want at most %d", got, places, most)
			}
		})
	}
}

// TestFrozenConnectionsAreDropped demands that what was kept is used again, and not after an environment may have been
// frozen.
func TestFrozenConnectionsAreDropped(t *testing.T) {
	t.Parallel()
	var made atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{}`)) }))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			made.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	now := time.Unix(1_700_000_000, 0)
	a := calling(upstream.Config{}, srv.URL)
	a.clock = func() time.Time { return now }
	for i, wait := range []time.Duration{0, frozen, frozen + time.Second} {
		now = now.Add(wait)
		if _, err := a.Call(t.Context(), execute.Call{URL: "/v1/embeddings"}); err != nil {
			t.Fatal(err)
		}
		if want := []int32{1, 1, 2}[i]; made.Load() != want {
			t.Errorf("after %v there were %d connections, want %d", wait, made.Load(), want)
		}
	}
}

// TestPrivateUpstream demands that a route which must not be called fails no request, and that only the operator reads
// where it leads.
func TestPrivateUpstream(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := calling(upstream.Config{}, "https://localhost:1/v1")
	a.route.AllowPrivate, a.log = false, slog.New(slog.NewJSONHandler(&out, nil))
	_, err := a.Call(t.Context(), execute.Call{URL: "/v1/embeddings"})
	call, ok := errors.AsType[*execute.CallError](err)
	if !ok || call.Kind != execute.CallUnsent || strings.Contains(call.Text, "localhost") {
		t.Errorf("the tenant reads %v", err)
	}
	if !strings.Contains(out.String(), "localhost is at ") {
		t.Errorf("the operator reads %s", out.String())
	}
	a.route.BaseURL = "https://user:hunter2@host"
	_, err = a.Call(t.Context(), execute.Call{URL: "/v1/embeddings"})
	call, ok = errors.AsType[*execute.CallError](err)
	if !ok || call.Kind != execute.CallUnsent || strings.Contains(call.Text, "hunter2") {
		t.Errorf("a route that cannot be called: %v", err)
	}
}
