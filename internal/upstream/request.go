package upstream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/musketry/musketry/internal/jsonscan"
	"github.com/musketry/musketry/internal/route"
)

// maxHeaderValue is the longest value in bytes that is put into a header.
const maxHeaderValue = 512

// A Request is one call to make.
type Request struct {
	// Route is where the call goes, and within which limits.
	Route route.Route

	// Method is DELETE, GET, PATCH, POST or PUT.
	Method string

	// URL is the url of the batch's line, like "/v1/chat/completions".
	URL string

	// Body is sent as application/json, with Route's Model in place of its own if Route has one. It must not be changed,
	// even for a short while after Call has returned: an aborted upload may still be reading it.
	Body []byte

	// Room is asked before the answer's memory grows beyond a few kilobytes, and for as much as it takes to be written down
	// beside it. Nil: there is room for anything.
	Room Room

	// IdempotencyKey is the same for every attempt of a request. Empty sends none, nor a trace.
	IdempotencyKey string
}

// build makes the HTTP request, without what says who calls. It returns a *BuildError for one that cannot be sent, and a
// *RouteError for a route that cannot be called.
func build(ctx context.Context, r Request, body text) (*http.Request, error) {
	if !callable(r.Method) {
		return nil, &BuildError{Field: "method", Reason: "is not one that can be called"}
	}
	if r.IdempotencyKey != "" && !headerSafe(r.IdempotencyKey) {
		return nil, &BuildError{Field: "idempotency_key", Reason: "is not fit for a header"}
	}
	below, err := parseBase(r.Route.BaseURL)
	if err != nil {
		return nil, err
	}
	target, err := below.join(r.URL)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target.String(), body.reader())
	if err != nil {
		return nil, &BuildError{Field: "url", Reason: "cannot be called"}
	}
	if req.ContentLength = body.size(); req.ContentLength == 0 {
		req.Body = http.NoBody
	}
	// With it net/http sends again what an HTTP/2 server says it has not looked at.
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(body.reader()), nil }
	for name, value := range r.Route.Headers {
		if name = http.CanonicalHeaderKey(name); !owned(name) && !strings.EqualFold(name, r.Route.Auth.Header) {
			req.Header.Set(name, value)
		}
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json")
	}
	if req.ContentLength > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// identify sets what tells a call from others. It is not signed: what is on the way to the provider may change it.
func identify(req *http.Request, idempotencyKey string) {
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", userAgent)
	}
	if idempotencyKey == "" {
		return
	}
	// Not the canonical spelling, on purpose: net/http takes a request with an "Idempotency-Key" as leave to send it
	// again by itself, at once, when a kept connection breaks. A provider that just dropped a call is owed the
	// backoff, and the attempts are counted by our caller. Names of headers are case-insensitive on the wire.
	req.Header["idempotency-key"] = []string{idempotencyKey}
	req.Header.Set("Traceparent", traceparent(idempotencyKey))
}

// owned reports whether a header, by its canonical name, is the client's or the connection's own, so that a route cannot
// set it. A route that was validated has none of them.
func owned(name string) bool {
	return strings.HasPrefix(name, "Proxy-") || strings.HasPrefix(name, "X-Amz-") || slices.Contains([]string{
		"Accept-Encoding", "Authorization", "Connection", "Content-Encoding", "Content-Length", "Content-Type",
		"Cookie", "Expect", "Host", "Idempotency-Key", "Keep-Alive", "Te", "Traceparent", "Tracestate", "Trailer",
		"Transfer-Encoding", "Upgrade",
	}, name)
}

// A text is a body in parts, none of which is copied.
type text [][]byte

// mostModels is how often a body may name its model where it is replaced: readers differ in which of them they take.
const mostModels = 16

// rewrite returns body with model as the name of its model: each top-level `model` is replaced, and nothing else changes. A
// body that is no object, or has none, stays as it is. It returns a *BuildError for one that has more than 16.
func rewrite(body []byte, model string) (text, error) {
	if model == "" {
		return text{body}, nil
	}
	found, err := jsonscan.Spans(body, "model", mostModels)
	if errors.Is(err, jsonscan.ErrMany) {
		return nil, &BuildError{Field: "body", Reason: "names its model too often"}
	}
	if err != nil {
		return text{body}, nil //nolint:nilerr // the provider says what is wrong with it
	}
	name := jsonscan.AppendQuoted(nil, []byte(model))
	var parts text
	from := 0
	for _, at := range found {
		parts = append(parts, body[from:at[0]], name)
		from = at[1]
	}
	return append(parts, body[from:]), nil
}

func (t text) size() int64 {
	size := int64(0)
	for _, part := range t {
		size += int64(len(part))
	}
	return size
}

func (t text) reader() io.Reader {
	if len(t) == 1 {
		return bytes.NewReader(t[0])
	}
	parts := make([]io.Reader, len(t))
	for i, part := range t {
		parts[i] = bytes.NewReader(part)
	}
	return io.MultiReader(parts...)
}

// callable reports whether method is one that a line may name. CONNECT and TRACE are not requests to an API.
func callable(method string) bool {
	switch method {
	case http.MethodDelete, http.MethodGet, http.MethodPatch, http.MethodPost, http.MethodPut:
		return true
	default:
		return false
	}
}

// headerSafe reports whether a value can be a header's as it is: printable ASCII, no blank at its ends, bounded.
func headerSafe(value string) bool {
	return len(value) <= maxHeaderValue && strings.TrimSpace(value) == value &&
		!strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r >= 0x7f })
}
