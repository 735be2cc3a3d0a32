package execute

import (
	"context"
	"sync"
	"time"
)

const (
	// deleteEvery is the time between two deletions: by then there are some to
	// delete at once.
	deleteEvery = time.Second
	// deleteLimit bounds one.
	deleteLimit = 15 * time.Second
)

// A deleter deletes the messages that are acknowledged while others of their
// event still run, so that no slow call keeps them in flight. Those that are left
// at the end, or whose deletion fails, go by the event's answer, in which all are
// acknowledged: deleting is idempotent
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html).
type deleter struct {
	kit

	queue      Queue
	visibility *extender

	mu      sync.Mutex
	waiting []*job
}

// add takes in a message that is acknowledged.
func (d *deleter) add(j *job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting = append(d.waiting, j)
}

func (d *deleter) loop(ctx context.Context) {
	for d.rest(ctx, deleteEvery) {
		d.delete(ctx)
	}
}

func (d *deleter) delete(ctx context.Context) {
	d.mu.Lock()
	jobs := d.waiting
	d.waiting = nil
	d.mu.Unlock()
	if len(jobs) == 0 {
		return
	}
	limited, cancel := context.WithTimeout(ctx, deleteLimit)
	defer cancel()
	handles := make([]string, len(jobs))
	for i, j := range jobs {
		handles[i] = j.delivery.Handle
	}
	if err := d.queue.Delete(limited, handles); err != nil {
		if ctx.Err() == nil {
			d.log.Warn("cannot delete messages before the others of their event", errAttr(err))
		}
		return // they stay hidden until then
	}
	d.visibility.drop(jobs...)
}
