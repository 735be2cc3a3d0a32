package sqsqueue

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// hideLetter is how long a dead letter that was received is hidden from
	// others, in seconds: longer than sending it again takes, and shorter than the
	// time between two sweeps, so that those which stay are seen by the alarm.
	hideLetter = 120
	// waitLetter makes SQS ask all its servers, which a receive that does not
	// wait does not
	// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html).
	waitLetter = 1 // second
	// callLetters bounds a receive, whose connection may be dead.
	callLetters = 20 * time.Second
)

// DeadLetters is the queue to which SQS moves what was received too often.
type DeadLetters struct {
	api   API
	url   string
	queue *Queue
}

// NewDeadLetters returns the DeadLetters of the queue of that URL.
func NewDeadLetters(api API, url string) *DeadLetters {
	return &DeadLetters{api: api, url: url, queue: New(api, Config{URL: url})}
}

// Receive returns at most 10 dead letters, which are hidden from others for 2
// minutes; none if there are none.
func (d *DeadLetters) Receive(ctx context.Context) ([]batch.DeadLetter, error) {
	ctx, cancel := context.WithTimeout(ctx, callLetters)
	defer cancel()
	out, err := d.api.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &d.url, MaxNumberOfMessages: maxEntries, VisibilityTimeout: hideLetter, WaitTimeSeconds: waitLetter,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameSentTimestamp},
	})
	if err != nil {
		return nil, fmt.Errorf("sqsqueue: receive dead letters: %w", err)
	}
	letters := make([]batch.DeadLetter, len(out.Messages))
	for i := range out.Messages {
		m := &out.Messages[i]
		letters[i] = batch.DeadLetter{
			ID: aws.ToString(m.MessageId), Handle: aws.ToString(m.ReceiptHandle), Body: aws.ToString(m.Body),
			SentAt: sentAt(m.Attributes),
		}
	}
	return letters, nil
}

// Delete deletes received dead letters, as Queue.Delete does.
func (d *DeadLetters) Delete(ctx context.Context, handles []string) error {
	return d.queue.Delete(ctx, handles)
}

// sentAt returns when a message was sent; the zero time where SQS does not say.
func sentAt(attributes map[string]string) time.Time {
	ms, err := strconv.ParseInt(attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
