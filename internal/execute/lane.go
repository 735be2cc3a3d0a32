package execute

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/musketry/musketry/internal/limit"
)

// A lane is what this worker has of a route: its part of the fleet's limits, the
// jobs that wait for it, and the places that it may take.
type lane struct {
	kit

	route   string
	model   string
	beside  func(*lane) beside
	outlook *outlook
	wake    chan struct{}        // has one when there may be something to do
	hurries func(time.Time) bool // whether the supply must look now, or sooner than it means to; mu is held

	askedAt atomic.Int64 // when a job came last, in Unix nanoseconds
	busy    atomic.Int64 // calls in flight or about to leave
	alive   atomic.Bool  // it answers

	mu      sync.Mutex
	share   *limit.Share
	portion portion
	waiting []*ask
	trying  bool      // a job was sent here for a trial
	hoping  bool      // there was no place when it was last looked, and it was worth waiting for one
	placed  time.Time // when there were places again for those who hoped
	closed  bool      // nobody supplies permits any more
	flying  map[*limit.Permit]context.CancelCauseFunc
}

// An ask is a job that waits for a permit.
type ask struct {
	key     string // by which jobs are ordered
	tokens  int64
	since   time.Time
	claimed bool // its request is this worker's already: it waits for as long as it takes
	spare   bool // other routes serve its model: claimed, too, it then waits no longer than askPatience
	trial   bool
	leaves  bool // it only asks when to come back
	done    chan granted
}

// waits returns since when a's patience counts: who hoped for places has it from
// when there were some again.
func (a *ask) waits(placed time.Time) time.Time {
	if a.since.Before(placed) {
		return placed
	}
	return a.since
}

// A granted is what came of an ask.
type granted struct {
	permit limit.Permit
	wait   time.Duration // until the message may come back, if there is no permit
	ok     bool
}

// choice returns how the lane stands among the routes of a request.
func (l *lane) choice(weight int) limit.Choice {
	l.mu.Lock()
	defer l.mu.Unlock()
	open, trial := l.share.Outlook(limit.At(l.clock()))
	health := l.share.Record().Health
	return limit.Choice{
		Weight: weight, Part: health.Part(), Trial: trial && !l.trying,
		Open: open && l.share.Calls()+len(l.waiting) < l.most(),
	}
}

// hopeless reports whether no permit will come for as long as a job waits here, as
// far as was seen.
func (l *lane) hopeless() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := limit.At(l.clock())
	return now.Add(askPatience) < l.share.NoneUntil(now)
}

// ask waits for a permit. It is had at once of a route that nobody limits, and
// that may take all places: whoever is first then takes nothing from others.
func (l *lane) ask(ctx context.Context, a *ask) (granted, error) {
	l.askedAt.Store(l.clock().UnixNano())
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return granted{wait: unsure}, nil
	}
	if len(l.waiting) == 0 && !a.leaves && !l.share.Slotted() && l.most() == anyMany {
		if p, ok := l.share.Pass(limit.At(l.clock()), a.tokens); ok {
			l.count()
			l.mu.Unlock()
			return granted{permit: p, ok: true}, nil
		}
	}
	l.waiting = append(l.waiting, a)
	l.trying = l.trying || a.trial
	l.mu.Unlock()
	rouse(l.wake)
	select {
	case g := <-a.done:
		return g, nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.forget(a) {
		if g := <-a.done; g.ok {
			l.drop(g.permit)
		}
	}
	return granted{}, endOf(ctx)
}

// answer tells a waiting job what came of it, unless it has gone.
func (l *lane) answer(a *ask, g granted) bool {
	if !l.forget(a) {
		return false
	}
	l.trying = l.trying && (g.ok || !a.trial)
	l.count()
	a.done <- g
	return true
}

// forget reports whether a job waited, which does no more.
func (l *lane) forget(a *ask) bool {
	at := slices.Index(l.waiting, a)
	if at >= 0 {
		l.waiting = slices.Delete(l.waiting, at, at+1)
	}
	return at >= 0
}

// most returns how many calls of the route may be in flight here.
func (l *lane) most() int {
	return l.portion.most(l.clock(), l.beside(l))
}

// hopes reports whether who waits for a place of the route waits on: no other
// model's jobs are about, and the route is not silent for long.
func (l *lane) hopes() bool {
	return !l.beside(l).waits && !l.portion.dead(l.clock())
}

func (l *lane) count() {
	l.busy.Store(int64(l.share.Calls()))
	l.alive.Store(l.portion.proven && !l.portion.dead(l.clock()))
}

// until returns how long a permit's call must wait still, and whether it is too
// late for it.
func (l *lane) until(p limit.Permit) (wait time.Duration, late bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := limit.At(l.clock())
	switch {
	case now < p.At:
		return p.At.Sub(now), false
	case l.share.May(now, p):
		return 0, false
	case now > p.At.Add(limit.Lateness), !l.share.Open(p):
		return 0, true
	}
	return slotRest, false
}

// slotRest is the time between two looks for a slot.
const slotRest = 50 * time.Millisecond

// leave says that p's call leaves now, which abort ends. It reports whether it may.
func (l *lane) leave(p *limit.Permit, abort context.CancelCauseFunc) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock()
	if !l.share.May(limit.At(now), *p) {
		return false
	}
	l.share.Leave(limit.At(now))
	l.portion.left(now)
	l.flying[p] = abort
	return true
}

// drop says that no call was made with a permit.
func (l *lane) drop(p limit.Permit) {
	l.share.Lose(limit.At(l.clock()), p)
	l.count()
	rouse(l.wake)
}

// over says how p's call ended.
func (l *lane) over(p *limit.Permit, res limit.Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.flying, p)
	now := l.clock()
	l.share.End(limit.At(now), *p, res)
	answered := res.Kind == limit.Answered
	if l.portion.over(now, answered, len(l.flying) == 0); answered {
		l.outlook.answered.Store(l.route, now)
	}
	l.trying = false
	l.count()
	if len(l.waiting) > 0 || l.hurries(now) {
		rouse(l.wake)
	}
}

// An outlook is how a process saw routes last: a new worker in it knows which are
// paused before it has asked, and which answer.
type outlook struct{ records, answered sync.Map } // of routes, by their ids

// see returns how a route was seen last, if it was.
func (o *outlook) see(id string) (limit.Record, bool) {
	r, ok := o.records.Load(id)
	if !ok {
		return limit.Record{}, false
	}
	return r.(limit.Record), true
}

// answers reports whether a route answered a moment ago.
func (o *outlook) answers(id string, now time.Time) bool {
	at, ok := o.answered.Load(id)
	return ok && now.Sub(at.(time.Time)) < silence
}
