// Submit is the function behind the API, and a batch's first step: it answers
// requests of API Gateway, and loads batches as tasks of their flows.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/submit"
)

// httpTime bounds a call of the API. API Gateway gives up after 29 s
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html); a
// large upload's completion goes on for the client's next try.
const httpTime = 5 * time.Minute

// errEvent reports an event that is neither a request nor a task.
var errEvent = errors.New("submit: the event is neither a request of API Gateway nor a load task")

// A handler takes the two sorts of events that this function gets.
type handler struct {
	api  http.Handler
	load func(ctx context.Context, t submit.Task) (submit.Next, error)
}

// An event is a request of API Gateway, or a task of a batch's flow.
type event struct {
	events.APIGatewayProxyRequest

	Task   string          `json:"task"`
	Record json.RawMessage `json:"record"` // of the batch to load
}

// A loaded is a load task's answer.
type loaded struct {
	Tenant string      `json:"tenant"`
	Batch  string      `json:"batch"`
	Next   submit.Next `json:"next"`
}

// handle answers e with a response of API Gateway or a loaded.
func (h handler) handle(ctx context.Context, e event) (any, error) {
	switch {
	case e.HTTPMethod != "":
		ctx, cancel := context.WithTimeout(ctx, httpTime)
		defer cancel()

		return proxy(ctx, h.api, &e.APIGatewayProxyRequest)
	case e.Task != "load":
		return nil, errEvent
	}
	record, err := batch.DecodeRecord(e.Record)
	if err != nil {
		return nil, fmt.Errorf("submit: load task: %w", err)
	}
	next, err := h.load(ctx, submit.Task{Record: record})

	return loaded{Tenant: record.Tenant, Batch: record.ID, Next: next}, err
}
