package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

func runningTrials() []trial[Store] {
	return []trial[Store]{
		{"Running/life", runningLife},
		{"Running/pages", runningPages},
		{"Running/race for the next flow", runningRace},
	}
}

func running(id string) batch.Running {
	return batch.Running{Ref: batch.Ref{Tenant: unique("t-"), ID: id}, Deadline: noon().Add(time.Hour), Flow: 1}
}

func runningLife(t *testing.T, s Store) {
	r := running(unique("batch_"))
	_, err := s.Running(t.Context(), r.ID)
	wantErr(t, err, batch.ErrNotFound)
	_, err = s.NextFlow(t.Context(), r)
	wantErr(t, err, batch.ErrNotFound)
	ok(t, s.CreateRunning(t.Context(), r))
	wantErr(t, s.CreateRunning(t.Context(), r), batch.ErrExists)
	got, err := s.Running(t.Context(), r.ID)
	ok(t, err)
	same(t, "entry", got, r)

	second := r
	second.Flow = 2
	for range 2 { // the other time another has raised it
		got, err = s.NextFlow(t.Context(), r)
		ok(t, err)
		same(t, "entry of the next flow", got, second)
	}
	wantErr(t, s.CreateRunning(t.Context(), r), batch.ErrExists)
	ok(t, s.RemoveRunning(t.Context(), r)) // of a flow that is not the last any more
	got, err = s.Running(t.Context(), r.ID)
	ok(t, err)
	same(t, "entry after a late removal", got, second)
	ok(t, s.RemoveRunning(t.Context(), second))
	_, err = s.Running(t.Context(), r.ID)
	wantErr(t, err, batch.ErrNotFound)

	ok(t, s.CreateRunning(t.Context(), second))
	for range 2 {
		ok(t, s.RemoveRunning(t.Context(), batch.Running{Ref: r.Ref})) // of whatever flow
	}
	_, err = s.Running(t.Context(), r.ID)
	wantErr(t, err, batch.ErrNotFound)
	_, err = s.NextFlow(t.Context(), second)
	wantErr(t, err, batch.ErrNotFound)
}

// runningPages shares its partition with the other trials, so it looks for what
// it has put alone.
func runningPages(t *testing.T, s Store) {
	prefix := unique("batch_")
	const n = 7
	for i := range n {
		ok(t, s.CreateRunning(t.Context(), running(fmt.Sprint(prefix, "-", i))))
	}
	for _, size := range []int{1, 3, n, 500} {
		got := runningIDs(t, s, prefix, n, size)
		for i := range n {
			if len(got) != n || got[i] != fmt.Sprint(prefix, "-", i) {
				t.Fatalf("in pages of %d: %v", size, got)
			}
		}
	}
	if _, _, err := s.Runnings(t.Context(), "", 0); err == nil {
		t.Error("a page of none is no error")
	}
}

// runningIDs returns the first n ids behind after, read in pages of size.
func runningIDs(t *testing.T, s Store, after string, n, size int) []string {
	t.Helper()
	var ids []string
	for more := true; more && len(ids) < n; {
		var page []batch.Running
		var err error
		page, more, err = s.Runnings(t.Context(), after, size)
		ok(t, err)
		if len(page) > size || (more && len(page) < size) {
			t.Fatalf("a page of at most %d has %d, and there are more: %t", size, len(page), more)
		}
		for _, r := range page {
			after = r.ID
			ids = append(ids, r.ID)
		}
	}

	return ids[:min(len(ids), n)]
}

// runningRace has many raise the number of one flow at once: it rises by one.
func runningRace(t *testing.T, s Store) {
	r := running(unique("batch_"))
	ok(t, s.CreateRunning(t.Context(), r))
	for _, err := range atOnce(8, func(int) error {
		got, err := s.NextFlow(t.Context(), r)
		if err == nil && got.Flow != 2 {
			err = fmt.Errorf("the next flow is the %dth", got.Flow)
		}

		return err
	}) {
		ok(t, err)
	}
}
