package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/musketry/musketry/internal/api"
)

const (
	// maxStream is below what a Lambda can stream, 200 MB with the header
	// (https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html),
	// whichever million is meant.
	maxStream = 200_000_000
	// streamTime is below what API Gateway lets a stream last, and Lambda a
	// call: 15 minutes
	// (https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode.html).
	streamTime = 14 * time.Minute
)

// errCut reports an answer that ended before its end.
var errCut = errors.New("submit: the answer broke off")

// stream has handler answer an event of API Gateway's streaming integration
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html):
// it returns once the header is written, and what follows is read while it is
// written. The answer's owner closes it, which ends handler. It returns an
// error if the event is no request, and errCut if there is no answer.
func stream(
	ctx context.Context, handler http.Handler, event *events.APIGatewayProxyRequest,
) (*events.APIGatewayProxyStreamingResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, streamTime)
	r, err := request(ctx, event)
	if err != nil {
		cancel()
		return nil, err
	}
	out, in := io.Pipe()
	w := &streamed{header: http.Header{}, body: in, begun: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.serve(handler, r)
	}()
	<-w.begun
	body := &streamBody{PipeReader: out, cancel: cancel, ended: ended}
	if w.status == 0 {
		return nil, errors.Join(errCut, body.Close())
	}
	single, many := headers(w.sent)
	return &events.APIGatewayProxyStreamingResponse{
		StatusCode: w.status, Headers: single, MultiValueHeaders: many, Body: body,
	}, nil
}

// A streamed passes on what a handler writes.
type streamed struct {
	header http.Header
	sent   http.Header // header as it was when the status was written
	status int
	body   *io.PipeWriter
	begun  chan struct{} // closed when status and sent are set, or never will be
}

var _ api.Streamer = (*streamed)(nil)

// serve has handler answer r. An answer that handler breaks off
// (http.ErrAbortHandler) ends with errCut for who reads it.
func (w *streamed) serve(handler http.Handler, r *http.Request) {
	whole := false
	defer func() {
		// A panic is the handler's way to break off; it has logged why.
		_ = recover()
		if !whole {
			_ = w.body.CloseWithError(errCut) // never fails
		}
		if w.status == 0 {
			close(w.begun)
		}
	}()
	handler.ServeHTTP(w, r)
	w.WriteHeader(http.StatusOK)
	whole = true
	_ = w.body.Close() // never fails
}

func (w *streamed) Header() http.Header { return w.header }

func (w *streamed) WriteHeader(status int) {
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
		close(w.begun)
	}
}

func (w *streamed) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// MaxStream returns what Lambda streams.
func (w *streamed) MaxStream() int64 { return maxStream }

// A streamBody is read while a handler writes it.
type streamBody struct {
	*io.PipeReader

	cancel context.CancelFunc
	ended  <-chan struct{}
}

// Close ends the handler and waits for it.
func (b *streamBody) Close() error {
	b.cancel()
	err := b.PipeReader.Close()
	<-b.ended
	return err
}
