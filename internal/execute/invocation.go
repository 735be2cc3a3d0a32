package execute

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

const (
	// lifetime is the longest that a Lambda invocation lasts
	// (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
	lifetime = 15 * time.Minute
	// leaseMargin is how long after its deadline a worker must be dead,
	// whatever clocks differ by.
	leaseMargin = 30 * time.Second
)

// An invocation is a worker, as the others see it. It leads each delivery from
// stage to stage; no stage knows it.
type invocation struct {
	kit

	calls  context.Context // of calls and of what leads to them: its cause says why it ended
	places *places
	stale  time.Duration
	jobs   sync.WaitGroup

	receiver *receiver
	intake   *intake
	reader   *reader
	limiter  *limiter
	claims   *claims
	attempts *attempts
	giver    *giver
	retries  *retries
	buffer   *buffer
	settler  *settler

	heartbeat  *heartbeat
	batches    *poller
	visibility *extender
	requeuer   *requeuer
	deleter    *deleter
	isolation  *isolation
	ledger     *ledger
}

// A kept is what a process keeps from one invocation to the next.
type kept struct {
	shards    *shards
	durations *durations
	refusals  *refusals
	outlook   *outlook
}

// times are what bounds an invocation.
type times struct {
	killed  time.Time     // when it ends, whatever it does
	expires time.Time     // when its worker must be dead
	stopAt  time.Time     // when its calls are aborted
	leaveAt time.Time     // when what cannot be written is left, so that it can still end in good order
	limit   time.Duration // of one attempt
}

// timesOf returns what bounds an invocation that begins now.
func timesOf(ctx context.Context, now time.Time, cfg Config) times {
	killed, ok := ctx.Deadline()
	if !ok {
		killed = now.Add(lifetime)
	}
	remaining := killed.Sub(now)
	margin := min(cfg.Margin, remaining/4)
	usable := remaining - margin
	return times{
		killed: killed, expires: killed.Add(leaseMargin), stopAt: now.Add(usable), leaveAt: killed.Add(-margin / 2),
		limit: min(cfg.CallLimit, usable/4*3),
	}
}

// begin sets up an invocation. The caller calls cancel once its run has returned.
func begin(ctx context.Context, d Deps, cfg Config, keeps kept) (i *invocation, cancel func()) {
	id, t := d.NewID(), timesOf(ctx, d.Clock(), cfg)
	// What was answered is recorded even if ctx ends early.
	ops, stopOps := context.WithDeadline(context.WithoutCancel(ctx), t.killed)
	timed, stopTimed := context.WithDeadlineCause(ctx, t.stopAt, end(causeWorkerStopping))
	calls, abort := context.WithCancelCause(timed)
	k := kit{
		ctx: ops, clock: d.Clock, uniform: d.Uniform, models: d.Models, named: cfg.Models, metrics: d.Metrics,
		log: d.Log.With(slog.String("worker", id)), crew: newCrew(),
	}
	i = &invocation{
		kit: k, calls: calls, places: newPlaces(d.Clock, cfg.Places), stale: cfg.Stale, ledger: newLedger(),
		isolation: &isolation{},
	}
	i.batches = &poller{kit: k, batches: d.Batches, ledger: i.ledger, calls: calls, known: map[batch.Ref]*polled{}}
	i.heartbeat = &heartbeat{
		kit: k, workers: d.Workers, batches: i.batches, worker: id, flying: i.places.inFlight,
		limit: cfg.Stale / 3 * 2, abort: abort, turn: newTurn(),
	}
	i.visibility = newExtender(k, d.Queue, i.ledger)
	i.requeuer = &requeuer{kit: k, visibility: i.visibility}
	i.deleter = &deleter{kit: k, queue: d.Queue, visibility: i.visibility}
	i.stages(d, cfg, keeps, state.Lease{Worker: id, Expires: t.expires}, t)
	return i, func() {
		abort(end(causeWorkerStopping))
		stopTimed()
		stopOps()
	}
}

// stages sets up the stages that a delivery goes through.
func (i *invocation) stages(d Deps, cfg Config, keeps kept, lease state.Lease, t times) {
	s := keeps.shards
	k, reqs := i.kit, newRequests(i.kit, d.Requests, i.places.full)
	i.places.eased = reqs.gatherer.ease
	g := &gate{clock: d.Clock, heartbeat: i.heartbeat, durations: keeps.durations, stopAt: t.stopAt, limit: t.limit}
	memory := newRoom(cfg.Memory)
	i.receiver = &receiver{
		kit: k, calls: i.calls, queue: d.Queue, places: i.places, memory: memory, isolation: i.isolation, gate: g,
		take: i.takeOwn, lanes: 1,
	}
	i.settler = &settler{kit: k, ledger: i.ledger, isolation: i.isolation, visibility: i.visibility, requeuer: i.requeuer, deleter: i.deleter}
	i.claims = &claims{
		kit: k, requests: reqs, workers: d.Workers, batches: i.batches, ledger: i.ledger, gate: g, shards: s,
		calls: i.calls, suspects: newSuspects(), isolation: i.isolation, lease: lease, stale: cfg.Stale,
	}
	i.intake = &intake{kit: k, ledger: i.ledger, batches: i.batches, places: i.places, gate: g, claims: i.claims}
	i.reader = &reader{
		batches: i.batches, chunks: newChunks(i.calls, k, d.Files), calls: i.calls, room: memory,
	}
	i.limiter = newLimiter(k, d.Limits, keeps.outlook, i.batches, i.places, lease.Worker)
	i.attempts = &attempts{
		kit: k, refusals: keeps.refusals, caller: d.Caller, batches: i.batches, ledger: i.ledger, gate: g, limit: t.limit,
	}
	i.giver = &giver{kit: k, requests: reqs, ledger: i.ledger, shards: s, lease: lease}
	i.retries = &retries{kit: k, requests: reqs, batches: i.batches, visibility: i.visibility}
	i.buffer = &buffer{
		ledger: i.ledger, batches: i.batches, heartbeat: i.heartbeat, groups: map[batch.Ref]*group{},
		commits: &committer{
			kit: k, files: d.Files, batches: d.Batches, requests: reqs, shards: s, settler: i.settler, newID: d.NewID, alive: i.heartbeat.alive,
			until:      t.leaveAt,
			reconciler: &reconciler{kit: k, batches: d.Batches, flow: d.Flow, polled: i.batches, shards: s},
		},
	}
	i.batches.stopping = i.buffer.hurry
}

// run takes deliveries to their fates, and then the worker to its end.
func (i *invocation) run(deliveries []batch.Delivery) {
	defer i.crew.dismiss()
	received := make([]*job, len(deliveries))
	for n, d := range deliveries {
		received[n] = &job{delivery: d}
	}
	jobs := i.receive(received)
	stopExtending := i.beside(i.visibility.loop)
	if err := i.heartbeat.start(); err != nil {
		i.log.Warn("no first heartbeat: claiming nothing", errAttr(err))
		each(jobs, func(_ int, j *job) { i.settler.settle(j, decide(causeNoHeartbeat, false, 0)) })
		i.jobs.Wait()
		i.requeuer.drain()
		stopExtending()
		return
	}
	i.visibility.await()
	stop := i.beside(i.heartbeat.loop, i.batches.loop, i.deleter.loop, i.buffer.commits.reconciler.loop)
	i.take(jobs)
	i.isolation.await()
	for !i.isolation.stream() {
		i.jobs.Wait()
		i.takeIsolated()
	}
	i.receiver.run()
	i.jobs.Wait()
	i.takeIsolated()
	i.limiter.close()
	i.buffer.drain()
	stop()
	i.requeuer.drain()
	i.deleter.drain()
	stopExtending()
	i.end()
}

// receive takes messages in, and returns those of requests that may be called.
func (i *invocation) receive(received []*job) []*job {
	jobs, unreadable := i.intake.receive(received)
	for _, j := range unreadable {
		i.crew.run(&i.jobs, func() { i.settler.settle(j, decide(causeUnreadable, false, 0)) })
	}
	return jobs
}

// takeOwn takes up what this worker has received itself.
func (i *invocation) takeOwn(at time.Time, got []batch.Delivery) {
	received := make([]*job, len(got))
	for n, d := range got {
		received[n] = &job{delivery: d, own: true, listed: listed{hiddenAt: at}}
	}
	i.take(i.receive(received))
}

// beside starts loops that run beside the jobs, and returns what ends them.
func (i *invocation) beside(what ...func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(i.ctx)
	var loops sync.WaitGroup
	for _, loop := range what {
		loops.Go(func() { loop(ctx) })
	}
	return func() {
		cancel()
		loops.Wait()
	}
}

// take starts jobs, each as soon as it can be and behind no other: those of
// stopping batches end before anything is read or claimed.
func (i *invocation) take(jobs []*job) {
	for _, j := range jobs {
		known := i.isolation.asks(j)
		i.crew.run(&i.jobs, func() {
			defer known()
			defer i.claims.release(j) // whatever becomes of it: others may wait for that
			err := i.intake.admit(j)
			if err != nil {
				i.finish(j, err)
			}
			known()
			if err == nil {
				i.work(j)
			}
		})
	}
}

// takeIsolated takes up, one after another, what must not condemn its neighbours.
func (i *invocation) takeIsolated() {
	for _, j := range i.isolation.take() {
		j.isolated = true
		i.ledger.begin(j)
		i.places.take(j)
		i.take([]*job{j})
		i.jobs.Wait()
	}
}

// work takes an admitted job to its fate, or to the buffer.
func (i *invocation) work(j *job) {
	if err := i.limiter.foresee(j); err != nil {
		i.finish(j, err)
		return
	}
	if err := i.reader.read(j); err != nil {
		i.finish(j, err)
		return
	}
	if j.bad == nil { // else it is not called
		if err := i.limiter.admit(j); err != nil {
			i.finish(j, err)
			return
		}
	}
	res := i.call(j)
	var line []byte
	if o, ok := res.(*outcome); ok {
		line = o.line
	}
	i.release(j, line)
	switch res := res.(type) {
	case *outcome:
		i.buffer.add(j, res)
	case *dueRetry:
		i.finish(j, i.retries.write(j, res))
	case halted:
		i.finish(j, res.err)
	}
}

// call has j's request claimed, and called once there is a place and its permit's
// time has come.
func (i *invocation) call(j *job) result {
	request, res := i.claims.start(j)
	for res == nil {
		if err := i.limiter.await(j); err != nil {
			return halted{err}
		}
		if i.places.call(i.calls, batch.RequestID(j.message.Key()), func() { res = i.attempts.attempt(j, request) }) != nil {
			return halted{endOf(i.calls)}
		}
	}
	return res
}

// release gives back what j needs until its call has ended, but for its line.
func (i *invocation) release(j *job, line []byte) {
	i.reader.release(j, line)
	i.claims.release(j)
	j.pass.lose()
	i.places.free(j)
}

// finish does with j's message what is decided because of err.
func (i *invocation) finish(j *job, err error) {
	i.release(j, nil)
	why, wait := causeOf(err)
	if why == causeFailed {
		i.log.Warn("cannot go on with a request", append(j.attrs(), errAttr(err))...)
	}
	if givesBack(why) && j.held == heldUncalled {
		i.giver.give(j)
	}
	f := decide(why, j.held != heldNot, wait)
	if f == (reconcile{}) {
		i.buffer.add(j, nil)
		return
	}
	i.settler.settle(j, f)
	i.buffer.settled(j.ref())
}

// end marks the worker ended, which ends its leases if it has any, and only then
// shows the messages of what it leaves behind. One that withholds a message does
// not let go: its leases end as a dead worker's do.
func (i *invocation) end() {
	released, leased, withheld := i.ledger.leftovers()
	ended := !leased || !withheld && i.heartbeat.end() == nil
	if len(released) == 0 {
		return
	}
	after := time.Duration(0)
	if !ended { // the others must wait until the heartbeat is stale
		after = i.jitter(i.stale)
	}
	if err := i.visibility.changeVisibility(after, released...); err != nil {
		i.log.Warn("cannot show messages", errAttr(err))
	}
}
