package storetest

import (
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

func historyTrials() []trial[Store] {
	return []trial[Store]{
		{"History/of a new batch", historyNew},
		{"History/comes back as it was", historyRoundTrips},
		{"History/race", historyRace},
	}
}

func historyNew(t *testing.T, s Store) {
	ref := batch.Ref{Tenant: unique("t-"), ID: unique("batch_")}
	h, err := s.History(t.Context(), ref)
	ok(t, err)
	same(t, "history", h, batch.History{Ref: ref})
	_, err = s.UpdateHistory(t.Context(), ref, func(h *batch.History) error {
		h.Interval = time.Hour
		return errStop
	})
	wantErr(t, err, errStop)
	h, err = s.UpdateHistory(t.Context(), ref, func(*batch.History) error { return nil })
	ok(t, err)
	same(t, "history after an error", h, batch.History{Ref: ref})
}

func historyRoundTrips(t *testing.T, s Store) {
	want := Filled[batch.History]()
	want.Ref, want.Rev = batch.Ref{Tenant: unique("t-"), ID: unique("batch_")}, 1
	got, err := s.UpdateHistory(t.Context(), want.Ref, func(h *batch.History) error {
		*h = want
		h.Ref = batch.Ref{Tenant: "another", ID: "another"}
		return nil
	})
	ok(t, err)
	same(t, "history", got, want.Kept())
	got, err = s.UpdateHistory(t.Context(), want.Ref, func(h *batch.History) error {
		h.Samples[0].Retrying, h.Failures = batch.RetryingUnknown, nil
		return nil
	})
	ok(t, err)
	want.Rev, want.Samples[0].Retrying, want.Failures = 2, batch.RetryingUnknown, nil
	same(t, "changed history", got, want.Kept())
	got, err = s.History(t.Context(), want.Ref)
	ok(t, err)
	same(t, "stored history", got, want.Kept())
	got, err = s.History(t.Context(), batch.Ref{Tenant: unique("t-"), ID: want.ID})
	ok(t, err)
	if len(got.Samples) > 0 {
		t.Errorf("another tenant's history is %+v", got)
	}
}

// historyRace has many flows of one batch write at once: nothing goes back.
func historyRace(t *testing.T, s Store) {
	ref := batch.Ref{Tenant: unique("t-"), ID: unique("batch_")}
	for _, err := range atOnce(6, func(i int) error {
		_, err := s.UpdateHistory(t.Context(), ref, func(h *batch.History) error {
			h.Add(batch.Sample{At: noon().Add(time.Duration(i) * time.Second), Counts: batch.Counts{Completed: i}})
			return nil
		})
		return err
	}) {
		ok(t, err)
	}
	h, err := s.History(t.Context(), ref)
	ok(t, err)
	if n := len(h.Samples); n == 0 || h.Samples[n-1].Counts.Completed != 5 {
		t.Errorf("the history is %+v", h)
	}
}
