package execute

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

const (
	// coalesceWait is how long a job that is ready waits at most for others whose
	// line may be read with its own.
	coalesceWait = 10 * time.Millisecond
	// maxGap is how many bytes of no use are read rather than reading twice.
	maxGap = 64 << 10
	// maxRange bounds a read of several lines, in bytes.
	maxRange = 4 << 20
)

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
	for _, lines := range coalesce(ready) {
		c.next(lines)
	}
}

// coalesce groups jobs by ranges of lines that lie close together in one batch's
// input.
func coalesce(jobs []*job) [][]*job {
	jobs = slices.Clone(jobs)
	slices.SortFunc(jobs, func(a, b *job) int {
		return cmp.Or(
			cmp.Compare(a.message.Tenant, b.message.Tenant), cmp.Compare(a.message.Batch, b.message.Batch),
			cmp.Compare(a.message.Offset, b.message.Offset),
		)
	})
	var ranges [][]*job
	for i, j := range jobs {
		if i > 0 && coalesces(ranges[len(ranges)-1], j) {
			ranges[len(ranges)-1] = append(ranges[len(ranges)-1], j)
		} else {
			ranges = append(ranges, []*job{j})
		}
	}
	return ranges
}

// coalesces reports whether j's line is read together with lines.
func coalesces(lines []*job, j *job) bool {
	first, last := lines[0].message, lines[len(lines)-1].message
	m := j.message
	return m.Ref() == first.Ref() &&
		m.Offset-(last.Offset+last.Length) <= maxGap &&
		m.Offset+m.Length-first.Offset <= maxRange
}
