package storetest

import (
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// expiringOrder has two files and an upload whose lives end in a minute in which no
// others' do.
func expiringOrder(t *testing.T, s Store) {
	at := func(d time.Duration) time.Time { return time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC).Add(d) }
	owner, ctx := unique("t-"), t.Context()
	first := batch.File{Tenant: owner, ID: unique("file-a"), ExpiresAt: at(500 * time.Millisecond)}
	last := batch.File{Tenant: owner, ID: unique("file-b"), ExpiresAt: at(2 * time.Second)}
	upload := batch.Upload{Tenant: owner, ID: unique("upload_"), CreatedAt: at(time.Second).Add(-batch.UploadLife)}
	ok(t, s.CreateFile(ctx, last))
	ok(t, s.CreateUpload(ctx, upload))
	ok(t, s.CreateFile(ctx, first))
	ok(t, s.CreateFile(ctx, batch.File{Tenant: owner, ID: unique("file-c")})) // for ever

	list := func(now time.Time, after batch.Expiring, limit int, wantMore bool, want ...batch.Expiring) {
		t.Helper()
		got, more, err := s.Expiring(ctx, now, after, limit)
		ok(t, err)
		same(t, "page", append([]batch.Expiring{}, got...), append([]batch.Expiring{}, want...))
		same(t, "more", more, wantMore)
	}
	none := batch.Expiring{Tenant: owner, ID: "0", At: at(0)}             // behind what other tests have that never was given a time
	a := batch.Expiring{Tenant: owner, ID: first.ID, At: at(time.Second)} // never too early
	b := batch.Expiring{Tenant: owner, ID: upload.ID, At: at(time.Second)}
	c := batch.Expiring{Tenant: owner, ID: last.ID, At: at(2 * time.Second)}
	list(at(0), none, 10, false)
	list(at(time.Second), none, 10, false, a, b)
	list(at(time.Minute), none, 10, false, a, b, c)
	list(at(time.Minute), none, 2, true, a, b)
	list(at(time.Minute), b, 2, false, c)

	ok(t, s.Postpone(ctx, a, at(4*time.Second)))
	a.At = at(4 * time.Second)
	ok(t, s.Postpone(ctx, a, a.At)) // to where it is
	list(at(time.Minute), none, 10, false, b, c, a)
	for range 2 {
		ok(t, s.RemoveExpiring(ctx, c))
	}
	list(at(time.Minute), none, 10, false, b, a)
	list(at(time.Minute), c, 10, false, a) // after what is not there any more
	ok(t, s.RemoveExpiring(ctx, a))
	ok(t, s.RemoveExpiring(ctx, b))
	_, _, err := s.Expiring(ctx, at(0), none, 0)
	if err == nil {
		t.Error("a page of nothing was given")
	}
}
