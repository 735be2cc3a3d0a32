package limit_test

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"github.com/musketry/musketry/internal/limit"
)

// A world is a fleet of workers before one provider, under virtual time: who does
// what when follows from the seed.
type world struct {
	*rand.Rand

	now    time.Duration // the provider's clock, from the world's beginning
	events events
	setup
	provider provider
	record   limit.Record
	workers  []*worker
	born     int
	left     int // jobs that nobody has begun
	report
}

// A setup is what a world is made of.
type setup struct {
	workers int
	limits  limit.Limits
	places  int           // of a worker
	clocks  time.Duration // by which any two workers' differ at most
	network time.Duration // to the provider, at most
	store   time.Duration // a read or a write, at most
	claim   time.Duration // from a permit until its call can leave, at most
	latency time.Duration // of answers: uniform, half to one and a half of it
	jobs    int
	tokens  func(*rand.Rand) (estimate, took int64)
	deaths  time.Duration // the mean time between two; 0: nobody dies
	stalls  bool          // some of the store's calls take up to a minute, or fail
	asks    bool          // a refusal says for how long to wait
	coded   bool          // a refusal says that it is for the calls' number
	allowed int           // calls a minute that the provider takes; 0: any
	burst   int           // calls a second that it takes; 0: any
	returns bool          // jobs go back after 2.5 s without a permit, and come to any worker at their return time
	random  float64       // the part of the calls that it refuses whatever their number, each for 2 s
}

// A report is what came of it.
type report struct {
	sent, answered, refused, lost int // calls, and permits that were lost
	writes                        int
	mostRequests, mostInFlight    int           // in any minute; at once
	charged, mostTokens           int64         // of all calls; in any minute
	tooEarly                      int           // calls in a wait that their worker knew of
	busy                          time.Duration // until all was begun
}

func (r report) String() string {
	return fmt.Sprintf("%d sent, %d answered, %d refused, %d permits lost, %d writes; most a minute %d, tokens %d, in flight %d; %v",
		r.sent, r.answered, r.refused, r.lost, r.writes, r.mostRequests, r.mostTokens, r.mostInFlight, r.busy.Round(time.Second))
}

type event struct {
	at  time.Duration
	seq int
	do  func()
}

type events struct {
	list []event
	seq  int
}

func (e *events) Len() int { return len(e.list) }
func (e *events) Less(i, j int) bool {
	a, b := e.list[i], e.list[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}
func (e *events) Swap(i, j int) { e.list[i], e.list[j] = e.list[j], e.list[i] }
func (e *events) Push(v any)    { e.list = append(e.list, v.(event)) }
func (e *events) Pop() any {
	last := e.list[len(e.list)-1]
	e.list = e.list[:len(e.list)-1]
	return last
}

func (w *world) after(d time.Duration, do func()) {
	w.events.seq++
	heap.Push(&w.events, event{w.now + max(d, 0), w.events.seq, do})
}

func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.Float64() * float64(d)) }

// run runs a world until its jobs are done, or for so long.
func run(seed uint64, s setup, long time.Duration) report {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 1)), setup: s, left: s.jobs}
	w.provider.world = w
	for range s.workers {
		w.birth()
	}
	if s.deaths > 0 {
		w.after(w.upTo(2*s.deaths), w.death)
	}
	for w.events.Len() > 0 && w.now < long && w.answered < s.jobs {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
	}
	if w.left > 0 {
		w.busy = w.now
	}
	return w.report
}

func (w *world) birth() {
	id := fmt.Sprintf("worker-%04d", w.born)
	w.born++
	v := &worker{world: w, id: id, clock: w.upTo(w.clocks), share: limit.NewShare(id, w.limits), alive: true}
	w.workers = append(w.workers, v)
	w.after(w.upTo(time.Second), v.step)
}

// death kills one worker: its calls end, and another takes its place and its jobs.
func (w *world) death() {
	if len(w.workers) == 0 {
		w.after(w.upTo(2*w.deaths), w.death)
		return
	}
	i := w.IntN(len(w.workers))
	v := w.workers[i]
	v.alive = false
	w.provider.inFlight -= v.inFlight
	w.left += v.inFlight + len(v.waiting) + len(v.permits)
	w.workers = slices.Delete(w.workers, i, i+1)
	w.after(w.upTo(10*time.Second), w.birth)
	w.after(w.upTo(2*w.deaths), w.death)
}

type job struct {
	estimate, took int64
	since          time.Duration // when it came to its worker
	claimed        bool          // it does not go back
}

type permit struct {
	limit.Permit
	job   *job
	ready time.Duration // when the job is claimed
}

// A worker does what a worker's stage does with its share.
type worker struct {
	*world

	id       string
	clock    time.Duration // ahead of the provider's
	share    *limit.Share
	alive    bool
	updating bool
	waiting  []*job
	permits  []permit
	inFlight int
	calls    map[*call]bool
	known    time.Duration // a wait that it was asked for ends, by its clock
	wake     time.Duration // when it steps next
}

func (v *worker) time() limit.Instant { return instant(v.now + v.clock) }

var epoch = time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)

func instant(d time.Duration) limit.Instant { return limit.At(epoch.Add(d)) }

func (v *worker) step() {
	if !v.alive {
		return
	}
	v.fill()
	v.usePermits()
	now := v.time()
	v.abort(now)
	due := v.share.Due(now, min(len(v.waiting), v.places-v.inFlight-len(v.permits)))
	if (due > 0 && due <= now || slices.ContainsFunc(v.waiting, v.late)) && !v.updating {
		v.update()
	}
	next := 10 * time.Second
	for _, j := range v.waiting {
		if v.returns && !j.claimed {
			next = min(next, j.since+v.patience()-v.now)
		}
	}
	if due > now {
		next = min(next, due.Sub(now))
	}
	for _, p := range v.permits {
		if p.At > now || v.now < p.ready {
			next = min(next, max(p.At.Sub(now), p.ready-v.now))
		} else { // it waits for a slot
			next = min(next, 50*time.Millisecond)
		}
	}
	v.rouse(next)
}

// rouse has v step after d, unless it does so before.
func (v *worker) rouse(d time.Duration) {
	at := v.now + max(d, time.Millisecond)
	if v.wake > v.now && v.wake <= at {
		return
	}
	v.wake = at
	v.after(at-v.now, func() {
		if v.wake == v.now {
			v.step()
		}
	})
}

// patience returns how long a job waits for a permit before it goes back: so long
// that an update comes.
func (v *worker) patience() time.Duration { return 2500*time.Millisecond + 2*v.share.Took() }

// late reports whether a job has waited for so long.
func (v *worker) late(j *job) bool { return v.returns && !j.claimed && v.now-j.since >= v.patience() }

// fill takes jobs: as many as there are places, and twenty more to wait. Where these go
// back, it is as many as there are places, ten at a time.
func (v *worker) fill() {
	waiting, taken := 20, v.places+20
	if v.returns {
		waiting, taken = len(v.waiting)+10, v.places
	}
	for v.left > 0 && len(v.waiting) < waiting && v.inFlight+len(v.permits)+len(v.waiting) < taken {
		v.left--
		if v.left == 0 {
			v.busy = v.now
		}
		j := &job{since: v.now}
		if v.tokens != nil {
			j.estimate, j.took = v.tokens(v.Rand)
		}
		v.waiting = append(v.waiting, j)
	}
}

// claimed returns p with its job, which is claimed soon: if it is not yet.
func (v *worker) claimed(p limit.Permit, j *job) permit {
	ready := v.now
	if !j.claimed {
		j.claimed, ready = true, v.now+v.upTo(v.claim)
	}
	return permit{p, j, ready}
}

func (v *worker) usePermits() {
	now := v.time()
	for len(v.waiting) > 0 && v.inFlight+len(v.permits) < v.places {
		p, ok := v.share.Pass(now, v.waiting[0].estimate)
		if !ok {
			break
		}
		v.permits = append(v.permits, v.claimed(p, v.waiting[0]))
		v.waiting = v.waiting[1:]
	}
	var kept []permit
	for _, p := range v.permits {
		switch {
		case v.now < p.ready:
			kept = append(kept, p)
		case v.inFlight < v.places && v.share.May(now, p.Permit):
			v.call(p)
		case now > p.At.Add(limit.Lateness):
			v.share.Lose(now, p.Permit)
			v.lost++
			v.waiting = slices.Insert(v.waiting, 0, p.job)
		default:
			kept = append(kept, p)
		}
	}
	v.permits = kept
}

// abort ends calls whose slots others may take.
func (v *worker) abort(now limit.Instant) {
	if end := v.share.SlotsEnd(); end == 0 || now < end {
		return
	}
	for c := range v.calls {
		v.over(c, limit.Result{Kind: limit.Aborted})
		v.provider.inFlight--
		v.left++
	}
}

type call struct {
	permit

	left limit.Instant
}

func (v *worker) call(p permit) {
	v.share.Leave(v.time())
	if v.time().Sub(instant(v.known)) < 0 {
		v.tooEarly++
	}
	c := &call{p, v.time()}
	if v.calls == nil {
		v.calls = map[*call]bool{}
	}
	v.calls[c] = true
	v.inFlight++
	v.sent++
	v.provider.inFlight++
	v.mostInFlight = max(v.mostInFlight, v.provider.inFlight)
	v.after(v.upTo(v.network), func() { v.provider.arrive(v, c) })
}

// over ends a call in this worker, if it was not over.
func (v *worker) over(c *call, res limit.Result) bool {
	if !v.alive || !v.calls[c] {
		return false
	}
	delete(v.calls, c)
	v.inFlight--
	res.At = c.left
	v.share.End(v.time(), c.Permit, res)
	v.rouse(0)
	return true
}

// again has a job come to one of the workers.
func (w *world) again() {
	w.left++
	if len(w.workers) > 0 {
		w.workers[w.IntN(len(w.workers))].rouse(0)
	}
}

func (v *worker) update() {
	v.updating = true
	waited := len(v.waiting)
	v.waiting = slices.DeleteFunc(v.waiting, v.late)
	late := waited - len(v.waiting)
	var asks []int64
	var asked []*job
	for _, j := range v.waiting {
		if len(asks) < v.places-v.inFlight-len(v.permits) {
			asks, asked = append(asks, j.estimate), append(asked, j)
		}
	}
	plan := v.share.Plan(v.time(), asks, late, v.Float64)
	fate := v.Float64()
	slow := v.upTo(v.store)
	if v.stalls && fate < 0.05 {
		slow = v.upTo(time.Minute)
	}
	v.after(slow, func() { v.write(plan, asked, late, v.stalls && fate > 0.97) })
}

// write makes an update, as a store does that tries again until nobody was faster.
func (v *worker) write(plan *limit.Plan, asked []*job, late int, fails bool) {
	before := v.record.Kept()
	took := v.upTo(v.store)
	v.after(took, func() {
		if v.record.Rev != before.Rev {
			v.after(v.upTo(20*time.Millisecond), func() { v.write(plan, asked, late, fails) })
			return
		}
		after := before.Kept()
		_ = plan.Change(&after)
		if !equal(before, after) {
			after.Rev++
			v.record = after.Kept()
			v.writes++
		}
		if !v.alive {
			v.left += late
			return
		}
		v.updating = false
		if fails {
			plan.Failed(v.time())
			v.left += late
			v.rouse(0)
			return
		}
		permits, returns := plan.Done(v.time(), after.Kept())
		for _, at := range returns {
			v.after((at.Sub(v.time()) + time.Second - 1).Truncate(time.Second), v.again)
		}
		for i, p := range permits {
			at := slices.Index(v.waiting, asked[i])
			if at < 0 { // it has left without
				v.share.Lose(v.time(), p)
				continue
			}
			v.permits = append(v.permits, v.claimed(p, asked[i]))
			v.waiting = slices.Delete(v.waiting, at, at+1)
		}
		v.rouse(0)
	})
}

// A provider counts what it gets in sliding windows of a minute.
type provider struct {
	world    *world
	arrivals []arrival // counted ones of the last minute
	seen     []arrival // all of the last minute
	inFlight int
}

type arrival struct {
	at     time.Duration
	tokens int64
}

func (p *provider) arrive(v *worker, c *call) {
	w := p.world
	if !v.alive || !v.calls[c] {
		return
	}
	recent := func(list []arrival) []arrival {
		return slices.DeleteFunc(list, func(a arrival) bool { return a.at <= w.now-time.Minute })
	}
	charged := min(c.job.took, c.job.estimate) // what it takes beyond is nobody's fault
	p.arrivals, p.seen = recent(p.arrivals), append(recent(p.seen), arrival{w.now, charged})
	w.charged += charged
	sum := int64(0)
	for _, a := range p.seen {
		sum += a.tokens
	}
	w.mostRequests, w.mostTokens = max(w.mostRequests, len(p.seen)), max(w.mostTokens, sum)
	wait, ok := p.allows()
	if ok && w.random > 0 && w.Float64() < w.random {
		wait, ok = 2*time.Second, false
	}
	if !ok {
		res := limit.Result{Kind: limit.Refused, Says: w.coded}
		w.after(50*time.Millisecond+w.upTo(150*time.Millisecond), func() {
			if w.asks && v.alive {
				res.Until = v.time().Add(wait)
				v.known = max(v.known, v.now+v.clock+wait)
			}
			if v.over(c, res) {
				p.inFlight--
				w.refused++
				w.left++
			}
		})
		return
	}
	p.arrivals = append(p.arrivals, arrival{at: w.now})
	w.after(w.latency/2+w.upTo(w.latency), func() {
		if v.over(c, limit.Result{Kind: limit.Answered, Tokens: c.job.took}) {
			p.inFlight--
			w.answered++
		}
	})
}

// allows returns whether one more call is allowed now, and otherwise when.
func (p *provider) allows() (time.Duration, bool) {
	w := p.world
	if w.allowed > 0 && len(p.arrivals) >= w.allowed {
		return p.arrivals[len(p.arrivals)-w.allowed].at + time.Minute - w.now, false
	}
	if w.burst > 0 {
		if n := len(p.arrivals); n >= w.burst && p.arrivals[n-w.burst].at > w.now-time.Second {
			return p.arrivals[n-w.burst].at + time.Second - w.now, false
		}
	}
	return 0, true
}

func equal(a, b limit.Record) bool { return reflect.DeepEqual(a.Kept(), b.Kept()) }
