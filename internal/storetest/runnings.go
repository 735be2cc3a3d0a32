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
		{"Running/the next flow of what is stored", runningNext},
		{"Running/pages", runningPages},
		{"Running/race for the next flow", runningRace},
		{"Allowance/change", allowanceChanges},
		{"Allowance/keeps milliseconds", allowanceTimes},
		{"Allowance/race", allowanceRace},
		{"Allowance/the largest", allowanceLargest},
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

// runningNext raises the number of a flow, and changes nothing else.
func runningNext(t *testing.T, s Store) {
	r := running(unique("batch_"))
	ok(t, s.CreateRunning(t.Context(), r))
	other := r
	other.Tenant, other.Deadline = unique("t-"), deadline().Add(time.Nanosecond)
	r.Flow = 2
	got, err := s.NextFlow(t.Context(), other)
	ok(t, err)
	same(t, "entry of the next flow", got, r)
	got, err = s.Running(t.Context(), r.ID)
	ok(t, err)
	same(t, "stored entry", got, r)
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

// allowanceChanges shares its record with the other trials, so it looks at its
// own entry alone.
func allowanceChanges(t *testing.T, s Store) {
	id := unique("batch_")
	set := func(g batch.Grant) func(*batch.Allowance) error {
		return func(a *batch.Allowance) error {
			if a.Grants == nil {
				a.Grants = map[string]batch.Grant{}
			}
			a.Grants[id] = g
			a.CheckedAt = noon()
			return nil
		}
	}
	want := batch.Grant{Tenant: "acme", Due: noon(), Messages: 7, Wants: 9, AskedAt: noon().Add(time.Minute)}
	first, err := s.UpdateAllowance(t.Context(), set(want))
	ok(t, err)
	same(t, "grant", first.Grants[id], want)
	_, err = s.UpdateAllowance(t.Context(), func(a *batch.Allowance) error {
		a.Drop(id)
		return errStop
	})
	wantErr(t, err, errStop)
	a, err := s.UpdateAllowance(t.Context(), func(*batch.Allowance) error { return nil })
	ok(t, err)
	same(t, "grant after an error", a.Grants[id], want)
	if a.Rev < first.Rev || !a.CheckedAt.Equal(noon()) {
		t.Errorf("allowance is of revision %d, and was of %d, checked at %v", a.Rev, first.Rev, a.CheckedAt)
	}
	a, err = s.UpdateAllowance(t.Context(), func(a *batch.Allowance) error {
		a.Drop(id)
		return nil
	})
	ok(t, err)
	if g, there := a.Grants[id]; there || a.Rev <= first.Rev {
		t.Errorf("a dropped grant is %+v, in revision %d", g, a.Rev)
	}
}

func allowanceTimes(t *testing.T, s Store) {
	id := unique("batch_")
	fine := noon().Add(999 * time.Microsecond).In(time.FixedZone("", 3600))
	want := batch.Grant{Due: noon(), Wants: 1, AskedAt: noon()}
	for range 2 { // the second time nothing changes
		a, err := s.UpdateAllowance(t.Context(), func(a *batch.Allowance) error {
			if a.Grants == nil {
				a.Grants = map[string]batch.Grant{}
			}
			a.Grants[id] = batch.Grant{Due: fine, Wants: 1, AskedAt: fine}
			return nil
		})
		ok(t, err)
		same(t, "grant", a.Grants[id], want)
	}
	_, err := s.UpdateAllowance(t.Context(), func(a *batch.Allowance) error { a.Drop(id); return nil })
	ok(t, err)
}

// allowanceRace has many ask at once: what they get is within the limit.
func allowanceRace(t *testing.T, s Store) {
	owner := unique("t-")
	got := make([]int, 8)
	for _, err := range atOnce(len(got), func(i int) error {
		id := fmt.Sprint(owner, "-", i)
		a, err := s.UpdateAllowance(t.Context(), func(a *batch.Allowance) error {
			if a.Grants == nil {
				a.Grants = map[string]batch.Grant{}
			}
			held := 0
			for _, g := range a.Grants {
				if g.Tenant == owner {
					held += g.Messages
				}
			}
			a.Grants[id] = batch.Grant{Tenant: owner, Messages: min(3, 10-held)}
			return nil
		})
		got[i] = a.Grants[id].Messages
		return err
	}) {
		ok(t, err)
	}
	sum := 0
	for _, n := range got {
		sum += n
	}
	if sum != 10 {
		t.Errorf("granted %v, which is not 10", got)
	}
	_, err := s.UpdateAllowance(t.Context(), func(a *batch.Allowance) error {
		for i := range got {
			a.Drop(fmt.Sprint(owner, "-", i))
		}
		return nil
	})
	ok(t, err)
}

func allowanceLargest(t *testing.T, s Store) {
	var own []string
	for len(own) < batch.MaxGrants {
		own = append(own, fmt.Sprintf("%s-%04d", unique("batch_"), len(own)))
	}
	fill := func(a *batch.Allowance) error {
		if a.Grants == nil {
			a.Grants = map[string]batch.Grant{}
		}
		for _, id := range own {
			a.Grants[id] = batch.Grant{
				Tenant: "a-tenant-with-a-rather-long-name", Due: noon(), Messages: 10_000, Wants: 10_000, AskedAt: noon(),
			}
		}
		return nil
	}
	a, err := s.UpdateAllowance(t.Context(), fill)
	ok(t, err)
	if len(a.Grants) < batch.MaxGrants {
		t.Errorf("%d grants", len(a.Grants))
	}
	_, err = s.UpdateAllowance(t.Context(), func(a *batch.Allowance) error {
		for _, id := range own {
			a.Drop(id)
		}
		return nil
	})
	ok(t, err)
}
