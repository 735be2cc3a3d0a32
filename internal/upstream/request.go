package upstream

import (
	"bytes"
	"context"
	"net/http"
	"strings"
)

// maxHeaderValue is the longest value in bytes that is put into a header.
const maxHeaderValue = 512

// A Request is one call to make.
type Request struct {
	// Method is DELETE, GET, PATCH, POST or PUT.
	Method string

	// URL is the url of the batch's line, like "/v1/chat/completions".
	URL string

	// Body is sent as application/json. It must not be changed, even for a short while after Call has returned: an
	// aborted upload may still be reading it.
	Body []byte

	// IdempotencyKey is the same for every attempt of a request. Empty sends none.
	IdempotencyKey string
}

// build makes the HTTP request, without its key. It returns a *BuildError for one that cannot be sent.
func (c *Client) build(ctx context.Context, r Request) (*http.Request, error) {
	if !callable(r.Method) {
		return nil, &BuildError{Field: "method", Reason: "is not one that can be called"}
	}
	target, err := c.base.join(r.URL)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target.String(), bytes.NewReader(r.Body))
	if err != nil {
		return nil, &BuildError{Field: "url", Reason: "cannot be called"}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	if len(r.Body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.IdempotencyKey != "" {
		if !headerSafe(r.IdempotencyKey) {
			return nil, &BuildError{Field: "idempotency_key", Reason: "is not fit for a header"}
		}
		// Not the canonical spelling, on purpose: net/http takes a request with an "Idempotency-Key" as leave to send it
		// again by itself, at once, when a kept connection breaks. A provider that just dropped a call is owed the
		// backoff, and the attempts are counted by our caller. Names of headers are case-insensitive on the wire.
		req.Header["idempotency-key"] = []string{r.IdempotencyKey}
	}
	return req, nil
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
