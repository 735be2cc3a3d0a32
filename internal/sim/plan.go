package sim

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/finalize"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/submit"
	"github.com/musketry/musketry/internal/tenant"
)

// A plan is what a seed has in store: batches, the way in which the upstream
// treats each request, what goes wrong and how often, and what the deployment
// has chosen.
type plan struct {
	// lively has no faults any more from calmAt on, and then everything must
	// come to its end soon. Otherwise faults never end.
	lively bool
	calmAt time.Duration
	limit  time.Duration // of the whole run

	deadly  bool // workers die, and nothing else goes wrong
	rates   map[fault]float64
	skew    time.Duration // of a clock, at most
	freeze  time.Duration // the longest
	stuck   float64       // how many loaders freeze before a write, and how many are given up
	outages []outage
	crawls  []outage // when an operation is slow each time, and not failing
	skies   []sky
	away    [2]time.Duration // no worker comes meanwhile
	starved [2]time.Duration // workers take all of the account's concurrency meanwhile

	cold     time.Duration // the longest that a function of the flow takes to start
	workers  int           // invocations at once
	places   int           // calls of one of them at once
	lifetime time.Duration // of one
	inFlight int
	receives int
	policy   retry.Policy
	limits   tenant.Limits
	route    route.Route                                                 // what its calls in flight and a minute are limited to
	meddle   func(w *world, o operation) (wait time.Duration, err error) // of one operation; nil: never
	loses    func(m batch.Message) bool                                  // whether a message that is sent is lost; nil: none is
	script   func(w *world)                                              // runs beside the rest; nil: nothing does
	finalize finalize.Config
	load     submit.LoadConfig
	jobs     []*job
}

// An outage is when an operation fails nearly always, or crawls.
type outage struct {
	name     string
	from, to time.Duration
}

func outageOf(name string, from, lasts time.Duration) outage {
	return outage{name: name, from: from, to: from + lasts}
}

// A sky is when the upstream has bad weather.
type sky struct {
	kind     fault
	from, to time.Duration
}

// A job is a batch that a user orders, and what becomes of it.
type job struct {
	nick    string
	tenant  string
	lines   []*line
	comes   time.Duration
	window  time.Duration // until the deadline
	cancels time.Duration // after it was made; 0: never
	stops   []stopping
	missing int  // the line whose item is gone once it is loaded; 0: none
	bad     bool // its file is no batch's

	key, fileID string
	ref         batch.Ref // once it is made
	canceled    bool      // its cancel was answered with success
	read        bool      // its results were read to their end

	shadow shadow
}

// A line is one request.
type line struct {
	manner  manner
	stopped bool // its cancel was answered with success

	trail trail
}

// A stopping is the cancel of one request.
type stopping struct {
	line int
	at   time.Duration
}

// newPlan makes a seed's plan.
func newPlan(seed uint64) *plan {
	d := roll(seed, "plan")
	p := &plan{
		lively: seed%2 == 0, rates: map[fault]float64{}, inFlight: 1_000, receives: 1_000,
		workers: 1 + d.intn(6), lifetime: one(d, 15*time.Minute, 15*time.Minute, 5*time.Minute, time.Minute),
		policy: retry.Default(),
	}
	p.cold = one(d, 50*time.Millisecond, time.Second, 4*time.Second, 4*time.Second)
	p.calmAt = d.between(30*time.Second, 20*time.Minute)
	fair := false // nothing goes wrong at all
	if p.lively {
		kind := d.float()
		fair, p.deadly = kind < 0.4, kind >= 0.85
	}
	if d.chance(0.1) {
		p.inFlight = 8 + d.intn(20)
	}
	p.policy.MaxRetries = one(d, 1000, 1000, retry.Unlimited, 3, 10)
	if d.chance(0.4) {
		p.policy.StopBeforeDeadline = d.between(0, one(d, 2*time.Minute, 10*time.Minute)).Round(time.Second)
	}
	p.places = one(roll(seed, "places"), 250, 250, 250, 10, 3)
	p.finalize = finalize.Config{MaxEnqueued: one(d, 10_000, 10_000, 5, 12, 30)}
	p.load = submit.LoadConfig{Group: one(d, 1_000, 3, 10), Cursor: one(d, 5_000, 5, 20)}
	if d.chance(0.2) { // the functions' time is always short
		p.load.Margin = taskLimit - d.between(300*time.Millisecond, 2*time.Second)
		p.finalize.Margin = taskLimit - d.between(8*time.Second, 30*time.Second) // a look waits for some
	}
	if d.chance(0.3) {
		p.limits = tenant.Limits{Batches: 20, Requests: 1_000_000}
	}
	p.trouble(d)
	if fair {
		p.calmAt = 0
	}
	if p.deadly {
		most := one(d, 0.05, 0.1)
		p.rates = map[fault]float64{crashBefore: most * d.float(), crashAfter: most * d.float()}
		p.outages, p.crawls, p.skies = nil, nil, nil
	}
	p.order(d)
	if !p.deadly {
		p.rare(seed, fair)
	}
	p.limitRoute(roll(seed, "route"))
	if !p.deadly {
		p.absence(d, fair)
		p.trials(roll(seed, "sweep"))
		p.starve(roll(seed, "starved"), fair)
	}
	p.limit = p.bound()
	return p
}

// trouble chooses what goes wrong: few kinds of faults or many, each more or
// less often, and now and then so often that it shapes the run. Where all kinds
// are about, one hides what another would show.
func (p *plan) trouble(d *dice) {
	kinds := one(d, 0.1, 0.3, 0.5, 0.5)
	for _, f := range []struct {
		kind    fault
		most    float64
		extreme float64
	}{
		{crashBefore, 0.02, 0.05},
		{crashAfter, 0.02, 0.05},
		{crashCalling, 0.05, 0.2},
		{throttled, 0.1, 0.15},
		{answerLost, 0.05, 0.2},
		{writeLate, 0.01, 0.03},
		{connectionDead, 0.01, 0.05},
		{frozen, 0.01, 0.02},
		{slowService, 0.02, 0.3},
		{readBroken, 0.5, 1},
		{messageTwice, 0.3, 1},
		{messageLost, 0.3, 0.7},
		{messageLate, 0.3, 1},
		{messageShown, 0.2, 0.5},
		{deleteLost, 0.2, 0.5},
		{wakeLost, 0.5, 1},
		{tokenLost, 0.3, 0.5},
		{taskLives, 0.3, 0.5},
		{finalizeTwice, 0.5, 1},
	} {
		rate, extreme := d.float(), d.chance(0.1)
		switch {
		case !d.chance(kinds):
		case extreme:
			p.rates[f.kind] = f.extreme * rate
		default:
			p.rates[f.kind] = f.most * rate * rate
		}
	}
	if d.chance(0.5) {
		p.skew = d.between(0, 3*time.Second)
	}
	p.freeze = one(d, 10*time.Second, 2*time.Minute, 5*time.Minute)
	for range one(d, 0, 1, 2, 2) {
		p.outages = append(p.outages, outageOf(one(d, "Apply", "Apply", "PutCounter", "Progress", "Counters", "Put", "Put", "Get", "ChangeVisibility",
			"Beat", "Beat", "Request", "AppendJournal", "UpdateBatch", "ReadBatch", "Send", "Wake", "Requests", "Worker", "CreateFile",
			"UpdateQuota"), d.between(0, 10*time.Minute), d.between(10*time.Second, 4*time.Minute)))
	}
	if d.chance(0.15) { // it comes and goes, each time for longer than a worker tries
		name := one(d, "Apply", "Apply", "Put")
		for at := d.between(0, 20*time.Second); at < 5*time.Minute; at += d.between(10*time.Second, 40*time.Second) {
			p.outages = append(p.outages, outageOf(name, at, d.between(3*time.Second, 8*time.Second)))
		}
	}
	if d.chance(0.25) {
		p.crawls = append(p.crawls, outageOf(one(d, "Put", "Put", "Apply", "Request", "Request", "ReadBatch", "PutCounter"),
			d.between(0, one(d, 5*time.Second, 10*time.Minute)), d.between(time.Minute, 20*time.Minute)))
	}
	for range d.intn(3) {
		from := d.between(0, 10*time.Minute)
		p.skies = append(p.skies, sky{
			kind: one(d, upstreamDown, upstreamSlow), from: from, to: from + d.between(10*time.Second, 15*time.Minute),
		})
	}
}

// limitRoute chooses the route's limits, and when it refuses all calls.
func (p *plan) limitRoute(d *dice) {
	if d.chance(0.3) {
		p.route.RPM = one(d, 0, 10, 20, 60)
		p.route.MaxConcurrency = one(d, 0, 1, 3, 10)
		p.skew = min(p.skew, time.Second) // clocks differ by twice that
	}
	if d.chance(0.2) && !p.deadly {
		from := d.between(0, 5*time.Minute)
		p.skies = append(p.skies, sky{kind: routeRefuses, from: from, to: from + d.between(10*time.Second, longestRefusal)})
	}
}

// limitsRoute reports whether calls may have to wait for their route.
func (p *plan) limitsRoute() bool {
	refuses := slices.ContainsFunc(p.skies, func(s sky) bool { return s.kind == routeRefuses })
	return p.route.RPM > 0 || p.route.MaxConcurrency > 0 || refuses
}

// longestRefusal is how long a route refuses all calls at most.
const longestRefusal = 4 * time.Minute

// absence chooses when no worker comes: for half an hour, or until so soon
// before the first batch's deadline that no retry may start any more.
func (p *plan) absence(d *dice, fair bool) {
	first := p.jobs[0]
	stop := min(p.policy.StopBeforeDeadline, first.window/2)
	usual := 0.05
	if fair {
		usual = 0.25
	}
	switch {
	case d.chance(usual):
		from := d.between(0, one(d, 2*time.Second, 5*time.Minute))
		p.away = [2]time.Duration{from, from + 30*time.Minute}
		if fair { // nothing is lost: whatever is enqueued again need not have been
			p.finalize.Sample = 5
		}
	case !p.lively && first.window <= time.Hour && stop > 0 && d.chance(0.4):
		from, to := d.between(0, min(30*time.Second, first.window/4)), first.window-d.between(0, stop)
		p.away = [2]time.Duration{from, max(from, to)}
	}
	if p.calmAt > 0 {
		p.calmAt = max(p.calmAt, p.away[1])
	}
}

// trials chooses what only the sweep mends, and how many messages are allowed.
func (p *plan) trials(d *dice) {
	if d.chance(0.15) {
		p.rates[flowStopped] = one(d, 0.5, 0.9)
	}
	if d.chance(0.15) {
		p.receives = 4 + d.intn(8)
	}
	if d.chance(0.2) {
		p.finalize.Allowance = 10 + d.intn(60)
	}
}

// starve chooses when the flow's tasks, and the sweep, are refused for want of
// concurrency: now and then for longer than a task is tried again that fails.
func (p *plan) starve(d *dice, fair bool) {
	if fair || !d.chance(0.08) {
		return
	}
	from := d.between(0, one(d, 10*time.Second, 5*time.Minute))
	p.starved = [2]time.Duration{from, from + one(d, 10*time.Minute, time.Hour, 2*time.Hour)}
	if p.calmAt > 0 {
		p.calmAt = max(p.calmAt, p.starved[1])
	}
}

// order chooses the batches: at most 60 requests in all.
func (p *plan) order(d *dice) {
	count := one(d, 1, 1, 1, 2, 3)
	for i := range count {
		j := &job{
			nick: fmt.Sprintf("b%d", i+1), tenant: one(d, "acme", "acme", "umbrella"),
			comes: d.between(0, time.Minute), window: 24 * time.Hour,
		}
		if i == 0 {
			j.comes = 0
		}
		if !p.lively {
			j.window = one(d, 24*time.Hour, d.between(20*time.Second, 5*time.Minute), d.between(time.Minute, time.Hour)).Round(time.Second)
		}
		p.fill(d, j, 1+d.intn(one(d, 3, 12, 60/count)))
		p.jobs = append(p.jobs, j)
	}
}

// fill chooses a batch's requests, and what becomes of it.
func (p *plan) fill(d *dice, j *job, lines int) {
	if d.chance(0.25) {
		j.cancels = d.between(0, one(d, 10*time.Second, time.Minute, 15*time.Minute))
	}
	if len(p.crawls) > 0 && d.chance(0.3) { // with answers in hand
		j.cancels = d.between(0, 30*time.Second)
	}
	style := p.style(d)
	for n := range lines {
		j.lines = append(j.lines, &line{manner: p.manner(d, style)})
		if d.chance(0.02) {
			j.stops = append(j.stops, stopping{line: n + 1, at: d.between(0, time.Minute)})
		}
	}
	j.bad = d.chance(0.03)
	if !p.lively && d.chance(0.08) { // it is made up for at the deadline
		j.missing = 1 + d.intn(lines)
	}
}

// rare chooses what seldom comes about by itself.
func (p *plan) rare(seed uint64, fair bool) {
	if fair {
		p.crowd(roll(seed, "crowd"))
		return
	}
	if slow := roll(seed, "slow reads"); slow.chance(0.15) { // of some requests, and of others none are due
		p.crawls = append(p.crawls, outageOf("Request", slow.between(0, 30*time.Second), 20*time.Minute))
	}
	p.stopInHand(roll(seed, "stop in hand"))
	if stuck := roll(seed, "stuck loaders"); stuck.chance(0.15) { // and thaw when others have what was loaded
		p.stuck = 0.5
	}
}

// stopInHand chooses whether the first batch stops while its workers have
// answers in hand that take long to be recorded.
func (p *plan) stopInHand(d *dice) {
	if !d.chance(0.1) {
		return
	}
	p.crawls = append(p.crawls, outageOf("Put", 0, 10*time.Minute))
	j := p.jobs[0]
	for len(j.lines) < 10 {
		j.lines = append(j.lines, &line{})
	}
	for _, l := range j.lines { // one is answered at any moment
		l.manner = manner{lo: 50 * time.Millisecond, hi: 25 * time.Second, wait: time.Second}
	}
	j.cancels = d.between(5*time.Second, 30*time.Second)
}

// crowd chooses whether several workers have the first batch's requests, each of
// which records twice within the time between two looks at what all have: who is
// the last to record then knows of none of the others'.
func (p *plan) crowd(d *dice) {
	if !d.chance(0.4) {
		return
	}
	p.workers, p.places = 3+d.intn(4), 250
	j := p.jobs[0]
	for len(j.lines) < 20 {
		j.lines = append(j.lines, &line{})
	}
	for _, l := range j.lines {
		l.manner = manner{lo: 50 * time.Millisecond, hi: 9 * time.Second, wait: time.Second}
	}
}

// A style is what the requests of a batch have in common.
type style struct {
	lo    time.Duration // how long an answer takes at least; 0: one request's this, another's that
	plain float64       // how many are answered at their first call
}

func (p *plan) style(d *dice) style {
	return style{
		lo:    one(d, 0, 0, 50*time.Millisecond, time.Second, 5*time.Second, 15*time.Second),
		plain: one(d, 0.7, 0.7, 1, 0.3),
	}
}

// manner chooses how the upstream treats a request.
func (p *plan) manner(d *dice, s style) manner {
	lo := cmp.Or(s.lo, one(d, 50*time.Millisecond, time.Second, 5*time.Second))
	hi := min(lo*time.Duration(1+d.intn(5)), 25*time.Second) // some lifetimes are no longer than a minute
	m := manner{lo: lo, hi: hi, wait: d.between(time.Second, 90*time.Second).Round(time.Second)}
	if d.chance(s.plain) {
		return m
	}
	if d.chance(0.05) {
		m.wait = d.between(time.Minute, time.Hour).Round(time.Second)
	}
	for range 1 + d.intn(3) {
		m.first = append(m.first, one(d, upstreamErrs, upstreamLimits, upstreamLimits, upstreamResets, upstreamOdd))
	}
	if d.chance(0.05) {
		m.first = append(m.first, keyMissing)
	}
	switch {
	case d.chance(0.03):
		m.first = append(m.first, upstreamHangs)
	case d.chance(0.1):
		m.then = upstreamRefuses
	case d.chance(0.02):
		m.first, m.then = nil, poisonous
	case d.chance(0.04):
		m.then = upstreamOdd
	case d.chance(0.1) && p.policy.MaxRetries >= 0 && p.policy.MaxRetries <= 10:
		m.then = upstreamErrs
	}
	return m
}

// during reports whether one of all is of an operation and of a time since the
// start.
func during(all []outage, name string, at time.Duration) bool {
	return slices.ContainsFunc(all, func(o outage) bool { return o.name == name && at >= o.from && at < o.to })
}

// weather returns what is the matter with the upstream at a time.
func (p *plan) weather(at time.Duration) fault {
	for _, s := range p.skies {
		if at >= s.from && at < s.to {
			return s.kind
		}
	}
	return ""
}

// bound is how long a run may take at most.
func (p *plan) bound() time.Duration {
	var bound time.Duration
	for _, j := range p.jobs {
		end := j.comes + j.window + 3*time.Hour
		if p.lively {
			end = max(p.calmAt, p.away[1]) + p.patience()
		}
		bound = max(bound, end)
	}
	return bound
}

// patience is how long after the last fault everything must have ended: 20
// minutes, the longest wait that was asked for, and the calls themselves.
func (p *plan) patience() time.Duration {
	var waits, calls time.Duration
	for _, j := range p.jobs {
		for _, l := range j.lines {
			var wait, call time.Duration
			for _, f := range append([]fault{l.manner.then}, l.manner.first...) {
				switch f {
				case upstreamLimits:
					wait += l.manner.wait
				case upstreamHangs:
					call += 10 * time.Minute
				default:
					wait += time.Minute
				}
				call += l.manner.hi
			}
			wait += time.Duration(p.retriesOf(l.manner.then)) * time.Minute
			waits, calls = max(waits, wait), max(calls, call)
		}
	}

	patience := 20*time.Minute + waits + calls
	patience += p.routePatience(calls)
	if p.receives < 1_000 {
		patience += 4 * sweepEvery
	}
	return patience
}

// retriesOf returns how often a request is tried again that meets a fault for
// ever, until its retries are used up.
func (p *plan) retriesOf(f fault) int {
	switch f {
	case upstreamErrs:
		return p.policy.MaxRetries
	case upstreamOdd:
		return p.policy.MaxInvalid
	default:
		return 0
	}
}

// lines returns how many requests there are.
func (p *plan) lines() int {
	n := 0
	for _, j := range p.jobs {
		n += len(j.lines)
	}
	return n
}

// routePatience is how much longer all may take for what their route is limited to,
// and refuses.
func (p *plan) routePatience(calls time.Duration) time.Duration {
	patience := 2 * longestRefusal
	if p.route.RPM > 0 { // half of what is allowed at least is used
		patience += time.Duration(2*p.lines()/p.route.RPM+1) * time.Minute
	}
	if p.route.MaxConcurrency > 0 { // calls one after another, and slots of the dead between them
		patience += time.Duration(p.lines()/p.route.MaxConcurrency+1) * 2 * (calls + time.Minute)
	}
	return patience
}
