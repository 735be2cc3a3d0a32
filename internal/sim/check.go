package sim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/answer"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/state"
)

// A checker holds every write, call and answer against what is promised. What
// is broken it keeps, in words. It is told of each in its turn.
type checker struct {
	world *world

	mu    sync.Mutex
	finds []string
}

// A shadow is what a checker knows of a batch.
type shadow struct {
	batch      batch.Batch // as it was written last
	endedAt    time.Duration
	sealedAt   time.Duration
	canceledAt time.Duration
	doneAt     time.Duration   // when its last request got its outcome
	outcomes   []time.Duration // when its requests got theirs, in order
	born       int             // requests that were created with their outcome
	counts     shownCounts     // as they were shown last
	early      map[int]bool
	low        time.Duration // since when it is at low water; 0: it is not
}

// A trail is what a checker knows of a request.
type trail struct {
	phase    state.Phase
	calls    int
	answers  int // good ones
	told     retryAfter
	flying   map[*process]int // calls in flight
	calledAt []time.Duration  // since the start
	paid     deed             // who has an answer in hand that ends it
	claimed  deed             // who holds it and has not called it
	done     deed             // who recorded its outcome
	again    time.Duration    // when it was last enqueued again; 0: never
	enqueued int              // messages that were sent of it, without those sent again
}

// A retryAfter is the wait that a request was last told by the upstream.
type retryAfter struct {
	until   time.Time // by the clock of who heard it
	by      *process
	run     int // its invocation
	worker  string
	written bool // it is in the request's record
	ended   bool // who heard it ended in good order, and knew that it was not
}

// wrong keeps a finding.
func (c *checker) wrong(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := fmt.Sprintf("at %v: ", c.world.sched.now().Round(time.Millisecond)) + fmt.Sprintf(format, args...)
	c.world.sched.note("WRONG", text)
	if len(c.finds) < 20 {
		c.finds = append(c.finds, text)
	}
}

// name returns how a request is told of.
func (j *job) name(n int) string { return fmt.Sprintf("%s-%d", j.nick, n) }

// find returns a request's job and line; nil if it is none of ours.
func (c *checker) find(k state.Key) (*job, *line) {
	j := c.world.job(c.world.nick(k.Batch))
	if j == nil || k.Line < 1 || k.Line > len(j.lines) {
		return nil, nil
	}
	return j, j.lines[k.Line-1]
}

// called is told of a call that leaves now, and returns its number.
func (c *checker) called(p *process, j *job, n int, call execute.Call) int {
	l, now := j.lines[n-1], p.now()
	l.trail.calls++
	l.trail.calledAt = append(l.trail.calledAt, c.world.sched.now())
	b, name := j.shadow.batch, j.name(n)
	c.uncalled(j, l, n)
	l.trail.claimed = deed{}
	c.overlaps(p, l, name)
	c.alive(p, name)
	c.eager(p, j, n)
	if call.IdempotencyKey == "" || !strings.Contains(string(call.Body), fmt.Sprintf("[%d,", n)) {
		c.wrong("%s is called as somebody else: %s", name, call.Body)
	}
	if !now.Before(b.Deadline) {
		c.wrong("%s is called at its deadline or after it", name)
	}
	if j.bad {
		c.wrong("%s is called, and its file is bad", name)
	}
	if p.stopped(call.BatchID) {
		c.wrong("%s is called by %s, which has seen the batch stop", name, p.name)
	}
	if t := l.trail.told; now.Before(t.until) && (t.written || t.ended || t.alive()) {
		c.wrong("%s is called %v before the time that its upstream asked for", name, t.until.Sub(now))
	}
	if !l.trail.told.written {
		l.trail.told = retryAfter{} // whoever heard it is gone, and nobody else knows
	}
	c.startedBy(p, j, l, name)
	return l.trail.calls
}

// startedBy checks that a request which p calls now is p's, and started.
func (c *checker) startedBy(p *process, j *job, l *line, name string) {
	b := j.shadow.batch
	switch phase := l.trail.phase.(type) {
	case state.Processing:
		if !strings.HasPrefix(phase.Lease.Worker, p.name+".") {
			c.wrong("%s is called by %s while %s holds it", name, p.name, phase.Lease.Worker)
		}
		late := !p.now().Before(b.Deadline.Add(-b.Policy.StopBeforeDeadline))
		if late && phase.Attempt > 0 {
			c.wrong("%s is called again within %v before its deadline", name, b.Policy.StopBeforeDeadline)
		}
	case state.Canceled:
	case state.Failed:
		if k := phase.Reason.Kind(); k != state.KindExpired && k != state.KindTaskTerminated {
			c.wrong("%s is called although it has failed", name)
		}
	case state.Completed:
		c.wrong("%s is called although it is completed", name)
	case nil, state.Pending, state.Claimed:
		c.wrong("%s is called before its start is written", name)
	}
}

// overlaps checks that nobody else calls the same request now, but who cannot
// know better: a process that is frozen, or has just thawed.
func (c *checker) overlaps(p *process, l *line, name string) {
	for other := range l.trail.flying {
		if !other.gone() && c.world.sched.frozen(other) < -10*time.Second {
			c.wrong("%s is called by %s while %s calls it", name, p.name, other.name)
		}
	}
}

// flies counts a call of p as in flight until land is called.
func (l *line) flies(p *process) (land func()) {
	if l.trail.flying == nil {
		l.trail.flying = map[*process]int{}
	}
	l.trail.flying[p]++
	return func() {
		if l.trail.flying[p]--; l.trail.flying[p] == 0 {
			delete(l.trail.flying, p)
		}
	}
}

// alive reports whether the worker lives that was told, and the others know it.
func (t retryAfter) alive() bool {
	return t.by != nil && !t.by.gone() && t.by.invocation() == t.run && !t.by.mute()
}

// answered is told of an answer that p gets now.
func (c *checker) answered(p *process, j *job, n int, r execute.Reply, err error) {
	l := j.lines[n-1]
	c.landed(p, j.name(n), err)
	good := r.StatusCode == http.StatusOK && r.Verdict.Sense == answer.Usable
	if err == nil && r.RetryAfter == 0 && (good || r.StatusCode == http.StatusBadRequest) {
		l.trail.paid = c.deed(p)
	}
	if call, ok := errors.AsType[*execute.CallError](err); ok && call.Kind == execute.CallNoKey {
		l.trail.claimed = c.deed(p)
	}
	switch {
	case err != nil:
	case good:
		l.trail.answers++
	case r.RetryAfter > 0:
		l.trail.told = retryAfter{until: p.now().Add(r.RetryAfter), by: p, run: p.invocation(), worker: p.workerID()}
	}
}

// created is told of a request that is created, if it is not there, and of what
// is stored then.
func (c *checker) created(change state.Change, stored state.Record) {
	j, l := c.find(change.Spec().Key)
	switch {
	case l == nil || stored.Phase == nil:
	case l.trail.phase == nil:
		l.trail.phase = stored.Phase
		c.world.pass("request created " + string(stored.Phase.Status()))
		if stored.Phase.Status().Terminal() {
			j.shadow.born++
		}
	case l.trail.phase != stored.Phase:
		c.wrong("%s was %s and is created anew", j.name(change.Spec().Key.Line), l.trail.phase.Status())
	}
}

// applied is told of a request's write.
func (c *checker) applied(p *process, change state.Change, before, after state.Record, err error) {
	w := c.world
	if errors.Is(err, state.ErrConflict) {
		w.pass("conflict of a request")
		return
	}
	j, l := c.find(change.Spec().Key)
	if err != nil || l == nil || before.Phase == after.Phase {
		return
	}
	name := j.name(change.Spec().Key.Line)
	from, to := state.Status("nothing"), after.Phase.Status()
	if before.Phase != nil {
		from = before.Phase.Status()
	}
	w.pass(fmt.Sprintf("request %s to %s", from, to))
	if from.Terminal() {
		c.wrong("%s was %s and is %s now, by %s", name, from, to, p.name)
	}
	c.uncalled(j, l, change.Spec().Key.Line)
	l.trail.phase, l.trail.claimed = after.Phase, deed{}
	if to.Terminal() {
		c.over(p, j, l, change.Spec().Key.Line)
	}
	switch phase := after.Phase.(type) {
	case state.Completed:
		c.completed(j, l, change.Spec().Key, phase)
	case state.Pending:
		if t := &l.trail.told; t.by == p && !t.written {
			t.written = true
			if phase.NotBefore.Before(t.until) {
				c.wrong("%s may be called at %v, %v before the time that its upstream asked for",
					name, phase.NotBefore, t.until.Sub(phase.NotBefore))
			}
		}
	case state.Processing:
		l.trail.claimed = c.deed(p)
		if b := j.shadow.batch; !phase.StartedAt.Before(b.Deadline) {
			c.wrong("%s is started at its deadline or after it", name)
		}
	case state.Failed, state.Claimed, state.Canceled:
	}
}

// over is told of an outcome that p has recorded.
func (c *checker) over(p *process, j *job, l *line, n int) {
	w := c.world
	if p.worker && p.now().After(stopOf(j.shadow.batch).Add(grace)) {
		w.pass("outcome after the grace")
	}
	c.kept(p, j, l, n)
	l.trail.done = c.deed(p)
	j.shadow.doneAt = w.sched.now()
	j.shadow.outcomes = append(j.shadow.outcomes, w.sched.now())
	c.water(j)
}

// completed checks that the answer is durable, and one that was given.
func (c *checker) completed(j *job, l *line, k state.Key, phase state.Completed) {
	if l.trail.answers == 0 {
		c.wrong("%s is completed without an answer", j.name(k.Line))
	}
	at := phase.Answer
	body, err := c.world.files.Read(context.Background(), batch.SegmentKey(k.Batch, at.Object), at.Offset, at.Length)
	if err != nil || !strings.Contains(string(body), fmt.Sprintf("%q", j.name(k.Line))) {
		c.wrong("%s is completed before its answer is durable: %v", j.name(k.Line), err)
	}
}

// removed is told of a message that p deletes.
func (c *checker) removed(p *process, m *message) {
	j, l := c.find(m.body.Key())
	if l == nil {
		return
	}
	if phase := l.trail.phase; (phase == nil || !phase.Status().Terminal()) && !j.shadow.batch.Status.Terminal() {
		c.wrong("the message of %s is deleted while it has no outcome", j.name(m.body.Line))
	}
	c.deletedSoon(p, j, m)
}

// batchSeen is told of a batch as p reads it.
func (c *checker) batchSeen(p *process, b batch.Batch) {
	if b.Canceling() || b.Status.Terminal() || b.Sealed || b.FailCause != "" {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.seen[b.ID] = true
	}
}

// stopped reports whether p has seen a batch stop.
func (p *process) stopped(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[id]
}

// batchWritten is told of a batch's write.
func (c *checker) batchWritten(before, after batch.Batch) {
	w := c.world
	w.named(after)
	j := w.job(w.nick(after.ID))
	if j == nil {
		return
	}
	j.shadow.batch = after
	c.water(j)
	c.allowance(before, after)
	if before.Status != after.Status {
		w.pass(fmt.Sprintf("batch %s to %s", before.Status, after.Status))
		if !legal(before.Status, after.Status) {
			c.wrong("%s was %s and is %s now", j.nick, before.Status, after.Status)
		}
		w.sched.note(j.nick, fmt.Sprintf("is %s %+v", after.Status, after.Counts))
	}
	if (before.Sealed || before.Status.Terminal()) && before.Counts != after.Counts {
		c.wrong("%s is sealed and its counts change from %+v to %+v", j.nick, before.Counts, after.Counts)
	}
	if after.Canceling() && !before.Canceling() {
		j.shadow.canceledAt = w.sched.now()
	}
	if after.Sealed && !before.Sealed {
		j.shadow.sealedAt = w.sched.now()
		c.sealed(j, after)
	}
	if after.Status.Terminal() && !before.Status.Terminal() {
		j.shadow.endedAt = w.sched.now()
	}
}

// truth counts a batch's requests as they are.
func (j *job) truth() batch.Counts {
	counts := batch.Counts{Total: len(j.lines)}
	for _, l := range j.lines {
		if l.trail.phase != nil {
			counts = counts.Add(l.trail.phase)
		}
	}
	return counts
}

// sealed checks that all requests of a batch have their outcome.
func (c *checker) sealed(j *job, b batch.Batch) {
	if b.Counts.Done() != b.Counts.Total {
		c.wrong("%s is sealed with %+v", j.nick, b.Counts)
	}
	var counts batch.Counts
	for i, l := range j.lines {
		switch {
		case b.Counts.Total == 0:
		case l.trail.phase == nil || !l.trail.phase.Status().Terminal():
			c.wrong("%s is sealed while %s has no outcome", j.nick, j.name(i+1))
		default:
			counts = counts.Add(l.trail.phase)
		}
	}
	if counts.Total = b.Counts.Total; counts != b.Counts {
		c.wrong("%s is sealed with %+v, and its requests are %+v", j.nick, b.Counts, counts)
	}
}

// legal reports whether a batch may go from one status to another.
func legal(from, to batch.Status) bool {
	switch from {
	case "":
		return to == batch.StatusValidating
	case batch.StatusValidating:
		return to == batch.StatusInProgress || to == batch.StatusFailed || to == batch.StatusCanceling ||
			to == batch.StatusFinalizing
	case batch.StatusInProgress:
		return to == batch.StatusFinalizing || to == batch.StatusCanceling || to == batch.StatusFailed
	case batch.StatusCanceling:
		return to == batch.StatusFinalizing || to == batch.StatusFailed
	case batch.StatusFinalizing:
		return to.Terminal()
	case batch.StatusCompleted, batch.StatusFailed, batch.StatusExpired, batch.StatusCanceled:
	}
	return false
}
