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

// A Queue sends, hides and deletes messages. It does so by tens, of which none
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

// ChangeVisibility hides received messages for d from now on, at least; 0 shows
// them. It takes d as within 0 and 12 hours, by which time since its receive
// SQS shows a message anyway.
//
// A handle that is not good any more is no error: its message was deleted, or
// is visible again and somebody else's, or shows itself at the end of its 12
// hours. There is nothing left to hide, and none of this loses a message. For
// the others it returns an *EntriesError.
func (q *Queue) ChangeVisibility(ctx context.Context, handles []string, d time.Duration) error {
	d = min(max(d, 0), maxVisibility)
	seconds := int32((d + time.Second - 1) / time.Second) // at most 43,200
	change := func(ctx context.Context, chunk []string) (outcome, error) {
		entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(chunk))
		for i, handle := range chunk {
			entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &handle, VisibilityTimeout: seconds,
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
