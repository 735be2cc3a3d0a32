package execute

import (
	"context"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/route"
)

// A limiter lets requests call routes within the limits of the whole fleet: it
// chooses a route for each, and has it wait for a permit.
type limiter struct {
	kit

	limits  Limits
	router  router
	batches *poller
	places  *places
	worker  string // its name among those that have slots

	mu    sync.Mutex
	lanes map[string]*lane // by route
	loops sync.WaitGroup
	ends  context.Context // of the lanes' loops
	stop  context.CancelFunc
}

func newLimiter(k kit, limits Limits, batches *poller, p *places, worker string) *limiter {
	l := &limiter{
		kit: k, limits: limits, router: router{k}, batches: batches, places: p, worker: shortName(worker),
		lanes: map[string]*lane{},
	}
	l.ends, l.stop = context.WithCancel(k.ctx)
	return l
}

// shortName returns a name as unlike all others as id: a route's record has many
// of them, and costs by its size.
func shortName(id string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return strconv.FormatUint(h.Sum64(), 36)
}

// close ends the lanes, which give back what they have.
func (l *limiter) close() {
	l.stop()
	l.loops.Wait()
}

// admit chooses a route for j, whose line is at hand, and waits for a permit; it
// tries the others where there is none soon. Its error ends the message's way.
func (l *limiter) admit(j *job) error {
	b := l.batches.entry(j.ref())
	record := b.last()
	ways, err := l.router.ways(b.ctx, j.input.Model, record.Deadline.Sub(l.clock()), record.Policy)
	if err != nil {
		j.pass = &pass{none: err}
		return nil //nolint:nilerr // the attempt says why nothing is sent
	}
	tokens, spare := estimate(j.input.Body, ways), len(ways) > 1
	wait := mostWait
	for first := true; ; first = false {
		n, trial := l.pick(ways, first)
		if n < 0 {
			return endFor(causeLimited, wait)
		}
		p := &pass{way: ways[n], lane: l.lane(ways[n].route, spare), tokens: tokens}
		g, err := p.lane.ask(b.ctx, p.asks(j, trial))
		if err != nil {
			return err
		}
		if g.ok {
			p.permit = &g.permit
			j.pass = p
			return nil
		}
		wait = min(wait, g.wait)
		ways = slices.Delete(ways, n, n+1)
	}
}

// mostWait is longer than any route has a message wait.
const mostWait = 24 * time.Hour

// pick returns which way to try, and whether for a trial; -1 if there is none.
// None need be open for the first one tried: it tells when it will be.
func (l *limiter) pick(ways []way, first bool) (n int, trial bool) {
	if len(ways) == 0 {
		return -1, false
	}
	choices := make([]limit.Choice, len(ways))
	for i, w := range ways {
		choices[i] = l.lane(w.route, len(ways) > 1).choice(w.route.Weight)
	}
	if n = limit.Pick(choices, l.uniform()); n < 0 && first {
		n = 0
	}
	return n, n >= 0 && choices[n].Trial
}

// lane returns the lane of a route, and has it know the route's limits of now.
func (l *limiter) lane(r route.Route, spare bool) *lane {
	limits := limit.Limits{Concurrency: r.MaxConcurrency, RPM: r.RPM, TPM: r.TPM, Spare: spare}
	l.mu.Lock()
	known, ok := l.lanes[r.ID]
	if !ok {
		known = &lane{
			kit: l.kit, route: r.ID, model: modelOf(r), beside: l.beside, share: limit.NewShare(l.worker, limits),
			portion: newPortion(l.places.all), wake: make(chan struct{}, 1), flying: map[*limit.Permit]context.CancelCauseFunc{},
		}
		l.lanes[r.ID] = known
		s := &supply{lane: known, limits: l.limits}
		l.loops.Go(func() { s.loop(l.ends) })
	}
	l.mu.Unlock()
	known.mu.Lock()
	known.share.Limit(limits)
	known.mu.Unlock()
	return known
}

// besides is for how long other models count as waiting after their jobs did.
const besides = 10 * time.Second

// modelOf returns the pattern of a route's model, as metrics name it.
func modelOf(r route.Route) string {
	if pattern := strings.TrimSuffix(r.ID, "#"+r.Name); pattern != route.Default {
		return pattern
	}
	return "other"
}

// beside returns what is about beside a lane.
func (l *limiter) beside(own *lane) (b beside) {
	now := l.clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, other := range l.lanes {
		switch {
		case other.model != own.model && now.UnixNano()-other.askedAt.Load() < int64(besides):
			b.waits = true
			b.alive = b.alive || other.alive.Load()
		case other.model == own.model && other != own:
			b.siblings += int(other.busy.Load())
		}
	}
	return b
}
