package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// httpTime bounds a call of the API. API Gateway gives up after 29 s
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html); a
// large upload's completion goes on for the client's next try.
const httpTime = 5 * time.Minute

// proxy has handler answer an event of API Gateway's REST proxy integration
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html).
// It returns an error if the event is no request, and errCut if handler breaks
// the answer off.
func proxy(
	ctx context.Context, handler http.Handler, event *events.APIGatewayProxyRequest,
) (events.APIGatewayProxyResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, httpTime)
	defer cancel()
	r, err := request(ctx, event)
	if err != nil {
		return events.APIGatewayProxyResponse{}, err
	}
	w := &answer{header: http.Header{}}
	if !w.serve(handler, r) {
		return events.APIGatewayProxyResponse{}, errCut
	}
	return w.event(), nil
}

// request is the event as net/http would have it. Header names come in any
// case, and a body in base64 from gateways that take it for binary.
func request(ctx context.Context, event *events.APIGatewayProxyRequest) (*http.Request, error) {
	body := []byte(event.Body)
	if event.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(event.Body); err != nil {
			return nil, fmt.Errorf("submit: the event's body: %w", err)
		}
	}
	u := &url.URL{RawQuery: query(event)}
	u.Path, u.RawPath = path(event)
	r, err := http.NewRequestWithContext(ctx, event.HTTPMethod, "/", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("submit: the event's method: %w", err)
	}
	r.URL, r.RequestURI, r.RemoteAddr = u, u.RequestURI(), event.RequestContext.Identity.SourceIP
	for name, value := range event.Headers {
		r.Header.Set(name, value)
	}
	for name, values := range event.MultiValueHeaders { // the whole of what Headers has in part
		r.Header.Del(name)
		for _, value := range values {
			r.Header.Add(name, value)
		}
	}
	r.Host = r.Header.Get("Host")
	r.Header.Del("Host")
	return r, nil
}

// path is the event's path, as url.URL has it. It comes escaped, as it was sent
// (docs/aws.md). What holds no good escape stands for itself.
func path(event *events.APIGatewayProxyRequest) (plain, escaped string) {
	escaped = belowBase(event)
	plain, err := url.PathUnescape(escaped)
	if err != nil {
		return escaped, ""
	}
	return plain, escaped
}

// belowBase is the event's path without the base path of a custom domain, which
// stands before what the gateway found its resource by: the resource, with the
// parameters that it took from the path, is the gateway's word, and no client's.
// Where the path does not end so, it is left as it is.
func belowBase(event *events.APIGatewayProxyRequest) string {
	if event.Resource == "" {
		return event.Path
	}
	found := event.Resource
	for name, value := range event.PathParameters {
		found = strings.NewReplacer("{"+name+"}", value, "{"+name+"+}", value).Replace(found)
	}
	if found == "/" {
		return found
	}
	for at := range event.Path { // the longest first: none is cut off that the resource has
		if event.Path[at] != '/' {
			continue
		}
		below := event.Path[at:]
		plain, err := url.PathUnescape(below)
		for _, form := range []string{below, plain} {
			if form == found || form == found+"/" {
				return below
			}
		}
		if err != nil {
			return event.Path
		}
	}
	return event.Path
}

// query is the event's query, which comes decoded.
func query(event *events.APIGatewayProxyRequest) string {
	q := url.Values{}
	for name, value := range event.QueryStringParameters {
		q.Set(name, value)
	}
	for name, values := range event.MultiValueQueryStringParameters {
		q[name] = values
	}
	return q.Encode()
}

// An answer gathers what a handler writes.
type answer struct {
	header http.Header
	sent   http.Header // header as it was when the status was written
	status int
	body   bytes.Buffer
}

// serve has handler answer r, and reports whether it did so to the end.
func (w *answer) serve(handler http.Handler, r *http.Request) (whole bool) {
	defer func() { _ = recover() }() // the handler's way to break off; it has logged why
	handler.ServeHTTP(w, r)
	return true
}

func (w *answer) Header() http.Header { return w.header }

func (w *answer) WriteHeader(status int) {
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *answer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// event is the answer as API Gateway takes it: as text, which every gateway
// passes on as it is. Only what is no UTF-8, and would not survive that, goes
// as base64, which a gateway decodes for those who accept a binary media type.
func (w *answer) event() events.APIGatewayProxyResponse {
	w.WriteHeader(http.StatusOK)
	w.sent.Del("Content-Length") // the gateway's own to say
	out := events.APIGatewayProxyResponse{StatusCode: w.status}
	out.Headers, out.MultiValueHeaders = headers(w.sent)
	if body := w.body.Bytes(); utf8.Valid(body) {
		out.Body = string(body)
	} else {
		out.Body, out.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return out
}

// headers are h as events have them: those with one value, and the others.
func headers(h http.Header) (single map[string]string, many map[string][]string) {
	single, many = map[string]string{}, map[string][]string{}
	for name, values := range h {
		if len(values) == 1 {
			single[name] = values[0]
		} else {
			many[name] = values
		}
	}
	return single, many
}

// room returns how many bytes body takes in an answer: in a JSON string as
// encoding/json writes it, or in base64 if it is no text.
func room(body []byte) int {
	if !utf8.Valid(body) {
		return base64.StdEncoding.EncodedLen(len(body))
	}
	n := len(body)
	for _, c := range body {
		switch {
		case strings.IndexByte("\"\\\n\r\t\b\f", c) >= 0:
			n++
		case c < ' ':
			n += len(`\u0000`) - 1
		}
	}
	for _, separator := range []string{"\u2028", "\u2029"} {
		n += bytes.Count(body, []byte(separator)) * (len(`\u2028`) - len(separator))
	}
	return n
}
