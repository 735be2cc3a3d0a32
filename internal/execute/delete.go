package execute

import (
	"context"
	"slices"
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

// A deleter deletes the messages that are acknowledged while others still run, so
// that no slow call keeps them in flight. Those of the event that are left at the
// end go by its answer, in which all are acknowledged: deleting is idempotent
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

// delete deletes what waits for it. If that fails it waits on, and stays hidden.
func (d *deleter) delete(ctx context.Context) {
	jobs := d.take()
	if len(jobs) == 0 {
		return
	}
	limited, cancel := context.WithTimeout(ctx, deleteLimit)
	defer cancel()
	if err := d.queue.Delete(limited, handlesOf(jobs)); err != nil {
		if ctx.Err() == nil {
			d.log.Warn("cannot delete messages yet", errAttr(err))
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.waiting = append(jobs, d.waiting...)
		return
	}
	d.visibility.drop(jobs...)
}

func (d *deleter) take() []*job {
	d.mu.Lock()
	defer d.mu.Unlock()
	jobs := d.waiting
	d.waiting = nil
	return jobs
}

// drain deletes what is left of the messages that this worker received itself. If
// that fails they show again, and whoever receives them finds their requests ended.
func (d *deleter) drain() {
	own := slices.DeleteFunc(d.take(), func(j *job) bool { return !j.own })
	if len(own) == 0 {
		return
	}
	err := d.persist(deleteLimit, func(ctx context.Context) error { return d.queue.Delete(ctx, handlesOf(own)) })
	if err != nil {
		d.log.Warn("cannot delete messages", errAttr(err))
	}
}
