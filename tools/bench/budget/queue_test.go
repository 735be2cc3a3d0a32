package budget_test

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/musketry/musketry/internal/sqsqueue"
)

const (
	// queueTime is what a request of SQS takes, long polling aside.
	queueTime = 10 * time.Millisecond
	// visibility is the queue's own, as infra/stack sets it.
	visibility = 16 * time.Minute
	// maxInFlight are the messages that a standard queue has received and not yet shown or deleted
	// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html).
	maxInFlight = 120_000
	// poll is how long an event source's receive waits
	// (https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html).
	poll = 20 * time.Second
	// pollers are those of an event source at first, and morePollers those that join them in a minute while there are
	// messages (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html).
	pollers, morePollers = 5, 300
	// eventMessages is the event source's batch size.
	eventMessages = 10
)

// A queue is a standard queue of SQS, which hands messages out in no order. Who does not wait for messages gets some of
// them, since only some of its servers are asked
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html).
type queue struct {
	meter *meter

	mu       sync.Mutex
	messages map[int]*message
	visible  []*message
	hidden   hidden
	sent     int
	news     chan struct{} // closed when a message shows, or will show sooner
}

type message struct {
	id, receives int
	body         string
	sentAt       time.Time
	shows        time.Time
	at           int // in visible or hidden
	isHidden     bool
}

func (m *message) handle() string { return strconv.Itoa(m.id) + "." + strconv.Itoa(m.receives) }

var _ sqsqueue.API = (*queue)(nil)

func newQueue(m *meter) *queue {
	return &queue{meter: m, messages: map[int]*message{}, news: make(chan struct{})}
}

// tell wakes who waits; q.mu is held.
func (q *queue) tell() {
	close(q.news)
	q.news = make(chan struct{})
}

// show makes visible what is due; q.mu is held.
func (q *queue) show() {
	for now := time.Now(); len(q.hidden) > 0 && !q.hidden[0].shows.After(now); {
		m, _ := heap.Pop(&q.hidden).(*message)
		m.isHidden, m.at = false, len(q.visible)
		q.visible = append(q.visible, m)
	}
}

// waiting returns how many messages could be received now.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.show()
	return len(q.visible)
}

// pick takes one of the visible messages; q.mu is held.
func (q *queue) pick() *message {
	i := rand.IntN(len(q.visible))
	m := q.visible[i]
	q.drop(m)
	return m
}

func (q *queue) drop(m *message) {
	if m.isHidden {
		heap.Remove(&q.hidden, m.at)
		return
	}
	last := len(q.visible) - 1
	q.visible[m.at] = q.visible[last]
	q.visible[m.at].at = m.at
	q.visible = q.visible[:last]
}

func (q *queue) hide(m *message, d time.Duration) {
	m.isHidden, m.shows = true, time.Now().Add(d)
	heap.Push(&q.hidden, m)
}

// held returns the message of a handle that still counts; q.mu is held.
func (q *queue) held(handle string) *message {
	id, _, _ := strings.Cut(handle, ".")
	n, _ := strconv.Atoi(id)
	if m := q.messages[n]; m != nil && m.handle() == handle {
		return m
	}
	return nil
}

func (q *queue) SendMessageBatch(
	ctx context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options),
) (*sqs.SendMessageBatchOutput, error) {
	if err := sleep(ctx, spread(queueTime)); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	out := &sqs.SendMessageBatchOutput{}
	for _, e := range in.Entries {
		q.sent++
		m := &message{id: q.sent, body: *e.MessageBody, sentAt: time.Now()}
		q.messages[m.id] = m
		q.hide(m, 0)
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
	}
	q.show()
	q.tell()
	q.meter.called(ctx, "SQS.SendMessageBatch", in, out, nil)
	return out, nil
}

func (q *queue) ReceiveMessage(
	ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options),
) (*sqs.ReceiveMessageOutput, error) {
	return q.receive(ctx, in, "SQS.ReceiveMessage")
}

func (q *queue) receive(ctx context.Context, in *sqs.ReceiveMessageInput, name string) (*sqs.ReceiveMessageOutput, error) {
	if err := sleep(ctx, spread(queueTime)); err != nil {
		return nil, err
	}
	until, out := time.Now().Add(time.Duration(in.WaitTimeSeconds)*time.Second), &sqs.ReceiveMessageOutput{}
	for {
		q.mu.Lock()
		q.show()
		most := int(max(in.MaxNumberOfMessages, 1))
		if in.WaitTimeSeconds == 0 {
			most = 1 + rand.IntN(most)
		}
		for len(out.Messages) < most && len(q.visible) > 0 && len(q.hidden) < maxInFlight {
			m := q.pick()
			m.receives++
			d := visibility
			if in.VisibilityTimeout > 0 {
				d = time.Duration(in.VisibilityTimeout) * time.Second
			}
			q.hide(m, d)
			id := strconv.Itoa(m.id)
			out.Messages = append(out.Messages, types.Message{
				MessageId: &id, ReceiptHandle: aws.String(m.handle()), Body: &m.body, Attributes: map[string]string{
					"ApproximateReceiveCount": strconv.Itoa(m.receives), "SentTimestamp": strconv.FormatInt(m.sentAt.UnixMilli(), 10),
				},
			})
		}
		next, news := until, q.news
		if len(q.hidden) > 0 && q.hidden[0].shows.Before(next) {
			next = q.hidden[0].shows
		}
		q.mu.Unlock()
		if len(out.Messages) > 0 || !time.Now().Before(until) {
			q.meter.called(ctx, name, in, out, nil)
			return out, nil
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-news:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			q.meter.called(ctx, name, in, out, nil)
			return nil, ctx.Err()
		}
		timer.Stop()
	}
}

func (q *queue) ChangeMessageVisibilityBatch(
	ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options),
) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	if err := sleep(ctx, spread(queueTime)); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	out := &sqs.ChangeMessageVisibilityBatchOutput{}
	for _, e := range in.Entries {
		if m := q.held(*e.ReceiptHandle); m != nil && m.isHidden {
			q.drop(m)
			q.hide(m, time.Duration(e.VisibilityTimeout)*time.Second)
		}
		out.Successful = append(out.Successful, types.ChangeMessageVisibilityBatchResultEntry{Id: e.Id})
	}
	q.tell()
	q.meter.called(ctx, "SQS.ChangeMessageVisibilityBatch", in, out, nil)
	return out, nil
}

func (q *queue) DeleteMessageBatch(
	ctx context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options),
) (*sqs.DeleteMessageBatchOutput, error) {
	return q.remove(ctx, in, "SQS.DeleteMessageBatch")
}

func (q *queue) remove(ctx context.Context, in *sqs.DeleteMessageBatchInput, name string) (*sqs.DeleteMessageBatchOutput, error) {
	if err := sleep(ctx, spread(queueTime)); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	out := &sqs.DeleteMessageBatchOutput{}
	for _, e := range in.Entries {
		if m := q.held(*e.ReceiptHandle); m != nil {
			q.drop(m)
			delete(q.messages, m.id)
		}
		out.Successful = append(out.Successful, types.DeleteMessageBatchResultEntry{Id: e.Id})
	}
	q.meter.called(ctx, name, in, out, nil)
	return out, nil
}

// hidden is a heap of hidden messages, the first to show first.
type hidden []*message

func (h hidden) Len() int           { return len(h) }
func (h hidden) Less(i, j int) bool { return h[i].shows.Before(h[j].shows) }
func (h hidden) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].at, h[j].at = i, j }
func (h *hidden) Push(x any) {
	m, _ := x.(*message)
	m.at = len(*h)
	*h = append(*h, m)
}

func (h *hidden) Pop() any {
	old := *h
	m := old[len(old)-1]
	*h = old[:len(old)-1]
	return m
}

// A source is Lambda's event source of a standard queue with a maximum concurrency: each poller receives, has the
// function called, deletes what that is done with, and receives again.
type source struct {
	queue  *queue
	most   int                                                     // pollers, the maximum concurrency
	invoke func(ctx context.Context, got []types.Message) []string // the ids of those that stay
}

// run polls until ctx ends.
func (s *source) run(ctx context.Context) {
	var all sync.WaitGroup
	running := 0
	start := func() {
		running++
		all.Go(func() { s.poll(ctx) })
	}
	for running < min(pollers, s.most) {
		start()
	}
	for ctx.Err() == nil {
		_ = sleep(ctx, time.Minute/morePollers)
		if ctx.Err() == nil && running < s.most && s.queue.waiting() > 0 {
			start()
		}
	}
	all.Wait()
}

func (s *source) poll(ctx context.Context) {
	for ctx.Err() == nil {
		in := &sqs.ReceiveMessageInput{MaxNumberOfMessages: eventMessages, WaitTimeSeconds: int32(poll / time.Second)}
		got, err := s.queue.receive(ctx, in, "SQS.ReceiveMessage (event source)")
		if err != nil || len(got.Messages) == 0 {
			continue
		}
		stay := map[string]bool{}
		for _, id := range s.invoke(ctx, got.Messages) {
			stay[id] = true
		}
		done := &sqs.DeleteMessageBatchInput{}
		for _, m := range got.Messages {
			if !stay[*m.MessageId] {
				done.Entries = append(done.Entries, types.DeleteMessageBatchRequestEntry{Id: m.MessageId, ReceiptHandle: m.ReceiptHandle})
			}
		}
		if len(done.Entries) > 0 {
			_, _ = s.queue.remove(context.WithoutCancel(ctx), done, "SQS.DeleteMessageBatch (event source)")
		}
	}
}
