package storetest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/tenant"
)

func uploadTrials() []trial[Store] {
	return []trial[Store]{
		{"Upload/comes back as it was", uploadRoundTrips},
		{"Upload/exists and not found", uploadExists},
		{"UpdateUpload/changes", uploadChanges},
		{"UpdateUpload/begun once among many", uploadRace},
		{"UpdateUpload/many parts at once", uploadReserves},
		{"Receipt/first come, until it is over", receiptClaims},
		{"Receipt/put whatever is there", receiptPut},
		{"Receipt/many at once", receiptRace},
	}
}

func newUpload() batch.Upload {
	return batch.Upload{
		Tenant: unique("t-"), ID: unique("upload_"), FileID: unique("file-"), Purpose: batch.PurposeBatch,
		Bytes: 1 << 30, Status: batch.UploadPending, CreatedAt: noon(),
	}
}

// createdUpload stores u and returns it as it is stored.
func createdUpload(t tb, s Store, u batch.Upload) batch.Upload {
	t.Helper()
	ok(t, s.CreateUpload(t.Context(), u))
	got, err := s.Upload(t.Context(), u.Tenant, u.ID)
	ok(t, err)
	u.Rev = 1
	same(t, "created upload", got, u)
	return got
}

func uploadRoundTrips(t *testing.T, s Store) {
	createdUpload(t, s, newUpload())
	createdUpload(t, s, batch.Upload{Tenant: unique("t-"), ID: unique("upload_")})
	u := Filled[batch.Upload]()
	u.Tenant = unique("t-")
	createdUpload(t, s, u)
}

func uploadExists(t *testing.T, s Store) {
	u := createdUpload(t, s, newUpload())
	wantErr(t, s.CreateUpload(t.Context(), u), batch.ErrExists)
	for _, name := range [][2]string{
		{u.Tenant + "1", u.ID}, {u.Tenant, u.ID + "1"}, {u.Tenant, ""}, {u.Tenant, strings.Repeat("long", 1000)},
	} {
		_, err := s.Upload(t.Context(), name[0], name[1])
		wantErr(t, err, batch.ErrNotFound)
		_, err = s.UpdateUpload(t.Context(), name[0], name[1], func(*batch.Upload) error { return nil })
		wantErr(t, err, batch.ErrNotFound)
	}
}

func uploadChanges(t *testing.T, s Store) {
	u := createdUpload(t, s, newUpload())
	order := batch.PartOrder([]string{"part_1", "part_2"})
	for range 2 { // the second time nothing changes
		got, err := s.UpdateUpload(t.Context(), u.Tenant, u.ID, func(u *batch.Upload) error {
			u.ID, u.Tenant = "other", "other"
			return u.Begin(order, "5d", noon())
		})
		ok(t, err)
		u.Rev, u.Order, u.Sum = 2, order, "5d"
		same(t, "upload", got, u)
	}
	_, err := s.UpdateUpload(t.Context(), u.Tenant, u.ID, func(u *batch.Upload) error {
		return u.Begin(batch.PartOrder([]string{"part_1"}), "5d", noon())
	})
	wantErr(t, err, batch.ErrUploadOrder)
	got, err := s.Upload(t.Context(), u.Tenant, u.ID)
	ok(t, err)
	same(t, "upload", got, u)
}

func uploadRace(t *testing.T, s Store) {
	u := createdUpload(t, s, newUpload())
	errs := atOnce(racers, func(i int) error {
		_, err := s.UpdateUpload(t.Context(), u.Tenant, u.ID, func(u *batch.Upload) error {
			return u.Begin(batch.PartOrder([]string{unique("part_")}), "5d", noon())
		})
		return err
	})
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			wantErr(t, err, batch.ErrUploadOrder)
		}
	}
	same(t, "begun", won, 1)
}

// uploadReserves has many parts come at once: as many as were declared are
// reserved.
func uploadReserves(t *testing.T, s Store) {
	u := newUpload()
	u.Bytes = 7*3 + 2
	u = createdUpload(t, s, u)
	refused := 0
	for _, err := range atOnce(racers, func(int) error {
		_, err := s.UpdateUpload(t.Context(), u.Tenant, u.ID, func(u *batch.Upload) error { return u.ReservePart(7, noon()) })
		return err
	}) {
		if limit, is := errors.AsType[*tenant.LimitError](err); is {
			same(t, "limit", *limit, tenant.LimitError{Of: tenant.LimitUploadBytes, Max: 23, Now: 21, Asked: 7})
			refused++
		} else {
			ok(t, err)
		}
	}
	same(t, "refused", refused, racers-3)
	got, err := s.Upload(t.Context(), u.Tenant, u.ID)
	ok(t, err)
	same(t, "bytes", got.Reserved, 21)
	same(t, "parts", got.ReservedParts, 3)
}

// newReceipt returns a receipt made so long after noon, for an hour.
func newReceipt(owner, key string, after time.Duration) batch.Receipt {
	return batch.Receipt{
		Tenant: owner, Key: key, Order: unique("order-"), BatchID: unique("batch_"),
		CreatedAt: noon().Add(after), ExpiresAt: noon().Add(after + time.Hour),
	}
}

func receiptClaims(t *testing.T, s Store) {
	owner := unique("t-")
	claim := func(r, want batch.Receipt) {
		t.Helper()
		got, err := s.ClaimReceipt(t.Context(), r)
		ok(t, err)
		same(t, "receipt", got, want)
	}
	first := newReceipt(owner, "key:1", 0)
	claim(first, first)
	claim(first, first)
	claim(newReceipt(owner, "key:1", time.Minute), first)
	claim(newReceipt(owner, "key:1", time.Hour-time.Millisecond), first)
	for _, other := range []batch.Receipt{newReceipt(owner, "key:2", 0), newReceipt(owner+"1", "key:1", 0)} {
		claim(other, other)
	}
	second := newReceipt(owner, "key:1", time.Hour)
	claim(second, second)
	claim(first, second)
	all := Filled[batch.Receipt]()
	all.Tenant = owner
	claim(all, all)
	fine := newReceipt(owner, "key:3", time.Nanosecond)
	claim(fine, func() batch.Receipt {
		r := fine
		r.CreatedAt, r.ExpiresAt = noon(), noon().Add(time.Hour)
		return r
	}())
}

func receiptPut(t *testing.T, s Store) {
	owner := unique("t-")
	for i := range 3 {
		r := newReceipt(owner, "order:1", time.Duration(i)*time.Minute)
		ok(t, s.PutReceipt(t.Context(), r))
		got, err := s.ClaimReceipt(t.Context(), newReceipt(owner, "order:1", 10*time.Minute))
		ok(t, err)
		same(t, "receipt", got, r)
	}
}

func receiptRace(t *testing.T, s Store) {
	owner := unique("t-")
	got := make([]batch.Receipt, racers)
	ok(t, errors.Join(atOnce(racers, func(i int) error {
		var err error
		got[i], err = s.ClaimReceipt(t.Context(), newReceipt(owner, "key:1", time.Duration(i)*time.Second))
		return err
	})...))
	for _, r := range got {
		same(t, "receipt", r, got[0])
	}
}
