package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

func usageTrials() []trial[Store] {
	return []trial[Store]{
		{"Usage/of a new tenant", usageNew},
		{"Usage/change", usageChanges},
		{"Usage/comes back as it was", usageRoundTrips},
		{"Usage/answers what it has stored", usageFirst},
		{"Usage/race of uploads", usageUploadRace},
		{"Usage/race", usageRace},
		{"Usage/the largest", usageLargest},
	}
}

// errStop is an error of a change.
var errStop = errors.New("stop")

func unchanged(*batch.Usage) error { return nil }

func usageNew(t *testing.T, s Store) {
	owner := unique("t-")
	for range 2 {
		u, err := s.UpdateUsage(t.Context(), owner, unchanged)
		ok(t, err)
		same(t, "usage", u, batch.Usage{Tenant: owner})
	}
	_, err := s.UpdateUsage(t.Context(), owner, func(u *batch.Usage) error {
		u.Batches = map[string]int{"a": 1}
		return errStop
	})
	wantErr(t, err, errStop)
	u, err := s.UpdateUsage(t.Context(), owner, unchanged)
	ok(t, err)
	same(t, "usage after an error", u, batch.Usage{Tenant: owner})
}

func usageChanges(t *testing.T, s Store) {
	owner := unique("t-")
	limits := batch.Limits{Batches: 2}
	u, err := s.UpdateUsage(t.Context(), owner, func(u *batch.Usage) error {
		u.CheckedAt = noon()
		return u.Take("a", 7, limits)
	})
	ok(t, err)
	same(t, "usage", u, batch.Usage{Tenant: owner, Rev: 1, Batches: map[string]int{"a": 7}, CheckedAt: noon()})
	u, err = s.UpdateUsage(t.Context(), owner, func(u *batch.Usage) error {
		u.Count("a", 5)
		return u.Take("b", 0, limits)
	})
	ok(t, err)
	want := batch.Usage{Tenant: owner, Rev: 2, Batches: map[string]int{"a": 5, "b": 0}, CheckedAt: noon()}
	same(t, "usage", u, want)
	var limit *batch.LimitError
	if _, err := s.UpdateUsage(t.Context(), owner, func(u *batch.Usage) error { return u.Take("c", 1, limits) }); !errors.As(err, &limit) {
		t.Errorf("error %v, want a LimitError", err)
	}
	u, err = s.UpdateUsage(t.Context(), owner, unchanged)
	ok(t, err)
	same(t, "usage", u, want)
	u, err = s.UpdateUsage(t.Context(), owner, func(u *batch.Usage) error {
		u.Drop("a")
		u.Drop("b")
		return nil
	})
	ok(t, err)
	same(t, "usage", u, batch.Usage{Tenant: owner, Rev: 3, CheckedAt: noon()})
	u, err = s.UpdateUsage(t.Context(), owner+"1", unchanged)
	ok(t, err)
	same(t, "another's usage", u, batch.Usage{Tenant: owner + "1"})
}

func usageRoundTrips(t *testing.T, s Store) {
	want := Filled[batch.Usage]()
	want.Tenant, want.Rev = unique("t-"), 1
	got, err := s.UpdateUsage(t.Context(), want.Tenant, func(u *batch.Usage) error {
		*u = want
		return nil
	})
	ok(t, err)
	same(t, "usage", got, want)
	got, err = s.UpdateUsage(t.Context(), want.Tenant, func(u *batch.Usage) error {
		u.Creates++
		return nil
	})
	ok(t, err)
	want.Rev, want.Creates = 2, want.Creates+1
	same(t, "usage", got, want)
}

// usageFirst holds the answer to a first write, and to one later, against what is
// read then.
func usageFirst(t *testing.T, s Store) {
	owner := unique("t-")
	for rev := range int64(2) {
		got, err := s.UpdateUsage(t.Context(), owner, func(u *batch.Usage) error {
			u.CountedAt = noon().Add(time.Duration(rev)*time.Minute + 999*time.Microsecond)
			u.Batches, u.Changes, u.Uploads = map[string]int{}, map[string]batch.StoredChange{}, map[string]int64{}
			return nil
		})
		ok(t, err)
		want := batch.Usage{Tenant: owner, Rev: rev + 1, CountedAt: noon().Add(time.Duration(rev) * time.Minute)}
		same(t, "usage", got, want)
		got, err = s.UpdateUsage(t.Context(), owner, unchanged)
		ok(t, err)
		same(t, "stored usage", got, want)
	}
}

// usageUploadRace has many open uploads, and create, at once: exactly as many as
// the limits allow do.
func usageUploadRace(t *testing.T, s Store) {
	owner := unique("t-")
	limits := batch.Limits{Bytes: 1000, Uploads: 100, Creates: 4}
	_, err := s.UpdateUsage(t.Context(), owner, func(u *batch.Usage) error {
		u.Recount(nil, time.Time{}, noon())
		return nil
	})
	ok(t, err)
	refused := 0
	for _, err := range atOnce(12, func(i int) error {
		_, err := s.UpdateUsage(t.Context(), owner, func(u *batch.Usage) error {
			if err := u.Create(noon(), limits); err != nil {
				return err
			}
			return u.OpenUpload(fmt.Sprint("upload_", i), 300, limits)
		})
		return err
	}) {
		if _, is := errors.AsType[*batch.LimitError](err); is {
			refused++
		} else {
			ok(t, err)
		}
	}
	u, err := s.UpdateUsage(t.Context(), owner, unchanged)
	ok(t, err)
	same(t, "uploads", len(u.Uploads), 3)
	same(t, "stored", u.Stored(), 900)
	same(t, "creates", u.Creates, 3)
	same(t, "refused", refused, 9)
}

// usageRace has many take at once: exactly as many as the limit allows do.
func usageRace(t *testing.T, s Store) {
	owner := unique("t-")
	const most = 5
	refused := 0
	for _, err := range atOnce(12, func(i int) error {
		_, err := s.UpdateUsage(t.Context(), owner, func(u *batch.Usage) error {
			return u.Take(fmt.Sprint("batch_", i), 1, batch.Limits{Batches: most})
		})
		return err
	}) {
		var limit *batch.LimitError
		switch {
		case errors.As(err, &limit):
			refused++
		case err != nil:
			t.Error(err)
		}
	}
	u, err := s.UpdateUsage(t.Context(), owner, unchanged)
	ok(t, err)
	if len(u.Batches) != most || refused != 12-most {
		t.Errorf("%d were taken and %d refused, want %d and %d", len(u.Batches), refused, most, 12-most)
	}
}

func usageLargest(t *testing.T, s Store) {
	owner := unique("t-")
	u, err := s.UpdateUsage(t.Context(), owner, func(u *batch.Usage) error {
		u.Batches = map[string]int{}
		for i := range batch.MaxUsageBatches {
			id := fmt.Sprintf("batch_%026d", i)
			u.Batches[id] = 1_000_000
		}
		u.CheckedAt = noon().Add(time.Hour)
		return nil
	})
	ok(t, err)
	same(t, "batches", len(u.Batches), batch.MaxUsageBatches)
}
