package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/finalize"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/submit"
)

var errMeddled = errors.New("sim: meddled with")

// fair is a plan without a fault: one batch of so many lines, each answered in
// the same time.
func fair(lines int, takes time.Duration) *plan {
	p := &plan{
		lively: true, rates: map[fault]float64{}, inFlight: 120_000, receives: 1_000, workers: 10,
		lifetime: 15 * time.Minute, cold: 50 * time.Millisecond, policy: retry.Default(),
		finalize: finalize.Config{}, load: submit.LoadConfig{}, limit: 48 * time.Hour,
	}
	j := &job{nick: "b1", tenant: "acme", window: 24 * time.Hour}
	for range lines {
		j.lines = append(j.lines, &line{manner: manner{lo: takes, hi: takes + takes/100}})
	}
	p.jobs = []*job{j}
	return p
}

// direct runs a plan that a test has made. What it says is checked as always.
func direct(t *testing.T, p *plan) report {
	t.Helper()
	return directed(t, 1, p)
}

// directed is direct with a seed.
func directed(t *testing.T, seed uint64, p *plan) report {
	t.Helper()
	r := simulate(t, seed, p, definitionOf(t), nil)
	for _, f := range r.finds {
		t.Error(f)
	}
	return r
}

// by returns how many of j's requests have their outcome at a time.
func (j *job) by(at time.Duration) int {
	n := 0
	for _, o := range j.shadow.outcomes {
		if o <= at {
			n++
		}
	}
	return n
}

// TestOneSlowLineHoldsNobodyUp is row a: a line that always fails retryably
// must not keep the others of its window waiting.
func TestOneSlowLineHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	const lines = 2_000
	others := func(slow bool) time.Duration {
		p := fair(lines, time.Second)
		p.finalize.MaxEnqueued = 200
		if slow {
			p.policy.MaxRetries = 200
			p.jobs[0].lines[6].manner.then = upstreamErrs
		}
		direct(t, p)
		return p.jobs[0].shadow.outcomes[lines-2]
	}
	without, with := others(false), others(true)
	t.Logf("the others are done after %v, and after %v without it", with, without)
	if with > without*12/10 {
		t.Errorf("the others take %v, and %v without the slow line", with, without)
	}
}

// TestKilledWorkersAreMadeUpFor is row b: all workers are killed at once, many
// of them between their outcomes and their counter shards.
func TestKilledWorkersAreMadeUpFor(t *testing.T) {
	t.Parallel()
	seeds := 20
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		p := fair(2_000, 200*time.Millisecond)
		j := p.jobs[0]
		killed, flying := time.Duration(0), 0
		p.script = func(w *world) {
			for j.by(w.sched.now()) < 800+37*seed || w.queue.untouched() {
				w.sleep("killer", time.Millisecond)
			}
			killed = w.sched.now()
			p.calmAt = killed // so much has gone wrong: nobody is left to tell the flow
			for _, l := range j.lines {
				if _, calling := l.trail.phase.(state.Processing); calling {
					flying++
				}
			}
			for _, e := range w.source.busy {
				w.sched.kill(e.process)
			}
		}
		direct(t, p)
		calls := 0
		for _, l := range j.lines {
			calls += l.trail.calls
		}
		took := j.shadow.endedAt - killed
		t.Logf("it ended %v after the kill; %d calls were in flight, %d repeated", took, flying, calls-len(j.lines))
		if took > time.Minute || calls-len(j.lines) > flying {
			t.Errorf("it ended %v after the kill; %d calls were in flight, %d repeated", took, flying, calls-len(j.lines))
		}
	}
}

// TestThreeKillsAreMadeUpFor kills all workers three times, each time when they
// have taken up again what the last kill left: no request is to blame for that,
// and from the last kill on everything ends as soon as after one.
func TestThreeKillsAreMadeUpFor(t *testing.T) {
	t.Parallel()
	const kills = 3
	seeds := 5
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		p := fair(2_000, 200*time.Millisecond)
		j := p.jobs[0]
		killed, most := time.Duration(0), 0
		p.script = func(w *world) {
			for kill := range kills {
				again := func() (n int) { // calls of what was reclaimed after each kill
					for _, l := range j.lines {
						if held, ok := l.trail.phase.(state.Processing); ok && held.Reclaims >= kill {
							n++
						}
					}
					return n
				}
				for n := again(); j.by(w.sched.now()) < 400+37*seed || n < 3 || n < 40 && kill == 0 || w.queue.untouched(); n = again() {
					w.sleep("killer", time.Millisecond)
				}
				killed, most = w.sched.now(), again()
				p.calmAt = killed
				for _, e := range slices.Clone(w.source.busy) {
					w.sched.kill(e.process)
				}
				w.sleep("killer", time.Second)
			}
		}
		direct(t, p)
		took := j.shadow.endedAt - killed
		t.Logf("it ended %v after the third kill, which held %d requests that the others had held too", took, most)
		if took > time.Minute {
			t.Errorf("it ended %v after the third kill", took)
		}
	}
}

// TestCountsSurviveAnOutage is row c: counter shards cannot be written for two
// minutes.
func TestCountsSurviveAnOutage(t *testing.T) {
	t.Parallel()
	outage := func(fails bool) report {
		p := fair(3_000, 20*time.Second)
		p.meddle = func(w *world, o operation) (time.Duration, error) {
			if at := w.sched.now(); fails && o.name == "PutCounter" && at > time.Minute && at < 3*time.Minute {
				return 0, errMeddled
			}
			return 0, nil
		}
		return direct(t, p)
	}
	without, with := outage(false), outage(true)
	if with.wakes > without.wakes+3 {
		t.Errorf("%d wakes, and %d without the outage", with.wakes, without.wakes)
	}
}

// TestRetryAfterOutlivesItsWrite is row d: the write of a retry fails for some
// seconds.
func TestRetryAfterOutlivesItsWrite(t *testing.T) {
	t.Parallel()
	p := fair(1, time.Second)
	p.jobs[0].lines[0].manner.first = []fault{upstreamLimits}
	p.jobs[0].lines[0].manner.wait = time.Hour
	first := time.Duration(0)
	p.meddle = func(w *world, o operation) (time.Duration, error) {
		if strings.Contains(o.key, " to pending") {
			if first == 0 {
				first = w.sched.now()
			}
			if w.sched.now() < first+4*time.Second {
				return 0, errMeddled
			}
		}
		return 0, nil
	}
	direct(t, p)
	calls := p.jobs[0].lines[0].trail.calledAt
	if len(calls) != 2 || calls[1]-calls[0] < time.Hour {
		t.Errorf("calls at %v", calls)
	}
}

// TestAFrozenWorkerIsNotHeard has a worker that freezes once it was told to wait
// for an hour, before anything of that is written: whoever takes its request
// over cannot know of the wait.
func TestAFrozenWorkerIsNotHeard(t *testing.T) {
	t.Parallel()
	p := fair(1, time.Second)
	p.jobs[0].lines[0].manner.first = []fault{upstreamLimits}
	p.jobs[0].lines[0].manner.wait = time.Hour
	p.meddle = func(w *world, o operation) (time.Duration, error) {
		if strings.Contains(o.key, " to pending") {
			w.sched.freeze(w.source.busy[0].process, 10*time.Minute)
		}
		return 0, nil
	}
	direct(t, p)
	if calls := p.jobs[0].lines[0].trail.calledAt; len(calls) != 2 || calls[1]-calls[0] > 2*time.Minute {
		t.Errorf("calls at %v", calls)
	}
}

// TestWhoDoesNotBeat tells workers that cannot beat from those that do not.
func TestWhoDoesNotBeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{sched: newScheduler(1, nil)}
		time.Sleep(time.Minute)
		for name, tt := range map[string]struct {
			beat, thaw time.Duration
			deaf       bool
			mute       bool
		}{
			"beats":             {beat: 55 * time.Second},
			"does not beat":     {beat: 20 * time.Second},
			"is frozen":         {beat: 20 * time.Second, thaw: 2 * time.Minute, mute: true},
			"was frozen":        {beat: 20 * time.Second, thaw: 50 * time.Second, mute: true},
			"was frozen before": {beat: 20 * time.Second, thaw: 19 * time.Second},
			"froze just now":    {beat: 45 * time.Second, thaw: 2 * time.Minute},
			"cannot beat":       {beat: 20 * time.Second, deaf: true, mute: true},
			"failed to beat":    {beat: 55 * time.Second, deaf: true},
		} {
			p := &process{world: w, beat: tt.beat, thaw: tt.thaw, deaf: tt.deaf}
			if got := p.mute(); got != tt.mute {
				t.Errorf("one that %s is mute: %t, want %t", name, got, tt.mute)
			}
		}
	})
}

// TestALateRetryIsRefused is row e: nobody comes until five minutes before the
// deadline.
func TestALateRetryIsRefused(t *testing.T) {
	t.Parallel()
	p := fair(1, time.Second)
	p.lively, p.policy.StopBeforeDeadline = false, 10*time.Minute
	p.policy.Backoff, p.policy.MaxBackoff = time.Minute, time.Minute
	p.jobs[0].window = time.Hour
	p.jobs[0].lines[0].manner.then = upstreamErrs
	p.away = [2]time.Duration{3 * time.Second, 55 * time.Minute}
	direct(t, p)
	l := p.jobs[0].lines[0]
	failed, ok := l.trail.phase.(state.Failed)
	if !ok || failed.Denial != state.DenialDeadline || l.trail.calls != 1 {
		t.Errorf("after %d calls it is %+v", l.trail.calls, l.trail.phase)
	}
}

// TestWaitingMessagesAreLeftAlone is row f: a batch gets no workers for 25
// minutes, and its messages only wait.
func TestWaitingMessagesAreLeftAlone(t *testing.T) {
	t.Parallel()
	took := func(away time.Duration) (time.Duration, report) {
		p := fair(280, 20*time.Second) // as many as two workers call before the first is answered
		p.lively, p.workers = false, 2
		p.away = [2]time.Duration{0, away}
		r := direct(t, p)
		return p.jobs[0].shadow.endedAt - away, r
	}
	without, _ := took(0)
	with, r := took(25 * time.Minute)
	if with > without*105/100 || r.wakes > 60 {
		t.Errorf("it takes %v and %d wakes, and %v without the wait", with, r.wakes, without)
	}
}

// TestLostMessagesComeBack is row g: messages are lost while the rest of the
// batch moves on all the time, a line a minute.
func TestLostMessagesComeBack(t *testing.T) {
	t.Parallel()
	p := fair(60, time.Second)
	for i, l := range p.jobs[0].lines {
		l.manner.first, l.manner.wait = []fault{upstreamLimits}, time.Duration(i)*time.Minute
	}
	lost := map[int]bool{3: true, 20: true, 41: true}
	p.loses = func(m batch.Message) bool {
		gone := lost[m.Line]
		delete(lost, m.Line)
		return gone
	}
	direct(t, p)
	for _, n := range []int{3, 20, 41} {
		if at := p.jobs[0].lines[n-1].trail.calledAt; len(at) != 2 || at[0] > 15*time.Minute {
			t.Errorf("line %d, whose message was lost, is called at %v", n, at)
		}
	}
}

// TestAMissingItemIsMadeUpFor is row h: a request's item is gone.
func TestAMissingItemIsMadeUpFor(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]batch.Status{"expired": batch.StatusExpired, "canceled": batch.StatusCanceled} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := fair(20, time.Second)
			p.lively = false
			j := p.jobs[0]
			j.window = 30 * time.Minute
			if want == batch.StatusCanceled {
				j.cancels = 5 * time.Minute
			}
			j.missing = 7
			direct(t, p)
			if b := j.shadow.batch; b.Status != want || b.Counts.Completed != 19 || b.OutputFileID == "" || b.ErrorFileID == "" {
				t.Errorf("it is %s with %+v, files %q and %q", b.Status, b.Counts, b.OutputFileID, b.ErrorFileID)
			}
		})
	}
}

// TestPaidAnswersAreKept is row k: answers come just before a cancel, and their
// outcomes take a while to be written.
func TestPaidAnswersAreKept(t *testing.T) {
	t.Parallel()
	p := fair(50, 10*time.Second)
	p.lively = false
	j := p.jobs[0]
	for i, l := range j.lines {
		l.manner.lo = 10*time.Second + time.Duration(i%10)*time.Second
		l.manner.hi = l.manner.lo + time.Millisecond
	}
	j.cancels = 21 * time.Second
	p.meddle = func(_ *world, o operation) (time.Duration, error) {
		if strings.Contains(o.key, "to completed") {
			return 8 * time.Second, nil
		}
		return 0, nil
	}
	direct(t, p)
	for i, l := range j.lines {
		if _, completed := l.trail.phase.(state.Completed); l.trail.answers > 0 && !completed {
			t.Errorf("%s was answered and is %s", j.name(i+1), l.trail.phase.Status())
		}
	}
	if took := j.shadow.endedAt - j.shadow.canceledAt; took > 30*time.Second {
		t.Errorf("it ended %v after its cancel", took)
	}
}

// TestACallWaitsForNoOther is row m: one of ten reads takes long.
func TestACallWaitsForNoOther(t *testing.T) {
	t.Parallel()
	p := fair(10, time.Second)
	for _, l := range p.jobs[0].lines { // so that their requests are read when they come again
		l.manner.first = []fault{upstreamErrs}
	}
	p.workers = 2 // whoever comes back later has another
	slow := 0
	p.meddle = func(_ *world, o operation) (time.Duration, error) {
		if o.name == "Request" && o.key == "b1/3" && slow == 0 {
			slow++
			return 12 * time.Second, nil
		}
		return 0, nil
	}
	direct(t, p)
	for i, l := range p.jobs[0].lines {
		if at := l.trail.calledAt; i != 2 && at[1]-at[0] > 8*time.Second {
			t.Errorf("line %d is called at %v", i+1, at)
		}
	}
}

// TestAParkLooksAgain has batches that are done while their flow is about to
// park: each must end at once, and not with the tick.
func TestAParkLooksAgain(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		p := fair(1, 100*time.Millisecond)
		p.cold = 2 * time.Second
		directed(t, seed, p)
	}
}

// TestAWorkerWithoutABeatStops has a worker none of whose heartbeats arrive for
// a while, and another that has a message of the same request.
func TestAWorkerWithoutABeatStops(t *testing.T) {
	t.Parallel()
	p := fair(1, 4*time.Minute)
	p.lively, p.rates[messageTwice] = false, 1
	p.meddle = func(w *world, o operation) (time.Duration, error) {
		if at := w.sched.now(); o.name == "Beat" && o.by == "execute1" && at > 2*time.Second && at < 5*time.Minute {
			return 0, errMeddled
		}
		return 0, nil
	}
	direct(t, p)
	if calls := p.jobs[0].lines[0].trail.calls; calls != 2 {
		t.Errorf("%d calls, want one that is aborted and one more", calls)
	}
}

// TestAnUnknownFormFails has definitions that are not simulated.
func TestAnUnknownFormFails(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"type":     `{"StartAt": "A", "States": {"A": {"Type": "Wait", "Next": "A"}}}`,
		"field":    `{"StartAt": "A", "States": {"A": {"Type": "Succeed", "OutputPath": "$"}}}`,
		"resource": `{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "Next": "A"}}}`,
		"error":    `{"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "A", "Retry": [{"ErrorEquals": ["Mine"]}]}}}`,
		"state":    `{"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}}`,
	} {
		if _, err := parse([]byte(text)); err == nil {
			t.Errorf("an unknown %s is no error", name)
		}
	}
	d := &definition{States: map[string]*step{}}
	if _, err := fill(map[string]any{"a.$": "States.UUID()"}, d, nil); err == nil {
		t.Error("an unknown function is no error")
	}
	if got, err := fill(map[string]any{"a.$": "$.x.y", "b": map[string]any{"c.$": "$$.Task.Token"}, "d.$": "States.JsonToString($.x)"},
		map[string]any{"x": map[string]any{"y": 1}}, map[string]any{"Task": map[string]any{"Token": "t"}}); err != nil ||
		fmt.Sprint(got) != `map[a:1 b:map[c:t] d:{"y":1}]` {
		t.Errorf("filled: %v, %v", got, err)
	}
}

// TestALongRetryAfterLeavesRoom is row j, at 1/100 of its scale: a tenant's 100
// batches of 100 lines are all told to come back in an hour, which fills any
// queue that is filled without limit. Another tenant's batch, which comes later,
// hardly notices.
func TestALongRetryAfterLeavesRoom(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a hundred batches take long")
	}
	took := func(beside int) time.Duration {
		p := fair(100, 2*time.Second)
		healthy := p.jobs[0]
		healthy.tenant, healthy.comes = "umbrella", 10*time.Minute
		p.inFlight, p.workers = 1_200, 5
		p.finalize = finalize.Config{MaxEnqueued: 100, Allowance: 600}
		for i := range beside {
			j := &job{nick: fmt.Sprint("s", i), tenant: "acme", window: 24 * time.Hour, cancels: 15 * time.Minute}
			for range 100 {
				j.lines = append(j.lines, &line{manner: manner{
					lo: 100 * time.Millisecond, hi: 110 * time.Millisecond, first: []fault{upstreamLimits}, wait: time.Hour,
				}})
			}
			p.jobs = append(p.jobs, j)
		}
		most := 0
		p.script = func(w *world) {
			for w.sched.now() < 15*time.Minute {
				most = max(most, len(w.queue.messages))
				w.sleep("counter", 10*time.Second)
			}
		}
		direct(t, p)
		if beside > 0 && (most < 300 || most > 600) {
			t.Errorf("%d messages were in the queue, of which 600 are allowed", most)
		}
		return healthy.shadow.endedAt - healthy.comes
	}
	alone, beside := took(0), took(100)
	t.Logf("it ended after %v, and after %v alone", beside, alone)
	if 2*beside > 3*alone {
		t.Errorf("it ended after %v, and after %v alone", beside, alone)
	}
}

// TestThrottlingEndsNoBatch has the functions of the flow refused for want of
// concurrency for far longer than the twenty tries of a task that fails: while a
// batch is loaded, and while its calls are made.
func TestThrottlingEndsNoBatch(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]time.Duration{"load": 0, "advance": 4 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := fair(300, 2*time.Second)
			p.finalize.MaxEnqueued = 50
			p.starved = [2]time.Duration{from, from + 3*time.Hour}
			p.calmAt = p.starved[1]
			r := direct(t, p)
			j := p.jobs[0]
			if b := j.shadow.batch; b.Status != batch.StatusCompleted || r.hits[taskThrottled] <= 20 {
				t.Errorf("after %d refusals it is %s", r.hits[taskThrottled], b.Status)
			}
			if flows := r.passes["flow started again"]; flows > 0 {
				t.Errorf("%d flows followed the first", flows)
			}
			if late := j.shadow.endedAt - p.calmAt; late > 10*time.Minute {
				t.Errorf("it ended %v after the last refusal", late)
			}
		})
	}
}
