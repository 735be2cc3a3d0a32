package execute

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// keepFor is how long messages are hidden at a time. When a worker dies they
	// show at the latest so much later, and at the earliest keepFor - keepEvery
	// later: by then its heartbeat is stale.
	keepFor = 45 * time.Second
	// keepEvery is the time between two extensions.
	keepEvery = 15 * time.Second
	// maxHide is the longest that a message is put back for: SQS allows 12 hours
	// from its receive, of which an invocation may have used 15 minutes
	// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html).
	maxHide = 11*time.Hour + 30*time.Minute
	// hideLimit bounds a hiding: jobs wait for it.
	hideLimit = 15 * time.Second
	// holdWait is the longest that the first hiding delays claims: until it is
	// over, a dead worker's messages stay hidden for the queue's own time.
	holdWait = time.Second
)

// A keeper keeps the messages that this worker holds hidden, in short steps
// instead of the queue's own long one, so that a dead worker's come back soon.
type keeper struct {
	run  *run
	turn turn // of who changes what is hidden, so that an extension never overtakes a putting back

	mu   sync.Mutex
	held map[string]bool // by handle
	once chan struct{}   // closed when the first hiding is over
}

func newKeeper(r *run) *keeper {
	return &keeper{run: r, turn: newTurn(), held: make(map[string]bool), once: make(chan struct{})}
}

// hold takes in the messages of jobs, which loop hides from now on.
func (k *keeper) hold(jobs []*job) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, j := range jobs {
		k.held[j.delivery.Handle] = true
	}
}

// await waits for the first hiding, though not for long.
func (k *keeper) await() {
	select {
	case <-k.once:
	case <-time.After(holdWait):
	}
}

// drop stops hiding messages. Others may receive them now.
func (k *keeper) drop(handles ...string) {
	k.turn.take()
	defer k.turn.pass()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, handle := range handles {
		delete(k.held, handle)
	}
}

// rest hides a message for d and stops keeping it, unless it returns an error.
func (k *keeper) rest(handle string, d time.Duration) error {
	k.turn.take()
	defer k.turn.pass()
	if err := k.run.hide(d, handle); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.held, handle)
	return nil
}

func (k *keeper) loop(ctx context.Context) {
	k.extend(ctx)
	close(k.once)
	for k.run.rest(ctx, keepEvery) {
		k.extend(ctx)
	}
}

// extend hides what is held for one more step. If that fails the messages may
// show too early, and whoever gets one sees that it is held.
func (k *keeper) extend(ctx context.Context) {
	k.turn.take()
	defer k.turn.pass()
	k.mu.Lock()
	handles := slices.Sorted(maps.Keys(k.held))
	k.mu.Unlock()
	if len(handles) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, hideLimit)
	defer cancel()
	if err := k.run.Queue.Hide(ctx, handles, keepFor); err != nil && ctx.Err() == nil {
		k.run.log.Warn("cannot hide messages", errAttr(err))
	}
}
