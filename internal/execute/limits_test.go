package execute_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/state"
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

// TestOneRouteOfTwoIsDead gives its share to the other, and asks it now and then.
func TestOneRouteOfTwoIsDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lines = 100
		w := newWorld(t, input(lines))
		w.models = route.NewTable(modelOf("m", "a", "b")).Now
		w.sendAll(lines)
		dead := 0
		var mu sync.Mutex
		w.up.answer = func(_ context.Context, line, _ int) (execute.Reply, error) {
			if w.up.way(line) == "m#a" {
				mu.Lock()
				defer mu.Unlock()
				dead++
				return execute.Reply{}, &execute.CallError{Kind: execute.CallBroken, Text: "connection refused"}
			}
			time.Sleep(time.Second)
			return ok("{}")
		}
		start := time.Now()
		w.drive(time.Hour, func() *machine { return &machine{world: w} })
		want := make([]state.Status, lines)
		for i := range want {
			want[i] = state.StatusCompleted
		}
		w.done(want...)
		if took := time.Since(start); took > 2*time.Minute {
			t.Errorf("it took %v", took)
		}
		if dead > lines {
			t.Errorf("%d calls of the dead route", dead)
		}
	})
}
