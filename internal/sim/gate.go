package sim

import (
	"slices"
	"time"
)

// A gate is where calls come to the upstream's route: it holds them against its
// limits, by its own clock.
type gate struct {
	world    *world
	arrivals []time.Duration // of the last minute
	flying   map[*process]int
	until    map[*process]time.Time // a wait that a process was told of, by its clock
}

func newGate(w *world) *gate {
	return &gate{world: w, flying: map[*process]int{}, until: map[*process]time.Time{}}
}

// enter is told of a call of p that arrives, and what it returns of its end.
func (g *gate) enter(p *process) (leave func()) {
	w, now := g.world, g.world.sched.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	g.arrivals = append(slices.DeleteFunc(g.arrivals, func(at time.Duration) bool { return at <= now-time.Minute }), now)
	g.flying[p]++
	if most := w.plan.route.RPM; most > 0 && len(g.arrivals) > most {
		w.check.wrong("%s makes the %dth call in a minute of at most %d", p.name, len(g.arrivals), most)
	}
	if most, n := w.plan.route.MaxConcurrency, g.inFlight(); most > 0 && n > most {
		w.check.wrong("%s makes the %dth call in flight of at most %d", p.name, n, most)
	}
	if p.now().Before(g.until[p]) {
		w.check.wrong("%s calls %v before the end of a wait that it was told of", p.name, g.until[p].Sub(p.now()))
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		g.flying[p]--
	}
}

// inFlight returns how many calls are in flight of those that can end them: the
// dead's have ended, and who was frozen ends its own once it is told.
func (g *gate) inFlight() int {
	n := 0
	for p, calls := range g.flying {
		if !p.gone() && g.world.sched.frozen(p) <= -thawed {
			n += calls
		}
	}
	return n
}

// thawed is how long a process may take to see that it was frozen.
const thawed = 30 * time.Second

// told is told that p is asked to wait.
func (g *gate) told(p *process, wait time.Duration) {
	g.world.mu.Lock()
	defer g.world.mu.Unlock()
	if until := p.now().Add(wait); until.After(g.until[p]) {
		g.until[p] = until
	}
}

// refusesFor returns how long the route refuses calls still.
func (w *world) refusesFor(now time.Duration) time.Duration {
	for _, s := range w.plan.skies {
		if s.kind == routeRefuses && now < s.to {
			return (s.to - now).Truncate(time.Second) + time.Second
		}
	}
	return time.Second
}
