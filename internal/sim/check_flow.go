package sim

import (
	"cmp"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// pouring is the longest that a batch at its low water waits for more.
	pouring = 30 * time.Second
	// stall is how long a request must have waited before its message may be lost.
	stall = 4 * time.Minute
	// usualSample is how many are enqueued again to see whether they move.
	usualSample = 25
)

// quiet reports whether by a time since the start nothing went wrong for so long
// that all of it is made up for.
func (w *world) quiet(at time.Duration) bool {
	p := w.plan
	return p.lively && p.meddle == nil && (p.calmAt == 0 || at >= p.calmAt+15*time.Minute)
}

// unfinished returns how many of j's requests are enqueued and have no outcome.
func (j *job) unfinished() int {
	return j.shadow.batch.Enqueued - len(j.shadow.outcomes) - j.shadow.born
}

// water checks that a batch at its low water has more enqueued soon.
func (c *checker) water(j *job) {
	b, now, since := j.shadow.batch, c.world.sched.now(), j.shadow.low
	low := b.Status == batch.StatusInProgress && b.Enqueued < b.Counts.Total && b.Reconciled.HighWater > 0 &&
		b.Reconciled.AskAt.IsZero() && j.unfinished() <= b.Reconciled.HighWater/2
	switch {
	case low && since == 0:
		j.shadow.low = now
	case !low:
		j.shadow.low = 0
	}
	if since > 0 && now-since > pouring && c.world.quiet(since) {
		c.wrong("%s was at its low water for %v, with %d of %d enqueued", j.nick, now-since, b.Enqueued, b.Counts.Total)
		j.shadow.low = 0
	}
}

// allowance checks that what all batches have enqueued and unfinished stays
// within the deployment's allowance.
func (c *checker) allowance(before, after batch.Batch) {
	limit, sum := c.world.plan.finalize.Allowance, 0
	for _, j := range c.world.plan.jobs {
		if !j.shadow.batch.Status.Terminal() {
			sum += j.unfinished()
		}
	}
	if limit > 0 && after.Enqueued > before.Enqueued && sum > limit {
		c.wrong("%d requests are enqueued and unfinished, of which %d are allowed", sum, limit)
	}
}

// sent is told of messages that go to the queue. No more than a sample of a
// batch's go again that went again so shortly before that they cannot be lost.
func (c *checker) sent(ms []batch.Message) {
	w := c.world
	soon, now := map[*job]int{}, w.sched.now()
	for _, m := range ms {
		j, l := c.find(m.Key())
		switch {
		case l == nil:
		case !m.Reenqueued:
			l.trail.enqueued++
		default:
			if at := l.trail.again; at > 0 && now-at < stall && w.plan.lively && at >= w.plan.calmAt {
				soon[j]++
			}
			l.trail.again = now
		}
	}
	for _, j := range w.plan.jobs {
		if soon[j] > cmp.Or(w.plan.finalize.Sample, usualSample) {
			c.wrong("%d requests of %s are enqueued again, less than %v after they were", soon[j], j.nick, stall)
		}
	}
}
