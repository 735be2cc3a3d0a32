package sim

import (
	"fmt"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/finalize"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/submit"
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

	rates   map[fault]float64
	skew    time.Duration // of a clock, at most
	freeze  time.Duration // the longest
	outages []outage
	skies   []sky
	away    [2]time.Duration // no worker comes meanwhile

	cold     time.Duration // the longest that a function of the flow takes to start
	workers  int           // invocations at once
	lifetime time.Duration // of one
	inFlight int
	receives int
	policy   retry.Policy
	limits   batch.Limits
	meddle   func(w *world, o operation) (wait time.Duration, err error) // of one operation; nil: never
	loses    func(m batch.Message) bool                                  // whether a message that is sent is lost; nil: none is
	script   func(w *world)                                              // runs beside the rest; nil: nothing does
	finalize finalize.Config
	load     submit.LoadConfig
	jobs     []*job
}

// An outage is when an operation fails nearly always.
type outage struct {
	name     string
	from, to time.Duration
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
	p.cold = one(d, 50*time.Millisecond, time.Second, 4*time.Second)
	p.calmAt = d.between(30*time.Second, 20*time.Minute)
	fair := p.lively && d.chance(0.2) // nothing goes wrong at all
	if d.chance(0.1) {
		p.inFlight = 8 + d.intn(20)
	}
	p.policy.MaxRetries = one(d, 1000, 1000, retry.Unlimited, 3, 10)
	if d.chance(0.3) {
		p.policy.StopBeforeDeadline = d.between(0, 2*time.Minute).Round(time.Second)
	}
	p.finalize = finalize.Config{MaxEnqueued: one(d, 10_000, 10_000, 5, 12, 30)}
	p.load = submit.LoadConfig{Group: one(d, 1_000, 3, 10), Cursor: one(d, 5_000, 5, 20)}
	if d.chance(0.2) { // the functions' time is always short
		p.load.Margin = taskLimit - d.between(300*time.Millisecond, 2*time.Second)
		p.finalize.Margin = taskLimit - d.between(8*time.Second, 30*time.Second) // a look waits for some
	}
	if d.chance(0.3) {
		p.limits = batch.Limits{Batches: 20, Requests: 1_000_000}
	}
	p.trouble(d)
	if fair {
		p.calmAt = 0
	}
	p.order(d)
	p.trials(roll(seed, "sweep"))
	p.limit = p.bound()

	return p
}

// trouble chooses what goes wrong: half of all faults, each more or less often.
func (p *plan) trouble(d *dice) {
	for _, f := range []struct {
		kind fault
		most float64
	}{
		{crashBefore, 0.02},
		{crashAfter, 0.02},
		{crashCalling, 0.05},
		{throttled, 0.1},
		{answerLost, 0.05},
		{writeLate, 0.01},
		{frozen, 0.01},
		{slowService, 0.02},
		{readBroken, 0.3},
		{messageTwice, 0.3},
		{messageLost, 0.3},
		{messageLate, 0.3},
		{messageShown, 0.2},
		{deleteLost, 0.2},
		{wakeLost, 0.5},
		{tokenLost, 0.3},
		{taskLives, 0.3},
		{finalizeTwice, 0.5},
	} {
		if rate := d.float(); d.chance(0.5) {
			p.rates[f.kind] = f.most * rate * rate
		}
	}
	if d.chance(0.5) {
		p.skew = d.between(0, 3*time.Second)
	}
	p.freeze = one(d, 10*time.Second, 2*time.Minute, 5*time.Minute)
	for range d.intn(3) {
		from := d.between(0, 10*time.Minute)
		p.outages = append(p.outages, outage{
			name: one(d, "Apply", "PutCell", "Progress", "Cells", "Put", "Get", "Hide", "Beat", "Request", "AppendJournal",
				"UpdateBatch", "ReadBatch", "Send", "Wake", "Requests", "Worker", "CreateFile", "UpdateUsage"),
			from: from, to: from + d.between(10*time.Second, 4*time.Minute),
		})
	}
	for range d.intn(3) {
		from := d.between(0, 10*time.Minute)
		p.skies = append(p.skies, sky{
			kind: one(d, upstreamDown, upstreamSlow), from: from, to: from + d.between(10*time.Second, 15*time.Minute),
		})
	}
	if d.chance(0.05) {
		from := d.between(0, 5*time.Minute)
		p.away = [2]time.Duration{from, from + 30*time.Minute}
		p.calmAt = max(p.calmAt, p.away[1])
	}
}

// trials chooses what only the sweep mends, and how many messages are allowed.
func (p *plan) trials(d *dice) {
	if d.chance(0.15) {
		p.rates[flowStopped] = one(d, 0.5, 0.9)
	}
	if d.chance(0.1) {
		p.receives = 4 + d.intn(8)
	}
	if d.chance(0.2) {
		p.finalize.Allowance = 10 + d.intn(60)
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
		if d.chance(0.25) {
			j.cancels = d.between(0, one(d, 10*time.Second, time.Minute, 15*time.Minute))
		}
		lines := 1 + d.intn(one(d, 3, 12, 60/count))
		for n := range lines {
			j.lines = append(j.lines, &line{manner: p.manner(d)})
			if d.chance(0.02) {
				j.stops = append(j.stops, stopping{line: n + 1, at: d.between(0, time.Minute)})
			}
		}
		j.bad = d.chance(0.03)
		if !p.lively && d.chance(0.08) { // it is made up for at the deadline
			j.missing = 1 + d.intn(lines)
		}
		p.jobs = append(p.jobs, j)
	}
}

// manner chooses how the upstream treats a request.
func (p *plan) manner(d *dice) manner {
	lo := one(d, 50*time.Millisecond, time.Second, 5*time.Second)
	m := manner{lo: lo, hi: lo * time.Duration(1+d.intn(5)), wait: d.between(time.Second, 90*time.Second).Round(time.Second)}
	if d.chance(0.7) {
		return m
	}
	if d.chance(0.05) {
		m.wait = d.between(time.Minute, time.Hour).Round(time.Second)
	}
	for range 1 + d.intn(3) {
		m.first = append(m.first, one(d, upstreamErrs, upstreamErrs, upstreamLimits, upstreamResets))
	}
	switch {
	case d.chance(0.03):
		m.first = append(m.first, upstreamHangs)
	case d.chance(0.1):
		m.then = upstreamRefuses
	case d.chance(0.02):
		m.first, m.then = nil, poisonous
	case d.chance(0.1) && p.policy.MaxRetries >= 0 && p.policy.MaxRetries <= 10:
		m.then = upstreamErrs
	}

	return m
}

// down reports whether an operation fails at a time since the start.
func (p *plan) down(name string, at time.Duration) bool {
	for _, o := range p.outages {
		if o.name == name && at >= o.from && at < o.to {
			return true
		}
	}

	return false
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
			end = p.calmAt + p.patience()
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
			if l.manner.then == upstreamErrs { // until its retries are used up
				wait += time.Duration(p.policy.MaxRetries) * time.Minute
			}
			waits, calls = max(waits, wait), max(calls, call)
		}
	}

	patience := 20*time.Minute + waits + calls
	if p.receives < 1_000 {
		patience += 4 * sweepEvery
	}

	return patience
}
