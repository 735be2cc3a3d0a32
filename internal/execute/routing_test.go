package execute_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/state"
)

// modelOf returns a model of routes of those names, which share its calls.
func modelOf(pattern string, names ...string) route.Model {
	m := route.Model{Pattern: pattern}
	for _, name := range names {
		m.Routes = append(m.Routes, route.Route{
			Name: name, BaseURL: "https://" + name + ".example.com/v1", Auth: route.Auth{Kind: route.None},
		})
	}
	return m
}

// ways returns the ids of the routes by which a line's calls went, and what they call its model.
func (u *upstream) ways(line int) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var ids []string
	for _, r := range u.routes[line] {
		ids = append(ids, strings.TrimSuffix(r.ID+" as "+r.Model, " as "))
	}
	return ids
}

// lines returns the input of lines that name these models.
func linesOf(models ...string) []string {
	lines := input(len(models))
	for i, m := range models {
		lines[i] = strings.Replace(lines[i], `"model":"m"`, `"model":"`+m+`"`, 1)
	}
	return lines
}

func TestCallsGoByTheirModelsRoute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, linesOf("gpt-4o", "gpt-4o-mini", "tenant's own", "gpt-4o"))
		stored := modelOf("gpt-4o", "a", "b")
		stored.Routes[1].Weight = 3
		w.models = route.NewTable(stored, modelOf("gpt-*", "c"), modelOf("*", "default")).Now // and the world draws 0.5 always
		w.sendAll(4)
		w.up.answer = func(_ context.Context, _, before int) (execute.Reply, error) {
			if before == 0 {
				return status(503)
			}
			return ok("{}")
		}
		w.drive(time.Minute, w.one())
		w.done(state.StatusCompleted, state.StatusCompleted, state.StatusCompleted, state.StatusCompleted)
		for line, want := range map[int]string{1: "gpt-4o#b", 2: "gpt-*#c", 3: "*#default", 4: "gpt-4o#b"} {
			if diff := cmp.Diff([]string{want, want}, w.up.ways(line)); diff != "" {
				t.Errorf("line %d (-want +got):\n%s", line, diff)
			}
		}
		if diff := cmp.Diff([]string{"gpt-*", "gpt-4o", "other"}, w.stats.models()); diff != "" {
			t.Errorf("models of metrics (-want +got):\n%s", diff)
		}
	})
}

// TestLateRequestsEscalate has a request called under another model once less than an hour remains, and records
// which one answered.
func TestLateRequestsEscalate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, linesOf("slow", "slow"), func(b *batch.Batch) { b.Deadline = time.Now().Add(time.Hour + 2*time.Second).UTC() })
		slow, quick := modelOf("slow", "a"), modelOf("quick*", "b")
		slow.Escalation = &route.Escalation{Model: "quick-1", Before: time.Hour}
		w.models = route.NewTable(slow, quick).Now
		w.send(1)
		w.up.answer = func(_ context.Context, line, before int) (execute.Reply, error) {
			if before < 2 {
				return status(503) // after 3 s less than an hour remains
			}
			return execute.Reply{StatusCode: 200, Body: []byte("{}"), Tokens: answered()}, nil // which names no model
		}
		w.drive(time.Minute, w.one())
		w.done(state.StatusCompleted)
		if diff := cmp.Diff([]string{"slow#a", "slow#a", "quick*#b as quick-1"}, w.up.ways(1)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got, _ := w.record(1).Phase.(state.Completed); got.Model != "quick-1" {
			t.Errorf("the model that answered is recorded as %q", got.Model)
		}
		if diff := cmp.Diff([]string{"quick*", "slow"}, w.stats.models()); diff != "" {
			t.Errorf("models of metrics (-want +got):\n%s", diff)
		}
		quick.Routes[0].Model = "deployment-7" // has its own name for it
		w.models = route.NewTable(slow, quick).Now
		w.send(2)
		w.up.answer = func(_ context.Context, _, _ int) (execute.Reply, error) { return status(400) }
		w.drive(time.Minute, w.one())
		if diff := cmp.Diff([]string{"quick*#b as deployment-7"}, w.up.ways(2)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got, _ := w.record(2).Phase.(state.Failed); got.Model != "quick-1" {
			t.Errorf("the model that failed is recorded as %q", got.Model)
		}
	})
}

// TestWithoutARouteNothingFails: the requests wait, and their calls are no attempts.
func TestWithoutARouteNothingFails(t *testing.T) {
	t.Parallel()
	for name, models := range map[string]func(context.Context) (route.Table, error){
		"unreadable": func(context.Context) (route.Table, error) { return route.Table{}, errors.New("no answer") },
		"unknown":    route.NewTable(modelOf("other", "a")).Now,
		"invalid":    route.NewTable(route.Model{Pattern: "m"}, modelOf("*", "default")).Now,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, input(1), func(b *batch.Batch) { b.Policy.MaxRetries = 0 })
				good := time.Now().Add(30 * time.Second)
				w.models = func(ctx context.Context) (route.Table, error) {
					if time.Now().Before(good) {
						return models(ctx)
					}
					return anywhere(), nil
				}
				w.send(1)
				w.drive(2*time.Minute, w.one())
				w.done(state.StatusCompleted)
				if diff := cmp.Diff([]string{"*#default"}, w.up.ways(1)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if got, _ := w.record(1).Phase.(state.Completed); got.Attempt != 0 {
					t.Errorf("%d attempts failed, want none", got.Attempt)
				}
			})
		})
	}
}

// TestAModelsOwnStatusesAreRetried, in place of the batch's.
func TestAModelsOwnStatusesAreRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, linesOf("odd", "odd", "usual"))
		odd := modelOf("odd", "a")
		odd.Retryable = []string{"404"}
		w.models = route.NewTable(odd, modelOf("*", "default")).Now
		w.sendAll(3)
		w.up.answer = func(_ context.Context, line, before int) (execute.Reply, error) {
			switch {
			case line == 2:
				return status(503)
			case before == 0:
				return status(404)
			}
			return ok("{}")
		}
		w.drive(time.Minute, w.one())
		w.done(state.StatusCompleted, state.StatusFailed, state.StatusFailed)
		if diff := cmp.Diff([]int{2, 1, 1}, w.up.called(3)); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	})
}

// TestASpentQuotaIsRetried where the model says nothing else.
func TestASpentQuotaIsRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, input(1))
		w.send(1)
		w.up.answer = func(_ context.Context, _, before int) (execute.Reply, error) {
			if before < 2 {
				return execute.Reply{StatusCode: 429, ErrorCode: "insufficient_quota", Body: []byte(`{}`)}, nil
			}
			return ok("{}")
		}
		w.drive(10*time.Minute, w.one())
		w.done(state.StatusCompleted)
		for _, gap := range w.up.gaps() {
			if gap < time.Minute {
				t.Errorf("tried again after %v, want a trial a minute", gap)
			}
		}
	})
}

// TestARefusedKeyFailsNothing: an upstream that refuses whoever comes is asked again, until it answers. From then on a
// refusal is the request's own.
func TestARefusedKeyFailsNothing(t *testing.T) {
	t.Parallel()
	for _, code := range []int{401, 403} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, input(3), func(b *batch.Batch) { b.Policy.MaxRetries = 0 })
			w.sendAll(2)
			good := time.Now().Add(time.Minute)
			w.up.answer = func(_ context.Context, line, _ int) (execute.Reply, error) {
				if line == 3 || time.Now().Before(good) {
					return status(code)
				}
				return ok("{}")
			}
			m := &machine{world: w}
			p := w.process(m, execute.Config{})
			work := func() {
				for range 20 {
					if got := w.deliver(10); len(got) > 0 {
						w.invoke(m, p, got)
					}
					time.Sleep(10 * time.Second)
				}
			}
			work()
			w.done(state.StatusCompleted, state.StatusCompleted)
			if got, _ := w.record(1).Phase.(state.Completed); got.Attempt != 0 {
				t.Errorf("%d attempts failed, want none", got.Attempt)
			}
			w.send(3)
			work()
			w.done(state.StatusCompleted, state.StatusCompleted, state.StatusFailed)
			if calls := w.up.called(3)[2]; calls != 1 {
				t.Errorf("%d calls of the line that is refused, want 1", calls)
			}
			if n := w.logs.count("nothing could be sent"); n < 1 || n > 2 {
				t.Errorf("the log has %d times that nothing could be sent, want once a minute", n)
			}
		})
	}
}
