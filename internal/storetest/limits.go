package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/limit"
)

func limitTrials() []trial[Store] {
	return []trial[Store]{
		{"Limit/of a new route", limitNew},
		{"Limit/comes back as it was", limitRoundTrips},
		{"Limit/what is empty is none", limitEmpty},
		{"Limit/race for slots", limitRaceForSlots},
		{"Limit/race for call times", limitRaceForCallTimes},
	}
}

func limitNew(t *testing.T, s Store) {
	id := unique("gpt-4o*#") + "/eu"
	for range 2 {
		r, err := s.Limit(t.Context(), id)
		ok(t, err)
		same(t, "record", r, limit.Record{Route: id})
		r, err = s.UpdateLimit(t.Context(), id, func(*limit.Record) error { return nil })
		ok(t, err)
		same(t, "record that nobody changed", r, limit.Record{Route: id})
	}
	_, err := s.UpdateLimit(t.Context(), id, func(r *limit.Record) error {
		r.CallAt = 1
		return errStop
	})
	wantErr(t, err, errStop)
	r, err := s.Limit(t.Context(), id)
	ok(t, err)
	same(t, "record after an error", r, limit.Record{Route: id})
}

func limitRoundTrips(t *testing.T, s Store) {
	want := Filled[limit.Record]()
	want.Route, want.Rev = unique("m#"), 1
	var kept *limit.Record
	got, err := s.UpdateLimit(t.Context(), want.Route, func(r *limit.Record) error {
		*r = want.Kept()
		r.Route, r.Rev = "another", 77 // only the store sets these
		kept = r
		return nil
	})
	ok(t, err)
	same(t, "record", got, want)
	kept.Calls.N[0]++
	got, err = s.Limit(t.Context(), want.Route)
	ok(t, err)
	same(t, "stored record", got, want)
	got.Tokens.N[0]++
	got, err = s.UpdateLimit(t.Context(), want.Route, func(r *limit.Record) error {
		r.CallAt++ // a microsecond
		return nil
	})
	ok(t, err)
	want.Rev, want.CallAt = 2, want.CallAt+1
	same(t, "changed record", got, want)
}

// limitEmpty has an empty map and an empty window come back as none, so that they
// are no reason for a write.
func limitEmpty(t *testing.T, s Store) {
	id := unique("m#")
	for range 2 {
		r, err := s.UpdateLimit(t.Context(), id, func(r *limit.Record) error {
			r.Slots, r.Tokens = map[string]limit.Slots{}, limit.Window{First: 7, N: []int64{0}}
			return nil
		})
		ok(t, err)
		same(t, "record", r, limit.Record{Route: id})
	}
}

// limitRaceForSlots has many want slots at once: they get as many as there are.
func limitRaceForSlots(t *testing.T, s Store) {
	id, now := unique("m#"), limit.At(noon())
	got := make([]int, 8)
	for _, err := range atOnce(len(got), func(i int) error {
		_, err := s.UpdateLimit(t.Context(), id, func(r *limit.Record) error {
			got[i] = r.Hold(now, fmt.Sprint("worker-", i), 3, 10)
			return nil
		})
		return err
	}) {
		ok(t, err)
	}
	sum := 0
	for _, n := range got {
		sum += n
	}
	if sum != 10 {
		t.Errorf("held are %v, which is not 10", got)
	}
}

// limitRaceForCallTimes has many take call times at once: no two get the same.
func limitRaceForCallTimes(t *testing.T, s Store) {
	id, now := unique("m#"), limit.At(noon())
	got := make([][]limit.Instant, 8)
	for _, err := range atOnce(len(got), func(i int) error {
		_, err := s.UpdateLimit(t.Context(), id, func(r *limit.Record) error {
			got[i], _ = r.Take(now, limit.Limits{RPM: 6000}, make([]int64, 5))
			return nil
		})
		return err
	}) {
		ok(t, err)
	}
	taken := map[limit.Instant]bool{}
	for _, times := range got {
		for _, at := range times {
			taken[at] = true
		}
	}
	last := now.Add(time.Duration(len(got)*5-1) * 10527 * time.Microsecond)
	if len(taken) != len(got)*5 || !taken[now] {
		t.Errorf("%d call times are taken of %d, the first now: %t", len(taken), len(got)*5, taken[now])
	}
	for at := range taken {
		if at > last {
			t.Errorf("a call time is %v after now, the last should be %v", at.Sub(now), last.Sub(now))
		}
	}
}
