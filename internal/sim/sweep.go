package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// sweepEvery is how often the schedule has the sweep called.
const sweepEvery = 15 * time.Minute

// hideLetter is how long a dead letter is hidden from its receive on.
const hideLetter = 2 * time.Minute

// errAborted is why an execution failed that was stopped from outside.
var errAborted = errors.New("sim: the execution was aborted")

// sweeps has the sweep called from then on.
func (w *world) sweeps() {
	n := 0
	var next func()
	next = func() {
		n++
		if !w.throttles() { // the next one does it
			w.function("sweep "+strconv.Itoa(n), payload{Task: "sweep"}, w.promise(), true)
		}
		w.sched.after("schedule", sweepEvery, next)
	}
	w.sched.after("schedule", roll(w.seed, "sweeps").between(0, sweepEvery), next)
}

// threaten stops x from outside, some time, if the seed has it so.
func (x *execution) threaten() {
	w := x.world
	d := roll(w.seed, "stop", x.name)
	if !d.chance(w.plan.rates[flowStopped]) {
		return
	}
	w.sched.after(x.name+" is stopped", d.between(0, 3*time.Minute), func() {
		if !x.over() && !w.calm() {
			w.hit(flowStopped)
			x.stop(errAborted)
		}
	})
}

// over reports whether x has ended, or will as soon as it is its turn.
func (x *execution) over() bool { return x.ended || x.ctx.Err() != nil }

// tell lets the sweep know that x ended badly, or not: events are best effort.
func (x *execution) tell() {
	w := x.world
	d := roll(w.seed, "event", x.name)
	if !d.chance(0.5) {
		return
	}
	w.sched.after("event of "+x.name, d.between(0, 5*time.Second), func() {
		if w.throttles() {
			return
		}
		w.function("ended "+x.name, payload{Task: "ended", Flow: x.id}, w.promise(), true)
	})
}

// standing returns how the execution of that name stands, as somebody is told
// who asks: of what happened in the last seconds he may not be.
func (f *flows) standing(id string) batch.FlowState {
	x := f.executions[id]
	now := f.world.sched.now()
	switch lag := roll(f.world.seed, "lag", id).between(0, 3*time.Second); {
	case x == nil, now-x.started < lag:
		return batch.FlowAbsent
	case x.ended && now-x.endedAt >= lag:
		return batch.FlowEnded
	}
	return batch.FlowRunning
}

// flowPorts are what the sweep knows of flows.
type flowPorts struct{ ports }

// Running names the flows that run.
func (p flowPorts) Running(ctx context.Context) (names map[string]bool, err error) {
	f := p.world.flows
	err = p.call(ctx, operation{name: "ListFlows"}, func(context.Context) error {
		names = map[string]bool{}
		for id := range f.executions {
			names[id] = f.standing(id) == batch.FlowRunning
		}
		return nil
	})
	return names, err
}

// State tells how a flow stands.
func (p flowPorts) State(ctx context.Context, batchID string, n int) (got batch.FlowState, err error) {
	w := p.world
	err = p.call(ctx, operation{name: "State", key: w.flowNick(batchID, n)}, func(context.Context) error {
		got = w.flows.standing(batch.FlowName(batchID, n))
		return nil
	})
	return got, err
}

// StartAgain starts a batch's next flow.
func (p flowPorts) StartAgain(ctx context.Context, b batch.Batch, n int) error {
	w := p.world
	o := operation{name: "Start", key: w.flowNick(b.ID, n), writes: true}
	return p.call(ctx, o, func(context.Context) error {
		if w.flows.executions[batch.FlowName(b.ID, n)] == nil {
			w.pass("flow started again")
		}
		return w.flows.start(b, n)
	})
}

// flowNick returns how a batch's n-th flow is told of.
func (w *world) flowNick(batchID string, n int) string { return batch.FlowName(w.nick(batchID), n) }

// Running reads the entry of a batch.
func (p ports) Running(ctx context.Context, batchID string) (r batch.Running, err error) {
	err = p.call(ctx, operation{name: "Running", key: p.world.nick(batchID)}, func(ctx context.Context) error {
		var err error
		r, err = p.world.store.Running(ctx, batchID)
		return err
	})
	return r, err
}

// Runnings lists what may be unfinished.
func (p ports) Runnings(ctx context.Context, after string, limit int) (page []batch.Running, more bool, err error) {
	limit = min(limit, 2) // so that there are pages
	err = p.call(ctx, operation{name: "Runnings", key: p.world.nick(after)}, func(ctx context.Context) error {
		var err error
		page, more, err = p.world.store.Runnings(ctx, after, limit)
		return err
	})
	return page, more, err
}

// UpdateAllowance changes how messages are shared.
func (p ports) UpdateAllowance(
	ctx context.Context, change func(*batch.Allowance) error,
) (batch.Allowance, error) {
	w := p.world
	return update(ctx, p, record[batch.Allowance]{
		name: "Allowance", rev: func(a *batch.Allowance) *int64 { return &a.Rev },
		read: func(ctx context.Context) (batch.Allowance, error) {
			return w.store.UpdateAllowance(ctx, func(*batch.Allowance) error { return nil })
		},
		write: w.store.UpdateAllowance,
	}, change)
}

// NextFlow raises the number of a batch's flow.
func (p ports) NextFlow(ctx context.Context, r batch.Running) (next batch.Running, err error) {
	o := operation{name: "NextFlow", key: p.world.flowNick(r.ID, r.Flow), writes: true}
	err = p.call(ctx, o, func(ctx context.Context) error {
		stored, err := p.world.store.NextFlow(ctx, r)
		if err == nil {
			next = stored
		}
		return err
	})
	return next, err
}

// A letter is a message that was received too often.
type letter struct {
	id    int
	body  batch.Message
	shows time.Duration
	sent  time.Duration
}

// bury moves m to the dead letters.
func (q *queue) bury(m *message) {
	w := q.world
	w.hit(deadLetter)
	delete(q.messages, m.id)
	q.dead = append(q.dead, &letter{id: m.id, body: m.body, shows: w.sched.now(), sent: m.sentAt})
}

// letterPorts are the queue of dead letters.
type letterPorts struct{ ports }

// Receive returns dead letters.
func (p letterPorts) Receive(ctx context.Context) (got []batch.DeadLetter, err error) {
	w := p.world
	err = p.call(ctx, operation{name: "ReceiveDead", writes: true}, func(context.Context) error {
		now := w.sched.now()
		for _, l := range w.queue.dead {
			if len(got) == 10 || l.shows > now {
				continue
			}
			body, err := l.body.Encode()
			if err != nil {
				return err
			}
			l.shows = now + hideLetter
			got = append(got, batch.DeadLetter{
				ID: strconv.Itoa(l.id), Handle: fmt.Sprintf("%d at %v", l.id, now), Body: body,
				SentAt: w.sched.start.Add(l.sent),
			})
		}
		return nil
	})
	if err != nil {
		got = nil
	}
	return got, err
}

// Delete deletes dead letters.
func (p letterPorts) Delete(ctx context.Context, handles []string) error {
	w := p.world
	return p.call(ctx, operation{name: "DeleteDead", writes: true}, func(context.Context) error {
		w.queue.dead = slices.DeleteFunc(w.queue.dead, func(l *letter) bool {
			return slices.Contains(handles, fmt.Sprintf("%d at %v", l.id, l.shows-hideLetter))
		})
		return nil
	})
}
