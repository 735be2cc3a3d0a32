package sqsqueue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// maxEntries is the most entries of one call, and maxBytes the most bytes of
	// all its messages. SQS takes 1 MiB since 2025; engines and regions that
	// lag behind take 256 KiB
	// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html).
	maxEntries = 10
	maxBytes   = 256 << 10
	// maxVisibility is the longest that a message is hidden, counted from its receive
	// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html).
	maxVisibility = 12 * time.Hour
	// maxWait is the longest that a receive waits for a first message.
	maxWait = 20 * time.Second
	// attempts bounds how often an entry that SQS failed is tried, with pauses
	// that double from pause to maxPause, of which jitter takes up to half.
	attempts = 6
	pause    = 100 * time.Millisecond
	maxPause = 5 * time.Second
	// callTime bounds a call with the SDK's own repeats. SQS answers in
	// milliseconds: a silence so long is a dead connection, and the next try has
	// another.
	callTime = 5 * time.Second
	// parallel is how many calls are in flight at once.
	parallel = 8
)

// An API is what a Queue uses of SQS.
type API interface {
	SendMessageBatch(
		context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options),
	) (*sqs.SendMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(
		context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options),
	) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	DeleteMessageBatch(
		context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options),
	) (*sqs.DeleteMessageBatchOutput, error)
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
}

var _ API = (*sqs.Client)(nil)

// A Config names the queue.
type Config struct {
	URL string
	// Groups sends each message in the group of its tenant, by which a standard
	// queue is fair to tenants
	// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html).
	Groups bool
	// Random returns a number in [0, 1), for jitter; nil for math/rand's. It must
	// be safe for concurrent use.
	Random func() float64
}

// A Queue sends, receives, hides and deletes messages. All but receiving it does by tens, of which none
// waits for another or fails with it. A call lasts 5 seconds at most; it is
// tried up to 6 times for the entries that SQS failed or said nothing of, which
// is within 35 seconds; what SQS calls our own fault is not tried again.
type Queue struct {
	api    API
	config Config
}

// New returns a Queue.
func New(api API, config Config) *Queue {
	if config.Random == nil {
		config.Random = rand.Float64
	}
	return &Queue{api: api, config: config}
}

// Send sends messages, any number of them. It returns an *EntriesError, which
// names those that may not have been sent; as after a lost answer, others may
// have been sent twice.
func (q *Queue) Send(ctx context.Context, ms []batch.Message) error {
	entries := make([]types.SendMessageBatchRequestEntry, len(ms))
	for i, m := range ms {
		body, err := m.Encode()
		if err != nil {
			return fmt.Errorf("sqsqueue: send: %w", err)
		}
		entries[i].MessageBody = &body
		if q.config.Groups {
			entries[i].MessageGroupId = aws.String(m.Tenant)
		}
	}
	send := func(ctx context.Context, chunk []types.SendMessageBatchRequestEntry) (outcome, error) {
		for i := range chunk {
			chunk[i].Id = aws.String(strconv.Itoa(i))
		}
		out, err := q.api.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &q.config.URL, Entries: chunk})
		if err != nil {
			return outcome{}, err
		}
		return outcomeOf(out.Successful, func(s types.SendMessageBatchResultEntry) *string { return s.Id }, out.Failed), nil
	}
	size := func(e types.SendMessageBatchRequestEntry) int {
		return len(aws.ToString(e.MessageBody)) + len(aws.ToString(e.MessageGroupId))
	}
	if err := each(ctx, q, entries, size, send, func(types.BatchResultErrorEntry) bool { return false }); err != nil {
		return fmt.Errorf("sqsqueue: send: %w", err)
	}
	return nil
}

// ReceiveMessages receives at most n messages, of which it takes 1 to 10, hides
// them for visibility, and waits for a first for as long as wait: whole seconds,
// 12 hours and 20 seconds at most
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html).
// It makes one call, which ctx ends; SQS may have handed out messages all the
// same, which show again when their time is up.
func (q *Queue) ReceiveMessages(ctx context.Context, n int, visibility, wait time.Duration) ([]batch.Delivery, error) {
	out, err := q.api.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &q.config.URL, MaxNumberOfMessages: int32(min(max(n, 1), maxEntries)),
		VisibilityTimeout: seconds(visibility, maxVisibility), WaitTimeSeconds: seconds(wait, maxWait),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{
			types.MessageSystemAttributeNameApproximateReceiveCount, types.MessageSystemAttributeNameSentTimestamp,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("sqsqueue: receive: %w", err)
	}
	deliveries := make([]batch.Delivery, len(out.Messages))
	for i := range out.Messages {
		m := &out.Messages[i]
		deliveries[i] = batch.Delivery{
			MessageID: aws.ToString(m.MessageId), Handle: aws.ToString(m.ReceiptHandle), Body: aws.ToString(m.Body),
			Receives: receives(m.Attributes), SentAt: sentAt(m.Attributes),
		}
	}
	return deliveries, nil
}

// receives returns how often a message was received. If SQS does not say it was
// not the first time, so that the worker looks before it claims.
func receives(attributes map[string]string) int {
	n, err := strconv.Atoi(attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	if err != nil {
		return 2
	}
	return n
}

// seconds returns d, within 0 and most, in seconds, rounded up.
func seconds(d, most time.Duration) int32 {
	return int32((min(max(d, 0), most) + time.Second - 1) / time.Second) //nolint:gosec // at most 43,200
}

// ChangeVisibility hides received messages for d from now on, at least; 0 shows
// them. It takes d as within 0 and 12 hours, by which time since its receive
// SQS shows a message anyway.
//
// A handle that is not good any more is no error: its message was deleted, or
// is visible again and somebody else's, or shows itself at the end of its 12
// hours. There is nothing left to hide, and none of this loses a message. For
// the others it returns an *EntriesError.
func (q *Queue) ChangeVisibility(ctx context.Context, handles []string, d time.Duration) error {
	timeout := seconds(d, maxVisibility)
	change := func(ctx context.Context, chunk []string) (outcome, error) {
		entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(chunk))
		for i, handle := range chunk {
			entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &handle, VisibilityTimeout: timeout,
			}
		}
		out, err := q.api.ChangeMessageVisibilityBatch(ctx,
			&sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q.config.URL, Entries: entries})
		if err != nil {
			return outcome{}, err
		}
		return outcomeOf(out.Successful, func(s types.ChangeMessageVisibilityBatchResultEntry) *string { return s.Id }, out.Failed), nil
	}
	if err := each(ctx, q, handles, handleSize, change, isStale); err != nil {
		return fmt.Errorf("sqsqueue: change visibility: %w", err)
	}
	return nil
}

// Delete deletes received messages.
//
// A handle that is not good any more is no error: its message was deleted, or
// was received again. Whoever received it finds its request ended, and deletes
// it then. For the others it returns an *EntriesError.
func (q *Queue) Delete(ctx context.Context, handles []string) error {
	remove := func(ctx context.Context, chunk []string) (outcome, error) {
		entries := make([]types.DeleteMessageBatchRequestEntry, len(chunk))
		for i, handle := range chunk {
			entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &handle}
		}
		out, err := q.api.DeleteMessageBatch(ctx,
			&sqs.DeleteMessageBatchInput{QueueUrl: &q.config.URL, Entries: entries})
		if err != nil {
			return outcome{}, err
		}
		return outcomeOf(out.Successful, func(s types.DeleteMessageBatchResultEntry) *string { return s.Id }, out.Failed), nil
	}
	if err := each(ctx, q, handles, handleSize, remove, isStale); err != nil {
		return fmt.Errorf("sqsqueue: delete: %w", err)
	}
	return nil
}

func handleSize(handle string) int { return len(handle) }

// isStale reports whether an entry failed because its handle is not good any
// more. InvalidParameterValue is what SQS calls a handle whose message was
// deleted or whose time is over, and a message that would pass its 12 hours;
// all else in an entry is right by construction
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html).
// A code may have a prefix and an ending that its error has elsewhere: what SDKs
// call MessageNotInflight is AWS.SimpleQueueService.MessageNotInflight on the
// wire, and an engine has InvalidParameterValueException (docs/aws.md).
func isStale(e types.BatchResultErrorEntry) bool {
	code := strings.TrimPrefix(aws.ToString(e.Code), "AWS.SimpleQueueService.")
	code = strings.TrimSuffix(code, "Exception")
	return slices.Contains([]string{"ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"}, code)
}
