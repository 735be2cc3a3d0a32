package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/tenant"
)

func quotaTrials() []trial[Store] {
	return []trial[Store]{
		{"Quota/of a new tenant", quotaNew},
		{"Quota/change", quotaChanges},
		{"Quota/comes back as it was", quotaRoundTrips},
		{"Quota/answers what it has stored", quotaFirst},
		{"Quota/race of uploads", quotaUploadRace},
		{"Quota/race", quotaRace},
		{"Quota/the largest", quotaLargest},
	}
}

// errStop is an error of a change.
var errStop = errors.New("stop")

func unchanged(*tenant.Quota) error { return nil }

func quotaNew(t *testing.T, s Store) {
	owner := unique("t-")
	for range 2 {
		q, err := s.UpdateQuota(t.Context(), owner, unchanged)
		ok(t, err)
		same(t, "quota", q, tenant.Quota{Tenant: owner})
	}
	_, err := s.UpdateQuota(t.Context(), owner, func(q *tenant.Quota) error {
		q.Batches = map[string]int{"a": 1}
		return errStop
	})
	wantErr(t, err, errStop)
	q, err := s.UpdateQuota(t.Context(), owner, unchanged)
	ok(t, err)
	same(t, "quota after an error", q, tenant.Quota{Tenant: owner})
}

func quotaChanges(t *testing.T, s Store) {
	owner := unique("t-")
	limits := tenant.Limits{Batches: 2}
	q, err := s.UpdateQuota(t.Context(), owner, func(q *tenant.Quota) error {
		q.CheckedAt = noon()
		return q.AddBatch("a", 7, limits)
	})
	ok(t, err)
	same(t, "quota", q, tenant.Quota{Tenant: owner, Rev: 1, Batches: map[string]int{"a": 7}, CheckedAt: noon()})
	q, err = s.UpdateQuota(t.Context(), owner, func(q *tenant.Quota) error {
		q.SetRequests("a", 5)
		return q.AddBatch("b", 0, limits)
	})
	ok(t, err)
	want := tenant.Quota{Tenant: owner, Rev: 2, Batches: map[string]int{"a": 5, "b": 0}, CheckedAt: noon()}
	same(t, "quota", q, want)
	var limit *tenant.LimitError
	if _, err := s.UpdateQuota(t.Context(), owner, func(q *tenant.Quota) error { return q.AddBatch("c", 1, limits) }); !errors.As(err, &limit) {
		t.Errorf("error %v, want a LimitError", err)
	}
	q, err = s.UpdateQuota(t.Context(), owner, unchanged)
	ok(t, err)
	same(t, "quota", q, want)
	q, err = s.UpdateQuota(t.Context(), owner, func(q *tenant.Quota) error {
		q.RemoveBatch("a")
		q.RemoveBatch("b")
		return nil
	})
	ok(t, err)
	same(t, "quota", q, tenant.Quota{Tenant: owner, Rev: 3, CheckedAt: noon()})
	q, err = s.UpdateQuota(t.Context(), owner+"1", unchanged)
	ok(t, err)
	same(t, "another's quota", q, tenant.Quota{Tenant: owner + "1"})
}

func quotaRoundTrips(t *testing.T, s Store) {
	want := Filled[tenant.Quota]()
	want.Tenant, want.Rev = unique("t-"), 1
	got, err := s.UpdateQuota(t.Context(), want.Tenant, func(q *tenant.Quota) error {
		*q = want
		return nil
	})
	ok(t, err)
	same(t, "quota", got, want)
	got, err = s.UpdateQuota(t.Context(), want.Tenant, func(q *tenant.Quota) error {
		q.Creates++
		return nil
	})
	ok(t, err)
	want.Rev, want.Creates = 2, want.Creates+1
	same(t, "quota", got, want)
}

// quotaFirst holds the answer to a first write, and to one later, against what is
// read then.
func quotaFirst(t *testing.T, s Store) {
	owner := unique("t-")
	for rev := range int64(2) {
		got, err := s.UpdateQuota(t.Context(), owner, func(q *tenant.Quota) error {
			q.CountedAt = noon().Add(time.Duration(rev)*time.Minute + 999*time.Microsecond)
			q.Batches, q.Changes, q.Uploads = map[string]int{}, map[string]tenant.StoredChange{}, map[string]int64{}
			return nil
		})
		ok(t, err)
		want := tenant.Quota{Tenant: owner, Rev: rev + 1, CountedAt: noon().Add(time.Duration(rev) * time.Minute)}
		same(t, "quota", got, want)
		got, err = s.UpdateQuota(t.Context(), owner, unchanged)
		ok(t, err)
		same(t, "stored quota", got, want)
	}
}

// quotaUploadRace has many open uploads, and create, at once: exactly as many as
// the limits allow do.
func quotaUploadRace(t *testing.T, s Store) {
	owner := unique("t-")
	limits := tenant.Limits{Bytes: 1000, Uploads: 100, Creates: 4}
	_, err := s.UpdateQuota(t.Context(), owner, func(q *tenant.Quota) error {
		q.Recount(nil, time.Time{}, noon())
		return nil
	})
	ok(t, err)
	refused := 0
	for _, err := range atOnce(12, func(i int) error {
		_, err := s.UpdateQuota(t.Context(), owner, func(q *tenant.Quota) error {
			if err := q.CountCreate(noon(), limits); err != nil {
				return err
			}
			return q.OpenUpload(fmt.Sprint("upload_", i), 300, limits)
		})
		return err
	}) {
		if _, is := errors.AsType[*tenant.LimitError](err); is {
			refused++
		} else {
			ok(t, err)
		}
	}
	q, err := s.UpdateQuota(t.Context(), owner, unchanged)
	ok(t, err)
	same(t, "uploads", len(q.Uploads), 3)
	same(t, "stored", q.Stored(), 900)
	same(t, "creates", q.Creates, 3)
	same(t, "refused", refused, 9)
}

// quotaRace has many take at once: exactly as many as the limit allows do.
func quotaRace(t *testing.T, s Store) {
	owner := unique("t-")
	const most = 5
	refused := 0
	for _, err := range atOnce(12, func(i int) error {
		_, err := s.UpdateQuota(t.Context(), owner, func(q *tenant.Quota) error {
			return q.AddBatch(fmt.Sprint("batch_", i), 1, tenant.Limits{Batches: most})
		})
		return err
	}) {
		var limit *tenant.LimitError
		switch {
		case errors.As(err, &limit):
			refused++
		case err != nil:
			t.Error(err)
		}
	}
	q, err := s.UpdateQuota(t.Context(), owner, unchanged)
	ok(t, err)
	if len(q.Batches) != most || refused != 12-most {
		t.Errorf("%d were taken and %d refused, want %d and %d", len(q.Batches), refused, most, 12-most)
	}
}

func quotaLargest(t *testing.T, s Store) {
	owner := unique("t-")
	q, err := s.UpdateQuota(t.Context(), owner, func(q *tenant.Quota) error {
		q.Batches = map[string]int{}
		for i := range tenant.MaxBatches {
			id := fmt.Sprintf("batch_%026d", i)
			q.Batches[id] = 1_000_000
		}
		q.CheckedAt = noon().Add(time.Hour)
		return nil
	})
	ok(t, err)
	same(t, "batches", len(q.Batches), tenant.MaxBatches)
}
