package storetest

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/tenant"
)

func workerTrials() []trial[Store] {
	return []trial[Store]{
		{"Worker/beats and ends", workerBeats},
		{"Worker/lets go of nothing", workerLetsGo},
		{"Progress/sums counters", progressSums},
		{"Counters/each by itself", countersListed},
		{"PutCounter/no component goes back", counterMonotonic},
		{"PutCounter/any order of writes", counterAnyOrder},
		{"PutCounter/writes at once", counterRace},
		{"PutCounter/a recount among its owner's writes", counterRecountRace},
	}
}

func workerBeats(t *testing.T, s Store) {
	id := unique("worker-")
	w, err := s.Worker(t.Context(), id)
	ok(t, err)
	same(t, "worker never seen", w, state.Worker{ID: id})

	for _, want := range []state.Worker{
		{ID: id, BeatAt: noon()},
		{ID: id, BeatAt: noon().Add(3 * time.Second)},
		{ID: id, BeatAt: noon().Add(4 * time.Second), LetGo: []string{"batch_a", "batch_b"}},
		{ID: id, BeatAt: noon().Add(5 * time.Second), Ended: true},
	} {
		ok(t, s.Beat(t.Context(), want))
		w, err = s.Worker(t.Context(), id)
		ok(t, err)
		same(t, "worker", w, want)
	}
	ok(t, s.Beat(t.Context(), state.Worker{ID: id + "1", BeatAt: noon().Add(999 * time.Nanosecond)}))
	w, err = s.Worker(t.Context(), id+"1")
	ok(t, err)
	same(t, "times are kept in milliseconds", w, state.Worker{ID: id + "1", BeatAt: noon()})
}

func workerLetsGo(t *testing.T, s Store) {
	id := unique("worker-")
	ok(t, s.Beat(t.Context(), state.Worker{ID: id, BeatAt: noon(), LetGo: []string{}}))
	w, err := s.Worker(t.Context(), id)
	ok(t, err)
	same(t, "worker", w, state.Worker{ID: id, BeatAt: noon()})
}

// wantProgress ends the test unless a batch's counter shards sum up to want.
func wantProgress(t *testing.T, s Store, batchID string, want batch.Counts) {
	t.Helper()
	got, err := s.Progress(t.Context(), batchID)
	ok(t, err)
	same(t, "progress", got, want)
}

func progressSums(t *testing.T, s Store) {
	batchID := unique("batch_")
	wantProgress(t, s, batchID, batch.Counts{})
	one := batch.Counts{Total: 77, Completed: 5, Failed: 4, Expired: 3, Canceled: 2}
	ok(t, s.PutCounter(t.Context(), batchID, batch.CounterShard{ID: "a", Counts: one}))
	ok(t, s.PutCounter(t.Context(), batchID, batch.CounterShard{ID: "b", Counts: batch.Counts{Completed: 10}}))
	ok(t, s.PutCounter(t.Context(), batchID, batch.CounterShard{ID: "c"}))
	ok(t, s.PutCounter(t.Context(), batchID+"1", batch.CounterShard{ID: "a", Counts: one}))
	want := batch.Counts{Completed: 15, Failed: 4, Expired: 3, Canceled: 2}
	wantProgress(t, s, batchID, want)
	ok(t, s.PutCounter(t.Context(), batchID, batch.CounterShard{ID: "a", Counts: one})) // absolute: nothing is added
	wantProgress(t, s, batchID, want)
}

func countersListed(t *testing.T, s Store) {
	batchID := unique("batch_")
	none, err := s.Counters(t.Context(), batchID)
	ok(t, err)
	same(t, "counters of a new batch", len(none), 0)
	b := batch.CounterShard{ID: "b", Counts: batch.Counts{Completed: 5, Failed: 4, Expired: 3, Canceled: 2}}
	a := batch.CounterShard{ID: "a"}
	for _, c := range []batch.CounterShard{b, a} {
		ok(t, s.PutCounter(t.Context(), batchID, c))
	}
	ok(t, s.PutCounter(t.Context(), batchID+"1", batch.CounterShard{ID: "c"}))
	got, err := s.Counters(t.Context(), batchID)
	ok(t, err)
	same(t, "counters", got, []batch.CounterShard{a, b})
}

func counterMonotonic(t *testing.T, s Store) {
	batchID := unique("batch_")
	put := func(completed, failed, expired, canceled int) {
		ok(t, s.PutCounter(t.Context(), batchID, batch.CounterShard{ID: "a", Counts: batch.Counts{
			Completed: completed, Failed: failed, Expired: expired, Canceled: canceled,
		}}))
	}
	put(0, 0, 0, 0)
	put(3, 1, 2, 5)
	put(2, 1, 0, 0)
	wantProgress(t, s, batchID, batch.Counts{Completed: 3, Failed: 1, Expired: 2, Canceled: 5})
	put(0, 0, 0, 0)
	wantProgress(t, s, batchID, batch.Counts{Completed: 3, Failed: 1, Expired: 2, Canceled: 5})
	put(10, 0, 3, 4) // more of some, less of others
	wantProgress(t, s, batchID, batch.Counts{Completed: 10, Failed: 1, Expired: 3, Canceled: 5})
	put(9, 7, 0, 6)
	wantProgress(t, s, batchID, batch.Counts{Completed: 10, Failed: 7, Expired: 3, Canceled: 6})
}

// counterAnyOrder draws what is written, and demands the largest of each
// component.
func counterAnyOrder(t *testing.T, s Store) {
	rapid.Check(t, func(rt *rapid.T) {
		batchID := unique("batch_")
		count := rapid.IntRange(0, 3)
		var want batch.Counts
		for range rapid.IntRange(1, 6).Draw(rt, "writes") {
			c := batch.Counts{
				Completed: count.Draw(rt, "completed"), Failed: count.Draw(rt, "failed"),
				Expired: count.Draw(rt, "expired"), Canceled: count.Draw(rt, "canceled"),
			}
			ok(rt, s.PutCounter(rt.Context(), batchID, batch.CounterShard{ID: "a", Counts: c}))
			want = want.Most(c)
			got, err := s.Progress(rt.Context(), batchID)
			ok(rt, err)
			same(rt, "progress", got, want)
		}
	})
}

func counterRace(t *testing.T, s Store) {
	batchID := unique("batch_")
	ok(t, errors.Join(atOnce(20, func(i int) error {
		return s.PutCounter(t.Context(), batchID, batch.CounterShard{ID: "a", Counts: batch.Counts{Completed: i}})
	})...))
	wantProgress(t, s, batchID, batch.Counts{Completed: 19})
}

// counterRecountRace has a counter shard's owner count up while recounts write
// other components of what is true: nothing of either is lost.
func counterRecountRace(t *testing.T, s Store) {
	batchID := unique("batch_")
	ok(t, errors.Join(atOnce(4, func(i int) error {
		var errs []error
		for n := 1; n <= 5; n++ {
			c := batch.Counts{Completed: n}
			if i > 0 {
				c = batch.Counts{Completed: n - 1, Failed: i, Canceled: n}
			}
			errs = append(errs, s.PutCounter(t.Context(), batchID, batch.CounterShard{ID: "a", Counts: c}))
		}
		return errors.Join(errs...)
	})...))
	wantProgress(t, s, batchID, batch.Counts{Completed: 5, Failed: 3, Canceled: 5})
}

func keyTrials() []trial[Store] {
	return []trial[Store]{
		{"Key/put, found, listed", keyFound},
		{"Key/revoked", keyRevoked},
		{"Key/tenants", keyTenants},
		{"Key/everyone's", keyEveryone},
		{"Key/comes back as it was", keyRoundTrips},
		{"KeyUse/the latest day", keyUseLatest},
		{"KeyUse/race", keyUseRace},
		{"Act/comes back as it was, newest first", actsNewestFirst},
		{"Act/page of none", actsBounds},
	}
}

// newKey returns a key of a tenant, made so long after noon.
func newKey(tenantName string, after time.Duration) tenant.Key {
	return tenant.Key{
		Hash: tenant.Hash(unique("sk-")), Tenant: tenantName, Name: "laptop", Hint: "wxyz",
		CreatedAt: noon().Add(after),
	}
}

func keyFound(t *testing.T, s Store) {
	owner := unique("t-")
	_, err := s.Key(t.Context(), tenant.Hash("nobody's"))
	wantErr(t, err, tenant.ErrUnknownKey)
	_, err = s.Key(t.Context(), "")
	wantErr(t, err, tenant.ErrUnknownKey)
	none, err := s.Keys(t.Context(), owner)
	ok(t, err)
	same(t, "keys of a new tenant", len(none), 0)

	young, old := newKey(owner, time.Hour), newKey(owner, 0)
	for _, k := range []tenant.Key{young, old, old} {
		ok(t, s.PutKey(t.Context(), k))
		got, err := s.Key(t.Context(), k.Hash)
		ok(t, err)
		same(t, "key", got, k)
	}
	all, err := s.Keys(t.Context(), owner)
	ok(t, err)
	same(t, "keys", all, []tenant.Key{old, young})
}

func keyRevoked(t *testing.T, s Store) {
	k := newKey(unique("t-"), 0)
	ok(t, s.PutKey(t.Context(), k))
	k.RevokedAt = noon().Add(time.Minute)
	ok(t, s.PutKey(t.Context(), k))
	_, err := s.Key(t.Context(), k.Hash)
	wantErr(t, err, tenant.ErrUnknownKey)
	all, err := s.Keys(t.Context(), k.Tenant)
	ok(t, err)
	same(t, "keys", all, []tenant.Key{k})
}

func keyTenants(t *testing.T, s Store) {
	owner := unique("t-")
	mine, other := newKey(owner, 0), newKey(owner+"1", 0)
	ok(t, s.PutKey(t.Context(), mine))
	ok(t, s.PutKey(t.Context(), other))
	all, err := s.Keys(t.Context(), owner)
	ok(t, err)
	same(t, "keys", all, []tenant.Key{mine})

	moved := mine
	moved.Tenant = other.Tenant
	ok(t, s.PutKey(t.Context(), moved))
	all, err = s.Keys(t.Context(), owner)
	ok(t, err)
	same(t, "keys", len(all), 0)
}

func keyEveryone(t *testing.T, s Store) {
	owner := unique("t-")
	mine, other := newKey(owner, 0), newKey(owner+"1", time.Second)
	other.RevokedAt = noon().Add(time.Hour)
	ok(t, s.PutKey(t.Context(), mine))
	ok(t, s.PutKey(t.Context(), other))
	all, err := s.Keys(t.Context(), "")
	ok(t, err)
	var ours []tenant.Key
	for _, k := range all { // others use the same store
		if k.Tenant == mine.Tenant || k.Tenant == other.Tenant {
			ours = append(ours, k)
		}
	}
	same(t, "keys", ours, []tenant.Key{mine, other})
}

// keyRoundTrips fills every field, so that none is forgotten; a key in force is none
// that was revoked.
func keyRoundTrips(t *testing.T, s Store) {
	k := Filled[tenant.Key]()
	k.Hash, k.Tenant, k.RevokedAt = tenant.Hash(unique("sk-")), unique("t-"), time.Time{}
	ok(t, s.PutKey(t.Context(), k))
	got, err := s.Key(t.Context(), k.Hash)
	ok(t, err)
	same(t, "key", got, k)
	all, err := s.Keys(t.Context(), k.Tenant)
	ok(t, err)
	same(t, "keys", all, []tenant.Key{k})
}

func keyUseLatest(t *testing.T, s Store) {
	owner, day := unique("t-"), tenant.Day(noon())
	none, err := s.KeyUses(t.Context(), owner)
	ok(t, err)
	same(t, "uses of a new tenant", len(none), 0)
	for _, at := range []time.Time{noon(), noon().Add(25 * time.Hour), noon().Add(24 * time.Hour), noon().Add(-time.Hour)} {
		ok(t, s.NoteKeyUse(t.Context(), tenant.KeyUse{Tenant: owner, Hash: "h1", Day: at}))
	}
	ok(t, s.NoteKeyUse(t.Context(), tenant.KeyUse{Tenant: owner, Hash: "h0", Day: noon()}))
	ok(t, s.NoteKeyUse(t.Context(), tenant.KeyUse{Tenant: owner + "1", Hash: "h1", Day: noon().Add(99 * time.Hour)}))
	uses, err := s.KeyUses(t.Context(), owner)
	ok(t, err)
	same(t, "uses", uses, []tenant.KeyUse{
		{Tenant: owner, Hash: "h0", Day: day}, {Tenant: owner, Hash: "h1", Day: day.Add(24 * time.Hour)},
	})
}

// keyUseRace has many note a key's use at once: the latest day stays.
func keyUseRace(t *testing.T, s Store) {
	owner := unique("t-")
	for _, err := range atOnce(8, func(i int) error {
		return s.NoteKeyUse(t.Context(), tenant.KeyUse{Tenant: owner, Hash: "h", Day: noon().Add(time.Duration(i*24) * time.Hour)})
	}) {
		ok(t, err)
	}
	uses, err := s.KeyUses(t.Context(), owner)
	ok(t, err)
	same(t, "uses", uses, []tenant.KeyUse{{Tenant: owner, Hash: "h", Day: tenant.Day(noon().Add(7 * 24 * time.Hour))}})
}
