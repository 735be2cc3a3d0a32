package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/upstream"
)

// frozen is how long no call was made when kept connections are taken for
// dead: a Lambda's environment is frozen between events, and its peers are not.
const frozen = 30 * time.Second

// warnEvery is how often at most the log has why no call gets through: all of
// an invocation fail together.
const warnEvery = time.Minute

// A caller is the upstream as the worker calls it.
type caller struct {
	client *upstream.Client
	clock  func() time.Time
	log    *slog.Logger
	called atomic.Int64 // when the last call began, in Unix nanoseconds
	warned atomic.Int64 // when the log was last told, in Unix nanoseconds
}

var _ execute.Caller = (*caller)(nil)

// Call sends c once.
func (a *caller) Call(ctx context.Context, c execute.Call) (execute.Reply, error) {
	now := a.clock()
	if last := a.called.Swap(now.UnixNano()); last != 0 && now.Sub(time.Unix(0, last)) > frozen {
		a.client.CloseIdleConnections()
	}
	res, err := a.client.Call(ctx, upstream.Request{
		Route: c.Route, Method: http.MethodPost, URL: c.URL, Body: c.Body, IdempotencyKey: c.IdempotencyKey, Room: c.Room,
	})
	if err != nil {
		a.warn(err)
		return execute.Reply{}, callError(err)
	}
	return execute.Reply{
		StatusCode: res.Status, RequestID: res.RequestID, Body: res.Body, Model: res.Model, Tokens: res.Tokens,
		Verdict: res.Verdict, ErrorCode: res.Verdict.Code, Message: res.Verdict.Message,
		RetryAfter: retryAfter(res, a.clock()), ShouldRetry: res.ShouldRetry,
	}, nil
}

// warn has the log say what an outcome's text leaves out, since that is the
// tenant's to read: which name is not found, whose certificate is wrong, which
// address is private.
func (a *caller) warn(err error) {
	reason, detail := "", ""
	if e, ok := errors.AsType[*upstream.NetworkError](err); ok {
		reason, detail = e.Reason, e.Detail
	}
	if e, ok := errors.AsType[*upstream.AddressError](err); ok {
		reason, detail = e.Error(), e.Detail
	}
	if detail == "" {
		return
	}
	now, last := a.clock().UnixNano(), a.warned.Load()
	if (last == 0 || now-last >= warnEvery.Nanoseconds()) && a.warned.CompareAndSwap(last, now) {
		a.log.Warn("the upstream cannot be reached", slog.String("reason", reason), slog.String("detail", detail))
	}
}

func retryAfter(res upstream.Response, now time.Time) time.Duration {
	h := http.Header{}
	h.Set("Retry-After", res.RetryAfter)
	h.Set("Retry-After-Ms", res.RetryAfterMS)
	wait, _ := retry.RetryAfter(h, now) // 0 if nothing is asked
	return wait
}

// callError gives the client's errors the worker's type. The end of ctx keeps
// its own.
func callError(err error) error {
	if e, ok := errors.AsType[*upstream.BuildError](err); ok {
		return &execute.CallError{Kind: execute.CallUnsendable, Text: e.Field + " " + e.Reason}
	}
	if _, ok := errors.AsType[*upstream.KeyError](err); ok {
		return &execute.CallError{Kind: execute.CallNoKey, Text: err.Error()}
	}
	if unsent(err) {
		return &execute.CallError{Kind: execute.CallUnsent, Text: err.Error()}
	}
	if e, ok := errors.AsType[*upstream.TimeoutError](err); ok {
		return &execute.CallError{Kind: execute.CallTimedOut, Text: fmt.Sprintf("%s took longer than %s", e.Phase, e.Limit)}
	}
	if e, ok := errors.AsType[*upstream.TooLargeError](err); ok {
		return &execute.CallError{Kind: execute.CallTooLarge, Text: e.Error(), Limit: e.Limit}
	}
	if e, ok := errors.AsType[*upstream.NetworkError](err); ok {
		return &execute.CallError{Kind: execute.CallBroken, Text: e.Reason}
	}
	return err
}

// unsent reports whether nothing was sent, for no fault of the request.
func unsent(err error) bool {
	_, address := errors.AsType[*upstream.AddressError](err)
	_, route := errors.AsType[*upstream.RouteError](err)
	return address || route
}
