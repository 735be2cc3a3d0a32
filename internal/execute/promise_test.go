package execute_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/answer"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/state"
)

// A scenario is a batch and everything that goes wrong with it.
type scenario struct {
	lines    int
	order    []int              // the lines of the messages, in the order in which they are sent
	events   []int              // sizes of the events, in turn
	scripts  map[int][]string   // by line: what its calls bring; then success
	plans    []map[string]fault // by machine: faults by "operation number"; then healthy ones
	cancelAt time.Duration      // 0: never
}

func drawScenario(rt *rapid.T) scenario {
	s := scenario{lines: rapid.IntRange(1, 8).Draw(rt, "lines"), scripts: map[int][]string{}}
	for line := 1; line <= s.lines; line++ {
		for range rapid.IntRange(1, 3).Draw(rt, "copies") {
			s.order = append(s.order, line)
		}
		s.scripts[line] = rapid.SliceOfN(rapid.SampledFrom([]string{
			"500", "429", "reset", "panic", "slow", "unsent", "400", "error",
		}), 0, 4).Draw(rt, "script")
	}
	s.order = rapid.Permutation(s.order).Draw(rt, "order")
	s.events = rapid.SliceOfN(rapid.IntRange(1, 10), 1, 5).Draw(rt, "events")
	ops := []string{
		"beat", "visibility", "batch", "read", "start", "call", "put", "outcome", "counter",
		"progress", "wake", "delete", "ended", "retry", "request", "worker",
	}
	for range rapid.IntRange(0, 6).Draw(rt, "machines") {
		plan := map[string]fault{}
		for range rapid.IntRange(1, 12).Draw(rt, "faults") {
			op := fmt.Sprintf("%s %d", rapid.SampledFrom(ops).Draw(rt, "op"), rapid.IntRange(1, 6).Draw(rt, "n"))
			plan[op] = rapid.SampledFrom([]fault{failBefore, failAfter, failBefore, failAfter, dieBefore, dieAfter}).Draw(rt, "fault")
		}
		s.plans = append(s.plans, plan)
	}
	if rapid.IntRange(0, 3).Draw(rt, "cancel") == 0 {
		s.cancelAt = time.Duration(rapid.IntRange(1, 120).Draw(rt, "at")) * time.Second
	}
	return s
}

// answer plays line's script.
func (s scenario) answer(ctx context.Context, line, before int) (execute.Reply, error) {
	what := "200"
	if script := s.scripts[line]; before < len(script) {
		what = script[before]
	}
	select {
	case <-time.After(time.Duration(line*300) * time.Millisecond):
	case <-ctx.Done():
		return execute.Reply{}, ctx.Err()
	}
	switch what {
	case "500":
		return status(500)
	case "429":
		return execute.Reply{StatusCode: 429, RetryAfter: 20 * time.Second}, nil
	case "reset":
		return execute.Reply{}, &execute.CallError{Kind: execute.CallBroken, Text: "reset"}
	case "unsent":
		return execute.Reply{}, &execute.CallError{Kind: execute.CallUnsent, Text: "no key"}
	case "panic":
		panic("a secret")
	case "400":
		return execute.Reply{StatusCode: 400, Body: []byte("{}")}, nil
	case "error":
		return execute.Reply{StatusCode: 200, Verdict: answer.Verdict{Sense: answer.Refused, Status: 400}, Body: []byte("{}")}, nil
	case "slow":
		select {
		case <-time.After(time.Minute):
		case <-ctx.Done():
			return execute.Reply{}, ctx.Err()
		}
	}
	return ok("{}")
}

// play runs s in a world and returns what it broke.
func (s scenario) play(t *testing.T) []string {
	t.Helper()
	w := newWorld(t, input(s.lines))
	w.up.answer = s.answer
	w.send(s.order...)
	var flow sync.WaitGroup
	if s.cancelAt > 0 {
		flow.Go(func() { s.cancel(w) })
	}
	turn := 0
	w.events = func() int {
		turn++
		return s.events[turn%len(s.events)]
	}
	used := 0
	w.drive(6*time.Hour, func() *machine {
		m := &machine{world: w}
		if used < len(s.plans) {
			plan := s.plans[used]
			m.plan = func(op string, n int) fault {
				f := plan[fmt.Sprintf("%s %d", op, n)]
				if op == "call" && (f == failBefore || f == failAfter) {
					return none // what a call brings is the script's
				}
				return f
			}
			used++
		}
		return m
	})
	flow.Wait()
	if n := w.queue.Len(); n > 0 {
		w.broken("%d messages are left", n)
	}
	done := 0
	for line := 1; line <= s.lines; line++ {
		done += s.check(w, line)
	}
	if got := w.progress().Done(); got > done {
		w.broken("%d outcomes are counted of %d", got, done)
	}
	return w.wrong
}

// check holds line's end against its script; it returns 1 if a worker wrote
// its outcome.
func (s scenario) check(w *world, line int) int {
	rec := w.record(line)
	switch p := rec.Phase.(type) {
	case state.Completed:
		w.line(line)
		if p.Attempt > len(s.scripts[line]) {
			w.broken("line %d completed at attempt %d", line, p.Attempt)
		}
		return 1
	case state.Failed:
		w.line(line)
		script := strings.Join(s.scripts[line], " ")
		kind := p.Reason.Kind()
		if kind == state.KindNonRetryableHTTPStatus && !strings.Contains(script, "400") ||
			kind == state.KindErrorInBody && !strings.Contains(script, "error") ||
			kind != state.KindNonRetryableHTTPStatus && kind != state.KindErrorInBody && kind != state.KindTaskTerminated {
			w.broken("line %d with the script %q failed with %+v", line, script, p)
		}
		return 1
	case state.Canceled:
		if s.cancelAt == 0 {
			w.broken("line %d is canceled", line)
		}
	case state.Pending, state.Claimed, state.Processing:
		w.broken("line %d is %+v at the end", line, rec.Phase)
	}
	return 0
}

// cancel plays the flow's part: it cancels the batch and seals it.
func (s scenario) cancel(w *world) {
	time.Sleep(s.cancelAt)
	w.update(func(b *batch.Batch) error { return b.Cancel(time.Now()) })
	time.Sleep(5 * time.Second)
	for line := 1; line <= s.lines; line++ {
		for {
			change, err := cancelChange(w.record(line))
			if err != nil {
				break // it has its outcome
			}
			if err := w.store.Apply(context.Background(), change); !errors.Is(err, state.ErrConflict) {
				break
			}
		}
	}
	w.update(func(b *batch.Batch) error {
		b.Status = batch.StatusCanceled
		return nil
	})
}

func cancelChange(rec state.Record) (state.Change, error) {
	if r, err := state.As[state.Pending](rec); err == nil {
		return state.Cancel(r, time.Now()).Change()
	}
	if r, err := state.As[state.Claimed](rec); err == nil {
		return state.Cancel(r, time.Now()).Change()
	}
	r, err := state.As[state.Processing](rec)
	if err != nil {
		return state.Change{}, err
	}
	return state.Cancel(r, time.Now()).Change()
}

// TestPromises plays random batches with random faults: whatever happens, a
// message goes only when its request or batch is terminal, an outcome never
// changes, nobody is called without a stored start or twice at once, and every
// line ends.
func TestPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := drawScenario(rt)
		var wrong []string
		t.Run("", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { wrong = s.play(t) })
		})
		for _, what := range wrong {
			rt.Error(what)
		}
	})
}
