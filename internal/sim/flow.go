package sim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// maxEvents is how many events an execution's history has before it fails
// (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html).
const maxEvents = 25_000

// errStopped ends an execution from outside.
var errStopped = errors.New("sim: the execution was stopped")

// flows are the state machine's executions.
type flows struct {
	world      *world
	definition *definition
	executions map[string]*execution // by their names at Step Functions
	tokens     map[string]*promise   // by token, of those waited for
	lost       map[string]bool       // tokens that no wake reaches
	wakes      int
}

// An execution is one of the state machine's, as Step Functions runs it.
type execution struct {
	*flows
	name    string // in the log
	id      string // its name at Step Functions
	nick    string
	ref     batch.Ref
	data    any
	events  int
	moves   int // transitions
	tasks   int
	started time.Duration
	endedAt time.Duration
	ended   bool
	failed  string          // why it failed; empty if it did not
	ctx     context.Context // an execution's life
	stop    context.CancelCauseFunc
}

// A taskError is how a task failed, by its name.
type taskError struct{ name, cause string }

func (e *taskError) Error() string { return e.name + ": " + e.cause }

func newFlows(w *world, d *definition) *flows {
	return &flows{
		world: w, definition: d, executions: map[string]*execution{}, tokens: map[string]*promise{}, lost: map[string]bool{},
	}
}

// start starts b's n-th execution; that there is one of its name is no error.
// Its caller has a turn.
func (f *flows) start(b batch.Batch, n int) error {
	id := batch.FlowName(b.ID, n)
	if f.executions[id] != nil {
		return nil
	}
	f.world.named(b)
	for before := 1; before < n; before++ {
		if x := f.executions[batch.FlowName(b.ID, before)]; x == nil || !x.over() {
			f.world.check.wrong("flow %d of %s is started, and flow %d has not ended", n, f.world.nick(b.ID), before)
		}
	}
	nick := f.world.flowNick(b.ID, n)
	ctx, stop := context.WithCancelCause(context.Background())
	x := &execution{
		flows: f, name: "flow " + nick, id: id, nick: nick, ref: b.Ref, started: f.world.sched.now(), ctx: ctx, stop: stop,
		data: map[string]any{"tenant": b.Tenant, "batch": b.ID},
	}
	f.executions[id] = x
	f.world.spawn(x.run)
	x.threaten()
	return nil
}

// wake ends the wait for a token. Its caller has a turn.
func (f *flows) wake(token string) {
	if p := f.tokens[token]; p != nil && !p.kept && !f.lost[token] {
		f.wakes++
		p.set(map[string]any{}, nil)
	}
}

// run takes the execution to its end.
func (x *execution) run() {
	defer x.stop(nil)
	x.events = 1 // ExecutionStarted
	limit := time.Duration(x.definition.TimeoutSeconds) * time.Second
	x.world.sched.after(x.name+" times out", limit, func() { x.stop(errors.New("States.Timeout")) })
	at := x.definition.StartAt
	for at != "" {
		next, err := x.step(at)
		if x.ctx.Err() != nil {
			err = context.Cause(x.ctx)
		}
		if err == nil && x.events >= maxEvents {
			err = errors.New("the history is full")
		}
		if err != nil {
			x.failed = err.Error()
			x.world.sched.note(x.name, "failed: "+x.failed)
			if !errors.Is(err, errStopped) {
				x.tell()
			}
			break
		}
		at = next
	}
	x.ended, x.endedAt = true, x.world.sched.now()
	x.events++ // ExecutionSucceeded, or its like
}

// step takes one state and returns the next one; none after the last.
func (x *execution) step(name string) (string, error) {
	s := x.definition.States[name]
	x.events += 2 // entered and exited
	x.moves++
	_ = x.world.sched.await(x.ctx, nil, x.name+" enters "+name, 20*time.Millisecond)
	switch s.Type {
	case "Choice":
		for _, c := range s.Choices {
			value, err := evaluate(c.Variable, x.data, nil)
			if err != nil {
				return "", err
			}
			if value == c.StringEquals {
				return c.Next, nil
			}
		}
		return s.Default, nil
	case "Pass":
		data, err := place(s.ResultPath, x.data, s.Result)
		x.data = data
		return s.Next, err
	case "Wait":
		w := x.world
		_ = w.sched.await(x.ctx, nil, x.name+" waits in "+name, time.Duration(s.Seconds*float64(time.Second)))
		return s.Next, nil
	case "Succeed":
		return "", nil
	}
	return x.task(name, s)
}

// task runs a task with its retries, and returns the state after it.
func (x *execution) task(name string, s *step) (string, error) {
	tries := make([]int, len(s.Retry))
	for {
		result, err := x.attempt(s)
		if err == nil {
			x.data, err = place(s.ResultPath, x.data, result)
			return s.Next, err
		}
		var failed *taskError
		if !errors.As(err, &failed) {
			return "", err
		}
		x.world.sched.note(x.name+" "+name, "failed: "+failed.name)
		if failed.name == "States.Timeout" {
			x.world.pass("tick")
		}
		if x.again(name, s, tries, failed) {
			continue
		}
		for _, c := range s.Catch {
			if matches(c.ErrorEquals, failed.name) {
				x.world.pass("catch of " + name)
				x.data, err = place(c.ResultPath, x.data, map[string]any{"Error": failed.name, "Cause": failed.cause})
				return c.Next, err
			}
		}
		return "", err
	}
}

// again waits for the next try of a task, if there is one.
func (x *execution) again(name string, s *step, tries []int, failed *taskError) bool {
	for i, r := range s.Retry {
		if !matches(r.ErrorEquals, failed.name) {
			continue
		}
		if tries[i] >= r.MaxAttempts {
			return false
		}
		wait := r.IntervalSeconds * math.Pow(max(r.BackoffRate, 1), float64(tries[i]))
		if r.MaxDelaySeconds > 0 {
			wait = min(wait, r.MaxDelaySeconds)
		}
		tries[i]++
		what := x.name + " " + name + " again"
		if r.JitterStrategy == "FULL" {
			wait *= x.world.sched.dice(what).float()
			x.world.sched.passed(what)
		}
		return x.world.sched.await(x.ctx, nil, what, time.Duration(wait*float64(time.Second))) == nil
	}
	return false
}

// attempt runs a task once.
func (x *execution) attempt(s *step) (any, error) {
	w := x.world
	x.tasks++
	id := fmt.Sprintf("%s.%d", x.nick, x.tasks)
	token := "token " + id
	in, err := fill(s.Parameters, x.data, map[string]any{"Task": map[string]any{"Token": token}})
	if err != nil {
		return nil, err
	}
	x.events += 3 // scheduled, started, and how it ended
	out := w.promise()
	if s.TimeoutSeconds > 0 {
		w.sched.after(x.name+" "+id+" times out", time.Duration(s.TimeoutSeconds)*time.Second, func() {
			out.set(nil, &taskError{name: "States.Timeout"})
		})
	}
	waits := s.Resource == invokeToken
	if waits {
		x.events++ // submitted
		x.tokens[token] = out
		defer delete(x.tokens, token)
		if d := roll(w.seed, token); !w.calm() && d.chance(w.plan.rates[tokenLost]) {
			w.hit(tokenLost)
			x.lost[token] = true
		}
	}
	x.invoke(id, in, out, waits)
	select {
	case <-out.done:
	case <-x.ctx.Done():
		return nil, context.Cause(x.ctx)
	}
	if out.err != nil || s.ResultSelector == nil {
		return out.value, out.err
	}
	return fill(s.ResultSelector, out.value, nil)
}
