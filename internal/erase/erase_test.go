package erase_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/erase"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/tenant"
)

var errDied = errors.New("died")

func counted() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// A room has one result file of 10 bytes, its record, its segment, and another
// batch's. Its stores tell what they are asked to do, and fail from the call
// numbered dies on.
type room struct {
	t     *testing.T
	store *memstore.Store
	files *memstore.Files
	file  batch.File
	calls []string
	dies  int // from 1; 0: never
}

func newRoom(t *testing.T) *room {
	t.Helper()
	r := &room{
		t: t, store: memstore.NewStore(), files: memstore.NewFiles(),
		file: batch.File{Tenant: "acme", ID: "file-1", Bytes: 10, Batch: "batch_1", Rev: 1},
	}
	ctx := t.Context()
	_, err := r.store.UpdateQuota(ctx, "acme", func(q *tenant.Quota) error {
		q.Recount(map[string]int64{r.file.ID: r.file.Bytes, "file-2": 7}, q.CountedAt, counted())
		return nil
	})
	r.must(errors.Join(err, r.store.CreateFile(ctx, r.file)))
	for _, key := range []string{r.file.ObjectKey(), batch.SegmentKey("batch_1", "a"), batch.SegmentKey("batch_10", "a")} {
		r.must(r.files.Put(ctx, key, []byte("0123456789")))
	}
	return r
}

func (r *room) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *room) call(name string) error {
	r.calls = append(r.calls, name)
	if r.dies > 0 && len(r.calls) >= r.dies {
		return errDied
	}
	return nil
}

func (r *room) DeleteAll(ctx context.Context, prefix string) error {
	if err := r.call("segments"); err != nil {
		return err
	}
	return r.files.DeleteAll(ctx, prefix)
}

func (r *room) Delete(ctx context.Context, key string) error {
	if err := r.call("bytes"); err != nil {
		return err
	}
	return r.files.Delete(ctx, key)
}

func (r *room) DeleteFile(ctx context.Context, f batch.File) error {
	if err := r.call("record"); err != nil {
		return err
	}
	return r.store.DeleteFile(ctx, f)
}

func (r *room) UpdateQuota(ctx context.Context, owner string, change func(*tenant.Quota) error) (tenant.Quota, error) {
	if err := r.call("quota"); err != nil {
		return tenant.Quota{}, err
	}
	return r.store.UpdateQuota(ctx, owner, change)
}

func (r *room) eraser() erase.Eraser {
	return erase.Eraser{Files: r, Objects: r, Quotas: r, Clock: counted}
}

// stored returns what counts.
func (r *room) stored() int64 {
	r.t.Helper()
	q, err := r.store.UpdateQuota(r.t.Context(), "acme", func(*tenant.Quota) error { return nil })
	r.must(err)
	return q.Stored()
}

// has reports whether the record is there.
func (r *room) has() bool {
	r.t.Helper()
	_, err := r.store.File(r.t.Context(), "acme", "file-1")
	if err != nil && !errors.Is(err, batch.ErrNotFound) {
		r.t.Fatal(err)
	}
	return err == nil
}

// TestCrashes dies at each call but the first, which reads when files were counted:
// the record outlives the bytes, and is there no more when the file counts no more.
// Then it goes on.
func TestCrashes(t *testing.T) {
	t.Parallel()
	all := []string{"quota", "segments", "bytes", "record", "quota"}
	other := batch.SegmentKey("batch_10", "a")
	segment, bytes := batch.SegmentKey("batch_1", "a"), batch.FileKey("acme", "file-1")
	for dies, want := range map[int]struct {
		keys   []string
		record bool
		stored int64
		counts bool // is what it says
		again  int64
	}{
		2: {keys: []string{segment, other, bytes}, record: true, stored: 17, again: 7},
		3: {keys: []string{other, bytes}, record: true, stored: 17, again: 7},
		4: {keys: []string{other}, record: true, stored: 17, again: 7},
		5: {keys: []string{other}, stored: 17, counts: true, again: 17},
		0: {keys: []string{other}, stored: 7, again: 7},
	} {
		r := newRoom(t)
		r.dies = dies
		err := r.eraser().Erase(t.Context(), r.file, time.Time{})
		if died := dies > 0; errors.Is(err, errDied) != died || errors.Is(err, erase.ErrCounts) != want.counts {
			t.Errorf("death at call %d: %v", dies, err)
		}
		calls := all
		if dies > 0 {
			calls = all[:dies]
		}
		if diff := cmp.Diff(calls, r.calls); diff != "" {
			t.Errorf("death at call %d: calls (-want +got):\n%s", dies, diff)
		}
		slices.Sort(want.keys)
		if diff := cmp.Diff(want.keys, r.files.Keys()); diff != "" || r.has() != want.record || r.stored() != want.stored {
			t.Errorf("death at call %d leaves a record: %t, %d bytes that count, and (-want +got):\n%s", dies, r.has(), r.stored(), diff)
		}
		r.dies = 0
		r.must(r.eraser().Erase(t.Context(), r.file, time.Time{}))
		if diff := cmp.Diff([]string{other}, r.files.Keys()); diff != "" || r.has() || r.stored() != want.again {
			t.Errorf("after a death at call %d there is a record: %t, %d bytes count, and (-want +got):\n%s", dies, r.has(), r.stored(), diff)
		}
	}
}

// TestWhatCounts has files that count, or do not any more.
func TestWhatCounts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		end    time.Time
		change func(r *room, e *erase.Eraser)
		calls  []string
		stored int64
		err    error
	}{
		"it has no end":                    {stored: 7},
		"its life was not over":            {end: counted().Add(1), stored: 7},
		"its life was over when they were": {end: counted(), calls: []string{"quota", "segments", "bytes", "record"}, stored: 17},
		"no result": {
			change: func(r *room, _ *erase.Eraser) { r.file.Batch = "" },
			calls:  []string{"quota", "bytes", "record", "quota"}, stored: 7,
		},
		"nothing counts": {
			change: func(_ *room, e *erase.Eraser) { e.Quotas = nil },
			calls:  []string{"segments", "bytes", "record"}, stored: 17,
		},
		"others were faster": {
			change: func(r *room, _ *erase.Eraser) { r.must(r.store.DeleteFile(r.t.Context(), r.file)) },
			calls:  []string{"quota", "segments", "bytes", "record"}, stored: 17,
		},
		"it has changed": {
			change: func(r *room, _ *erase.Eraser) { r.file.Rev-- },
			calls:  []string{"quota", "segments", "bytes", "record"}, stored: 17, err: batch.ErrBusy,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			e := r.eraser()
			if tc.change != nil {
				tc.change(r, &e)
			}
			if err := e.Erase(t.Context(), r.file, tc.end); !errors.Is(err, tc.err) {
				t.Errorf("%v, want %v", err, tc.err)
			}
			calls := tc.calls
			if calls == nil {
				calls = []string{"quota", "segments", "bytes", "record", "quota"}
			}
			if diff := cmp.Diff(calls, r.calls); diff != "" || r.stored() != tc.stored {
				t.Errorf("%d bytes count, want %d, by calls (-want +got):\n%s", r.stored(), tc.stored, diff)
			}
		})
	}
}

// TestUnknownCount has a count that could not be read: the file counts until the next.
func TestUnknownCount(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	e := r.eraser()
	e.Quotas = &blind{room: r}
	r.must(e.Erase(t.Context(), r.file, time.Time{}))
	if r.has() || r.stored() != 17 {
		t.Errorf("there is a record: %t, and %d bytes count", r.has(), r.stored())
	}
}

// blind are quotas of which the first look fails.
type blind struct {
	*room
	looked bool
}

func (b *blind) UpdateQuota(ctx context.Context, owner string, change func(*tenant.Quota) error) (tenant.Quota, error) {
	if !b.looked {
		b.looked = true
		return tenant.Quota{}, errDied
	}
	return b.room.UpdateQuota(ctx, owner, change)
}
