package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

func fileTrials() []trial[Store] {
	return []trial[Store]{
		{"File/comes back as it was", fileRoundTrips},
		{"File/exists and not found", fileExists},
		{"UpdateFile/changes", fileChanges},
		{"UpdateFile/loses nothing among many writers", fileRace},
		{"DeleteFile/only as it was read", fileDelete},
		{"DeleteFile/or a user gets it first", fileDeleteRace},
		{"Expiring/in the order of their ends", expiringOrder},
	}
}

// newFile returns a file with something in most fields.
func newFile(tenantName string) batch.File {
	return batch.File{
		Tenant: tenantName, ID: unique("file-"), Name: "März #1.jsonl", Purpose: batch.PurposeBatch,
		Bytes: 200 << 20, CreatedAt: noon(), ExpiresAt: deadline(), Batch: "batch_1",
	}
}

// createdFile stores f and returns it as it is stored.
func createdFile(t tb, s Store, f batch.File) batch.File {
	t.Helper()
	ok(t, s.CreateFile(t.Context(), f))
	got, err := s.File(t.Context(), f.Tenant, f.ID)
	ok(t, err)
	f.Rev = 1
	same(t, "created file", got, f)
	return got
}

func fileRoundTrips(t *testing.T, s Store) {
	owner := unique("t-")
	createdFile(t, s, newFile(owner))
	createdFile(t, s, batch.File{Tenant: owner, ID: unique("file-")})
	f := newFile(owner)
	f.PinnedBy = []string{unique("batch_"), unique("batch_")}
	createdFile(t, s, f)
	f = newFile(owner)
	f.PinnedBy = []string{}
	createdFile(t, s, f)
	f = Filled[batch.File]()
	f.Tenant = owner
	createdFile(t, s, f)
}

func fileExists(t *testing.T, s Store) {
	f := createdFile(t, s, newFile(unique("t-")))
	wantErr(t, s.CreateFile(t.Context(), f), batch.ErrExists)
	for _, name := range [][2]string{
		{f.Tenant + "1", f.ID}, {f.Tenant, f.ID + "1"}, {f.Tenant, ""}, {f.Tenant, strings.Repeat("long", 1000)},
	} {
		_, err := s.File(t.Context(), name[0], name[1])
		wantErr(t, err, batch.ErrNotFound)
		_, err = s.UpdateFile(t.Context(), name[0], name[1], func(*batch.File) error { return nil })
		wantErr(t, err, batch.ErrNotFound)
	}
}

func fileChanges(t *testing.T, s Store) {
	f := createdFile(t, s, newFile(unique("t-")))
	f.PinnedBy = []string{"batch_1"}
	var kept *batch.File
	got, err := s.UpdateFile(t.Context(), f.Tenant, f.ID, func(f *batch.File) error {
		f.ID, f.Tenant, f.Rev = "other", "other", 9
		f.PinnedBy = append(f.PinnedBy, "batch_1")
		kept = f
		return nil
	})
	ok(t, err)
	f.Rev = 2
	same(t, "file", got, f)
	kept.PinnedBy[0] = "x"
	got.PinnedBy[0] = "x"

	got, err = s.UpdateFile(t.Context(), f.Tenant, f.ID, func(*batch.File) error { return nil })
	ok(t, err)
	same(t, "file", got, f)
	refusal := errors.New("refused")
	_, err = s.UpdateFile(t.Context(), f.Tenant, f.ID, func(f *batch.File) error {
		f.PinnedBy[0] = "y"
		return refusal
	})
	wantErr(t, err, refusal)
	got, err = s.File(t.Context(), f.Tenant, f.ID)
	ok(t, err)
	same(t, "file", got, f)
}

func fileRace(t *testing.T, s Store) {
	f := createdFile(t, s, newFile(unique("t-")))
	var want []string
	for i := range 8 {
		want = append(want, fmt.Sprintf("batch_%d", i))
	}
	errs := atOnce(len(want), func(i int) error {
		for {
			_, err := s.UpdateFile(t.Context(), f.Tenant, f.ID, func(f *batch.File) error {
				f.PinnedBy = append(f.PinnedBy, want[i])
				return nil
			})
			if !errors.Is(err, batch.ErrBusy) {
				return err
			}
		}
	})
	ok(t, errors.Join(errs...))
	got, err := s.File(t.Context(), f.Tenant, f.ID)
	ok(t, err)
	slices.Sort(got.PinnedBy)
	same(t, "users", got.PinnedBy, want)
}

func fileDelete(t *testing.T, s Store) {
	f := createdFile(t, s, newFile(unique("t-")))
	used, err := s.UpdateFile(t.Context(), f.Tenant, f.ID, func(f *batch.File) error {
		f.PinnedBy = []string{"batch_1"}
		return nil
	})
	ok(t, err)
	wantErr(t, s.DeleteFile(t.Context(), f), batch.ErrBusy)
	got, err := s.File(t.Context(), f.Tenant, f.ID)
	ok(t, err)
	same(t, "file", got, used)
	ok(t, s.DeleteFile(t.Context(), used))
	wantErr(t, s.DeleteFile(t.Context(), used), batch.ErrNotFound)
	_, err = s.File(t.Context(), f.Tenant, f.ID)
	wantErr(t, err, batch.ErrNotFound)
	createdFile(t, s, f)
}

func fileDeleteRace(t *testing.T, s Store) {
	for range 5 {
		f := createdFile(t, s, newFile(unique("t-")))
		errs := atOnce(2, func(i int) error {
			if i == 0 {
				return s.DeleteFile(t.Context(), f)
			}
			_, err := s.UpdateFile(t.Context(), f.Tenant, f.ID, func(f *batch.File) error {
				f.PinnedBy = append(f.PinnedBy, "batch_1")
				return nil
			})
			return err
		})
		_, err := s.File(t.Context(), f.Tenant, f.ID)
		if errs[0] == nil {
			wantErr(t, err, batch.ErrNotFound)
			wantErr(t, errs[1], batch.ErrNotFound)
		} else {
			ok(t, err)
			ok(t, errs[1])
			wantErr(t, errs[0], batch.ErrBusy)
		}
	}
}

func listingTrials() []trial[Store] {
	return []trial[Store]{
		{"Batches/newest first, page by page", batchPages},
		{"Batches/among creations", batchPagesMoving},
		{"Files/both orders, by purpose", filePages},
		{"Listings/tenants and sorts apart", listingsApart},
		{"Listings/no page of nothing", listingsBounds},
	}
}

// fill creates n batches, whose ids sort by their age, and returns their ids,
// newest first.
func fill(t *testing.T, s Store, owner, stem string, n int) []string {
	t.Helper()
	var ids []string
	for i := range n {
		b := newBatch(owner)
		b.ID = fmt.Sprintf("batch_%s%04d", stem, i)
		b.CreatedAt = noon().Add(time.Duration(i) * time.Second)
		ok(t, s.CreateBatch(t.Context(), b))
		ids = append(ids, b.ID)
	}
	slices.Reverse(ids)
	return ids
}

// batchesBy returns the ids of all batches, read in pages of limit. between is
// called after each page.
func batchesBy(t *testing.T, s Store, owner string, limit int, between func()) []string {
	t.Helper()
	var ids []string
	for after, more := "", true; more; {
		page, on, err := s.Batches(t.Context(), owner, after, limit)
		ok(t, err)
		if len(page) > limit || on && len(page) < limit || more && len(page) == 0 && after != "" {
			t.Fatalf("a page of %d with more %t, of %d wanted", len(page), on, limit)
		}
		for _, b := range page {
			ids = append(ids, b.ID)
			after = b.ID
		}
		more = on
		between()
	}
	return ids
}

func batchPages(t *testing.T, s Store) {
	owner := unique("t-")
	same(t, "batches of a new tenant", batchesBy(t, s, owner, 10, func() {}), nil)
	want := fill(t, s, owner, "m", 23)
	for _, limit := range []int{1, 5, 22, 23, 24, 100} {
		same(t, "batches", batchesBy(t, s, owner, limit, func() {}), want)
	}
	page, more, err := s.Batches(t.Context(), owner, "batch_m0020x", 2) // not there any more
	ok(t, err)
	same(t, "after a batch that is gone", []string{page[0].ID, page[1].ID}, want[2:4])
	same(t, "more", more, true)
	whole, err := s.Batch(t.Context(), page[0].Ref)
	ok(t, err)
	same(t, "a listed batch", page[0], whole)
	page, more, err = s.Batches(t.Context(), owner, want[22], 2)
	ok(t, err)
	same(t, "after the last", len(page), 0)
	same(t, "more", more, false)
	_, _, err = s.Batches(t.Context(), owner, strings.Repeat("~", 2000), 2)
	ok(t, err)
}

func batchPagesMoving(t *testing.T, s Store) {
	owner := unique("t-")
	want := fill(t, s, owner, "m", 12)
	n := 0
	got := batchesBy(t, s, owner, 5, func() {
		n++
		fill(t, s, owner, fmt.Sprintf("n%d", n), 2) // newer: they come before what was read
	})
	same(t, "batches", got, want)
}

func filePages(t *testing.T, s Store) {
	owner := unique("t-")
	all := make(map[batch.Purpose][]string)
	for i := range 30 {
		f := newFile(owner)
		f.ID = fmt.Sprintf("file-m%04d", i)
		f.Purpose = []batch.Purpose{batch.PurposeBatch, batch.PurposeBatchOutput, "vision"}[i*i%3]
		ok(t, s.CreateFile(t.Context(), f))
		for _, purpose := range []batch.Purpose{"", f.Purpose} {
			all[purpose] = append(all[purpose], f.ID)
		}
	}
	for _, purpose := range []batch.Purpose{"", batch.PurposeBatch, batch.PurposeBatchOutput, "vision", "assistants"} {
		for _, limit := range []int{1, 7, 10, 30, 1000} {
			want := slices.Clone(all[purpose])
			q := batch.FileQuery{Purpose: purpose, Limit: limit, Oldest: true}
			same(t, "oldest first", filesBy(t, s, owner, q), want)
			slices.Reverse(want)
			q.Oldest = false
			same(t, "newest first", filesBy(t, s, owner, q), want)
		}
	}
}

// filesBy returns the ids of all files that q selects, page by page.
func filesBy(t *testing.T, s Store, owner string, q batch.FileQuery) []string {
	t.Helper()
	var ids []string
	for more := true; more; {
		page, on, err := s.Files(t.Context(), owner, q)
		ok(t, err)
		if len(page) > q.Limit || on && len(page) < q.Limit || more && len(page) == 0 && q.After != "" {
			t.Fatalf("a page of %d with more %t, of %d wanted", len(page), on, q.Limit)
		}
		for _, f := range page {
			ids = append(ids, f.ID)
			q.After = f.ID
		}
		more = on
	}
	return ids
}

func listingsApart(t *testing.T, s Store) {
	owner := unique("t-")
	ok(t, s.PutKey(t.Context(), newKey(owner, 0)))
	mine := createdFile(t, s, newFile(owner))
	createdFile(t, s, newFile(owner+"1"))
	b := created(t, s, newBatch(owner))
	created(t, s, newBatch(owner+"1"))

	files, more, err := s.Files(t.Context(), owner, batch.FileQuery{Limit: 10})
	ok(t, err)
	same(t, "files", files, []batch.File{mine})
	same(t, "more", more, false)
	batches, more, err := s.Batches(t.Context(), owner, "", 10)
	ok(t, err)
	same(t, "batches", batches, []batch.Batch{b})
	same(t, "more", more, false)
	keys, err := s.Keys(t.Context(), owner)
	ok(t, err)
	same(t, "keys", len(keys), 1)
}

func listingsBounds(t *testing.T, s Store) {
	if _, _, err := s.Batches(t.Context(), unique("t-"), "", 0); err == nil {
		t.Fatalf("a page of no batches")
	}
	if _, _, err := s.Files(t.Context(), unique("t-"), batch.FileQuery{}); err == nil {
		t.Fatalf("a page of no files")
	}
}
