package upstream_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/answer"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/upstream"
)

func TestCallRefusesRoutes(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]config{
		"no base":        {},
		"no URL":         {BaseURL: "http://ho st/hunter2"},
		"other scheme":   {BaseURL: "ftp://host/v1"},
		"no scheme":      {BaseURL: "host/v1"},
		"opaque":         {BaseURL: "https:host"},
		"user":           {BaseURL: "https://me:hunter2@host/v1"},
		"query":          {BaseURL: "https://host/v1?key=hunter2"},
		"empty query":    {BaseURL: "https://host/v1?"},
		"fragment":       {BaseURL: "https://host/v1#hunter2"},
		"empty fragment": {BaseURL: "https://host/v1#"},
		"no host":        {BaseURL: "https://:443/v1"},
		"dots":           {BaseURL: "https://host/a/../v1"},
		"escape":         {BaseURL: "https://host/a%2fb"},
		"doubled slash":  {BaseURL: "https://host//v1"},
		"line break":     {BaseURL: "https://host/v1\r\nhunter2: x"},
		"authentication": {BaseURL: "https://host/v1", Route: route.Route{Auth: route.Auth{Kind: "hunter2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
				t.Error("it was called")
				return nil, io.EOF
			})
			_, err := newClient(t, cfg).Call(t.Context(), chat(`{}`))
			wantErr[*upstream.RouteError](t, err)
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error quotes the setting: %v", err)
			}
		})
	}
}

func TestCallSends(t *testing.T) {
	t.Parallel()
	type sent struct {
		Method, URI, Body string
		Header            map[string]string
	}
	record := func(seen chan<- sent) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			header := map[string]string{}
			for name := range r.Header {
				header[name] = r.Header.Get(name)
			}
			if trace := header["Traceparent"]; len(trace) == 55 {
				header["Traceparent"] = trace[:36] + "…" // The span is another one each time.
			}
			seen <- sent{Method: r.Method, URI: r.RequestURI, Body: string(body), Header: header}
			answering(http.StatusOK, "application/json", `{"id":"x"}`)(w, r)
		}
	}
	common := map[string]string{
		"Accept": "application/json", "Accept-Encoding": "gzip", "Content-Type": "application/json",
		"Content-Length": "2", "User-Agent": "musketry",
	}
	with := func(more map[string]string) map[string]string {
		all := map[string]string{}
		for _, m := range []map[string]string{common, more} {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	for name, tc := range map[string]struct {
		cfg  config
		req  upstream.Request
		want sent
	}{
		"plain": {
			req:  upstream.Request{Method: "POST", URL: "/v1/embeddings", Body: []byte(`{}`)},
			want: sent{Method: "POST", URI: "/v1/embeddings", Body: `{}`, Header: common},
		},
		"everything": {
			cfg: config{Key: keyed("sk-1\n", nil)},
			req: upstream.Request{
				Method: "POST", URL: "/v1/responses?a=b%20c", Body: []byte(`{}`), IdempotencyKey: "req-1",
			},
			want: sent{Method: "POST", URI: "/v1/responses?a=b%20c", Body: `{}`, Header: with(map[string]string{
				"Authorization": "Bearer sk-1", "Idempotency-Key": "req-1",
				"Traceparent": "00-c3ab7641b15b1cb9368467a0bc3d6fa4-…",
			})},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := make(chan sent, 1)
			tc.cfg.BaseURL = serve(t, record(seen))
			if _, err := newClient(t, tc.cfg).Call(t.Context(), tc.req); err != nil {
				t.Fatalf("Call: %v", err)
			}
			if diff := cmp.Diff(tc.want, <-seen); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
		})
	}
}

// keyed returns a supplier of a key.
func keyed(key string, err error) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return key, err }
}

// none is the verdict on what is no answer.
func none(why string) answer.Verdict { return answer.Verdict{Sense: answer.Invalid, Why: why} }

func TestCallReturnsEveryStatus(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    upstream.Response
	}{
		"success": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Request-Id", "req_9")
				answering(200, "application/json", `{"id":"x","error":null}`)(w, r)
			},
			want: upstream.Response{
				Status: 200, RequestID: "req_9", ContentType: "application/json",
				Body: []byte(`{"id":"x","error":null}`), JSON: true, Verdict: none("it has no `choices`"),
			},
		},
		"told to wait": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "Fri, 31 Dec 2027 23:59:59 GMT")
				w.Header().Set("Retry-After-Ms", "1500.5")
				w.Header().Set("X-Should-Retry", "true")
				answering(429, "application/json", `{"error":{"code":"x"}}`)(w, r)
			},
			want: upstream.Response{
				Status: 429, RetryAfter: "Fri, 31 Dec 2027 23:59:59 GMT", RetryAfterMS: "1500.5", ShouldRetry: "true",
				ContentType: "application/json", Body: []byte(`{"error":{"code":"x"}}`), JSON: true,
				Verdict: answer.Verdict{Sense: answer.Refused, Status: 429, Code: "x"},
			},
		},
		"text": {
			handler: answering(200, "text/plain", "hello"),
			want:    upstream.Response{Status: 200, ContentType: "text/plain", Body: []byte("hello"), Verdict: none("it is not JSON")},
		},
		"JSON with bytes that are no UTF-8": {
			handler: answering(200, "application/json", "{\"a\":\"\xff\"}"),
			want: upstream.Response{
				Status: 200, ContentType: "application/json", Body: []byte("{\"a\":\"\xff\"}"),
				Verdict: none("it is not JSON, or JSON that is cut off"),
			},
		},
		"an error that says success": {
			handler: answering(200, "application/json", `{"error":{"message":"no"}}`),
			want: upstream.Response{
				Status: 200, ContentType: "application/json", Body: []byte(`{"error":{"message":"no"}}`),
				JSON: true, Verdict: answer.Verdict{Sense: answer.Invalid, Why: "it is an error whose code says nothing", Message: "no"},
			},
		},
		"nothing": {
			handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
			want:    upstream.Response{Status: http.StatusNoContent, Verdict: none("its status says that there is none")},
		},
		"a stream of an unknown kind of failure": {
			handler: answering(500, "text/event-stream", "data: {}\n\n"),
			want: upstream.Response{
				Status: 500, ContentType: "text/event-stream", Body: []byte("data: {}\n\n"),
				Verdict: answer.Verdict{Sense: answer.Refused, Status: 500},
			},
		},
		"a request id too long to be one": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Request-Id", strings.Repeat("x", 513))
				answering(200, "text/plain", "")(w, r)
			},
			want: upstream.Response{Status: 200, ContentType: "text/plain", Verdict: none("it is empty")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := newClient(t, config{BaseURL: serve(t, tc.handler)}).Call(t.Context(), chat(`{}`))
			if err != nil {
				t.Fatalf("Call: %v", err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.Transformer("text", func(b []byte) string { return string(b) })); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCallFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		var calls atomic.Int32
		base := serve(t, func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			http.Redirect(w, r, "/v1/elsewhere", status)
		})
		got, err := newClient(t, config{BaseURL: base}).Call(t.Context(), chat(`{}`))
		if err != nil || got.Status != status || calls.Load() != 1 {
			t.Errorf("%d: status %d, error %v, %d calls", status, got.Status, err, calls.Load())
		}
	}
}

func TestCallRefusesMalformed(t *testing.T) {
	t.Parallel()
	never := roundTrip(func(*http.Request) (*http.Response, error) {
		t.Error("a malformed request was sent")
		return nil, io.EOF
	})
	c := newClient(t, config{BaseURL: "https://host/v1", Transport: never, Key: func(context.Context) (string, error) {
		t.Error("the key was asked for")
		return "", nil
	}})
	for name, r := range map[string]upstream.Request{
		"method":          {Method: "post", URL: "/v1/x"},
		"no method":       {URL: "/v1/x"},
		"connect":         {Method: "CONNECT", URL: "/v1/x"},
		"line break":      {Method: "POST\r\nX: y", URL: "/v1/x"},
		"url":             {Method: "POST", URL: "https://evil/v1/x"},
		"idempotency key": {Method: "POST", URL: "/v1/x", IdempotencyKey: "a\nb"},
	} {
		_, err := c.Call(t.Context(), r)
		if _, ok := errors.AsType[*upstream.BuildError](err); !ok {
			t.Errorf("%s: %v is no BuildError", name, err)
		}
	}
}

func TestCallWithoutKey(t *testing.T) {
	t.Parallel()
	never := roundTrip(func(*http.Request) (*http.Response, error) {
		t.Error("a request was sent")
		return nil, io.EOF
	})
	outage := errors.New("the parameter store is away")
	for name, tc := range map[string]struct {
		key     func(context.Context) (string, error)
		wrapped error
	}{
		"outage":       {key: keyed("sk-secret", outage), wrapped: outage},
		"inner blank":  {key: keyed("sk-secret x", nil)},
		"line break":   {key: keyed("sk-secret\r\nX: y", nil)},
		"not in ASCII": {key: keyed("sk-secretß", nil)},
	} {
		c := newClient(t, config{BaseURL: "https://host/v1", Transport: never, Key: tc.key})
		_, err := c.Call(t.Context(), chat(`{}`))
		wantErr[*upstream.KeyError](t, err)
		if tc.wrapped != nil && !errors.Is(err, tc.wrapped) {
			t.Errorf("%s: %v does not wrap %v", name, err, tc.wrapped)
		}
		if strings.Contains(err.Error(), "sk-secret") {
			t.Errorf("%s: the error quotes the key: %v", name, err)
		}
	}
}

func TestCallBoundsTheBody(t *testing.T) {
	t.Parallel()
	const limit = 1000
	text := func(n int) string { return strings.Repeat("x", n) }
	zipped := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, text(n))
			_ = z.Close()
		}
	}
	chunked := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, text(n))
		}
	}
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		fits    bool
	}{
		"known, the limit":     {handler: answering(200, "text/plain", text(limit)), fits: true},
		"known, beyond it":     {handler: answering(200, "text/plain", text(limit+1))},
		"chunked, the limit":   {handler: chunked(limit), fits: true},
		"chunked, beyond it":   {handler: chunked(limit + 1)},
		"zipped, the limit":    {handler: zipped(limit), fits: true},
		"zipped, beyond it":    {handler: zipped(limit + 1)},
		"a bomb":               {handler: zipped(50_000_000)},
		"a failure, beyond it": {handler: answering(500, "text/plain", text(limit+1))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, config{BaseURL: serve(t, tc.handler)})
			bound(c, limit)
			got, err := c.Call(t.Context(), chat(`{}`))
			if tc.fits {
				if err != nil || len(got.Body) != limit {
					t.Fatalf("%d bytes, error %v", len(got.Body), err)
				}
				return
			}
			if large := asErr[*upstream.TooLargeError](t, err); large.Limit != limit {
				t.Errorf("limit %d, want %d", large.Limit, limit)
			}
		})
	}
}

// TestAnswersOfARoute has answers whose length alone says that they are too large, for a route that says how large they may
// be and for one that does not.
func TestAnswersOfARoute(t *testing.T) {
	t.Parallel()
	for limit, most := range map[int64]int64{0: 64 << 20, 5000: 5000} {
		c := newClient(t, config{
			BaseURL: "http://host", Route: route.Route{AnswerLimit: limit},
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				res, err := canned(200, "text/plain", "")(r)
				res.ContentLength = most + 1
				return res, err
			}),
		})
		_, err := c.Call(t.Context(), chat(`{}`))
		if large := asErr[*upstream.TooLargeError](t, err); large.Limit != most {
			t.Errorf("the limit is %d, want %d", large.Limit, most)
		}
	}
}

func TestCallOverBrokenConnections(t *testing.T) {
	t.Parallel()
	raw := func(reset bool, text string) func(t *testing.T) http.HandlerFunc {
		return func(t *testing.T) http.HandlerFunc {
			t.Helper()
			return func(w http.ResponseWriter, _ *http.Request) {
				conn := hijack(t, w)
				_, _ = io.WriteString(conn, text)
				if reset {
					_ = conn.SetLinger(0)
				}
				_ = conn.Close()
			}
		}
	}
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	for name, tc := range map[string]struct {
		handler func(*testing.T) http.HandlerFunc
		is      error
	}{
		"no answer":             {handler: raw(false, ""), is: io.ErrUnexpectedEOF},
		"reset":                 {handler: raw(true, ""), is: syscall.ECONNRESET},
		"half a body":           {handler: raw(false, head+"Content-Length: 99\r\n\r\n{\"secret\":"), is: io.ErrUnexpectedEOF},
		"half a chunk":          {handler: raw(false, head+"Transfer-Encoding: chunked\r\n\r\n63\r\nsecret"), is: io.ErrUnexpectedEOF},
		"a chunk's bad size":    {handler: raw(false, head+"Transfer-Encoding: chunked\r\n\r\nsecret\r\n")},
		"reset in the body":     {handler: raw(true, head+"Content-Length: 99\r\n\r\n{\"secret\":")},
		"no HTTP":               {handler: raw(false, "secret secret secret\r\n\r\n")},
		"a malformed header":    {handler: raw(false, "HTTP/1.1 200 OK\r\nsecret\r\n\r\n")},
		"headers without end":   {handler: raw(false, head+"X: "+strings.Repeat("secret", 20_000)+"\r\n\r\n")},
		"another protocol":      {handler: raw(false, "HTTP/1.1 101 secret\r\nUpgrade: secret\r\n\r\n")},
		"corrupt compression":   {handler: raw(false, head+"Content-Encoding: gzip\r\nContent-Length: 12\r\n\r\nsecretsecret")},
		"cut compression":       {handler: raw(false, head+"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08"), is: io.ErrUnexpectedEOF},
		"a contradicted length": {handler: raw(false, head+"Content-Length: 3\r\nContent-Length: 4\r\n\r\nsecret")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, config{BaseURL: serve(t, tc.handler(t)), Key: keyed("sk-secret", nil)})
			_, err := c.Call(t.Context(), chat(`{"prompt":"secret"}`))
			wantErr[*upstream.NetworkError](t, err)
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("%v does not wrap %v", err, tc.is)
			}
			if regexp.MustCompile(`\b\w+\.[A-Z]|\d+\.\d+`).MatchString(err.Error()) {
				t.Errorf("the error names what a tenant does not know: %v", err)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error quotes what was sent: %v", err)
			}
		})
	}
}

func TestCallWithoutServer(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0) // It would report the handshake that has to fail.
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	plain := serve(t, http.NotFound)
	for name, tc := range map[string]struct {
		base, reason, detail string
		is                   error
	}{
		"refused":      {base: gone.URL, reason: "dial: connection refused", is: syscall.ECONNREFUSED},
		"untrusted":    {base: untrusted.URL, reason: "no secure connection", detail: "x509"},
		"not TLS":      {base: strings.Replace(plain, "http://", "https://", 1), reason: "no secure connection", detail: "tls"},
		"no such name": {base: "http://name.invalid/v1", reason: "the provider's address", detail: "lookup name.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newClient(t, config{BaseURL: tc.base}).Call(t.Context(), chat(`{}`))
			network := asErr[*upstream.NetworkError](t, err)
			if !strings.Contains(network.Reason, tc.reason) {
				t.Errorf("reason %q, want %q in it", network.Reason, tc.reason)
			}
			if !strings.Contains(network.Detail, tc.detail) || len(network.Detail) > 256 {
				t.Errorf("detail %q, want %q in it", network.Detail, tc.detail)
			}
			if inner := regexp.MustCompile(`invalid|\d+\.\d+|\b\w+\.[A-Z]|x509|[a-z]+://`).FindString(err.Error()); inner != "" {
				t.Errorf("%q tells a tenant %q", err, inner)
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("%v does not wrap %v", err, tc.is)
			}
		})
	}
}

// TestCallSendsOnce guards the spelling of the idempotency key's header: net/http sends a request that has it again by
// itself when a connection that it had kept breaks.
func TestCallSendsOnce(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 2 {
			_ = hijack(t, w).Close()
			return
		}
		answering(200, "application/json", `{}`)(w, r)
	})
	c := newClient(t, config{BaseURL: base})
	if _, err := c.Call(t.Context(), chat(`{}`)); err != nil {
		t.Fatalf("first call: %v", err)
	}
	_, err := c.Call(t.Context(), chat(`{}`))
	wantErr[*upstream.NetworkError](t, err)
	if got := calls.Load(); got != 2 {
		t.Errorf("the server saw %d calls, want 2", got)
	}
}

func TestCallKeepsConnections(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*httptest.Server){
		"HTTP/1.1": (*httptest.Server).Start,
		"HTTP/2.0": func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const atOnce, rounds = 8, 5
			var opened atomic.Int32
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Proto != name || r.Header.Get("Idempotency-Key") != "batch_req_1" {
					t.Errorf("%s with key %q", r.Proto, r.Header.Get("Idempotency-Key"))
				}
				answering(200, "application/json", `{"a":1}`)(w, r)
			}))
			srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					opened.Add(1)
				}
			}
			start(srv)
			t.Cleanup(srv.Close)
			transport := upstream.NewTransportFor(roots(srv))
			transport.MaxConnsPerHost = atOnce
			c := newClient(t, config{BaseURL: srv.URL, Transport: transport})
			for range rounds {
				var wg sync.WaitGroup
				for range atOnce {
					wg.Go(func() {
						if got, err := c.Call(t.Context(), chat(`{}`)); err != nil || string(got.Body) != `{"a":1}` {
							t.Errorf("%q, %v", got.Body, err)
						}
					})
				}
				wg.Wait()
			}
			if got := opened.Load(); got > atOnce {
				t.Errorf("%d connections for %d calls at once", got, atOnce)
			}
		})
	}
}
