package tenant_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/tenant"
)

// TestStoredIsNeverTooLow makes, loses, deletes and counts files at random, each
// in its steps, any of which may be repeated or be the last one. What a quota
// says is never less than what there is, and the same once it is counted after
// the grace.
func TestStoredIsNeverTooLow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		limits := tenant.Limits{Bytes: 1000}
		now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
		files := map[string]int64{} // the records
		kept := map[string]int64{}  // admitted, without a record
		gone := map[string]erased{}
		var q tenant.Quota
		q.Recount(nil, time.Time{}, now)
		count := func() { q.Recount(files, q.CountedAt, now) }
		made := 0
		remove := func(id string) {
			gone[id] = erased{bytes: files[id], countedAt: q.CountedAt}
			delete(files, id)
		}
		erase := func(id string) { q.RemoveFile(id, gone[id].bytes, gone[id].countedAt, now) }
		rt.Repeat(map[string]func(*rapid.T){
			"keep": func(rt *rapid.T) {
				made++
				id, bytes := fmt.Sprint("file-", made), int64(rapid.IntRange(1, 400).Draw(rt, "bytes"))
				before := q.Stored()
				err := q.ReserveFile(id, bytes, now, limits)
				if _, limited := errors.AsType[*tenant.LimitError](err); limited {
					if before+bytes <= limits.Bytes || q.Stored() != before {
						rt.Fatalf("%d bytes were refused at %d", bytes, before)
					}
					return
				}
				kept[id] = bytes
			},
			"record": func(rt *rapid.T) {
				id := anyOf(rt, kept)
				files[id] = kept[id]
				delete(kept, id)
			},
			"fail": func(rt *rapid.T) {
				id := anyOf(rt, kept)
				q.CancelReservation(id)
				delete(kept, id)
			},
			"die": func(rt *rapid.T) { delete(kept, anyOf(rt, kept)) },
			"delete": func(rt *rapid.T) {
				id := anyOf(rt, files)
				remove(id)
				if rapid.Bool().Draw(rt, "lives") {
					erase(id)
				}
			},
			"delete late": func(rt *rapid.T) { erase(anyOf(rt, gone)) }, // or again
			"owe": func(rt *rapid.T) {
				id := anyOf(rt, files)
				q.AddFile(id, files[id], now)
			},
			"count as it was": func(rt *rapid.T) { // read, and then a file is deleted
				read, id, seen := maps.Clone(files), anyOf(rt, files), q.CountedAt
				remove(id)
				erase(id)
				now = now.Add(time.Second)
				q.Recount(read, seen, now)
			},
			"count": func(*rapid.T) { // no two at one time
				now = now.Add(time.Second)
				count()
			},
			"count late": func(rt *rapid.T) { // another has counted since
				seen := q.CountedAt
				now = now.Add(time.Second)
				count()
				was := q.Stored()
				q.Recount(nil, seen, now)
				if q.Stored() != was {
					rt.Fatal("a count that was overtaken was taken")
				}
			},
			"": func(rt *rapid.T) {
				sum := int64(0)
				for _, bytes := range files {
					sum += bytes
				}
				if q.Stored() < sum {
					rt.Fatalf("%d bytes are said to be stored, and %d are", q.Stored(), sum)
				}
				later := q
				later.Recount(files, q.CountedAt, now.Add(24*time.Hour))
				if later.Stored() != sum {
					rt.Fatalf("%d bytes were counted, and %d are stored", later.Stored(), sum)
				}
			},
		})
	})
}

// An erased is a file that was deleted, and when the files had been counted then.
type erased struct {
	bytes     int64
	countedAt time.Time
}

// anyOf returns one of the files. Each id is used once.
func anyOf[T any](rt *rapid.T, files map[string]T) string {
	if len(files) == 0 {
		rt.Skip()
	}
	return rapid.SampledFrom(slices.Sorted(maps.Keys(files))).Draw(rt, "file")
}

func TestOpenUploads(t *testing.T) {
	t.Parallel()
	var q tenant.Quota
	limits := tenant.Limits{Uploads: 2, Bytes: 100}
	for _, id := range []string{"a", "b", "a"} {
		if err := q.OpenUpload(id, 40, limits); err != nil {
			t.Fatal(err)
		}
	}
	var limit *tenant.LimitError
	if err := q.OpenUpload("c", 1, limits); !errors.As(err, &limit) || *limit != (tenant.LimitError{Of: tenant.LimitUploads, Max: 2, Now: 2, Asked: 1}) {
		t.Errorf("one too many: %v", err)
	}
	limits.Uploads = 3
	if err := q.OpenUpload("c", 21, limits); !errors.As(err, &limit) || *limit != (tenant.LimitError{Of: tenant.LimitBytes, Max: 100, Now: 80, Asked: 21}) {
		t.Errorf("too large: %v", err)
	}
	q.CloseUpload("a")
	q.CloseUpload("a")
	if err := q.OpenUpload("c", 60, limits); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string]int64{"b": 40, "c": 60}, q.Uploads); diff != "" {
		t.Error(diff)
	}
}

// TestChangesAreBounded has a quota that is never counted again.
func TestChangesAreBounded(t *testing.T) {
	t.Parallel()
	var q tenant.Quota
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	q.AddFile("file-0", 1, now)
	if len(q.Changes) != 0 {
		t.Error("what was never counted has changes")
	}
	q.Recount(nil, time.Time{}, now)
	for i := range 2 * tenant.MaxStoredChanges {
		q.AddFile(fmt.Sprint("file-", i), 1, now)
	}
	if len(q.Changes) != tenant.MaxStoredChanges {
		t.Errorf("%d changes, want %d", len(q.Changes), tenant.MaxStoredChanges)
	}
}
