package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// maxEntries is the most entries of one call, and maxBytes the most bytes of
	// all its messages. SQS takes 1 MiB since 2025; engines and regions that
	// lag behind take 256 KiB
	// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html).
	maxEntries = 10
	maxBytes   = 256 << 10
	// maxHide is the longest that a message is hidden, counted from its receive
	// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html).
	maxHide = 12 * time.Hour
	// attempts bounds how often an entry that SQS failed is tried, with pauses
	// that double from pause to maxPause, of which jitter takes up to half.
	attempts = 6
	pause    = 100 * time.Millisecond
	maxPause = 5 * time.Second
	// parallel is how many calls are in flight at once.
	parallel = 8
)

// ErrRefused reports an entry that SQS keeps refusing. The error that wraps it
// names the reason's code.
var ErrRefused = errors.New("sqsqueue: SQS refused it")

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

// A Queue sends, hides and deletes messages.
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

// Send sends messages, any number of them. It returns an error if any of them
// may not have been sent; then, as after a lost answer, others may have been
// sent twice. Entries that fail are tried up to 6 times; one that SQS calls our
// own fault is not, and gives an error wrapping ErrRefused.
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
			return outcome{}, err //nolint:wrapcheck // wrapped by each
		}
		var o outcome
		for _, s := range out.Successful {
			o.done = append(o.done, aws.ToString(s.Id))
		}
		o.failed = out.Failed

		return o, nil
	}
	size := func(e types.SendMessageBatchRequestEntry) int {
		return len(aws.ToString(e.MessageBody)) + len(aws.ToString(e.MessageGroupId))
	}
	if err := each(ctx, q, entries, size, send, func(types.BatchResultErrorEntry) bool { return false }); err != nil {
		return fmt.Errorf("sqsqueue: send: %w", err)
	}

	return nil
}

// Hide hides received messages for d from now on, at least; 0 shows them. It
// takes d as within 0 and 12 hours, by which time since its receive SQS shows a
// message anyway.
//
// A handle that is not good any more is no error: its message was deleted, or
// is visible again and somebody else's, or shows itself at the end of its 12
// hours. There is nothing left to hide, and none of this loses a message.
func (q *Queue) Hide(ctx context.Context, handles []string, d time.Duration) error {
	d = min(max(d, 0), maxHide)
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
			return outcome{}, err //nolint:wrapcheck // wrapped by each
		}
		var o outcome
		for _, s := range out.Successful {
			o.done = append(o.done, aws.ToString(s.Id))
		}
		o.failed = out.Failed

		return o, nil
	}
	if err := each(ctx, q, handles, handleSize, change, gone); err != nil {
		return fmt.Errorf("sqsqueue: hide: %w", err)
	}

	return nil
}

// Delete deletes received messages.
//
// A handle that is not good any more is no error: its message was deleted, or
// was received again. Whoever received it finds its request ended, and deletes
// it then.
func (q *Queue) Delete(ctx context.Context, handles []string) error {
	remove := func(ctx context.Context, chunk []string) (outcome, error) {
		entries := make([]types.DeleteMessageBatchRequestEntry, len(chunk))
		for i, handle := range chunk {
			entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &handle}
		}
		out, err := q.api.DeleteMessageBatch(ctx,
			&sqs.DeleteMessageBatchInput{QueueUrl: &q.config.URL, Entries: entries})
		if err != nil {
			return outcome{}, err //nolint:wrapcheck // wrapped by each
		}
		var o outcome
		for _, s := range out.Successful {
			o.done = append(o.done, aws.ToString(s.Id))
		}
		o.failed = out.Failed

		return o, nil
	}
	if err := each(ctx, q, handles, handleSize, remove, gone); err != nil {
		return fmt.Errorf("sqsqueue: delete: %w", err)
	}

	return nil
}

func handleSize(handle string) int { return len(handle) }

// gone reports whether an entry failed because its handle is not good any
// more. InvalidParameterValue is what SQS calls a handle whose message was
// deleted or whose time is over, and a message that would pass its 12 hours;
// all else in an entry is right by construction
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html).
// A code may have a prefix and an ending that its error has elsewhere: what SDKs
// call MessageNotInflight is AWS.SimpleQueueService.MessageNotInflight on the
// wire, and an engine has InvalidParameterValueException (docs/aws.md).
func gone(e types.BatchResultErrorEntry) bool {
	code := strings.TrimPrefix(aws.ToString(e.Code), "AWS.SimpleQueueService.")
	code = strings.TrimSuffix(code, "Exception")

	return slices.Contains([]string{"ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"}, code)
}

// An outcome is what became of a call's entries, whose ids are their indices.
type outcome struct {
	done   []string
	failed []types.BatchResultErrorEntry
}

// each makes calls for all entries, as many at once in each as SQS takes, and
// several calls at a time. void says which failures do not matter.
func each[E any](
	ctx context.Context, q *Queue, entries []E, size func(E) int,
	call func(context.Context, []E) (outcome, error), void func(types.BatchResultErrorEntry) bool,
) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for len(entries) > 0 {
		n, bytes := 0, 0
		for n < min(len(entries), maxEntries) && (n == 0 || bytes+size(entries[n]) <= maxBytes) {
			bytes += size(entries[n])
			n++
		}
		chunk := slices.Clone(entries[:n])
		entries = entries[n:]
		group.Go(func() error { return persist(ctx, q, chunk, call, void) })
	}

	return group.Wait() //nolint:wrapcheck // wrapped where it arose
}

// persist makes one call, and again for what failed in it.
func persist[E any](
	ctx context.Context, q *Queue, chunk []E,
	call func(context.Context, []E) (outcome, error), void func(types.BatchResultErrorEntry) bool,
) error {
	wait := pause
	for attempt := 1; ; attempt++ {
		o, err := call(ctx, chunk)
		if err != nil {
			return fmt.Errorf("call of %d entries: %w", len(chunk), err) // the SDK has tried it again
		}
		var code string
		if chunk, code, err = left(o, chunk, void); err != nil || len(chunk) == 0 {
			return err
		}
		if attempt == attempts {
			return fmt.Errorf("%d entries failed %d times: %w: %s", len(chunk), attempts, ErrRefused, code)
		}
		if err := sleep(ctx, time.Duration(float64(wait)*(1-q.config.Random()/2))); err != nil {
			return err
		}
		wait = min(2*wait, maxPause)
	}
}

// left returns the entries of chunk to try again, with the code that one of
// them failed with: those that failed by SQS's fault, and those of which SQS
// said nothing. It returns an error if one failed by ours.
func left[E any](o outcome, chunk []E, void func(types.BatchResultErrorEntry) bool) ([]E, string, error) {
	over := make(map[string]bool, len(chunk))
	for _, id := range o.done {
		over[id] = true
	}
	code := "no answer"
	for _, e := range o.failed {
		switch {
		case void(e):
			over[aws.ToString(e.Id)] = true
		case e.SenderFault:
			return nil, "", fmt.Errorf("%w: %s", ErrRefused, aws.ToString(e.Code))
		default:
			code = aws.ToString(e.Code)
		}
	}
	var again []E
	for i, entry := range chunk {
		if !over[strconv.Itoa(i)] {
			again = append(again, entry)
		}
	}

	return again, code, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait: %w", ctx.Err())
	}
}
