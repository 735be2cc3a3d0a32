package sim

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

const (
	// stale is the age of a heartbeat at which others take its worker for dead.
	stale = 30 * time.Second
	// landing is how long calls in flight may outlive their worker's lease: until
	// it looks, and has seen to its last heartbeat.
	landing = 10 * time.Second
	// operating is the longest that one operation of a worker may take, which its
	// caller bounds.
	operating = 30 * time.Second
	// idle is the longest that a request or a message may wait for nothing of its
	// own.
	idle = 5 * time.Second
	// manyPlaces are as many as no run needs.
	manyPlaces = 60
	// keeping is the longest that a worker keeps what it has claimed and does not
	// call: it waits for a permit, and for its write.
	keeping = 20 * time.Second
	// grace is how long after a batch's stop its seal waits in any case, and
	// committing how long for workers that still record answers, but for its last
	// look.
	grace, committing = 5 * time.Second, 19 * time.Second
)

// A stint is what a checker knows of an invocation of a worker.
type stint struct {
	id    string        // the worker's
	acked time.Time     // when its last acknowledged heartbeat was sent, by its clock
	lost  bool          // once there was none for so long that others took it for dead
	hurt  time.Duration // when an operation of it last went wrong, other than by being slow; 0: never
	lame  time.Duration // when one did that records an outcome
	spans []*span
	got   map[string]time.Duration // when it received a request's message, by its name
}

// A span is an operation of a worker.
type span struct {
	line     string        // of whose request alone; empty: it is for others too
	from, to time.Duration // to is far away while it is under way
}

// A deed is who did something for a request, and when.
type deed struct {
	by  *process
	run int // its invocation
	at  time.Duration
}

func (c *checker) deed(p *process) deed {
	return deed{by: p, run: p.invocation(), at: c.world.sched.now()}
}

// operates is told of an operation of p that begins, and what it returns of its
// end, and whether anything but slowness was the matter.
func (c *checker) operates(p *process, o operation) (over func(hurt bool)) {
	if !p.worker {
		return func(bool) {}
	}
	began := c.world.sched.now()
	s := &span{from: began, to: math.MaxInt64}
	if o.name == "Request" {
		s.line, _, _ = strings.Cut(o.key, " ")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stint.spans = append(p.stint.spans, s)
	return func(hurt bool) {
		now := c.world.sched.now()
		if took := now - began; took > operating && c.world.sched.frozen(p) < -took {
			c.wrong("%s waits for %s %s for %v", p.name, o.name, o.key, took)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if s.to = now; hurt {
			p.stint.hurt = now
			if o.name == "Put" || o.name == "ApplyAll" {
				p.stint.lame = now
			}
		}
	}
}

// hurts is told that a write of p that records an outcome, or a claim, failed
// within a call that did not.
func (p *process) hurts() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stint.hurt, p.stint.lame = p.world.sched.now(), p.world.sched.now()
}

// waits returns how long in [from, to] no operation of p was under way that was
// line's, or for others too. Any is, if line is empty.
func (p *process) waits(line string, from, to time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	spans := slices.DeleteFunc(slices.Clone(p.stint.spans), func(s *span) bool {
		return line != "" && s.line != "" && s.line != line || s.to < from
	})
	slices.SortFunc(spans, func(a, b *span) int { return cmp.Compare(a.from, b.from) })
	waited := time.Duration(0)
	for _, s := range spans {
		if s.from > from {
			waited += min(s.from, to) - from
		}
		from = max(from, min(s.to, to))
	}
	return waited + to - from
}

// well reports whether no operation of p's invocation went wrong since a time, or
// none that records an outcome, and it was not frozen.
func (p *process) well(since time.Duration, recording bool) bool {
	p.mu.Lock()
	hurt := p.stint.hurt
	if recording {
		hurt = p.stint.lame
	}
	p.mu.Unlock()
	return (hurt == 0 || hurt < since) && p.world.sched.frozen(p) <= since-p.world.sched.now()
}

// received is told of a message that p gets.
func (c *checker) received(p *process, m *message) {
	j, l := c.find(m.body.Key())
	if l == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stint.got == nil {
		p.stint.got = map[string]time.Duration{}
	}
	p.stint.got[j.name(m.body.Line)] = c.world.sched.now()
}

// eager checks that a call that leaves now has waited for none but its own.
func (c *checker) eager(p *process, j *job, n int) {
	now := c.world.sched.now()
	p.mu.Lock()
	began, known := p.stint.got[j.name(n)]
	p.mu.Unlock()
	if !known || c.world.plan.places < manyPlaces || c.world.plan.limitsRoute() { // it may have waited for a place, or its route
		return
	}
	held, _ := j.lines[n-1].trail.phase.(state.Processing)
	if held.Reclaims > 0 || !p.well(began, false) { // it may have run alone, or something was tried again
		return
	}
	if waited := p.waits(fmt.Sprintf("%s/%d", j.nick, n), began, now); waited > idle {
		c.wrong("%s waited %v for others before it was called", j.name(n), waited)
	}
}

// deletedSoon checks that the message of a request whose outcome p recorded is
// deleted soon after that, or after its receipt, if it is p who deletes it.
func (c *checker) deletedSoon(p *process, j *job, m *message) {
	done, now := j.lines[m.body.Line-1].trail.done, c.world.sched.now()
	since := max(done.at, m.received)
	if done.by != p || done.run != p.invocation() || !p.well(since, false) {
		return
	}
	if waited := p.waits("", since, now); waited > idle {
		c.wrong("the message of %s is deleted %v after its outcome was recorded", j.name(m.body.Line), now-since)
	}
}

// acknowledged is told of a heartbeat that p knows to be stored.
func (c *checker) acknowledged(p *process, b state.Worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.stint
	if s.id == b.ID {
		s.lost = s.lost || b.BeatAt.Sub(s.acked) >= stale
	}
	s.id, s.acked = b.ID, b.BeatAt
}

// silence returns for how long no heartbeat of p's was acknowledged, by its
// clock, and whether that was ever too long.
func (p *process) silence() (since time.Duration, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now().Sub(p.stint.acked), p.stint.lost
}

// alive checks that p, which makes a call now, is not taken for dead.
func (c *checker) alive(p *process, name string) {
	if silent, lost := p.silence(); lost || silent >= stale {
		c.wrong("%s is called by %s, whose last acknowledged heartbeat is %v old, or once was too old", name, p.name, silent)
	}
}

// landed is told of a call that brought p an answer, or an error of the
// connection.
func (c *checker) landed(p *process, name string, err error) {
	silent, lost := p.silence()
	if err == nil && (lost || silent >= stale+landing) && c.world.sched.frozen(p) < -landing {
		c.wrong("%s is answered to %s, whose last acknowledged heartbeat is %v old, or once was too old", name, p.name, silent)
	}
}

// beat is told of a heartbeat. One that ends a worker lets others take up what
// it holds: what only it knew must be written by then.
func (c *checker) beat(b state.Worker) {
	if !b.Ended {
		return
	}
	for _, j := range c.world.plan.jobs {
		for i, l := range j.lines {
			if held, ok := l.trail.phase.(state.Processing); ok && held.Lease.Worker == b.ID {
				c.uncalled(j, l, i+1)
			}
			if held, ok := l.trail.phase.(state.Processing); ok && held.Lease.Worker == b.ID && l.trail.told.worker == b.ID {
				l.trail.told.ended = true
			}
		}
	}
}

// uncalled checks that a request which a worker has claimed and will not call, or
// not soon, does not stay the worker's: it is called now, or somebody else's, or its
// worker ends. Where places are few it waits for one.
func (c *checker) uncalled(j *job, l *line, n int) {
	own, b, now := l.trail.claimed, j.shadow.batch, c.world.sched.now()
	if own.by == nil || c.world.plan.places < manyPlaces || own.by.gone() || own.by.invocation() != own.run || !own.by.well(own.at, false) ||
		b.Canceling() || b.FailCause != "" || b.Sealed || b.Overdue(own.by.now()) {
		return
	}
	if kept := now - own.at; kept > keeping {
		c.wrong("%s was claimed by %s for %v and not called", j.name(n), own.by.name, kept)
	}
}

// stopOf returns when b stops.
func stopOf(b batch.Batch) time.Time {
	at := b.Deadline
	for _, stop := range []time.Time{b.CancelingAt, b.FailingSince} {
		if !stop.IsZero() && stop.Before(at) {
			at = stop
		}
	}
	return at
}

// kept checks that the seal ends no request whose answer is in the hands of a
// worker that is about to record it.
func (c *checker) kept(p *process, j *job, l *line, n int) {
	answer, now := l.trail.paid, c.world.sched.now()
	l.trail.paid = deed{}
	b, to := j.shadow.batch, l.trail.phase.Status()
	if answer.by == nil || answer.by == p || to == state.StatusCompleted || answer.by.gone() || answer.by.invocation() != answer.run {
		return
	}
	stopped := slices.ContainsFunc(j.stops, func(s stopping) bool { return s.line == n })
	silent, lost := answer.by.silence()
	if stopped || lost || silent >= stale/2 || !answer.by.well(answer.at, true) || !p.now().Before(stopOf(b).Add(committing)) {
		return
	}
	c.wrong("%s is %s, and %s, which was answered %v ago, is recording that", j.name(n), to, answer.by.name, now-answer.at)
}
