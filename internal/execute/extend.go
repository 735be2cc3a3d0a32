package execute

import (
	"context"
	"time"
)

const (
	// extendFor is how long messages are hidden at a time. When a worker dies they
	// show at the latest so much later.
	extendFor = 45 * time.Second
	// extendEvery is the time between two extensions, at most, and extendAhead how
	// long a message must still be hidden at one, or it is extended: until after the
	// next, should that be slow or fail.
	extendEvery = 15 * time.Second
	extendAhead = 30 * time.Second
	// maxVisibility is the longest that a message is hidden for: SQS allows 12 hours
	// from its receive, of which an invocation may have used 15 minutes
	// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html).
	maxVisibility = 11*time.Hour + 30*time.Minute
	// visibilityLimit bounds a hiding: jobs wait for it.
	visibilityLimit = 15 * time.Second
	// firstWait is the longest that the first hiding delays claims: until it is
	// over, a dead worker's messages stay hidden for the queue's own time.
	firstWait = time.Second
)

// An extender extends the visibility timeout of the messages that this worker
// has, in short steps instead of the queue's own long one, so that a dead
// worker's come back soon.
type extender struct {
	kit

	queue  Queue
	ledger *ledger
	turn   turn // of who changes what is hidden, so that an extension never overtakes a requeue

	once chan struct{} // closed when the first extension is over
}

func newExtender(k kit, q Queue, l *ledger) *extender {
	return &extender{kit: k, queue: q, ledger: l, turn: newTurn(), once: make(chan struct{})}
}

func (x *extender) loop(ctx context.Context) {
	x.extend(ctx)
	close(x.once)
	for x.rest(ctx, extendEvery) {
		x.extend(ctx)
	}
}

// await waits for the first extension, though not for long.
func (x *extender) await() {
	select {
	case <-x.once:
	case <-time.After(firstWait):
	}
}

// extend hides what this worker has for one more step. If that fails the
// messages may show too early, and whoever gets one sees that it is leased.
func (x *extender) extend(ctx context.Context) {
	x.turn.take()
	defer x.turn.pass()
	at := x.clock()
	due := x.ledger.extended(at.Add(extendAhead - extendFor))
	if len(due) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, visibilityLimit)
	defer cancel()
	if err := x.queue.ChangeVisibility(ctx, handlesOf(due), extendFor); err == nil {
		x.ledger.hidden(due, at)
	} else if ctx.Err() == nil {
		x.log.Warn("cannot hide messages", errAttr(err))
	}
}

func handlesOf(jobs []*job) []string {
	handles := make([]string, len(jobs))
	for i, j := range jobs {
		handles[i] = j.delivery.Handle
	}
	return handles
}

// drop extends jobs' messages no more. Others may receive them now, unless they
// are deleted.
func (x *extender) drop(jobs ...*job) {
	x.turn.take()
	defer x.turn.pass()
	x.ledger.stopExtending(jobs...)
}

// withhold hides j's message for d and extends it no more, unless it returns an
// error.
func (x *extender) withhold(j *job, d time.Duration) error {
	x.turn.take()
	defer x.turn.pass()
	err := x.changeVisibility(d, j.delivery.Handle)
	if err == nil {
		x.ledger.stopExtending(j)
	}
	return err
}

// changeVisibility shows messages again after d.
func (x *extender) changeVisibility(d time.Duration, handles ...string) error {
	ctx, cancel := context.WithTimeout(x.ctx, visibilityLimit)
	defer cancel()
	return x.queue.ChangeVisibility(ctx, handles, min(d, maxVisibility))
}
