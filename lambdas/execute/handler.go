package main

import (
	"context"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/musketry/musketry/internal/batch"
)

// runner is what the handler needs of a worker.
type runner interface {
	Run(ctx context.Context, deliveries []batch.Delivery) []string
}

// A handler translates an event of the queue.
type handler struct {
	worker runner
	after  func() // called at the end of each event
}

// handle runs an event's messages and names those that must stay in the queue.
// It never fails as a whole: that would bring every message back.
func (h handler) handle(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
	defer h.after()
	deliveries := make([]batch.Delivery, len(event.Records))
	for i := range event.Records {
		deliveries[i] = delivery(&event.Records[i])
	}
	// Never nil: a null in place of the list counts as a failure of all
	// (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html).
	failures := []events.SQSBatchItemFailure{}
	for _, id := range h.worker.Run(ctx, deliveries) {
		failures = append(failures, events.SQSBatchItemFailure{ItemIdentifier: id})
	}
	return events.SQSEventResponse{BatchItemFailures: failures}, nil
}

func delivery(m *events.SQSMessage) batch.Delivery {
	var sentAt time.Time
	if ms, err := strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64); err == nil {
		sentAt = time.UnixMilli(ms).UTC()
	}
	receives, err := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
	if err != nil {
		receives = 2 // not known to be the first: the worker reads before it claims
	}
	return batch.Delivery{MessageID: m.MessageId, Handle: m.ReceiptHandle, Receives: receives, Body: m.Body, SentAt: sentAt}
}
