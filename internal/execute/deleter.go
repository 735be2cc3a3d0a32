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

// A deleter deletes the messages that are done while others of their event
// still run, so that no slow call keeps them in flight. Those that are left at
// the end, or whose deletion fails, go by the event's answer, in which all are
// done: to delete one again is no error
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html).
type deleter struct {
	run *run

	mu      sync.Mutex
	waiting []string // handles
}

// add takes in a message whose request or batch is terminal, and counted if it
// was by this worker.
func (d *deleter) add(handle string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting = append(d.waiting, handle)
}

func (d *deleter) loop(ctx context.Context) {
	for d.run.rest(ctx, deleteEvery) {
		d.delete(ctx)
	}
}

func (d *deleter) delete(ctx context.Context) {
	d.mu.Lock()
	handles := d.waiting
	d.waiting = nil
	d.mu.Unlock()
	if len(handles) == 0 {
		return
	}
	limited, cancel := context.WithTimeout(ctx, deleteLimit)
	defer cancel()
	if err := d.run.Queue.Delete(limited, handles); err != nil {
		if ctx.Err() == nil {
			d.run.log.Warn("cannot delete messages before the others of their event", errAttr(err))
		}
		return // they stay hidden until then
	}
	d.run.keep.drop(handles...)
}
