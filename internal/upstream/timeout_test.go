package upstream_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/upstream"
)

// stall holds a handler until its client has gone.
func stall(r *http.Request) { <-r.Context().Done() }

// limited returns a route with each limit of time.
func limited() route.Route {
	return route.Route{Connect: 7 * time.Second, FirstByte: 5 * time.Minute, Total: 10 * time.Minute}
}

// TestCallTimesOut runs each phase into its limit, in fake time and over a network without sockets. That the bubble
// ends shows that no goroutine is left.
func TestCallTimesOut(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		dial    func(ctx context.Context, network, address string) (net.Conn, error)
		key     func(context.Context) (string, error)
		phase   upstream.Phase
		after   time.Duration
	}{
		"connect": {
			dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
			phase: upstream.PhaseConnect, after: 7 * time.Second,
		},
		"no answer": {
			handler: func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body); stall(r) },
			phase:   upstream.PhaseFirstByte, after: 5 * time.Minute,
		},
		"no end": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadAll(r.Body)
				_, _ = io.WriteString(w, `{"a":`)
				_ = http.NewResponseController(w).Flush()
				stall(r)
			},
			phase: upstream.PhaseTotal, after: 10 * time.Minute,
		},
		"trickling": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadAll(r.Body)
				for r.Context().Err() == nil {
					_, _ = io.WriteString(w, " ")
					_ = http.NewResponseController(w).Flush()
					select {
					case <-r.Context().Done():
					case <-time.After(time.Second):
					}
				}
			},
			phase: upstream.PhaseTotal, after: 10 * time.Minute,
		},
		"no key": {
			key: func(ctx context.Context) (string, error) {
				<-ctx.Done()
				return "", ctx.Err()
			},
			phase: upstream.PhaseTotal, after: 10 * time.Minute,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				network, shut := serveMemory(t, tc.handler)
				defer shut()
				if tc.dial == nil {
					tc.dial = network.Dial
				}
				c := newClient(t, config{
					BaseURL: "http://upstream/v1", Key: tc.key, Transport: upstream.NewTransport(tc.dial), Route: limited(),
				})
				start := time.Now()
				_, err := c.Call(t.Context(), chat(`{}`))
				timeout := asErr[*upstream.TimeoutError](t, err)
				if timeout.Phase != tc.phase || timeout.Limit != tc.after {
					t.Errorf("%s after %s, want %s after %s", timeout.Phase, timeout.Limit, tc.phase, tc.after)
				}
				if took := time.Since(start); took != tc.after {
					t.Errorf("took %s, want %s", took, tc.after)
				}
			})
		})
	}
}

// TestCallWithinItsLimits has every phase take almost its limit.
func TestCallWithinItsLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network, shut := serveMemory(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body)
			time.Sleep(290 * time.Second)
			_, _ = io.WriteString(w, `{"a":`)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(290 * time.Second)
			_, _ = io.WriteString(w, `1}`)
		})
		defer shut()
		c := newClient(t, config{
			BaseURL: "http://upstream/v1", Route: limited(),
			Transport: upstream.NewTransport(func(ctx context.Context, n, a string) (net.Conn, error) {
				time.Sleep(6 * time.Second)
				return network.Dial(ctx, n, a)
			}),
		})
		got, err := c.Call(t.Context(), chat(`{}`))
		if err != nil || string(got.Body) != `{"a":1}` {
			t.Errorf("%q, %v", got.Body, err)
		}
	})
}

// TestCallIsPatient has a route without limits: an answer that is not streamed sends no byte before its end, however long
// the model thinks.
func TestCallIsPatient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network, shut := serveMemory(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body)
			time.Sleep(14 * time.Minute)
			_, _ = io.WriteString(w, `{"a":1}`)
		})
		defer shut()
		c := newClient(t, config{BaseURL: "http://upstream/v1", Transport: upstream.NewTransport(network.Dial)})
		if got, err := c.Call(t.Context(), chat(`{}`)); err != nil || string(got.Body) != `{"a":1}` {
			t.Errorf("%q, %v", got.Body, err)
		}
	})
}

// TestCallAborted ends the caller's context in every phase. Whatever its cause, it is that, and no timeout.
func TestCallAborted(t *testing.T) {
	t.Parallel()
	lost := errors.New("the lease is lost")
	stalledDial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ends := map[string]struct {
		end func(context.Context) (context.Context, context.CancelFunc)
		is  []error
	}{
		"canceled": {
			end: func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(time.Second, cancel)
				return ctx, cancel
			},
			is: []error{context.Canceled},
		},
		"canceled with a cause": {
			end: func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancelCause(ctx)
				time.AfterFunc(time.Second, func() { cancel(lost) })
				return ctx, func() { cancel(nil) }
			},
			is: []error{context.Canceled, lost},
		},
		"deadline": {
			end: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, time.Second)
			},
			is: []error{context.DeadlineExceeded},
		},
	}
	for phase, tc := range map[string]struct {
		dial    func(ctx context.Context, network, address string) (net.Conn, error)
		key     func(context.Context) (string, error)
		handler http.HandlerFunc
	}{
		"key": {key: func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}},
		"dial":       {dial: stalledDial},
		"first byte": {handler: func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body); stall(r) }},
		"body": {handler: func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body)
			_, _ = io.WriteString(w, `{`)
			_ = http.NewResponseController(w).Flush()
			stall(r)
		}},
		"stream": {handler: func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body)
			answering(200, "text/event-stream", "data: {\"choices\":[{\"index\":0}]}\n\n")(w, r)
			_ = http.NewResponseController(w).Flush()
			stall(r)
		}},
	} {
		for how, end := range ends {
			t.Run(phase+", "+how, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					network, shut := serveMemory(t, tc.handler)
					defer shut()
					dial := tc.dial
					if dial == nil {
						dial = network.Dial
					}
					cfg := config{BaseURL: "http://upstream/v1", Key: tc.key, Transport: upstream.NewTransport(dial)}
					ctx, cancel := end.end(t.Context())
					defer cancel()
					start := time.Now()
					_, err := newClient(t, cfg).Call(ctx, chat(`{}`))
					for _, want := range end.is {
						if !errors.Is(err, want) {
							t.Errorf("%v is not %v", err, want)
						}
					}
					if timeout, ok := errors.AsType[*upstream.TimeoutError](err); ok {
						t.Errorf("it passes as a timeout: %v", timeout)
					}
					if took := time.Since(start); took != time.Second {
						t.Errorf("took %s, want 1s", took)
					}
				})
			})
		}
	}
}

// TestStreamLeftOpen has a server that never ends a stream whose answer is whole.
func TestStreamLeftOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network, shut := serveMemory(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body)
			answering(200, "text/event-stream", "data: {\"choices\":[{\"index\":0,\"text\":\"a\"}]}\n\ndata: [DONE]\n\n")(w, r)
			_ = http.NewResponseController(w).Flush()
			stall(r)
		})
		defer shut()
		start := time.Now()
		got, err := newClient(t, config{BaseURL: "http://upstream", Transport: upstream.NewTransport(network.Dial)}).Call(t.Context(), chat(`{}`))
		if err != nil || string(got.Body) != `{"choices":[{"index":0,"text":"a"}]}` {
			t.Errorf("%q, %v", got.Body, err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %s, want the second that is granted", took)
		}
	})
}
