package execute

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/state"
)

var errGather = errors.New("throttled")

// A grouped is a call of ApplyAll: when it came, and the lines that it names.
type grouped struct {
	At    time.Duration
	Lines []int
}

// A slowStore keeps the calls of ApplyAll, each of which takes so long, and answers
// as err says.
type slowStore struct {
	Requests

	start time.Time
	takes func(n int) time.Duration   // of the n-th call, from 1
	err   func(n int, line int) error // of a line in it

	mu    sync.Mutex
	calls []grouped
}

func (s *slowStore) ApplyAll(ctx context.Context, cs []state.Change) []error {
	s.mu.Lock()
	call := grouped{At: time.Since(s.start)}
	for _, c := range cs {
		call.Lines = append(call.Lines, c.Spec().Key.Line)
	}
	s.calls = append(s.calls, call)
	n := len(s.calls)
	s.mu.Unlock()
	errs := make([]error, len(cs))
	if s.takes != nil {
		select {
		case <-time.After(s.takes(n)):
		case <-ctx.Done():
			return slices.Repeat([]error{ctx.Err()}, len(cs))
		}
	}
	for i, line := range call.Lines {
		if s.err != nil {
			errs[i] = s.err(n, line)
		}
	}
	return errs
}

// gathering returns a gatherer on s.
func gathering(ctx context.Context, t *testing.T, s *slowStore, full func() bool) *gatherer {
	t.Helper()
	s.start = time.Now()
	g := &gatherer{
		kit:   kit{ctx: ctx, clock: time.Now, uniform: func() float64 { return 0 }, log: slog.New(slog.DiscardHandler), crew: newCrew()},
		store: s, full: full,
	}
	t.Cleanup(func() {
		g.calls.Wait()
		g.crew.dismiss()
		g.crew.wait()
	})
	return g
}

func expiry(t *testing.T, line int) state.Change {
	t.Helper()
	r := state.New(state.Spec{Key: state.Key{Batch: "b", Line: line}})
	c, err := state.Expire(r.Stored(), time.Now()).Change()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// span returns first to last.
func span(first, last int) []int {
	var all []int
	for n := first; n <= last; n++ {
		all = append(all, n)
	}
	return all
}

// TestGroupsGoWhenTheyAreDue has changes come at their times, some urgent, and
// holds the calls against when they are due and what they take along.
func TestGroupsGoWhenTheyAreDue(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	type coming struct {
		at     time.Duration
		lines  []int
		urgent bool
	}
	for name, tc := range map[string]struct {
		full   func(since time.Duration) bool
		eased  time.Duration // when it is told that places are empty again; 0: never
		coming []coming
		want   []grouped
	}{
		"one": {never, 0, []coming{{0, span(1, 1), false}}, []grouped{{20 * ms, span(1, 1)}}},
		"few, as they come": {
			never, 0,
			[]coming{{0, span(1, 1), false}, {10 * ms, span(2, 2), false}, {25 * ms, span(3, 3), false}},
			[]grouped{{20 * ms, span(1, 2)}, {45 * ms, span(3, 3)}},
		},
		"few, and all places taken": {
			always, 0, []coming{{0, span(1, 1), false}, {300 * ms, span(2, 2), false}}, []grouped{{1000 * ms, span(1, 2)}},
		},
		"few, until a place is free": {
			func(since time.Duration) bool { return since < 110*ms }, 110 * ms,
			[]coming{{0, span(1, 1), false}},
			[]grouped{{130 * ms, span(1, 1)}},
		},
		"few, and a place is free for a moment": {
			func(since time.Duration) bool { return since != 110*ms }, 110 * ms,
			[]coming{{0, span(1, 1), false}},
			[]grouped{{1000 * ms, span(1, 1)}},
		},
		"a full group": {always, 0, []coming{{0, span(1, 25), false}}, []grouped{{ms, span(1, 25)}}},
		"two full groups and some": {
			always, 0, []coming{{0, span(1, 60), false}}, []grouped{{ms, span(1, 25)}, {ms, span(26, 50)}, {1000 * ms, span(51, 60)}},
		},
		"full by the last": {
			always, 0,
			[]coming{{0, span(1, 24), false}, {110 * ms, span(25, 26), false}},
			[]grouped{{111 * ms, span(1, 25)}, {1110 * ms, span(26, 26)}},
		},
		"what is urgent": {always, 0, []coming{{0, span(1, 3), true}}, []grouped{{ms, span(1, 3)}}},
		"what is urgent takes along what waits": {
			always, 0,
			[]coming{{0, span(1, 20), false}, {110 * ms, span(31, 50), true}},
			[]grouped{{111 * ms, append(span(31, 50), span(1, 5)...)}, {1000 * ms, span(6, 20)}},
		},
		"one request twice": {
			never, 0, []coming{{0, []int{1, 2, 1}, false}}, []grouped{{20 * ms, []int{1, 2}}, {20 * ms, []int{1}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &slowStore{}
				g := gathering(t.Context(), t, s, func() bool { return tc.full(time.Since(s.start)) })
				var all sync.WaitGroup
				if tc.eased > 0 {
					all.Go(func() {
						time.Sleep(tc.eased)
						g.ease()
					})
				}
				for _, c := range tc.coming {
					if c.urgent {
						all.Go(func() {
							time.Sleep(c.at)
							var cs []state.Change
							for _, line := range c.lines {
								cs = append(cs, expiry(t, line))
							}
							g.apply(true, cs...)
						})
						continue
					}
					for _, line := range c.lines {
						all.Go(func() {
							time.Sleep(c.at)
							g.apply(false, expiry(t, line))
						})
					}
				}
				all.Wait()
				g.calls.Wait()
				slices.SortFunc(s.calls, func(a, b grouped) int {
					return int(a.At-b.At)*1000 + slices.Compare(a.Lines, b.Lines)
				})
				want := slices.SortedFunc(slices.Values(tc.want), func(a, b grouped) int {
					return int(a.At-b.At)*1000 + slices.Compare(a.Lines, b.Lines)
				})
				if diff := cmp.Diff(want, s.calls); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func never(time.Duration) bool  { return false }
func always(time.Duration) bool { return true }

// TestASlowGroupHoldsUpNobodyElse has a group's call hang while others come.
func TestASlowGroupHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &slowStore{takes: func(n int) time.Duration {
			if n == 1 {
				return 14 * time.Second
			}
			return 5 * time.Millisecond
		}}
		g := gathering(t.Context(), t, s, func() bool { return false })
		var all sync.WaitGroup
		var slow atomic.Int64
		for line := range 100 {
			all.Go(func() {
				time.Sleep(time.Duration(line) * 5 * time.Millisecond)
				began := time.Now()
				g.apply(false, expiry(t, line+1))
				if time.Since(began) > time.Second {
					slow.Add(1)
				}
			})
		}
		all.Wait()
		if n := slow.Load(); n != int64(len(s.calls[0].Lines)) {
			t.Errorf("%d changes waited for a call of %d", n, len(s.calls[0].Lines))
		}
	})
}

// TestGroupsAreRepeatedInPart has a call whose answer is lost, and others some of
// whose changes are throttled or conflict: what is known is told at once, and the
// rest goes again as it was.
func TestGroupsAreRepeatedInPart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &slowStore{err: func(n int, line int) error {
			switch {
			case n == 1 || n == 2 && line <= 3 || line == 5:
				return errGather
			case line == 2:
				return &state.ConflictError{}
			}
			return nil
		}}
		g := gathering(t.Context(), t, s, func() bool { return false })
		var cs []state.Change
		for _, line := range span(1, 6) {
			cs = append(cs, expiry(t, line))
		}
		told := make([]time.Duration, len(cs))
		errs := make([]error, len(cs))
		var all sync.WaitGroup
		for i, c := range cs {
			all.Go(func() {
				errs[i] = g.apply(false, c)[0]
				told[i] = time.Since(s.start)
			})
		}
		all.Wait()
		const ms = time.Millisecond
		want := []grouped{
			{20 * ms, span(1, 6)}, {220 * ms, span(1, 6)}, {620 * ms, []int{1, 2, 3, 5}}, {1420 * ms, []int{5}},
		}
		if diff := cmp.Diff(want, s.calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]time.Duration{620 * ms, 620 * ms, 620 * ms, 220 * ms, 1420 * ms, 220 * ms}, told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		for i, err := range errs {
			if want := []error{nil, state.ErrConflict, nil, nil, errGather, nil}[i]; !errors.Is(err, want) {
				t.Errorf("line %d: %v, want %v", i+1, err, want)
			}
		}
	})
}

// TestGroupsEndWithTheirWorker has changes wait when the time of the worker is up.
func TestGroupsEndWithTheirWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		s := &slowStore{takes: func(int) time.Duration { return time.Hour }}
		g := gathering(ctx, t, s, func() bool { return true })
		var all sync.WaitGroup
		for line := range 30 {
			all.Go(func() {
				time.Sleep(time.Duration(line) * 99 * time.Millisecond)
				if err := g.apply(false, expiry(t, line+1))[0]; !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("line %d: %v", line+1, err)
				}
			})
		}
		all.Wait()
		g.calls.Wait()
		if took := time.Since(s.start); took > 4*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
