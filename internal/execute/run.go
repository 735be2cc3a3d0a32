package execute

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// A job is one message on its way through a run.
type job struct {
	delivery Delivery
	message  batch.Message
	watched  *watched     // its batch
	record   state.Record // the request as read, or as it should be at its first receive
	input    batch.Input
	bad      error // why the line cannot be sent
	alone    bool  // nothing else runs beside it
	calling  bool  // its call has left, and it has not: the recorder's
	weight   int64 // of run.room, while it is held
}

func (j *job) ref() batch.Ref { return j.message.Ref() }

// A run is one invocation: a worker, as the others see it.
type run struct {
	*Worker

	id      string
	log     *slog.Logger
	expires time.Time     // when this worker must be dead
	stopAt  time.Time     // when its calls are aborted
	limit   time.Duration // of one attempt

	ops   context.Context // of reads and writes: lives as long as the run
	calls context.Context // of calls and of what leads to them: its cause says why it ended
	abort context.CancelCauseFunc

	slots *semaphore.Weighted // calls in flight
	room  *semaphore.Weighted // bytes in hand
	heart *heart
	keep  *keeper
	watch *watch
	group *recorder
	ready *gatherer
	trash *deleter
	jobs  sync.WaitGroup

	mu    sync.Mutex
	all   []Delivery
	acked map[string]bool // by message id
	alone []*job          // to be taken up after the others
	late  []string        // handles to show once this worker has ended
	owes  bool            // a retry that has to wait is known to nobody but this worker and the queue
}

// begin sets up a run. The caller calls cancel once run has returned.
func (w *Worker) begin(ctx context.Context, deliveries []Delivery) (r *run, cancel func()) {
	w.cells.trim()
	now := w.Clock()
	killed, ok := ctx.Deadline()
	if !ok {
		killed = now.Add(lifetime)
	}
	left := killed.Sub(now)
	usable := left - min(w.cfg.Margin, left/4)
	r = &run{
		Worker: w, id: w.NewID(), all: deliveries, acked: make(map[string]bool, len(deliveries)),
		expires: killed.Add(leaseMargin), stopAt: now.Add(usable), limit: min(w.cfg.CallLimit, usable/4*3),
		slots: semaphore.NewWeighted(int64(w.cfg.Concurrency)), room: semaphore.NewWeighted(w.cfg.Bytes),
	}
	r.log = w.Log.With(slog.String("worker", r.id))
	// What was answered is recorded even if ctx ends early.
	ops, stopOps := context.WithDeadline(context.WithoutCancel(ctx), killed)
	timed, stopTimed := context.WithDeadlineCause(ctx, r.stopAt, errShutdown)
	r.ops = ops
	r.calls, r.abort = context.WithCancelCause(timed)
	r.heart = newHeart(r)
	r.keep = newKeeper(r)
	r.watch = newWatch(r)
	r.group = newRecorder(r)
	r.ready = &gatherer{run: r}
	r.trash = &deleter{run: r}
	return r, func() {
		r.abort(errShutdown)
		stopTimed()
		stopOps()
	}
}

// run takes all jobs to their ends, and then the worker.
func (r *run) run() {
	jobs := r.decode()
	r.keep.hold(jobs)
	stopKeeping := r.beside(r.keep.loop)
	if err := r.heart.start(); err != nil {
		r.log.Warn("no first heartbeat: claiming nothing", errAttr(err))
		each(jobs, func(_ int, j *job) { r.putBack(j, r.jitter(unsure)) })
		r.jobs.Wait()
		stopKeeping()
		return
	}
	r.keep.await()
	stop := r.beside(r.heart.loop, r.watch.loop, r.trash.loop)
	r.group.expect(jobs...)
	r.take(jobs)
	r.jobs.Wait()
	r.runAlone()
	r.group.drain()
	stop()
	stopKeeping()
	r.end()
}

// beside starts loops that run beside the jobs, and returns what ends them.
func (r *run) beside(what ...func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(r.ops)
	var loops sync.WaitGroup
	for _, loop := range what {
		loops.Go(func() { loop(ctx) })
	}
	return func() {
		cancel()
		loops.Wait()
	}
}

// runAlone takes up, one after another, what must not condemn its neighbours.
func (r *run) runAlone() {
	r.mu.Lock()
	alone := r.alone
	r.alone = nil
	r.mu.Unlock()
	for _, j := range alone {
		j.alone = true
		r.group.expect(j)
		r.take([]*job{j})
		r.jobs.Wait()
	}
}

// end marks the worker ended, which ends its leases, and only then shows the
// messages of what it leaves behind. One that owes a retry does not let go: its
// leases end as a dead worker's do.
func (r *run) end() {
	ended := !r.owes && r.heart.end() == nil
	if len(r.late) == 0 {
		return
	}
	after := time.Duration(0)
	if !ended { // the others must wait until the heartbeat is stale
		after = r.jitter(r.cfg.Stale)
	}
	if err := r.hide(after, r.late...); err != nil {
		r.log.Warn("cannot show messages", errAttr(err))
	}
}

// settle does with j's message what came of its request.
func (r *run) settle(j *job, o *outcome, err error) {
	r.release(j)
	var put *asideError
	var owed *owedError
	if errors.As(err, &owed) {
		err = r.insist(j, owed)
	}
	switch {
	case err == nil, errors.Is(err, errDone):
		r.group.leave(j, &entry{job: j, outcome: o})
		return
	case errors.Is(err, errOver):
		r.ack(j)
		r.trash.add(j.delivery.Handle)
	case errors.Is(err, errAlone):
		r.mu.Lock()
		r.alone = append(r.alone, j)
		r.mu.Unlock()
	case errors.Is(err, errHeld):
		r.showLate(j)
	case errors.Is(err, errRest):
		// Of thousands of them, each hiding would cost the time of the sealing.
		r.keep.drop(j.delivery.Handle)
	case errors.As(err, &put):
		r.putBack(j, put.after)
	default:
		r.log.Warn("request put back", append(j.attrs(), errAttr(err))...)
		r.putBack(j, r.jitter(unsure))
	}
	r.group.leave(j, nil)
}

// discard has those of entries' messages deleted that are acknowledged.
func (r *run) discard(entries []*entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range entries {
		if d := e.job.delivery; r.acked[d.MessageID] {
			r.trash.add(d.Handle)
		}
	}
}

// ack strikes j's message out of those that must stay.
func (r *run) ack(j *job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acked[j.delivery.MessageID] = true
}

// putBack shows j's message again after d.
func (r *run) putBack(j *job, d time.Duration) {
	r.keep.drop(j.delivery.Handle)
	if err := r.hide(d, j.delivery.Handle); err != nil {
		r.log.Warn("cannot put a message back", append(j.attrs(), errAttr(err))...)
	}
}

// hide shows messages again after d.
func (r *run) hide(d time.Duration, handles ...string) error {
	ctx, cancel := context.WithTimeout(r.ops, hideLimit)
	defer cancel()
	return r.Queue.Hide(ctx, handles, min(d, maxHide))
}

// showLate shows j's message as soon as this worker has ended.
func (r *run) showLate(j *job) {
	j.watched.leave()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = append(r.late, j.delivery.Handle)
}

// unsettled returns the ids of the messages that must stay, in order.
func (r *run) unsettled() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := []string{}
	for _, d := range r.all {
		if !r.acked[d.MessageID] {
			ids = append(ids, d.MessageID)
		}
	}
	return ids
}

// jitter spreads d to between d and 1.5 d, so that what was put back together
// does not come back together.
func (r *run) jitter(d time.Duration) time.Duration {
	return d + time.Duration(r.Uniform()*float64(d)/2)
}

// rest waits for 0.9 d to d, so that workers which began together do not poll
// together, and no worker does two things at one instant, whose order nobody
// could repeat. It reports whether ctx lives still. What took long is not made
// up for by doing the next at once.
func (r *run) rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d - time.Duration(r.Uniform()*float64(d)/10))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return ctx.Err() == nil
}

func (j *job) attrs() []any {
	return []any{
		slog.String("batch", j.message.Batch), slog.Int("line", j.message.Line),
		slog.Int("receives", j.delivery.Receives),
	}
}

func errAttr(err error) slog.Attr { return slog.String("error", err.Error()) }
