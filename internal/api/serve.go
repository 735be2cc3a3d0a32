package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/metric"
	"github.com/musketry/musketry/internal/tenant"
)

// A handler serves a route for a tenant. Whatever it returns is answered as an
// error if it has written nothing, and breaks the answer off if it has.
type handler func(w http.ResponseWriter, r *http.Request, tenant string) error

// A call is what the log says of a request. It travels in its context.
type call struct {
	id      string
	key     tenant.Key // of the caller; zero: none was let in
	err     error
	refused *authError // nil: the caller was let in, or never asked
	stack   []byte     // of a panic
	cut     bool       // the answer has begun and cannot be ended
}

type callKey struct{}

// callOf returns the call that r is.
func callOf(r *http.Request) *call {
	c, _ := r.Context().Value(callKey{}).(*call)
	return c
}

// route serves pattern, whose query has parameters of these names only.
func (a *api) route(pattern string, h handler, names ...string) {
	a.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		c := callOf(r)
		key, err := a.authenticate(r)
		if err == nil {
			c.key = key
			a.noteUse(r.Context(), key)
			if err = cmp.Or(admits(key, pattern), checkQuery(r, names)); err == nil {
				err = h(w, r, key.Tenant)
			}
		} else if refused, ok := errors.AsType[*authError](err); ok {
			c.refused = refused
			a.Metrics.Count(metric.AuthFailures, 1, "reason", refused.reason)
		}
		if err != nil {
			c.err = err
			c.fail(w)
		}
	})
}

// fail answers c's error, unless an answer has begun.
func (c *call) fail(w http.ResponseWriter) {
	if seen, ok := w.(*statusWriter); ok && seen.wrote {
		c.cut = true
		return
	}
	writeError(w, c.err)
}

// ServeHTTP answers every request in OpenAI's shapes, whatever happens. It
// panics with http.ErrAbortHandler where an answer breaks off, so that nobody
// takes the beginning for the whole.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := a.Clock()
	c := &call{id: a.requestID()}
	w.Header().Set("X-Request-Id", c.id)
	seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	pattern := a.dispatch(seen, r.WithContext(context.WithValue(r.Context(), callKey{}, c)), c)
	attrs := []slog.Attr{
		slog.String("request_id", c.id), slog.String("tenant", c.key.Tenant), slog.String("method", clip(r.Method)),
		slog.String("route", pattern), slog.Int("status", seen.status), slog.Int64("took_ms", a.Clock().Sub(began).Milliseconds()),
	}
	level := slog.LevelInfo
	switch {
	case seen.status >= http.StatusInternalServerError || c.stack != nil:
		level = slog.LevelError
		attrs = append(attrs, slog.Any("error", c.err), slog.String("stack", string(c.stack)))
	case c.refused != nil: // whoever guesses keys is to be found by this
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("source", source(r)), slog.String("reason", c.refused.reason),
			slog.String("key_hash", c.refused.hash))
	case c.cut: // most often by a client that has gone
		level = slog.LevelWarn
		attrs = append(attrs, slog.Any("error", c.err))
	}
	a.Logger.LogAttrs(r.Context(), level, "request served", append(attrs, slog.Bool("cut", c.cut))...)
	if c.cut {
		panic(http.ErrAbortHandler)
	}
}

// dispatch returns the pattern of the route that answered; empty if none did.
func (a *api) dispatch(w *statusWriter, r *http.Request, c *call) (pattern string) {
	defer func() {
		if cause := recover(); cause != nil {
			// A panic's value may quote what was being handled: only its type is kept.
			c.err, c.stack = fmt.Errorf("api: panic: %T", cause), debug.Stack()
			if bug, ok := cause.(runtime.Error); ok {
				c.err = fmt.Errorf("api: panic: %w", bug)
			}
			c.fail(w)
		}
	}()
	if a.crossOrigin(w, r) {
		return "preflight"
	}
	bare, ok := a.bare(r)
	if !ok {
		writeError(w, noRoute(r))
		return ""
	}
	match, pattern := a.mux.Handler(bare)
	if pattern == "" {
		a.refuseRoute(w, r, bare, match)
		return ""
	}
	a.mux.ServeHTTP(w, bare)
	return pattern
}

// azurePrefix begins the paths that Azure's clients ask for, below the address
// of a resource: /openai/batches, or /openai/v1/batches.
const azurePrefix = "/openai"

// bare returns r without what paths may begin with, and false for a path that no client of
// ours writes, such as one with empty segments: the mux would redirect it. What
// is escaped in a path stays within its segment.
func (a *api) bare(r *http.Request) (*http.Request, bool) {
	escaped := r.URL.EscapedPath()
	escaped, _ = below(a.config.Prefix, escaped)
	if rest, ok := below(azurePrefix, escaped); ok {
		escaped, _ = below(a.config.Prefix, rest)
	}
	if len(escaped) > 1 {
		escaped = strings.TrimSuffix(escaped, "/")
	}
	plain, err := url.PathUnescape(escaped)
	if err != nil || escaped != path.Clean(escaped) || !strings.HasPrefix(escaped, "/") || r.Method == http.MethodConnect {
		return nil, false
	}
	u := *r.URL
	u.Path, u.RawPath = plain, escaped
	bare := new(http.Request)
	*bare = *r
	bare.URL = &u
	bare.Host = "" // no route names a host
	return bare, true
}

// below returns what of a path lies below a prefix, and whether it does; path
// itself if not.
func below(prefix, path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, prefix)
	if !ok || !strings.HasPrefix(rest, "/") {
		return path, false
	}
	return rest, true
}

// refuseRoute answers for a path or method that has no route; match is what
// the mux would do, from which it takes the methods that are allowed.
func (a *api) refuseRoute(w http.ResponseWriter, r, bare *http.Request, match http.Handler) {
	told := &probe{header: http.Header{}}
	match.ServeHTTP(told, bare)
	if told.status != http.StatusMethodNotAllowed {
		writeError(w, noRoute(r))
		return
	}
	w.Header().Set("Allow", told.header.Get("Allow"))
	writeError(w, &refusalError{
		status: http.StatusMethodNotAllowed, code: "method_not_allowed",
		message: fmt.Sprintf("Not allowed: %s %s. Allowed: %s.", clip(r.Method), clip(r.URL.Path), told.header.Get("Allow")),
	})
}

// crossOrigin lets the pages of configured origins call the API
// (https://fetch.spec.whatwg.org/#http-cors-protocol), and reports whether r
// was a page's question before its call, which is answered then.
func (a *api) crossOrigin(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || len(a.config.Origins) == 0 {
		return false
	}
	w.Header().Add("Vary", "Origin")
	if !slices.Contains(a.config.Origins, origin) && !slices.Contains(a.config.Origins, "*") {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "X-Request-Id, X-Should-Retry, Retry-After, Content-Range, Content-Disposition, "+
		"X-Next-Cursor, X-Complete, X-Line-Cut, "+HeaderLength+", "+HeaderDigest)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
	h.Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
	h.Set("Access-Control-Max-Age", "600") // seconds
	w.WriteHeader(http.StatusNoContent)
	return true
}

func (a *api) requestID() string {
	id, err := batch.NewID(batch.PrefixRequest, a.Clock(), a.Random)
	if err != nil {
		return batch.PrefixRequest + "unknown" // an answer without randomness is better than none
	}
	return id
}

// A probe keeps what a handler says of an answer, and not its body.
type probe struct {
	header http.Header
	status int
}

func (p *probe) Header() http.Header            { return p.header }
func (p *probe) Write(body []byte) (int, error) { return len(body), nil }
func (p *probe) WriteHeader(status int)         { p.status = status }

// A statusWriter remembers the status that was written.
type statusWriter struct {
	http.ResponseWriter

	status int
	wrote  bool
}

func (w *statusWriter) WriteHeader(status int) {
	if !w.wrote {
		w.status, w.wrote = status, true
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	w.wrote = true
	return w.ResponseWriter.Write(p)
}

// Unwrap serves http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func tooLarge(err error) bool {
	var limit *http.MaxBytesError
	return errors.As(err, &limit)
}
