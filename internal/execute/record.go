package execute

import (
	"sync"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// The bounds of a segment: whichever is reached first.
const (
	segmentAnswers = 64
	segmentBytes   = 4 << 20
	segmentWait    = 2 * time.Second // from its first answer
)

// An entry is a job at its end: with its outcome, or, without one, because its
// request turned out to be terminal already.
type entry struct {
	job     *job
	outcome *outcome
}

// A recorder gathers outcomes until they are worth a segment, each batch's
// apart. Nothing waits for a batch's last job in this run: with it all go.
type recorder struct {
	run    *run
	timers sync.WaitGroup // flushes that time started

	mu     sync.Mutex
	groups map[batch.Ref]*group
}

// A group is what waits of one batch.
type group struct {
	open    int // jobs that may still bring an entry
	calling int // those of them whose call has left
	commits int // flushes that are under way
	entries []*entry
	answers int
	bytes   int
	timer   *time.Timer // runs while entries wait
}

func newRecorder(r *run) *recorder { return &recorder{run: r, groups: make(map[batch.Ref]*group)} }

// expect says that each of jobs will leave exactly once.
func (c *recorder) expect(jobs ...*job) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, j := range jobs {
		g, ok := c.groups[j.ref()]
		if !ok {
			g = &group{}
			c.groups[j.ref()] = g
		}
		g.open++
	}
}

// call says that j, until it leaves, may have an answer in hand.
func (c *recorder) call(j *job) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !j.calling {
		j.calling = true
		c.groups[j.ref()].calling++
	}
}

// leave takes j out, with an entry or nil, and flushes its group if that is
// due. It returns once the flush is over.
func (c *recorder) leave(j *job, e *entry) {
	ref := j.ref()
	stops := c.run.watch.stops(ref)
	c.mu.Lock()
	g := c.groups[ref]
	g.open--
	if j.calling {
		j.calling = false
		g.calling--
	}
	if e != nil {
		g.add(e)
		c.arm(ref, g)
	}
	due := c.take(g, stops || g.open == 0 || g.answers >= segmentAnswers || g.bytes >= segmentBytes)
	c.mu.Unlock()
	c.commit(ref, due)
}

// hurry flushes what waits of b, which stops, since it is soon too late. Whoever
// looks at b does not wait for that.
func (c *recorder) hurry(b *watched) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, ok := c.groups[b.ref]
	if !ok || g.open == 0 && len(g.entries) == 0 {
		return // nothing waits, and drain may be over
	}
	due := c.take(g, true)
	c.timers.Go(func() { c.commit(b.ref, due) })
}

// commit flushes entries that take has returned. If with them the last is gone
// that was in hand of a batch that stops, the others hear of it at once.
func (c *recorder) commit(ref batch.Ref, due []*entry) {
	c.run.flush(ref, due)
	c.mu.Lock()
	if due != nil {
		c.groups[ref].commits--
	}
	c.mu.Unlock()
	c.run.tellLetGo(c.run.watch.entry(ref))
}

// holds reports whether answers of a batch may be in hand that are not recorded.
func (c *recorder) holds(ref batch.Ref) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, ok := c.groups[ref]
	return ok && (g.calling > 0 || len(g.entries) > 0 || g.commits > 0)
}

func (g *group) add(e *entry) {
	g.entries = append(g.entries, e)
	if e.outcome != nil {
		g.answers++
		g.bytes += len(e.outcome.line)
	}
}

// arm starts the clock of g's first entry; c.mu is held.
func (c *recorder) arm(ref batch.Ref, g *group) {
	if g.timer != nil {
		return
	}
	c.timers.Add(1)
	var t *time.Timer
	t = time.AfterFunc(segmentWait, func() {
		defer c.timers.Done()
		c.mu.Lock()
		due := c.take(g, g.timer == t) // otherwise the entries are newer than this clock
		c.mu.Unlock()
		c.commit(ref, due)
	})
	g.timer = t
}

// take empties g if it is due, for commit; c.mu is held.
func (c *recorder) take(g *group, due bool) []*entry {
	if !due || len(g.entries) == 0 {
		return nil
	}
	if g.timer.Stop() {
		c.timers.Done()
	}
	entries := g.entries
	g.timer, g.entries, g.answers, g.bytes = nil, nil, 0, 0
	g.commits++
	return entries
}

// drain flushes what is left and waits for all flushes.
func (c *recorder) drain() {
	c.mu.Lock()
	due := make(map[batch.Ref][]*entry, len(c.groups))
	for ref, g := range c.groups {
		due[ref] = c.take(g, true)
	}
	c.mu.Unlock()
	for ref, entries := range due {
		c.commit(ref, entries)
	}
	c.timers.Wait()
}
