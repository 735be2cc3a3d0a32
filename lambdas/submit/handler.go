package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/aws/aws-lambda-go/events"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/submit"
)

// errEvent reports an event that is neither a request nor a task.
var (
	errEvent = errors.New("submit: the event is neither a request of API Gateway nor a task to load or to erase")
	errLoad  = errors.New("submit: the load task names no batch")
)

// A handler takes the sorts of events that this function gets.
type handler struct {
	api   http.Handler
	load  func(ctx context.Context, t submit.Task) (submit.Next, error)
	erase func(ctx context.Context) error
	after func() // called at the end of each event; a stream's, once it has begun
}

// An event is a request of API Gateway, a task of a batch's flow, or the
// schedule's task to erase what has expired.
type event struct {
	events.APIGatewayProxyRequest

	Task   string          `json:"task"`
	Tenant string          `json:"tenant"`
	Batch  string          `json:"batch"`  // to load
	Record json.RawMessage `json:"record"` // of it, from a flow that was started before 0.2
	// Completion is of an invocation that API Gateway makes once a streamed
	// answer has ended, beside the one that asked for it. No page of AWS tells of
	// it (docs/aws.md).
	Completion json.RawMessage `json:"invokeCompletionStatus"` //nolint:tagliatelle // API Gateway's own name
}

// A loaded is a load task's answer.
type loaded struct {
	Tenant string      `json:"tenant"`
	Batch  string      `json:"batch"`
	Next   submit.Next `json:"next"`
}

// handle answers e with a response of API Gateway or a loaded.
func (h handler) handle(ctx context.Context, e event) (any, error) {
	defer h.after()
	switch {
	case slices.Contains(boot.StreamedRoutes(), e.HTTPMethod+" "+e.Resource):
		return stream(ctx, h.api, &e.APIGatewayProxyRequest)
	case e.HTTPMethod != "":
		return proxy(ctx, h.api, &e.APIGatewayProxyRequest)
	case e.Task == "" && e.Completion != nil:
		return struct{}{}, nil // it tells nothing that the stream did not
	case e.Task == "erase":
		return struct{}{}, h.erase(ctx)
	case e.Task != "load":
		return nil, errEvent
	}
	t := submit.Task{Ref: batch.Ref{Tenant: e.Tenant, ID: e.Batch}}
	if len(e.Record) > 0 && string(e.Record) != "null" {
		record, err := batch.DecodeRecord(e.Record)
		if err != nil {
			return nil, fmt.Errorf("submit: load task: %w", err)
		}
		t.Ref, t.Record = record.Ref, &record
	}
	if t.Ref.Tenant == "" || t.Ref.ID == "" {
		return nil, errLoad
	}
	next, err := h.load(ctx, t)
	return loaded{Tenant: t.Ref.Tenant, Batch: t.Ref.ID, Next: next}, err
}
