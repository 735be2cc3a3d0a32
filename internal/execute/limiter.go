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
	outlook *outlook
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

func newLimiter(k kit, limits Limits, o *outlook, batches *poller, p *places, worker string) *limiter {
	l := &limiter{
		kit: k, limits: limits, outlook: o, router: router{k}, batches: batches, places: p, worker: shortName(worker),
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

// foresee spares j the reading of its line while its message tells that no route
// of its model may be called soon. Its error ends the message's way.
func (l *limiter) foresee(j *job) error {
	b := l.batches.entry(j.ref())
	record := b.last()
	model, known := record.Model(j.message.Model)
	if !known {
		return nil
	}
	ways, err := l.router.ways(b.ctx, model, record.Deadline.Sub(l.clock()), record.Policy)
	if err != nil {
		return nil //nolint:nilerr // admit says why
	}
	spare := len(ways) > 1
	for _, w := range ways {
		if !l.lane(w.route, spare).hopeless() {
			return nil
		}
	}
	n, _ := l.pick(ways, spare, true)
	p := &pass{lane: l.lane(ways[n].route, spare)}
	a := p.asks(j, false, false)
	a.leaves = true
	g, err := p.lane.ask(b.ctx, a)
	if err != nil {
		return err
	}
	return endFor(causeLimited, g.wait)
}

// admit chooses a route for j, whose line is at hand, and waits for a permit; it
// tries the others where there is none soon. Its error ends the message's way.
func (l *limiter) admit(j *job) error {
	p, wait, err := l.pass(j)
	if err != nil {
		return err
	}
	if p == nil {
		return endFor(causeLimited, wait)
	}
	j.pass = p
	return nil
}

// pass returns how j's call may leave; nil if there is no permit soon, and when its
// message may come back: of a claimed one 0, unless there will be none for long.
func (l *limiter) pass(j *job) (p *pass, wait time.Duration, err error) {
	b := l.batches.entry(j.ref())
	record := b.last()
	ways, err := l.router.ways(b.ctx, j.input.Model, record.Deadline.Sub(l.clock()), record.Policy)
	if err != nil {
		return &pass{none: err}, 0, nil //nolint:nilerr // the attempt says why nothing is sent
	}
	tokens, bound := estimate(j.input.Body, ways)
	spare := len(ways) > 1
	wait = mostWait
	for first := true; ; first = false {
		n, trial := l.pick(ways, spare, first)
		if n < 0 {
			return nil, wait, nil
		}
		p := &pass{way: ways[n], lane: l.lane(ways[n].route, spare), tokens: tokens, bound: bound}
		g, err := p.lane.ask(b.ctx, p.asks(j, trial, spare))
		if err != nil {
			return nil, 0, err
		}
		if g.ok {
			p.permit = &g.permit
			return p, 0, nil
		}
		wait = min(wait, g.wait)
		ways = slices.Delete(ways, n, n+1)
	}
}

// await waits until the call of j, which is claimed, may leave. If its permit's time
// goes by, or its route is paused meanwhile, it waits for another permit, of any route
// that goes, unless all are paused for long: nobody else would call it.
func (l *limiter) await(j *job) error {
	ctx := l.batches.entry(j.ref()).ctx
	for j.pass.lane != nil {
		wait, late := j.pass.lane.until(*j.pass.permit)
		if late {
			if err := l.renew(j); err != nil {
				return err
			}
			continue
		}
		if wait == 0 {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return endOf(ctx)
		}
	}
	return nil
}

// renew has j, which is claimed, leave by another permit.
func (l *limiter) renew(j *job) error {
	j.pass.lose()
	for {
		p, wait, err := l.pass(j)
		switch {
		case err != nil:
			return err
		case p != nil:
			j.pass = p
			return nil
		case wait > 0: // nobody has permits for long
			return endFor(causeLimited, wait)
		}
	}
}

// mostWait is longer than any route has a message wait.
const mostWait = 24 * time.Hour

// pick returns which way to try, and whether for a trial; -1 if there is none.
// None need be open for the first one tried: it tells when it will be. Spare says
// that the model has several, of which some may have been tried.
func (l *limiter) pick(ways []way, spare, first bool) (n int, trial bool) {
	if len(ways) == 0 {
		return -1, false
	}
	choices := make([]limit.Choice, len(ways))
	for i, w := range ways {
		choices[i] = l.lane(w.route, spare).choice(w.route.Weight)
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
			kit: l.kit, route: r.ID, model: modelOf(r), beside: l.beside, outlook: l.outlook, share: limit.NewShare(l.worker, limits),
			portion: newPortion(l.places.all), wake: make(chan struct{}, 1), flying: map[*limit.Permit]context.CancelCauseFunc{},
		}
		l.lanes[r.ID] = known
		if rec, ok := l.outlook.see(r.ID); ok {
			known.share.Seen(0, rec) // never by this worker
		}
		if l.outlook.answers(r.ID, l.clock()) {
			known.portion.prove()
			known.count()
		}
		s := newSupply(known, l.limits)
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
