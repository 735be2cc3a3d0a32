package execute

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/limit"
)

// A refusing counts what goes back.
type refusing struct{ n int }

func (r *refusing) Count(_ string, n int, _ ...string) { r.n += n }
func (*refusing) Observe(string, float64, ...string)   {}
func supplyOf(l *lane) (s *supply, counted *refusing) {
	counted = &refusing{}
	l.metrics = counted
	return newSupply(l, nil), counted
}

func (s *supply) take(n int) {
	for range n {
		s.share.Pass(limit.At(time.Now()), 0)
	}
}

func keysOf(asks []*ask) (keys []string) {
	for _, a := range asks {
		keys = append(keys, a.key)
	}
	return keys
}

func (s *supply) waits(key string, ago time.Duration, change ...func(*ask)) *ask {
	a := asking(key)
	a.since = time.Now().Add(-ago)
	for _, f := range change {
		f(a)
	}
	s.waiting = append(s.waiting, a)
	return a
}

// TestASupplyGathers for 5 to 10 ms, and does nothing for an hour if there is nothing to do.
func TestASupplyGathers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := supplyOf(laneOf(t.Context(), 20))
		for uniform, want := range map[float64]time.Duration{0: 5 * time.Millisecond, 0.5: 7500 * time.Microsecond} {
			s.uniform = func() float64 { return uniform }
			began := time.Now()
			if !s.gather(t.Context()) || time.Since(began) != want {
				t.Errorf("by %v it gathers for %v, want %v", uniform, time.Since(began), want)
			}
		}
		if got, _ := s.rest(); got != time.Hour {
			t.Errorf("with nothing to do it rests for %v", got)
		}
	})
}

// TestWhoWaitsForARoute demands who of those that wait asks for a permit, and who goes back.
func TestWhoWaitsForARoute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		claimed, spare, leaves := func(a *ask) { a.claimed = true }, func(a *ask) { a.spare = true }, func(a *ask) { a.leaves = true }
		s, counted := supplyOf(laneOf(t.Context(), 20))
		s.take(10) // of twelve places
		s.waits("leaves", 0, leaves)
		s.waits("late", askPatience)
		s.waits("a", askPatience-1)
		tries := s.waits("tries", askPatience, claimed, spare)
		s.waits("b", time.Hour, claimed)
		s.waits("c", 0)
		asks, back := s.sort()
		if got := keysOf(asks); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("%v ask for two places", got)
		}
		if got := keysOf(back); !slices.Equal(got, []string{"leaves", "late"}) {
			t.Errorf("%v go back", got)
		}
		if g := <-tries.done; g.ok || g.wait != 0 || len(s.waiting) != 5 || counted.n != 0 {
			t.Errorf("who may try another route is told %+v; %d wait, %d are counted", g, len(s.waiting), counted.n)
		}
	})
}

// TestWhoWaitsForAPlace has a route have as many calls as it may beside others.
func TestWhoWaitsForAPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := laneOf(t.Context(), 20)
		s, counted := supplyOf(l)
		s.take(2) // a tenth
		if got := s.patience(s.room()); got != askPatience {
			t.Errorf("with places left a job waits for %v", got)
		}
		l.beside = func(*lane) beside { return beside{waits: true} }
		if got := s.patience(s.room()); got != askPatience {
			t.Errorf("for a place of a route that was not called yet a job waits for %v", got)
		}
		l.portion.left(time.Now().Add(-askPatience))
		if got := s.patience(s.room()); got != askPatience/10 {
			t.Errorf("for a place of a route that does not answer a job waits for %v", got)
		}
		gone := s.waits("gone", askPatience/10)
		s.waits("waits", askPatience/10-1)
		asks, back := s.sort()
		if len(asks)+len(back) != 0 || len(s.waiting) != 1 || counted.n != 1 {
			t.Errorf("%v ask, %v go back, %d wait, %d are counted", keysOf(asks), keysOf(back), len(s.waiting), counted.n)
		}
		if g := <-gone.done; g.ok || g.wait != askPatience {
			t.Errorf("who finds no place is told %+v", g)
		}
		l.alive.Store(true)
		if got := s.patience(s.room()); got != askPatience {
			t.Errorf("for a place of a route that answers a job waits for %v", got)
		}
		if asks, _ := s.sort(); len(asks) != 0 || len(s.waiting) != 1 {
			t.Errorf("%d ask without a place, %d wait", len(asks), len(s.waiting))
		}
	})
}

// TestWhoIsServedFirst demands an order: who is claimed before who is not, then who waits
// longer, then by name; and who only asks when to come back has no permit at all.
func TestWhoIsServedFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := laneOf(t.Context(), 10)
		s, _ := supplyOf(l)
		s.uniform = func() float64 { return 0 }
		claimed, leaves := func(a *ask) { a.claimed = true }, func(a *ask) { a.leaves = true }
		s.waits("leaves", time.Hour, leaves)
		s.waits("d", time.Second)
		s.waits("c", time.Second)
		s.waits("late", time.Minute)
		s.waits("claimed", 0, claimed)
		s.turn()
		if got := keysOf(s.waiting); !slices.Equal(got, []string{"leaves"}) {
			t.Errorf("%v wait still", got)
		}
		l.portion, l.share = newPortion(100), laneOf(t.Context(), 100).share
		l.beside = func(*lane) beside { return beside{waits: true} }
		s.take(10) // as many as it may
		s.waiting = append(s.waiting, asking("d"), asking("c"))
		s.waits("late", time.Second)
		s.waits("claimed", 0, claimed)
		s.turn()
		if got := keysOf(s.waiting); !slices.Equal(got, []string{"claimed", "late", "c", "d", "leaves"}) {
			t.Errorf("they wait in the order %v", got)
		}
	})
}

// TestHopesAreLookedAt every 2.5 s while there is no place.
func TestHopesAreLookedAt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := supplyOf(laneOf(t.Context(), 20))
		s.take(12)
		without, _ := s.rest()
		s.waits("hopes", time.Minute)
		if got, _ := s.rest(); got != min(without, askPatience) {
			t.Errorf("with one that hopes it rests for %v, and for %v without", got, without)
		}
	})
}

// TestWhatEndsRousesNobody unless somebody waits, or the supply is to look sooner than it means to.
func TestWhatEndsRousesNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := supplyOf(laneOf(t.Context(), 20))
		s.outlook = &outlook{}
		s.rest()
		ends := func() (roused bool) {
			p, _ := s.share.Pass(limit.At(time.Now()), 0)
			s.over(&p, limit.Result{Kind: limit.Answered})
			select {
			case <-s.wake:
				return true
			default:
				return false
			}
		}
		if !ends() {
			t.Error("there is news of a route, and nobody will tell")
		}
		s.rest()
		for range 3 {
			if ends() {
				t.Error("roused although the news is told in time")
			}
		}
	})
}

// TestASlotThatComesFreeIsLookedAt at once while somebody waits for it, of whom the supply knows.
func TestASlotThatComesFreeIsLookedAt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := supplyOf(laneOf(t.Context(), 20))
		s.outlook = &outlook{}
		s.share.Limit(limit.Limits{Concurrency: 1})
		now := limit.At(time.Now())
		rec := limit.Record{CallAt: now}
		plan := s.share.Plan(now, []int64{0}, 0, func() float64 { return 0 })
		if err := plan.Change(&rec); err != nil {
			t.Fatal(err)
		}
		permits, _ := plan.Done(now, rec)
		s.leave(&permits[0], func(error) {})
		s.waits("", 0)
		s.rest()
		time.Sleep(10 * time.Millisecond)
		if s.over(&permits[0], limit.Result{Kind: limit.Answered}); len(s.wake) == 0 {
			t.Error("somebody waits, and nobody looks")
		}
	})
}
