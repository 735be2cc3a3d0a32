package batch_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/batch"
)

const allowance = 60_000

func ask(tenant, id string, outstanding, wants int) batch.Ask {
	return batch.Ask{Ref: batch.Ref{Tenant: tenant, ID: id}, Due: noon().Add(24 * time.Hour), Outstanding: outstanding, Wants: wants}
}

func TestAllowanceIsShared(t *testing.T) {
	t.Parallel()
	var a batch.Allowance
	for i, want := range []int{10_000, 10_000, 5_000, 2_500, 1_250} { // never more than half, all together
		if got := a.Ask(ask("acme", fmt.Sprint("a", i), 0, 10_000), allowance, noon()); got != want {
			t.Errorf("batch %d of one tenant gets %d, want %d", i, got, want)
		}
	}
	for i := range 500 {
		a.Ask(ask("acme", fmt.Sprint("more", i), 0, 10_000), allowance, noon())
	}
	if sum := a.Sum(); sum > allowance/2 || sum < allowance/2-100 {
		t.Errorf("one tenant has %d", sum)
	}
	for i, want := range []int{10_000, 10_000, 4_999, 2_498} { // tenants, each of which finds room
		if got := a.Ask(ask(fmt.Sprint("t", i), fmt.Sprint("b", i), 0, 10_000), allowance, noon()); got < want-100 || got > want+100 {
			t.Errorf("tenant %d gets %d, want %d", i, got, want)
		}
	}
	for i := range 50 {
		if got := a.Ask(ask(fmt.Sprint("late", i), fmt.Sprint("l", i), 0, 10_000), allowance, noon()); got == 0 && a.Sum()+100 <= allowance {
			t.Errorf("newcomer %d gets nothing, and %d are granted", i, a.Sum())
		}
	}
	if a.Sum() > allowance {
		t.Errorf("%d are granted", a.Sum())
	}
}

func TestAllowanceIsGivenBack(t *testing.T) {
	t.Parallel()
	var a batch.Allowance
	a.Ask(ask("acme", "a", 0, 10_000), allowance, noon())
	if got := a.Ask(ask("acme", "a", 7, 7), allowance, noon()); got != 7 || a.Sum() != 7 {
		t.Errorf("it has %d of %d", got, a.Sum())
	}
	if got := a.Ask(ask("acme", "a", 900, 500), allowance, noon()); got != 900 {
		t.Errorf("what is outstanding is not granted: %d", got)
	}
	for range 2 {
		a.Drop("a")
	}
	if a.Sum() != 0 {
		t.Errorf("%d are granted still", a.Sum())
	}
}

// TestAllowanceKeepsRoomForTheLeastSlack fills a tenant's share. When room comes,
// the batch that is due first gets it, whoever asks first.
func TestAllowanceKeepsRoomForTheLeastSlack(t *testing.T) {
	t.Parallel()
	var a batch.Allowance
	a.Ask(ask("acme", "full", 300, 300), 600, noon())
	late, soon := ask("acme", "late", 0, 100), ask("acme", "soon", 0, 100)
	soon.Due = noon().Add(time.Hour)
	for _, q := range []batch.Ask{late, soon} {
		if got := a.Ask(q, 600, noon()); got != 0 {
			t.Fatalf("%s gets %d of a share that is used up", q.ID, got)
		}
	}
	a.Ask(ask("acme", "full", 200, 200), 600, noon())
	if got := a.Ask(late, 600, noon().Add(30*time.Second)); got != 0 {
		t.Errorf("the one that can wait gets %d", got)
	}
	if got := a.Ask(soon, 600, noon().Add(31*time.Second)); got != 100 {
		t.Errorf("the one that is due gets %d", got)
	}
	a.Ask(ask("acme", "full", 100, 100), 600, noon())
	if got := a.Ask(late, 600, noon().Add(time.Minute)); got != 100 {
		t.Errorf("the other one gets %d then", got)
	}
	// Nothing is kept for one that asks no more.
	a.Drop("late")
	a.Ask(ask("acme", "full", 200, 200), 600, noon())
	soon.ID = "dead"
	a.Ask(soon, 600, noon())
	a.Ask(ask("acme", "full", 100, 100), 600, noon())
	if got := a.Ask(late, 600, a.Grants["dead"].AskedAt.Add(2*time.Minute)); got != 100 {
		t.Errorf("beside one that died it gets %d", got)
	}
}

func TestAllowanceOfManyWritesLittle(t *testing.T) {
	t.Parallel()
	var a batch.Allowance
	a.Ask(ask("acme", "full", 300, 300), 600, noon())
	a.Ask(ask("acme", "waits", 0, 100), 600, noon())
	before := a.Grants["waits"]
	a.Ask(ask("acme", "waits", 0, 200), 600, noon().Add(30*time.Second))
	if a.Grants["waits"] != before {
		t.Error("asking again half a minute later changes the record")
	}
	a.Ask(ask("acme", "waits", 0, 200), 600, before.AskedAt.Add(time.Minute))
	if a.Grants["waits"] == before {
		t.Error("one that waits is forgotten")
	}
	for i := range 2 * batch.MaxGrants {
		a.Ask(ask("acme", fmt.Sprint(i), 0, 100), 600, noon())
	}
	if len(a.Grants) != batch.MaxGrants {
		t.Errorf("it knows %d batches", len(a.Grants))
	}
	if got := a.Ask(ask("other", "beyond", 7, 100), 600, noon()); got != 7 {
		t.Errorf("one that it cannot know gets %d", got)
	}
}

// TestAllowanceOfOneThatWantedNothing has a batch want something a moment after it
// wanted nothing: it is one that waits.
func TestAllowanceOfOneThatWantedNothing(t *testing.T) {
	t.Parallel()
	var a batch.Allowance
	a.Ask(ask("acme", "full", 300, 300), 600, noon())
	a.Ask(ask("acme", "waits", 0, 0), 600, noon())
	a.Ask(ask("acme", "waits", 0, 100), 600, noon().Add(time.Second))
	if got := a.Grants["waits"].Wants; got != 100 {
		t.Errorf("it wants %d", got)
	}
}

// TestAllowanceKeepsRoomForNewcomers has one tenant hold 300 messages and another
// ask for all, while a third has none. What it waits for is kept free.
func TestAllowanceKeepsRoomForNewcomers(t *testing.T) {
	t.Parallel()
	now := noon().Truncate(time.Millisecond)
	waits := batch.Grant{Tenant: "third", Wants: 10_000, AskedAt: now, Due: now.Add(48 * time.Hour)}
	for name, tt := range map[string]struct {
		limit  int
		change func(g *batch.Grant) // of the batch that waits; nil: there is none
		want   int
	}{
		"nobody waits":                  {1_300, nil, 500},
		"a newcomer waits":              {1_300, func(*batch.Grant) {}, 450},
		"it asked not quite 2 min ago":  {1_300, func(g *batch.Grant) { g.AskedAt = now.Add(time.Millisecond - 2*time.Minute) }, 450},
		"it asked 2 min ago":            {1_300, func(g *batch.Grant) { g.AskedAt = now.Add(-2 * time.Minute) }, 500},
		"it wants nothing":              {1_300, func(g *batch.Grant) { g.Wants = 0 }, 500},
		"it has some":                   {1_300, func(g *batch.Grant) { g.Messages = 200 }, 400},
		"who asks waits itself":         {1_300, func(g *batch.Grant) { g.Tenant = "asks" }, 250},
		"hardly any is free":            {450, nil, 100},
		"and kept for a sibling of its": {450, func(g *batch.Grant) { g.Tenant, g.Due = "asks", now }, 0},
	} {
		a := batch.Allowance{Grants: map[string]batch.Grant{"full": {Tenant: "acme", Messages: 300}}}
		if tt.change != nil {
			g := waits
			tt.change(&g)
			a.Grants["waits"] = g
		}
		if got := a.Ask(ask("asks", "asks", 0, 10_000), tt.limit, now); got != tt.want {
			t.Errorf("%s: it gets %d, want %d", name, got, tt.want)
		}
	}
}

// TestAllowanceOfNewcomersAlone has tenants wait for all of the allowance, which comes
// free: what is kept for the others must not keep each of them waiting.
func TestAllowanceOfNewcomersAlone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ tenants, limit, least int }{{2, 10, 3}, {2, 1, 0}, {700, allowance, 20}, {3, allowance, 10_000}} {
		a := batch.Allowance{Grants: map[string]batch.Grant{"full": {Tenant: "full", Messages: tt.limit}}}
		asked := func(n int) int {
			return a.Ask(ask(fmt.Sprint("t", n), fmt.Sprint("b", n), 0, 10_000), tt.limit, noon())
		}
		for n := range tt.tenants {
			if got := asked(n); got != 0 {
				t.Fatalf("one of %d gets %d of nothing", tt.tenants, got)
			}
		}
		a.Drop("full")
		for n := range tt.tenants {
			if got := asked(n); got < tt.least {
				t.Errorf("number %d of %d tenants gets %d of %d, want %d at least", n, tt.tenants, got, tt.limit, tt.least)
				break
			}
		}
		if sum := a.Sum(); sum == 0 || sum > tt.limit {
			t.Errorf("%d tenants have %d of %d", tt.tenants, sum, tt.limit)
		}
	}
}

func TestAllowanceIsKept(t *testing.T) {
	t.Parallel()
	if got := (batch.Allowance{Grants: map[string]batch.Grant{}}).Kept(); got.Grants != nil {
		t.Errorf("none is kept as %+v", got)
	}
	a := batch.Allowance{Grants: map[string]batch.Grant{"a": {Tenant: "acme", Messages: 7, Due: noon(), AskedAt: noon()}}, CheckedAt: noon()}
	kept, at := a.Kept(), noon().UTC().Truncate(time.Millisecond)
	want := batch.Allowance{Grants: map[string]batch.Grant{"a": {Tenant: "acme", Messages: 7, Due: at, AskedAt: at}}, CheckedAt: at}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if kept.Drop("a"); len(a.Grants) != 1 {
		t.Error("what is kept shares its memory")
	}
}

// TestAllowanceProperty has batches of some tenants ask, hold, finish and end: nothing
// new is granted beyond the limit.
func TestAllowanceProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		limit := rapid.IntRange(1, 2_000).Draw(rt, "limit")
		var a batch.Allowance
		outstanding := map[string]int{}
		now := noon()
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			n := rapid.IntRange(0, 11).Draw(rt, "batch")
			id, tenant := fmt.Sprint(n), fmt.Sprint("t", n%4)
			now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(rt, "seconds")) * time.Second)
			switch rapid.IntRange(0, 3).Draw(rt, "what") {
			case 0:
				outstanding[id] = rapid.IntRange(0, outstanding[id]).Draw(rt, "left")
			case 1:
				a.Drop(id)
				delete(outstanding, id)
			default:
				q := ask(tenant, id, outstanding[id], rapid.IntRange(outstanding[id], 500).Draw(rt, "wants"))
				q.Due = noon().Add(time.Duration(rapid.IntRange(0, 5).Draw(rt, "due")) * time.Hour)
				before := a.Sum() - a.Grants[id].Messages
				got := a.Ask(q, limit, now)
				if got < q.Outstanding || got > max(q.Wants, q.Outstanding) || a.Grants[id].Messages != got {
					rt.Fatalf("%+v gets %d, recorded %+v", q, got, a.Grants[id])
				}
				if got > q.Outstanding && before+got > limit {
					rt.Fatalf("%+v gets %d beside %d of %d", q, got, before, limit)
				}
				outstanding[id] = got
			}
		}
	})
}
