package api_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/route"
)

// A countingLimits counts the reads of what is known of routes.
type countingLimits struct {
	api.LimitStore
	ids chan string // room for all
	err error
}

func (c *countingLimits) Limit(ctx context.Context, id string) (limit.Record, error) {
	c.ids <- id
	if c.err != nil {
		return limit.Record{}, c.err
	}
	return c.LimitStore.Limit(ctx, id)
}

// reads returns of which routes something was read since the last time.
func (c *countingLimits) reads() []string {
	var ids []string
	for len(c.ids) > 0 {
		ids = append(ids, <-c.ids)
	}
	slices.Sort(ids)
	return ids
}

// modelled returns a model with a route for each name.
func modelled(pattern string, routes ...string) route.Model {
	m := route.Model{Pattern: pattern}
	for _, name := range routes {
		m.Routes = append(m.Routes, route.Route{
			Name: name, BaseURL: "https://" + name + ".hidden.test/v1", Auth: route.Auth{Kind: route.Bearer, Key: "ssm:hidden-key"},
		})
	}
	return m
}

// waitingWorld is a world with these models.
func waitingWorld(t *testing.T, models ...route.Model) (*world, *countingLimits) {
	t.Helper()
	counted := &countingLimits{ids: make(chan string, 1_000)}
	w := newWorld(t, func(d *api.Deps, _ *api.Config) {
		d.Models = route.NewTable(models...).Now
		counted.LimitStore, d.Limits = d.Batches.(api.LimitStore), counted
	})
	return w, counted
}

// inProgress returns a batch of alice's in progress, of five requests for these models.
func (w *world) inProgress(models ...string) string {
	w.t.Helper()
	id, _ := w.order(w.alice)
	w.change(id, func(b *batch.Batch) {
		var set batch.ModelSet
		for _, name := range models {
			set.Add(name)
		}
		b.NameModels(set)
		if err := errors.Join(b.Validated(5), b.Loaded(5, 100, w.clock())); err != nil {
			w.t.Error(err)
		}
	})
	return id
}

// known changes what the fleet knows of a route.
func (w *world) known(id string, change func(r *limit.Record)) {
	w.t.Helper()
	_, err := w.store.UpdateLimit(w.t.Context(), id, func(r *limit.Record) error {
		change(r)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// ends reports how calls of a route ended that left now.
func (w *world) ends(kinds ...limit.Kind) func(r *limit.Record) {
	return func(r *limit.Record) {
		now := limit.At(w.clock())
		var p limit.Report
		for _, k := range kinds {
			p.Calls = p.Calls.Add(now, 1)
			p.Add(limit.Result{Kind: k, At: now, Tokens: -1}, 0)
		}
		r.Report(now, limit.Limits{Spare: true}, p)
	}
}

// A wait is what an answer says of one reason, its message left out.
type wait struct {
	Reason, Model string
	Until         int64 // 0: null
}

// waits reads the waiting of an answer, nil where it is null.
func (r reply) waits() []wait {
	r.t.Helper()
	list, ok := r.json["waiting"].([]any)
	if !ok {
		if v, there := r.json["waiting"]; v != nil || !there {
			r.t.Errorf("waiting is %v", v)
		}
		return nil
	}
	if strings.Contains(r.Body.String(), "hidden") {
		r.t.Errorf("the answer tells of routes: %s", r.Body)
	}
	all := []wait{}
	for _, v := range list {
		o, _ := v.(map[string]any)
		until, _ := o["until"].(float64)
		model, _ := o["model"].(string)
		reason, _ := o["reason"].(string)
		if text, _ := o["message"].(string); text == "" {
			r.t.Errorf("%s has no message", reason)
		}
		all = append(all, wait{reason, model, int64(until)})
	}
	return all
}

// TestWaiting says why a batch waits whose model's routes are as told.
func TestWaiting(t *testing.T) {
	t.Parallel()
	const minute = 60
	denied := []limit.Kind{limit.Denied, limit.Denied, limit.Denied}
	for name, tt := range map[string]struct {
		model  route.Model
		routes map[string][]limit.Kind // how their calls ended
		change func(w *world)
		want   []wait // until from now on
	}{
		"nothing":                    {model: modelled("m", "a"), want: []wait{}},
		"a refused key":              {model: modelled("m", "a"), routes: map[string][]limit.Kind{"m#a": denied}, want: []wait{{"unauthorized", "m", minute}}},
		"a missing key":              {model: modelled("m*", "a"), routes: map[string][]limit.Kind{"m*#a": {limit.NoKey}}, want: []wait{{"missing_key", "m*", minute}}},
		"a spent quota":              {model: modelled("*", "default"), routes: map[string][]limit.Kind{"*#default": {limit.Spent}}, want: []wait{{"quota_spent", "*", minute}}},
		"what cannot be called":      {model: modelled("m", "a"), routes: map[string][]limit.Kind{"m#a": {limit.Unfit}}, want: []wait{{"misconfigured", "m", minute}}},
		"failures":                   {model: modelled("m", "a"), routes: map[string][]limit.Kind{"m#a": {limit.Failed}}, want: []wait{{"backoff", "m", 0}}},
		"no route that serves":       {model: modelled("m", "a"), routes: map[string][]limit.Kind{"m#a": slices.Repeat([]limit.Kind{limit.Failed}, 10)}, want: []wait{{"unreachable", "m", 1}}},
		"one route of two":           {model: modelled("m", "a", "b"), routes: map[string][]limit.Kind{"m#a": denied}, want: []wait{}},
		"two routes for one reason":  {model: modelled("m", "a", "b"), routes: map[string][]limit.Kind{"m#a": denied, "m#b": denied}, want: []wait{{"unauthorized", "m", minute}}},
		"two routes for two reasons": {model: modelled("m", "a", "b"), routes: map[string][]limit.Kind{"m#a": {limit.NoKey}, "m#b": {limit.Failed}}, want: []wait{{"missing_key", "m", minute}, {"backoff", "m", 0}}},
		"another model's":            {model: modelled("m", "a"), routes: map[string][]limit.Kind{"n#a": denied}, want: []wait{}},
		"no route":                   {model: modelled("other", "a"), want: []wait{{"no_route", "m", 0}}},
		"a wait asked for": {model: modelled("m", "a"), change: func(w *world) {
			w.known("m#a", func(r *limit.Record) {
				now := limit.At(w.clock())
				r.Report(now, limit.Limits{}, limit.Report{RefusedAt: now, Until: now.Add(time.Hour - time.Second/2)})
			})
		}, want: []wait{{"rate_limited", "m", 3_600}}}, // it is not over before its second
		"no slots": {
			model: func() route.Model {
				m := modelled("m", "a")
				m.Routes[0].MaxConcurrency = 2
				return m
			}(),
			change: func(w *world) {
				w.known("m#a", func(r *limit.Record) { r.Hold(limit.At(w.clock()), "w", 2, 2) })
			},
			want: []wait{{"no_slots", "m", 0}},
		},
		"a pace": {model: modelled("m", "a"), change: func(w *world) {
			w.known("m#a", func(r *limit.Record) {
				r.Return(limit.At(w.clock()), limit.Limits{RPM: 1}, 2, func() float64 { return 0 })
			})
		}, want: []wait{{"paced", "m", 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := waitingWorld(t, tt.model)
			id := w.inProgress("m")
			for route, kinds := range tt.routes {
				w.known(route, w.ends(kinds...))
			}
			if tt.change != nil {
				tt.change(w)
			}
			for i := range tt.want {
				if tt.want[i].Until > 0 {
					tt.want[i].Until += w.clock().Unix()
				}
			}
			if diff := cmp.Diff(tt.want, w.get("/v1/batches/"+id).want(200).suits("Batch").waits()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestWaitingForTheAllowance says so without a look at any route, and until the
// batch asks again.
func TestWaitingForTheAllowance(t *testing.T) {
	t.Parallel()
	w, counted := waitingWorld(t)
	id := w.inProgress()
	w.change(id, func(b *batch.Batch) { b.Reconcile(b.Reconciled.Grant(0, 5, w.clock())) })
	want := []wait{{"allowance", "", w.clock().Unix() + 25}}
	if diff := cmp.Diff(want, w.get("/v1/batches/"+id).want(200).waits()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.advance(25 * time.Second)
	want[0].Until = 0
	if diff := cmp.Diff(want, w.get("/v1/batches/"+id).want(200).waits()); diff != "" {
		t.Errorf("once it is due (-want +got):\n%s", diff)
	}
	if ids := counted.reads(); len(ids) > 0 {
		t.Errorf("read of %v", ids)
	}
}

// TestWaitingFollowsEscalation of late requests, which wait for the routes of the other model.
func TestWaitingFollowsEscalation(t *testing.T) {
	t.Parallel()
	slow := modelled("slow", "a")
	slow.Escalation = &route.Escalation{Model: "quick", Before: time.Hour}
	w, _ := waitingWorld(t, slow, modelled("quick", "b"))
	id := w.inProgress("slow")
	w.known("slow#a", w.ends(limit.NoKey))
	if got := w.get("/v1/batches/" + id).waits(); len(got) != 1 || got[0].Model != "slow" {
		t.Errorf("waits for %v", got)
	}
	w.advance(23*time.Hour + time.Second)
	if got := w.get("/v1/batches/" + id).waits(); len(got) != 0 {
		t.Errorf("late, it waits for %v", got)
	}
}

// TestWaitingEnds with the batch's progress: nothing is read of routes before it, nor
// after, nor for lists, nor once all is done.
func TestWaitingEnds(t *testing.T) {
	t.Parallel()
	w, counted := waitingWorld(t, modelled("m", "a"))
	id := w.inProgress("m")
	w.known("m#a", w.ends(limit.NoKey))
	if got := w.get("/v1/batches/" + id).waits(); len(got) != 1 {
		t.Errorf("waits for %v", got)
	}
	if diff := cmp.Diff([]string{"m#a"}, counted.reads()); diff != "" {
		t.Errorf("reads (-want +got):\n%s", diff)
	}
	list := w.get("/v1/batches").want(200)
	data, _ := list.json["data"].([]any)
	if first, _ := data[0].(map[string]any); first["waiting"] != nil {
		t.Errorf("in a list it is %v", first["waiting"])
	}
	if err := w.store.PutCounter(t.Context(), id, batch.CounterShard{ID: "x", Counts: batch.Counts{Completed: 5}}); err != nil {
		t.Fatal(err)
	}
	if got := w.get("/v1/batches/" + id).waits(); got == nil || len(got) != 0 {
		t.Errorf("all done, it waits for %v", got)
	}
	other, _ := w.order(w.alice)
	for _, r := range []reply{w.get("/v1/batches/" + other), w.post("/v1/batches/"+id+"/cancel", "")} {
		if got := r.want(200).waits(); got != nil {
			t.Errorf("%s, it waits for %v", r.text("status"), got)
		}
	}
	late := w.inProgress("m")
	w.change(late, func(b *batch.Batch) {
		if err := b.Fail(batch.FailFlow, batch.InternalError("Given up."), w.clock()); err != nil {
			t.Error(err)
		}
	})
	if got := w.get("/v1/batches/" + late).want(200).waits(); got == nil || len(got) != 0 {
		t.Errorf("given up, it waits for %v", got)
	}
	overdue := w.inProgress("m")
	w.advance(24 * time.Hour)
	if got := w.get("/v1/batches/" + overdue).want(200).waits(); got == nil || len(got) != 0 {
		t.Errorf("past its deadline, it waits for %v", got)
	}
	if ids := counted.reads(); len(ids) > 0 {
		t.Errorf("read of %v", ids)
	}
}

// TestWaitingTellsModelsApart has names of one pattern be one model, whose route is
// read once, and each model's wait its own.
func TestWaitingTellsModelsApart(t *testing.T) {
	t.Parallel()
	w, counted := waitingWorld(t, modelled("m-*", "a", "b"), modelled("n", "a"), modelled("o", "a"))
	id := w.inProgress("m-1", "n", "m-2", "o")
	w.known("m-*#a", w.ends(limit.NoKey)) // the other one serves
	w.known("n#a", w.ends(limit.Failed))
	w.known("o#a", w.ends(limit.Spent))
	want := []wait{{"backoff", "n", 0}, {"quota_spent", "o", w.clock().Unix() + 60}}
	if diff := cmp.Diff(want, w.get("/v1/batches/"+id).want(200).waits()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"m-*#a", "m-*#b", "n#a", "o#a"}, counted.reads()); diff != "" {
		t.Errorf("reads (-want +got):\n%s", diff)
	}
}

// TestWaitingIsBounded has a batch of as many models as it can name, each with two
// routes, be told of 16 of those, each read once.
func TestWaitingIsBounded(t *testing.T) {
	t.Parallel()
	var models []route.Model
	var names []string
	for i := range batch.MaxModels {
		names = append(names, fmt.Sprintf("m%02d", i))
		models = append(models, modelled(names[i], "a", "b"))
	}
	w, counted := waitingWorld(t, models[1:]...) // the first has no route
	id := w.inProgress(names...)
	for _, name := range names {
		w.known(name+"#a", w.ends(limit.NoKey))
		w.known(name+"#b", w.ends(limit.Spent))
	}
	w.change(id, func(b *batch.Batch) { b.Reconcile(b.Reconciled.Grant(0, 5, w.clock())) })
	if got := w.get("/v1/batches/" + id).want(200).waits(); len(got) != 16 || got[0].Reason != "allowance" || got[1].Reason != "no_route" {
		t.Errorf("%d reasons: %v", len(got), got)
	}
	if ids := counted.reads(); len(ids) != 14 || len(slices.Compact(ids)) != 14 {
		t.Errorf("reads of %v, want 14 routes", ids)
	}
	mixed := w.inProgress(append(names, "one-more")...)
	if got := w.get("/v1/batches/" + mixed).want(200).waits(); got == nil || len(got) != 0 {
		t.Errorf("of too many models to name, it waits for %v", got)
	}
}

// TestWaitingIsNoFailure of the answer where it cannot be read; the log says so.
func TestWaitingIsNoFailure(t *testing.T) {
	t.Parallel()
	w, counted := waitingWorld(t, modelled("m", "a"))
	id := w.inProgress("m")
	counted.err = errStore
	if got := w.get("/v1/batches/" + id).want(200).suits("Batch").waits(); got != nil {
		t.Errorf("waits for %v", got)
	}
	if log := w.log.String(); !strings.Contains(log, "cannot say why a batch waits") || !strings.Contains(log, id) {
		t.Errorf("the log has %q", log)
	}
}
