package execute_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/route"
)

// A turnstile notes when calls come, by their route, and how many are there at once.
type turnstile struct {
	mu    sync.Mutex
	came  map[string][]time.Time
	there map[string]int
	most  map[string]int
}

func newTurnstile() *turnstile {
	return &turnstile{came: map[string][]time.Time{}, there: map[string]int{}, most: map[string]int{}}
}

func (t *turnstile) enter(name string) (leave func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.came[name] = append(t.came[name], time.Now())
	t.there[name]++
	t.most[name] = max(t.most[name], t.there[name])
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.there[name]--
	}
}

// inMinute returns the most calls of any minute.
func (t *turnstile) inMinute(name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	most := 0
	for i, from := range t.came[name] {
		n, _ := slices.BinarySearchFunc(t.came[name][i:], from.Add(time.Minute), time.Time.Compare)
		most = max(most, n)
	}
	return most
}

// way returns the route of a line's last call.
func (u *upstream) way(line int) string {
	ways := u.ways(line)
	return ways[len(ways)-1]
}

// TestLimitsHoldAcrossWorkers has several workers at once, of which some die
// when they have taken what the others then lack.
func TestLimitsHoldAcrossWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lines = 60
		w := newWorld(t, input(lines))
		m := modelOf("m", "a")
		m.Routes[0].RPM, m.Routes[0].MaxConcurrency = 20, 3
		w.models = route.NewTable(m).Now
		w.sendAll(lines)
		gate := newTurnstile()
		w.up.answer = func(ctx context.Context, _, before int) (execute.Reply, error) {
			defer gate.enter("a")()
			return around(8*time.Second)(ctx, 0, before)
		}
		made := 0
		w.drive(time.Hour, func() *machine {
			made++
			next := &machine{world: w}
			if made%4 == 1 {
				next.plan = func(op string, n int) fault {
					if op == "limit" && n == 2 {
						return dieAfter
					}
					return none
				}
			}
			return next
		})
		w.done(allCompleted(lines)...)
		if n := gate.inMinute("a"); n > 20 {
			t.Errorf("%d calls in a minute of at most 20", n)
		}
		if n := gate.most["a"]; n > 3 {
			t.Errorf("%d calls in flight of at most 3", n)
		}
	})
}

// TestTokensThatAreAskedForAreTaken demands that a line which bounds its answer takes as
// many tokens of a minute as it asks for, though the answer has few: its provider
// charged them when it came.
func TestTokensThatAreAskedForAreTaken(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		asks        string
		most, least int // calls in a minute
	}{
		"bounded":     {`,"max_tokens":500`, 19, 15},
		"two answers": {`,"n":2,"max_completion_tokens":250`, 19, 15},
		"unbounded":   {"", 1 << 20, 50},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const lines = 60
				all := input(lines)
				for i := range all {
					all[i] = strings.Replace(all[i], `"model":"m"`, `"model":"m"`+tc.asks, 1)
				}
				w := newWorld(t, all)
				m := modelOf("m", "a")
				m.Routes[0].TPM = 10_000
				w.models = route.NewTable(m).Now
				w.sendAll(lines)
				gate := newTurnstile()
				w.up.answer = func(ctx context.Context, _, before int) (execute.Reply, error) {
					defer gate.enter("a")()
					return around(time.Second)(ctx, 0, before)
				}
				w.drive(time.Hour, func() *machine { return &machine{world: w} })
				w.done(allCompleted(lines)...)
				if n := gate.inMinute("a"); n > tc.most || n < tc.least {
					t.Errorf("%d calls in a minute, want %d to %d", n, tc.least, tc.most)
				}
			})
		})
	}
}

// TestRetryAfterPausesTheRoute for every worker and every request of it, and for
// no other route.
func TestRetryAfterPausesTheRoute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lines = 40
		models := make([]string, lines)
		for i := range models {
			models[i] = []string{"m", "other"}[i%2]
		}
		w := newWorld(t, linesOf(models...))
		w.models = route.NewTable(modelOf("m", "a"), modelOf("other", "b")).Now
		w.sendAll(lines)
		gate := newTurnstile()
		var pause sync.Once
		var until time.Time
		w.up.answer = func(_ context.Context, line, _ int) (execute.Reply, error) {
			defer gate.enter(w.up.way(line))()
			time.Sleep(time.Second)
			refuse := false
			if line%2 == 1 {
				pause.Do(func() { refuse, until = true, time.Now().Add(2*time.Minute) })
			}
			if refuse {
				return execute.Reply{StatusCode: 429, ErrorCode: "rate_limit_exceeded", RetryAfter: 2 * time.Minute, Body: []byte(`{}`)}, nil
			}
			return ok("{}")
		}
		start := time.Now()
		w.drive(time.Hour, func() *machine { return &machine{world: w} })
		w.done(allCompleted(lines)...)
		for _, at := range gate.came["m#a"] {
			if at.After(until.Add(-2*time.Minute+3*time.Second)) && at.Before(until) {
				t.Errorf("a call %v before the end of a pause of 2 min", until.Sub(at))
			}
		}
		if last := gate.came["other#b"][len(gate.came["other#b"])-1].Sub(start); last > 10*time.Second {
			t.Errorf("the other route's last call came after %v", last)
		}
	})
}

// TestAPausedRouteReadsNoLine demands that messages go back unread while all routes
// of the model that they name are paused, as far as their process has seen.
func TestAPausedRouteReadsNoLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lines = 40
		long := input(lines) // few lie in one part of the input that is read at once
		for i := range long {
			long[i] += strings.Repeat(" ", 300<<10)
		}
		w := newWorld(t, long)
		w.models = route.NewTable(modelOf("m", "a")).Now
		until := time.Now().Add(2 * time.Minute)
		_, err := w.store.UpdateLimit(t.Context(), "m#a", func(r *limit.Record) error {
			r.Pause = limit.Pause{Why: limit.RateLimited, Since: limit.At(time.Now()), Until: limit.At(until)}
			return nil
		})
		must(t, err)
		w.sendAll(lines)
		w.up.answer = func(context.Context, int, int) (execute.Reply, error) { return ok("{}") }
		var early atomic.Int64
		m := &machine{world: w, plan: func(op string, _ int) fault {
			if op == "read" && time.Now().Before(until) {
				early.Add(1)
			}
			return none
		}}
		p := w.process(m, execute.Config{Places: 4})
		for w.queue.Len() > 0 { // one environment has one worker after another
			if got := w.deliver(10); len(got) > 0 {
				w.invoke(m, p, got)
			}
			time.Sleep(100 * time.Millisecond)
		}
		w.done(allCompleted(lines)...)
		if early := early.Load(); early > 10 { // those that come first: nobody knows of the pause yet
			t.Errorf("%d reads of lines while the route is paused", early)
		}
	})
}

// TestADeadModelBesideAHealthyOne has every call of one model hang: the other
// model's requests are done about as soon as alone.
func TestADeadModelBesideAHealthyOne(t *testing.T) {
	t.Parallel()
	const lines = 600
	took := map[bool]time.Duration{}
	for _, beside := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			models := make([]string, 2*lines)
			for i := range models {
				models[i] = []string{"dead", "healthy"}[i%2]
			}
			w := newWorld(t, linesOf(models...))
			w.models = route.NewTable(modelOf("dead", "a"), modelOf("healthy", "b")).Now
			for line := 1; line <= 2*lines; line++ {
				if beside || line%2 == 0 {
					w.send(line)
				}
			}
			var mu sync.Mutex
			start, left, done := time.Now(), lines, make(chan struct{})
			w.up.answer = func(ctx context.Context, line, before int) (execute.Reply, error) {
				if line%2 == 1 {
					<-ctx.Done()
					return execute.Reply{}, ctx.Err()
				}
				reply, err := around(5*time.Second)(ctx, 0, before)
				mu.Lock()
				defer mu.Unlock()
				if left--; left == 0 {
					took[beside] = time.Since(start)
					close(done)
				}
				return reply, err
			}
			ctx, cancel := context.WithTimeout(t.Context(), 14*time.Minute)
			defer cancel()
			var workers sync.WaitGroup
			for range 2 {
				p, event := w.process(&machine{world: w}, execute.Config{Places: 60}), w.deliver(10)
				workers.Go(func() { p.Run(ctx, event) })
			}
			<-done
			cancel()
			workers.Wait()
		})
	}
	t.Logf("alone %v, beside a dead model %v", took[false], took[true])
	if took[true] > took[false]*3/2 {
		t.Errorf("alone it takes %v, beside a dead model %v", took[false], took[true])
	}
}

// TestABatchThatMeetsADeadModel comes two seconds after one of which every call hangs, to workers who know nothing of its model
// yet, or who called it in an invocation before: it is done about as soon as alone.
func TestABatchThatMeetsADeadModel(t *testing.T) {
	t.Parallel()
	for _, warm := range []bool{false, true} {
		alone, beside := meetsDead(t, warm, false), meetsDead(t, warm, true)
		t.Logf("warm %t: alone %v, beside a dead model %v", warm, alone, beside)
		const looks = time.Second // A worker whose calls hang looks for new messages so seldom.
		if beside > alone*3/2+looks {
			t.Errorf("warm %t: alone it takes %v, beside a dead model %v", warm, alone, beside)
		}
	}
}

// meetsDead returns how long 1,500 calls of two seconds take ten workers, from when they are there; beside 300 of a dead model, if it
// is to be, and warm: with processes that have called it before.
func meetsDead(t *testing.T, warm, beside bool) (took time.Duration) {
	t.Helper()
	const dead, healthy, before = 300, 1500, 100
	synctest.Test(t, func(t *testing.T) {
		models := slices.Concat(slices.Repeat([]string{"dead"}, dead), slices.Repeat([]string{"healthy"}, healthy+before))
		w := newWorld(t, linesOf(models...))
		w.models = route.NewTable(modelOf("dead", "a"), modelOf("healthy", "b")).Now
		send := func(from, to int) {
			for line := from; line <= to; line++ {
				w.send(line)
			}
		}
		var left atomic.Int64
		done := make(chan struct{}, 1)
		w.up.answer = func(ctx context.Context, line, before int) (execute.Reply, error) {
			if line <= dead {
				<-ctx.Done()
				return execute.Reply{}, ctx.Err()
			}
			reply, err := around(2*time.Second)(ctx, line, before)
			if left.Add(-1) == 0 {
				done <- struct{}{}
			}
			return reply, err
		}
		m := &machine{world: w, plan: slow}
		processes := make([]*execute.Worker, 10)
		for i := range processes {
			processes[i] = w.process(m, execute.Config{})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 14*time.Minute)
		defer cancel()
		var workers sync.WaitGroup
		run := func() { // as the event source: who has nothing is asked again
			for _, p := range processes {
				workers.Go(func() {
					for ctx.Err() == nil {
						if event := w.deliver(10); len(event) > 0 { //nolint:contextcheck // a delivery has the test's
							p.Run(ctx, event)
						}
						time.Sleep(100 * time.Millisecond)
					}
				})
			}
		}
		if warm {
			left.Store(before)
			send(dead+healthy+1, dead+healthy+before)
			for _, p := range processes {
				if event := w.deliver(10); len(event) > 0 {
					workers.Go(func() { p.Run(ctx, event) })
				}
			}
			workers.Wait()
			<-done
		}
		left.Store(healthy)
		if beside {
			send(1, dead)
		}
		run()
		time.Sleep(2 * time.Second)
		start := time.Now()
		send(dead+1, dead+healthy)
		<-done
		took = time.Since(start)
		cancel()
		workers.Wait()
	})
	return took
}

// TestARefusedKeyFailsNoRequest pauses the route, until the key is mended.
func TestARefusedKeyFailsNoRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lines = 20
		w := newWorld(t, input(lines))
		w.sendAll(lines)
		mended := time.Now().Add(10 * time.Minute)
		calls := 0
		var mu sync.Mutex
		w.up.answer = func(context.Context, int, int) (execute.Reply, error) {
			mu.Lock()
			defer mu.Unlock()
			if time.Now().Before(mended) {
				calls++
				return status(401)
			}
			return ok("{}")
		}
		w.drive(time.Hour, func() *machine { return &machine{world: w} })
		w.done(allCompleted(lines)...)
		if calls > lines+15 { // those that had left, and a trial a minute
			t.Errorf("%d calls with a refused key", calls)
		}
	})
}

// slowClaims lets claims take as long as with a store under load.
func slowClaims(op string, _ int) fault {
	if op == "start" {
		time.Sleep(200 * time.Millisecond)
	}
	return none
}

// chance returns random numbers.
func chance(seed uint64) func() float64 {
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(seed, 0))
	return func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return dice.Float64()
	}
}

// TestOneRouteOfTwoIsDead gives its share to the other, and asks it now and then.
// Requests that are claimed with a permit of it, and those that are about to make a
// trial which another one makes, take the other route too.
func TestOneRouteOfTwoIsDead(t *testing.T) {
	t.Parallel()
	refuse := func(context.Context) (execute.Reply, error) {
		return execute.Reply{}, &execute.CallError{Kind: execute.CallBroken, Text: "connection refused"}
	}
	for name, dead := range map[string]func(context.Context) (execute.Reply, error){
		"refused at once": refuse,
		"refused late": func(ctx context.Context) (execute.Reply, error) {
			time.Sleep(400 * time.Millisecond)
			return refuse(ctx)
		},
		"503": func(context.Context) (execute.Reply, error) { return status(503) },
		"401": func(context.Context) (execute.Reply, error) { return status(401) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const lines = 200
				w := newWorld(t, input(lines))
				w.models = route.NewTable(modelOf("m", "a", "b")).Now
				w.uniform = chance(1)
				w.sendAll(lines)
				var tried, answered atomic.Int64
				w.up.answer = func(ctx context.Context, line, before int) (execute.Reply, error) {
					if w.up.way(line) == "m#a" {
						tried.Add(1)
						return dead(ctx)
					}
					answered.Add(1)
					return around(2*time.Second)(ctx, line, before)
				}
				start := time.Now()
				w.drive(time.Hour, func() *machine { return &machine{world: w, plan: slowClaims} })
				w.done(allCompleted(lines)...)
				took := time.Since(start)
				t.Logf("%v, %d calls of the dead route", took, tried.Load())
				if took > 40*time.Second { // some wait for a retry
					t.Errorf("it took %v", took)
				}
				if n := tried.Load(); n == 0 || n > lines {
					t.Errorf("%d calls of the dead route", n)
				}
				if n := answered.Load(); n != lines {
					t.Errorf("%d answers", n)
				}
			})
		})
	}
}
