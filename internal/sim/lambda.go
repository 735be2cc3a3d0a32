package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/finalize"
	"github.com/musketry/musketry/internal/submit"
	"github.com/musketry/musketry/internal/sweep"
)

// taskLimit is the time limit of the functions that the flow calls.
const taskLimit = 15 * time.Minute

// A promise is what somebody waits for. It is kept once.
type promise struct {
	done  chan struct{}
	kept  bool
	value any
	err   error
}

func (w *world) promise() *promise { return &promise{done: make(chan struct{})} }

// set keeps p; later ones change nothing. Its caller has a turn.
func (p *promise) set(value any, err error) {
	if p.kept {
		return
	}
	p.kept, p.value, p.err = true, value, err
	close(p.done)
}

// A payload is what the flow hands to a function.
type payload struct {
	Task   string `json:"task"`
	Tenant string `json:"tenant"`
	Batch  string `json:"batch"`
	Token  string `json:"token"`
	Cause  string `json:"cause"`
	Flow   string `json:"flow"`
}

// invoke has a function run a task of the flow; its result goes to out, but
// that of one that only hands over a token.
func (x *execution) invoke(id string, in any, out *promise, waits bool) {
	w := x.world
	fields, _ := in.(map[string]any)
	text, err := json.Marshal(fields["Payload"])
	var task payload
	if err == nil {
		err = json.Unmarshal(text, &task)
	}
	if err != nil {
		out.set(nil, err)
		return
	}
	name := task.Task + " " + id
	if w.throttles() {
		out.set(nil, &taskError{name: throttledTask})
		return
	}
	d := roll(w.seed, "task", name)
	calm := w.calm()
	if twice := d.chance(w.plan.rates[finalizeTwice]); twice && !calm && task.Task != "load" {
		w.hit(finalizeTwice)
		w.function(name+"'", task, w.promise(), waits)
	}
	rate := w.plan.rates[taskLives]
	if task.Task == "load" {
		rate = max(rate, w.plan.stuck)
	}
	if lives := d.chance(rate); lives && !calm {
		w.sched.after(name+" is given up", d.between(0, one(d, 300*time.Millisecond, 20*time.Second)), func() {
			if out.kept {
				return
			}
			kind := taskLives
			if task.Task == "load" {
				kind = loaderLives
			}
			w.hit(kind)
			out.set(nil, &taskError{name: "Lambda.ClientExecutionTimeoutException"})
		})
	}
	w.function(name, task, out, waits)
}

// throttles reports whether a function cannot be invoked for want of concurrency.
func (w *world) throttles() bool {
	now := w.sched.now()
	if now < w.plan.starved[0] || now >= w.plan.starved[1] {
		return false
	}
	w.hit(taskThrottled)
	return true
}

// function runs a task as one process, which dies with it.
func (w *world) function(name string, task payload, out *promise, waits bool) {
	p := w.process(name)
	over := false
	p.ended = func() {
		over = true
		out.set(nil, &taskError{name: "Runtime.ExitError"})
	}
	w.spawn(func() {
		_ = w.sched.await(context.Background(), p, name+" starts", w.sched.dice(name).between(0, w.plan.cold))
		ctx, cancel := context.WithTimeout(context.Background(), taskLimit) // its time begins once it has started
		defer cancel()
		w.killAt(p, name, taskLimit, &over)
		next, err := w.perform(ctx, p, task)
		_ = w.sched.await(context.Background(), p, name+" returns", time.Millisecond)
		over = true
		w.sched.note(name, fmt.Sprintf("returns %q, %v", next, err))
		w.pass("task " + task.Task + " " + next)
		switch {
		case err != nil:
			out.set(nil, &taskError{name: "errorString", cause: err.Error()})
		case !waits:
			out.set(map[string]any{
				"Payload": map[string]any{"tenant": task.Tenant, "batch": task.Batch, "next": next},
			}, nil)
		}
	})
}

// perform does what lambdas/submit and lambdas/finalize do with a task.
func (w *world) perform(ctx context.Context, p *process, task payload) (string, error) {
	ref := batch.Ref{Tenant: task.Tenant, ID: task.Batch}
	log := slog.New(w.handler(p))
	q := ports{p}
	if task.Task == "load" {
		loader := submit.NewLoader(submit.LoadDeps{Store: q, Source: q, Inputs: q, Clock: p.now, Log: log}, w.plan.load)
		next, err := loader.Load(ctx, submit.Task{Ref: ref})
		return string(next), err
	}
	s := sweep.New(sweep.Deps{
		Batches: q, Flows: flowPorts{q}, Requests: q, Letters: letterPorts{q}, Queue: q, Metrics: w, Clock: p.now, Log: log,
	}, sweep.Config{})
	switch task.Task {
	case "sweep":
		return "", s.Sweep(ctx)
	case "ended":
		return "", s.Ended(ctx, task.Flow)
	}
	f := finalize.New(finalize.Deps{
		Requests: q, Journal: q, Batches: q, Objects: q, Uploads: q, Queue: q, Flow: q,
		Clock: p.now, Log: log,
		NewFileID: func(now time.Time) (string, error) { return batch.NewID(batch.PrefixFile, now, p) },
	}, w.plan.finalize)
	switch task.Task {
	case "advance":
		next, err := f.Advance(ctx, ref)
		return string(next), err
	case "park":
		return "", f.Park(ctx, ref, task.Token)
	case "abandon":
		return string(finalize.NextEnd), f.Abandon(ctx, ref, task.Cause)
	}
	return "", fmt.Errorf("sim: no such task: %q", task.Task)
}
