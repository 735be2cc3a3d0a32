package sim

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/route"
)

// eventSize is how many messages the event source hands out at once at most.
const eventSize = 10

// A source is Lambda's event source: it polls the queue, hands messages to
// environments of execute, at most so many at once, and deletes those of which
// they do not say that they failed. Its caller has a turn.
type source struct {
	world   *world
	running int
	idle    []*environment // the last used first
	busy    []*environment // in the order in which they were invoked
	made    int
	polls   time.Duration // when the next poll is due; negative: none is
	turn    int           // the number of that poll: an earlier one is void
}

// An environment is a process of execute, which lives from one invocation to
// the next.
type environment struct {
	*process
	worker      *execute.Worker
	invocations int
}

func newSource(w *world) *source { return &source{world: w, polls: -1} }

// poke has the queue polled at a time since the start, or a little later.
func (s *source) poke(at time.Duration) {
	w := s.world
	now := w.sched.now()
	at = max(at, now)
	if s.polls >= 0 && s.polls <= at {
		return
	}
	s.turn++
	turn := s.turn
	s.polls = at
	wait := roll(w.seed, "poll", at.String()).between(0, 300*time.Millisecond)
	w.sched.after("poll", at-now+wait, func() {
		if turn == s.turn {
			s.polls = -1
			s.poll()
		}
	})
}

// poll hands out what there is.
func (s *source) poll() {
	w := s.world
	now := w.sched.now()
	if from, to := w.plan.away[0], w.plan.away[1]; now >= from && now < to {
		w.hit(noWorkers)
		s.poke(to)
		return
	}
	for s.running < w.plan.workers {
		size := eventSize
		if d := w.sched.dice("event"); d.chance(0.5) {
			size = 1 + d.intn(eventSize)
		}
		w.sched.passed("event")
		got := w.queue.receive(size, w.queue.visibility)
		if len(got) == 0 {
			break
		}
		s.invoke(got)
	}
	if next, ok := w.queue.next(); ok && s.running < w.plan.workers {
		s.poke(max(next, now+time.Second))
	}
}

// environment returns one that is free.
func (s *source) environment() *environment {
	if n := len(s.idle); n > 0 {
		e := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return e
	}
	w := s.world
	s.made++
	e := &environment{process: w.process(fmt.Sprintf("execute%d", s.made))}
	e.process.worker = true
	if e.skew != 0 {
		w.hit(skewed)
	}
	p := ports{e.process}
	e.worker = execute.New(execute.Deps{
		Requests: p, Workers: p, Limits: p, Batches: p, Files: p, Queue: p, Flow: p, Caller: p,
		Metrics: w, Log: slog.New(w.handler(e.process)), Clock: e.now, Uniform: e.uniform, NewID: e.newID,
		Models: route.NewTable(w.plan.model()).Now,
	}, execute.Config{Places: w.plan.places})
	return e
}

// model returns the model of all requests, with the limits of its route.
func (p *plan) model() route.Model {
	m := route.DefaultModel("https://api.example.com/v1", false)
	m.Routes[0].RPM, m.Routes[0].MaxConcurrency = p.route.RPM, p.route.MaxConcurrency
	return m
}

// invoke hands messages to an environment.
func (s *source) invoke(got []*message) {
	w := s.world
	e := s.environment()
	e.invocations++
	name := fmt.Sprintf("%s#%d", e.name, e.invocations)
	deliveries := make([]batch.Delivery, len(got))
	lines := make([]string, len(got))
	for i, m := range got {
		deliveries[i] = m.delivery()
		lines[i] = fmt.Sprintf("%s/%d", w.nick(m.body.Batch), m.body.Line)
	}
	w.sched.note(name+" invoked", strings.Join(lines, " "))
	s.running++
	s.busy = append(s.busy, e)
	over := false
	end := func() { // in a turn
		if !over {
			over = true
			s.running--
			s.busy = slices.DeleteFunc(s.busy, func(o *environment) bool { return o == e })
			s.poke(w.sched.now())
		}
	}
	e.mu.Lock()
	e.run, e.stint = e.invocations, stint{}
	e.mu.Unlock()
	for _, m := range got {
		w.check.received(e.process, m)
	}
	e.ended = end
	w.spawn(func() {
		limit := w.plan.lifetime
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		w.killAt(e.process, name, limit, &over)
		_ = w.sched.await(ctx, e.process, name+" starts", w.sched.dice(name).between(0, 50*time.Millisecond))
		failed := e.worker.Run(ctx, deliveries)
		_ = w.sched.await(context.Background(), e.process, name+" returns", time.Millisecond)
		s.returned(e, name, deliveries, failed)
		s.idle = append(s.idle, e)
		e.mu.Lock()
		e.run = -1
		e.mu.Unlock()
		end()
	})
}

// returned deletes the messages of an event that did not fail.
func (s *source) returned(e *environment, name string, deliveries []batch.Delivery, failed []string) {
	w := s.world
	gone := 0
	for _, d := range deliveries {
		if slices.Contains(failed, d.MessageID) {
			continue
		}
		gone++
		if dice := roll(w.seed, "delete", name, d.Handle); !w.calm() && dice.chance(w.plan.rates[deleteLost]) {
			w.hit(deleteLost)
			continue
		}
		w.queue.remove(e.process, d.Handle)
	}
	w.sched.note(name+" returned", fmt.Sprintf("%d of %d done", gone, len(deliveries)))
}

// killAt kills p after limit unless over is set by then, as Lambda does.
func (w *world) killAt(p *process, name string, limit time.Duration, over *bool) {
	w.sched.after(name+" is killed", limit+20*time.Millisecond, func() {
		if *over {
			return
		}
		w.hit(killedAtLimit)
		w.sched.note(name, "killed at its limit")
		w.sched.kill(p)
	})
}
