package execute

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/limit"
)

// laneOf returns a lane of a worker with so many places, which nobody supplies.
func laneOf(ctx context.Context, places int) *lane {
	share := limit.NewShare("w", limit.Limits{})
	now := limit.At(time.Now())
	share.Seen(now, limit.Record{CallAt: now}) // it was called a moment ago, and nobody limits it
	return &lane{
		kit: kit{ctx: ctx, clock: time.Now}, share: share, portion: newPortion(places),
		beside: func(*lane) beside { return beside{} }, wake: make(chan struct{}, 1), flying: map[*limit.Permit]context.CancelCauseFunc{},
	}
}

func asking(key string) *ask { return &ask{key: key, since: time.Now(), done: make(chan granted, 1)} }

// TestALaneIsOpen while calls and jobs that wait for theirs are fewer than it may have: a new
// route twelve of twenty places.
func TestALaneIsOpen(t *testing.T) {
	t.Parallel()
	l := laneOf(t.Context(), 20)
	for n := range 14 {
		if got := l.choice(1); got.Open != (n < 12) || got.Weight != 1 {
			t.Errorf("with %d that wait it is %+v", n, got)
		}
		l.waiting = append(l.waiting, asking("waits"))
	}
}

// TestAnUnlimitedRouteIsHadAtOnce unless others wait for it, or there are few places.
func TestAnUnlimitedRouteIsHadAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		l := laneOf(t.Context(), 10)
		if g, err := l.ask(ctx, asking("a")); err != nil || !g.ok || l.busy.Load() != 1 {
			t.Errorf("it is had: %t, %v; %d are busy", g.ok, err, l.busy.Load())
		}
		leaves := asking("b")
		leaves.leaves = true
		if g, err := l.ask(ctx, leaves); err == nil || g.ok || len(l.waiting) != 0 {
			t.Errorf("who only asks when to come back has it: %t, %v; %d wait", g.ok, err, len(l.waiting))
		}
		l.waiting = append(l.waiting, asking("first"))
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if g, err := l.ask(ctx, asking("c")); err == nil || g.ok || len(l.waiting) != 1 {
			t.Errorf("who comes later overtakes: %t, %v; %d wait", g.ok, err, len(l.waiting))
		}
		few := laneOf(t.Context(), 20)
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if g, err := few.ask(ctx, asking("d")); err == nil || g.ok {
			t.Errorf("of a route that may take twelve places it is had unasked: %v", err)
		}
		few.closed = true
		if g, err := few.ask(t.Context(), asking("e")); err != nil || g.ok || g.wait != unsure {
			t.Errorf("of a lane that is closed: %+v, %v", g, err)
		}
	})
}

// TestWhoAsksIsAnsweredOnce has jobs answered that wait, and one that is gone.
func TestWhoAsksIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	l := laneOf(t.Context(), 20)
	first, second := asking("first"), asking("second")
	second.trial = true
	l.waiting, l.trying = []*ask{first, second}, true
	if !l.answer(first, granted{wait: time.Second}) || l.answer(first, granted{}) {
		t.Error("one that waits is not answered, or twice")
	}
	if len(l.waiting) != 1 || l.waiting[0] != second || !l.trying {
		t.Errorf("%d wait, and a trial is on: %t", len(l.waiting), l.trying)
	}
	if !l.answer(second, granted{wait: time.Second}) || l.trying || len(l.waiting) > 0 {
		t.Errorf("%d wait, and a trial that got nothing is on: %t", len(l.waiting), l.trying)
	}
	if g := <-first.done; g.ok || g.wait != time.Second {
		t.Errorf("it was answered %+v", g)
	}
}
