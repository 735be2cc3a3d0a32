package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/state"
)

const racers = 12

func raceTrials() []trial[Store] {
	return []trial[Store]{
		{"Race/claims", raceClaims},
		{"Race/creations", raceCreations},
		{"Race/outcomes", raceOutcomes},
		{"Race/reclaims", raceReclaims},
		{"Race/refusals", raceRefusals},
	}
}

// wantOneWinner ends the test unless exactly one of cs was applied, it is
// stored, and every other's error names it.
func wantOneWinner(t *testing.T, s Store, cs []state.Change) {
	t.Helper()
	errs := atOnce(len(cs), func(i int) error { return s.Apply(t.Context(), cs[i]) })
	var won []state.Change
	for i, err := range errs {
		if err == nil {
			won = append(won, cs[i])
		}
	}
	if len(won) != 1 {
		t.Fatalf("%d of %d changes were applied, want 1: %v", len(won), len(cs), errors.Join(errs...))
	}
	wantStored(t, s, won[0].Record())
	for i, err := range errs {
		if err != nil {
			wantConflict(t, err, cs[i], won[0].Record())
		}
	}
}

func raceClaims(t *testing.T, s Store) {
	batchID := unique("batch_")
	for line := 1; line <= 5; line++ {
		r := apply(t, s, state.New(spec(batchID, line, 1)))
		var cs []state.Change
		for i := range racers {
			if i%2 == 0 {
				cs = append(cs, change(t, claim(t, r)))
			} else {
				cs = append(cs, change(t, start(t, r)))
			}
		}
		wantOneWinner(t, s, cs)
	}
}

func raceCreations(t *testing.T, s Store) {
	batchID := unique("batch_")
	for line := 1; line <= 5; line++ {
		var cs []state.Change
		for i := range racers {
			r := state.New(spec(batchID, line, 1))
			cs = append(cs, change(t, state.Terminate(r, 1, noon().Add(time.Duration(i)*time.Second))))
		}
		// Whoever creates it in this way did the same: each is the winner.
		errs := atOnce(racers, func(i int) error { return s.Apply(t.Context(), cs[i]) })
		ok(t, errors.Join(errs...))
		got, err := s.Request(t.Context(), cs[0].Spec().Key)
		ok(t, err)
		found := false
		for _, c := range cs {
			found = found || c.Record() == got
		}
		if !found {
			t.Fatalf("stored is %+v, which nobody wrote", got)
		}
	}
}

func raceOutcomes(t *testing.T, s Store) {
	batchID := unique("batch_")
	for line := 1; line <= 5; line++ {
		p := apply(t, s, start(t, apply(t, s, state.New(spec(batchID, line, 1)))))
		failed := state.Fail(p, state.Failure{Reason: state.NonRetryableHTTPStatus{Status: 400}}, noon())
		again, err := state.Retry(state.Fail(p, state.Failure{Reason: state.Timeout{}}, noon()), noon().Add(time.Hour))
		ok(t, err)
		heir, err := state.Reclaim(p, lease(), noon(), state.LossEnded)
		ok(t, err)
		wantOneWinner(t, s, []state.Change{
			change(t, state.Complete(p, state.Result{StatusCode: 200}, noon())),
			change(t, failed), change(t, again), change(t, heir),
			change(t, state.Cancel(p, noon())), change(t, state.Expire(p, noon())),
			change(t, state.Terminate(p, 5, noon())),
		})
	}
}

// raceRefusals lets many refuse one retry: one may count it, and one only.
func raceRefusals(t *testing.T, s Store) {
	batchID := unique("batch_")
	for line := 1; line <= 5; line++ {
		put := apply(t, s, again(t, apply(t, s, start(t, apply(t, s, state.New(spec(batchID, line, 1)))))))
		var cs []state.Change
		for range racers {
			cs = append(cs, change(t, refuse(t, put)))
		}
		wantOneWinner(t, s, cs)
	}
}

func raceReclaims(t *testing.T, s Store) {
	batchID := unique("batch_")
	for line := 1; line <= 5; line++ {
		c := apply(t, s, claim(t, apply(t, s, state.New(spec(batchID, line, 1)))))
		var cs []state.Change
		for range racers {
			heir, err := state.Reclaim(c, lease(), noon(), state.LossDead)
			ok(t, err)
			cs = append(cs, change(t, heir))
		}
		wantOneWinner(t, s, cs)
	}
}
