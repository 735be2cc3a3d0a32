package execute

import (
	"context"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/metric"
)

const (
	// receiveMost is the most messages of one receive
	// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html).
	receiveMost = 10
	// receivesMost is the most receives at once.
	receivesMost = 8
	// receiveWait is how long a receive waits for a first message: one that waits
	// asks all of SQS's servers, and brings as many as there are. None is cancelled,
	// since it may be handed messages all the same
	// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html).
	receiveWait = time.Second
	// freedFor is how long places that come free are gathered.
	freedFor = 5 * time.Millisecond
	// receiveLimit bounds one, whose connection may be dead.
	receiveLimit = 5 * time.Second
	// The rest after a receive that brought nothing; it doubles.
	dryRest, dryRestMost = 200 * time.Millisecond, 2 * time.Second
)

// A receiver receives messages as long as there is room for them and time to
// call: many at once while they come in tens, and else one receive at a time.
type receiver struct {
	kit

	calls     context.Context // without which nothing may start
	queue     Queue
	places    *places
	memory    *room
	isolation *isolation
	gate      *gate
	take      func(sent time.Time, got []batch.Delivery) // does not wait

	mu     sync.Mutex
	lanes  int  // receives at once
	flying int  // receives that are under way
	asked  int  // messages that these may bring
	begun  bool // one was made
	dry    int  // how many have brought nothing, one after another
	restTo time.Time
}

// run receives until nothing may start any more, or nothing is left.
func (r *receiver) run() {
	var receives sync.WaitGroup
	defer receives.Wait()
	for {
		n, rest, over := r.next()
		if over {
			return
		}
		if n > 0 {
			r.crew.run(&receives, func() { r.receive(n) })
			continue
		}
		timer := time.NewTimer(rest)
		select {
		case <-r.places.news: // what comes free at one instant is for one receive
			r.rest(r.calls, freedFor)
		case <-timer.C:
		case <-r.calls.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// next returns how many messages to ask for now. If it is none it returns how
// long to wait for news, at most, and whether all is over.
func (r *receiver) next() (n int, rest time.Duration, over bool) {
	now := r.clock()
	r.mu.Lock()
	defer r.mu.Unlock()
	worth := min(receiveMost, max(r.places.all/receiveMost, 1))
	short := r.memory.isShort()
	room, empty := r.places.look(worth+r.asked, short)
	room -= r.asked
	switch {
	case r.gate.closing(now), r.isolation.isHeld(), r.flying == 0 && (r.dry > 0 || r.isolation.isSpent()) && empty:
		return 0, 0, true
	case r.flying >= r.lanes, room < worth:
		return 0, receiveLimit, false
	case short: // a call that ends may end it
		return 0, dryRest, false
	case r.dry > 0 && now.Before(r.restTo):
		return 0, r.restTo.Sub(now), false
	}
	n = min(room, receiveMost)
	r.flying++
	r.asked += n
	return n, 0, false
}

// receive makes one receive and takes what it brings.
func (r *receiver) receive(n int) {
	ctx, cancel := context.WithTimeout(r.ctx, receiveLimit)
	defer cancel()
	sent := r.clock()
	got, err := r.queue.ReceiveMessages(ctx, n, extendFor, r.wait())
	if err != nil && r.ctx.Err() == nil {
		r.metrics.Count(metric.ReceiveFailures, 1)
		r.log.Warn("cannot receive messages", errAttr(err))
	}
	r.take(sent, got)
	r.received(n, len(got))
	rouse(r.places.news)
}

// wait returns how long a receive waits: not at all the first time, so that an
// invocation whose queue is empty ends at once.
func (r *receiver) wait() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.begun {
		r.begun = true
		return 0
	}
	return receiveWait
}

// received says that a receive has brought got messages of n.
func (r *receiver) received(n, got int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flying--
	r.asked -= n
	switch got {
	case 0:
		r.restTo = r.clock().Add(r.jitter(min(dryRest<<min(r.dry, 10), dryRestMost)))
		r.dry++
		r.lanes = 1
	case n:
		r.dry, r.lanes = 0, min(2*r.lanes, receivesMost)
	default:
		r.dry = 0
	}
}
