package execute

import (
	"sync"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// coalesceWait is how long a job that is ready waits at most for others whose
// line may be read with its own.
const coalesceWait = 10 * time.Millisecond

// A coalescer gathers jobs that are ready, for as long as others may soon be,
// and coalesces their lines into ranges, each of which is one read.
type coalescer struct {
	next func(lines []*job) // takes a range of one batch's lines, and does not wait
	jobs *sync.WaitGroup    // counts the timer

	mu        sync.Mutex
	admitting int // jobs of which it is not known yet
	ready     []*job
	timer     *time.Timer // runs while jobs wait for others
}

// expect says that n jobs will be admitted or not.
func (c *coalescer) expect(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.admitting += n
}

// admitted says whether j is ready. Once nobody else may be, or the first has
// waited for long enough, all go.
func (c *coalescer) admitted(j *job, ready bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.admitting--
	if ready {
		c.ready = append(c.ready, j)
	}
	switch {
	case c.admitting == 0:
		c.release()
	case len(c.ready) > 0 && c.timer == nil:
		c.jobs.Add(1)
		c.timer = time.AfterFunc(coalesceWait, func() {
			defer c.jobs.Done()
			c.mu.Lock()
			defer c.mu.Unlock()
			c.release()
		})
	}
}

// release hands on the jobs that wait; c.mu is held.
func (c *coalescer) release() {
	if c.timer != nil && c.timer.Stop() {
		c.jobs.Done()
	}
	ready := c.ready
	c.timer, c.ready = nil, nil
	for _, r := range batch.Coalesce(ready, (*job).extent) {
		c.next(r.Items)
	}
}

// extent returns where j's line lies in its batch's input.
func (j *job) extent() batch.Extent {
	return batch.Extent{Key: j.message.Tenant + "#" + j.message.Batch, Offset: j.message.Offset, Length: j.message.Length}
}
