package sim

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/tenant"
)

// ended checks a batch once all is over.
func (c *checker) ended(j *job) {
	w := c.world
	b, err := w.store.Batch(context.Background(), j.shadow.batch.Ref)
	if err != nil || !b.Status.Terminal() {
		c.wrong("%s has not ended: it is %q, %v", j.nick, b.Status, err)
		return
	}
	if b.Counts.Done() != b.Counts.Total {
		c.wrong("%s ended with %+v", j.nick, b.Counts)
	}
	// A batch whose results could not be written out for half an hour is given
	// up without them, which only faults that never end can bring about.
	whole := b.Status != batch.StatusFailed || c.world.plan.lively
	if b.Counts.Total > 0 && whole {
		c.files(j, b)
	}
	c.status(j, b)
	c.history(j, b)
	if j.read && whole && len(j.shadow.early) != b.Counts.Total {
		c.wrong("%s has %d lines, and %d were read as early results", j.nick, b.Counts.Total, len(j.shadow.early))
	}
	for i, l := range j.lines {
		if b.Counts.Total > 0 {
			c.outcome(j, b, i+1, l)
		}
	}
	c.left(j, b)
	c.prompt(j)
}

// prompt checks that a batch ended soon after its last outcome, and that nobody
// was called more often than needed, where nothing has gone wrong that is to be
// made up for.
func (c *checker) prompt(j *job) {
	p := c.world.plan
	c.told(j)
	if !p.lively || p.calmAt > 0 && j.shadow.doneAt < p.calmAt+15*time.Minute {
		return
	}
	if late := j.shadow.endedAt - j.shadow.doneAt; late > time.Minute && j.shadow.doneAt > 0 {
		c.wrong("%s ended %v after its last outcome", j.nick, late)
	}
	if slices.ContainsFunc(p.jobs, (*job).poisonous) {
		return // its neighbours die with it
	}
	for i, l := range j.lines {
		if most := len(l.manner.first) + 1; p.calmAt == 0 && p.script == nil && l.manner.then == "" && p.lifetime == 15*time.Minute && l.trail.calls > most {
			c.wrong("%s is called %d times, and %d were enough", j.name(i+1), l.trail.calls, most)
		}
		if p.calmAt == 0 && p.script == nil && p.receives >= 1_000 && l.trail.enqueued > 1 {
			c.wrong("%s is enqueued %d times", j.name(i+1), l.trail.enqueued)
		}
	}
}

// told checks that the flow hears of outcomes whose workers died before they were
// counted, and does not wait for its tick, where workers die and nothing else
// goes wrong.
func (c *checker) told(j *job) {
	hangs := slices.ContainsFunc(c.world.plan.jobs, func(j *job) bool {
		return slices.ContainsFunc(j.lines, func(l *line) bool { return slices.Contains(l.manner.first, upstreamHangs) })
	})
	late := j.shadow.endedAt - j.shadow.doneAt
	if c.world.plan.deadly && !c.world.unhidden && !hangs && j.shadow.doneAt > 0 && late > hearing {
		c.wrong("%s ended %v after its last outcome, although only workers died", j.nick, late)
	}
}

// hearing is how long it may take: a message's hiding, some more deaths, and a
// recount's rest.
const hearing = 5 * time.Minute

// files checks that each line is in one of the two files, in the order of the
// input, as its request says.
func (c *checker) files(j *job, b batch.Batch) {
	found := map[int]bool{}
	c.file(j, b, b.OutputFileID, true, found)
	c.file(j, b, b.ErrorFileID, false, found)
	if len(found) != b.Counts.Total || b.Counts.Total != len(j.lines) {
		c.wrong("%s has %d lines, and %d in its files", j.nick, len(j.lines), len(found))
	}
}

// file checks one of them, if there is one.
func (c *checker) file(j *job, b batch.Batch, id string, good bool, found map[int]bool) {
	if id == "" {
		return
	}
	ctx := context.Background()
	key := batch.FileKey(b.Tenant, id)
	size, err := c.world.files.Size(ctx, key)
	var body []byte
	if err == nil {
		body, err = c.world.files.Read(ctx, key, 0, size)
	}
	if _, missing := c.world.store.File(ctx, b.Tenant, id); err != nil || missing != nil {
		c.wrong("%s has no file %s: %v, %v", j.nick, id, err, missing)
		return
	}
	last := 0
	for text := range bytes.Lines(body) {
		n, ok := c.lineOf(j, text)
		if !ok || found[n] || n <= last {
			c.wrong("%s has the line %q in a file after line %d", j.nick, text, last)
			continue
		}
		found[n], last = true, n
		if _, done := j.lines[n-1].trail.phase.(state.Completed); done != good {
			c.wrong("%s is in the wrong file", j.name(n))
		}
	}
}

// status checks that a batch ended as it should.
func (c *checker) status(j *job, b batch.Batch) {
	switch b.Status {
	case batch.StatusCompleted:
		if b.Counts.Expired > 0 || b.Canceling() {
			c.wrong("%s is completed with %+v", j.nick, b.Counts)
		}
	case batch.StatusExpired:
		if c.world.sched.start.Add(j.shadow.endedAt).Before(b.Deadline.Add(-10 * time.Second)) {
			c.wrong("%s expired before its deadline", j.nick)
		}
	case batch.StatusCanceled:
		if j.cancels == 0 {
			c.wrong("%s is cancelled, and nobody asked for it", j.nick)
		}
	case batch.StatusFailed:
		c.failed(j, b)
	case batch.StatusValidating, batch.StatusInProgress, batch.StatusFinalizing, batch.StatusCanceling:
	}
	if j.bad && b.Counts.Total > 0 {
		c.wrong("%s has a bad file, and is %s with %+v", j.nick, b.Status, b.Counts)
	}
	if j.canceled && b.Status != batch.StatusCanceled && !b.Canceling() {
		c.wrong("%s was cancelled and is %s", j.nick, b.Status)
	}
}

// failed checks that a batch had reason to fail: its file, or that nothing went
// for a quarter of an hour while it was loaded.
func (c *checker) failed(j *job, b batch.Batch) {
	if p := c.world.plan; p.lively && !j.bad && (!b.InProgressAt.IsZero() || p.calmAt < 10*time.Minute) {
		c.wrong("%s failed: %v", j.nick, b.Errors)
	}
}

// outcome checks that a request ended as its upstream treated it.
func (c *checker) outcome(j *job, b batch.Batch, n int, l *line) {
	p := c.world.plan
	switch phase := l.trail.phase.(type) {
	case state.Completed:
		if l.trail.answers == 0 {
			c.wrong("%s is completed without an answer", j.name(n))
		}
	case state.Canceled:
		if !b.Canceling() && !slices.ContainsFunc(j.stops, func(s stopping) bool { return s.line == n }) {
			c.wrong("%s is canceled, and nobody asked for it", j.name(n))
		}
	case state.Failed:
		kind := phase.Reason.Kind()
		switch {
		case !p.lively, kind == state.KindTaskTerminated && (l.manner.then == poisonous || c.world.deaths() >= 5),
			phase.Denial == state.DenialMaxRetries && p.policy.MaxRetries >= 0,
			l.manner.then == upstreamOdd && kind == state.KindInvalidAnswer && phase.Denial == state.DenialMaxRetries,
			l.manner.then == upstreamRefuses && kind == state.KindNonRetryableHTTPStatus:
		default:
			c.wrong("%s failed with %s (%v, denied: %q) although its upstream answers", j.name(n), kind, phase.Reason, phase.Denial)
		}
	case nil, state.Pending, state.Claimed, state.Processing:
		c.wrong("%s has no outcome", j.name(n))
	}
}

// poisonous reports whether a request of j kills whoever calls it.
func (j *job) poisonous() bool {
	return slices.ContainsFunc(j.lines, func(l *line) bool { return l.manner.then == poisonous })
}

// deaths returns how often a worker died, or seemed to, through no request's fault.
func (w *world) deaths() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hits[crashBefore] + w.hits[crashAfter] + w.hits[crashCalling] + w.hits[frozen] + w.hits[killedAtLimit] +
		w.hits[serviceDown]
}

// left checks that nothing is left of a batch that ended.
func (c *checker) left(j *job, b batch.Batch) {
	w := c.world
	for _, m := range w.queue.messages {
		if m.body.Batch == b.ID {
			c.wrong("a message of %s is left in the queue, received %d times", j.name(m.body.Line), m.receives)
		}
	}
	f, err := w.store.File(context.Background(), j.tenant, j.fileID)
	if err != nil || slices.Contains(f.PinnedBy, b.ID) {
		c.wrong("the input file of %s is pinned still by %v, %v", j.nick, f.PinnedBy, err)
	}
	quota, _ := w.store.UpdateQuota(context.Background(), j.tenant, func(*tenant.Quota) error { return nil })
	if _, there := quota.Batches[b.ID]; there {
		c.wrong("%s is listed in its tenant's quota still", j.nick)
	}
	for _, l := range w.queue.dead {
		if l.body.Batch == b.ID {
			c.wrong("a message of %s is left among the dead letters", j.name(l.body.Line))
		}
	}
	if r, err := w.store.Running(context.Background(), b.ID); !errors.Is(err, batch.ErrNotFound) {
		c.wrong("%s is among what runs still: %+v, %v", j.nick, r, err)
	}
	c.flowsOf(j, b)
}

// flowsOf checks that the flows of a batch that ended have all ended, and well,
// but those that were stopped from outside.
func (c *checker) flowsOf(j *job, b batch.Batch) {
	w := c.world
	if w.flows.executions[b.ID] == nil {
		c.wrong("%s has no flow", j.nick)
	}
	for n := 1; w.flows.executions[batch.FlowName(b.ID, n)] != nil; n++ {
		x := w.flows.executions[batch.FlowName(b.ID, n)]
		if !x.ended || x.failed != "" && x.failed != errAborted.Error() {
			c.wrong("%s has not ended well: %q", x.name, x.failed)
		}
		took := w.sched.now()
		if limit := 600 + int(took/time.Minute)*20; x.events > limit {
			c.wrong("%s took %d events in %v, more than %d", x.name, x.events, took, limit)
		}
	}
}
