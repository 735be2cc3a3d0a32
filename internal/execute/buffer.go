package execute

import (
	"sync"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// The bounds of a segment: whichever is reached first, of its bytes and the time
// from its first answer. Few answers wait for longer, until there are enough.
const (
	segmentBytes  = 4 << 20
	segmentWait   = 2 * time.Second
	segmentLonger = 5 * time.Second
	segmentEnough = 50
)

// A buffer gathers outcomes until they are worth a segment, each batch's apart.
// Nothing waits for a batch's last message in hand: with it all go.
type buffer struct {
	ledger    *ledger
	batches   *poller
	commits   *committer
	heartbeat *heartbeat
	timers    sync.WaitGroup // commits that time started

	mu     sync.Mutex
	groups map[batch.Ref]*group
}

// A group is what waits of one batch.
type group struct {
	entries []*entry
	bytes   int
	found   bool        // one has its outcome already, and adds nothing to a segment
	waited  bool        // for segmentWait
	timer   *time.Timer // runs while entries wait
}

// worth reports whether what waits is worth a segment, or needs none.
func (g *group) worth() bool {
	return g.bytes >= segmentBytes || g.waited && (g.found || len(g.entries) >= segmentEnough)
}

// add takes in a job with its outcome, or, without one, because its request
// turned out to be terminal, and commits its group if that is due. It returns
// once that is over.
func (u *buffer) add(j *job, o *outcome) {
	u.check(j.ref(), func(g *group) {
		u.ledger.reach(j, buffered)
		g.entries = append(g.entries, &entry{job: j, outcome: o})
		if g.found = g.found || o == nil; o != nil {
			g.bytes += len(o.line)
		}
		if g.timer == nil {
			u.arm(j.ref(), g, segmentWait)
		}
	})
}

// settled commits what waits of ref if it waited for a message that has its fate
// now. It returns once that is over.
func (u *buffer) settled(ref batch.Ref) { u.check(ref, func(*group) {}) }

// check changes ref's group and commits it if that is due.
func (u *buffer) check(ref batch.Ref, change func(*group)) {
	stops := u.batches.entry(ref).stops(u.batches.clock())
	u.mu.Lock()
	g := u.group(ref)
	change(g)
	due := u.take(g, stops || u.ledger.of(ref).pending == 0 || g.worth())
	u.mu.Unlock()
	u.commit(ref, due)
}

// group returns ref's group; u.mu is held.
func (u *buffer) group(ref batch.Ref) *group {
	g, ok := u.groups[ref]
	if !ok {
		g = &group{}
		u.groups[ref] = g
	}
	return g
}

// hurry commits what waits of a batch that stops, since it is soon too late.
// Whoever looks at the batch does not wait for that.
func (u *buffer) hurry(ref batch.Ref) {
	u.mu.Lock()
	defer u.mu.Unlock()
	g := u.group(ref)
	if u.ledger.of(ref).pending == 0 && len(g.entries) == 0 {
		return // nothing waits, and drain may be over
	}
	due := u.take(g, true)
	u.timers.Go(func() { u.commit(ref, due) })
}

// commit commits entries that take has returned. If with them the last is gone
// that was in hand of a batch that stops, the others hear of it at once.
func (u *buffer) commit(ref batch.Ref, due []*entry) {
	if len(due) > 0 {
		u.commits.commit(ref, due)
	} else {
		u.commits.reconciler.hint(ref)
	}
	u.heartbeat.announce(u.batches.entry(ref))
}

// arm has what waits in g go after d, unless it goes before; u.mu is held.
func (u *buffer) arm(ref batch.Ref, g *group, d time.Duration) {
	u.timers.Add(1)
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		defer u.timers.Done()
		u.commit(ref, u.expire(ref, g, t))
	})
	g.timer = t
}

// expire empties g if its time is over, which t says. Few entries wait on once.
func (u *buffer) expire(ref batch.Ref, g *group, t *time.Timer) []*entry {
	u.mu.Lock()
	defer u.mu.Unlock()
	if g.timer != t { // the entries are newer than this clock
		return nil
	}
	again := !g.waited
	if g.waited = true; again && !g.worth() {
		u.arm(ref, g, segmentLonger-segmentWait)
		return nil
	}
	return u.take(g, true)
}

// take empties g if it is due; u.mu is held.
func (u *buffer) take(g *group, due bool) []*entry {
	if !due || len(g.entries) == 0 {
		return nil
	}
	if g.timer.Stop() {
		u.timers.Done()
	}
	entries := g.entries
	*g = group{}
	return entries
}

// drain commits what is left and waits for all commits.
func (u *buffer) drain() {
	u.mu.Lock()
	due := make(map[batch.Ref][]*entry, len(u.groups))
	for ref, g := range u.groups {
		due[ref] = u.take(g, true)
	}
	u.mu.Unlock()
	for ref, entries := range due {
		u.commit(ref, entries)
	}
	u.timers.Wait()
	u.commits.requests.drain()
}
