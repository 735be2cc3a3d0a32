package memstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// maxVisibility is the longest that a message can be hidden from its receive on
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html).
const maxVisibility = 12 * time.Hour

// errVisibility reports a time out of SQS's bounds.
var errVisibility = errors.New("memstore: a message is hidden for 0 to 12 hours")

// A Queue hands out messages as SQS does: at least once, each hidden from the
// others for a while after it was received.
type Queue struct {
	now        func() time.Time
	visibility time.Duration

	mu       sync.Mutex
	messages []*queued // in the order they were sent
	sent     int
}

// queued is a message in the queue.
type queued struct {
	id         int
	message    batch.Message
	receives   int
	receivedAt time.Time
	visibleAt  time.Time
}

// handle names one receive of a message; a later receive makes it stale.
func (q *queued) handle() string { return strconv.Itoa(q.id) + "." + strconv.Itoa(q.receives) }

// A Received is a message as a worker gets it.
type Received struct {
	Handle   string // names this receive
	Message  batch.Message
	Receives int // how often it was received, this time included
}

// NewQueue returns an empty Queue that hides a received message for visibility,
// at most 12 hours, by the clock now.
func NewQueue(now func() time.Time, visibility time.Duration) *Queue {
	return &Queue{now: now, visibility: min(max(visibility, 0), maxVisibility)}
}

// Send puts messages into the queue, visible at once.
func (q *Queue) Send(ctx context.Context, ms []batch.Message) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: send: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range ms {
		q.sent++
		q.messages = append(q.messages, &queued{id: q.sent, message: m, visibleAt: q.now()})
	}
	return nil
}

// Receive returns at most limit visible messages, oldest first, and hides them
// for the queue's own time. It does not wait for any: it returns none if none is
// visible.
func (q *Queue) Receive(ctx context.Context, limit int) ([]Received, error) {
	return q.receive(ctx, limit, q.visibility)
}

func (q *Queue) receive(ctx context.Context, limit int, visibility time.Duration) ([]Received, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("memstore: receive: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	var got []Received
	for _, m := range q.messages {
		if len(got) >= limit {
			break
		}
		if now.Before(m.visibleAt) {
			continue
		}
		m.receives++
		m.receivedAt, m.visibleAt = now, now.Add(visibility)
		got = append(got, Received{Handle: m.handle(), Message: m.message, Receives: m.receives})
	}
	return got, nil
}

// ReceiveMessages returns at most n visible messages and hides them for
// visibility. It waits for a first for as long as wait.
func (q *Queue) ReceiveMessages(ctx context.Context, n int, visibility, wait time.Duration) ([]batch.Delivery, error) {
	if n < 1 || n > 10 || visibility < 0 || visibility > maxVisibility || wait < 0 || wait > 20*time.Second {
		return nil, errors.New("memstore: receive: 1 to 10 messages, hidden for 0 to 12 hours, within 0 to 20 seconds")
	}
	for until := q.now().Add(wait); ; {
		got, err := q.receive(ctx, n, visibility)
		if left := until.Sub(q.now()); err != nil || len(got) > 0 || left <= 0 {
			return deliveries(got), err
		} else if next, ok := q.NextVisible(); ok {
			left = min(left, max(next.Sub(q.now()), time.Millisecond))
			if err := pause(ctx, left); err != nil {
				return nil, err
			}
		} else if err := pause(ctx, min(left, 100*time.Millisecond)); err != nil {
			return nil, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("memstore: receive: %w", ctx.Err())
	}
}

func deliveries(got []Received) []batch.Delivery {
	out := make([]batch.Delivery, len(got))
	for i, r := range got {
		body, _ := r.Message.Encode() // a message always encodes
		id, _, _ := strings.Cut(r.Handle, ".")
		out[i] = batch.Delivery{MessageID: id, Handle: r.Handle, Receives: r.Receives, Body: body}
	}
	return out
}

// ChangeVisibility hides received messages for d from now on; 0 makes them
// visible. It passes over a handle whose message was deleted, became visible or
// was received again. It returns an error if d is out of bounds, or if a
// message would be hidden for more than 12 hours since its receive.
func (q *Queue) ChangeVisibility(ctx context.Context, handles []string, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: change visibility: %w", err)
	}
	if d < 0 || d > maxVisibility {
		return fmt.Errorf("%w, not %v", errVisibility, d)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	held := q.held(handles)
	for _, m := range held {
		if now.Before(m.visibleAt) && now.Add(d).Sub(m.receivedAt) > maxVisibility {
			return fmt.Errorf("%w since its receive", errVisibility)
		}
	}
	for _, m := range held {
		if now.Before(m.visibleAt) {
			m.visibleAt = now.Add(d)
		}
	}
	return nil
}

// Delete removes received messages. It passes over a handle whose message was
// deleted or received again.
func (q *Queue) Delete(ctx context.Context, handles []string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: delete messages: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	held := q.held(handles)
	kept := q.messages[:0]
	for _, m := range q.messages {
		if held[m.handle()] == nil {
			kept = append(kept, m)
		}
	}
	clear(q.messages[len(kept):])
	q.messages = kept
	return nil
}

// held returns, by handle, the messages that handles still name; q.mu is held.
func (q *Queue) held(handles []string) map[string]*queued {
	named := make(map[string]bool, len(handles))
	for _, h := range handles {
		named[h] = true
	}
	held := map[string]*queued{}
	for _, m := range q.messages {
		if h := m.handle(); m.receives > 0 && named[h] {
			held[h] = m
		}
	}
	return held
}

// Len returns the number of messages in the queue, hidden ones too.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.messages)
}

// NextVisible returns when the first message is visible, and false if the queue
// is empty.
func (q *Queue) NextVisible() (time.Time, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var first time.Time
	for i, m := range q.messages {
		if i == 0 || m.visibleAt.Before(first) {
			first = m.visibleAt
		}
	}
	return first, len(q.messages) > 0
}
