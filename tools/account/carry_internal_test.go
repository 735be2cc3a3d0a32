package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/tenant"
)

// A lame store's keys cannot be written.
type lame struct{ *memstore.Store }

// A mute store cannot be read.
type mute struct{ *memstore.Store }

func (mute) Keys(context.Context, string) ([]tenant.Key, error) { return nil, errLame }

var errLame = errors.New("no")

func (lame) PutKey(context.Context, tenant.Key) error { return errLame }

// TestCarryOver upgrades a deployment from before there was a table of keys and models.
func TestCarryOver(t *testing.T) {
	t.Parallel()
	now := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	from, to := memstore.NewStore(), memstore.NewStore()
	carry := func(to operated, wantKeys, wantModels int, want error) {
		t.Helper()
		keys, models, err := carryOver(t.Context(), from, to, "ann", now)
		if keys != wantKeys || models != wantModels || !errors.Is(err, want) {
			t.Fatalf("%d keys, %d models, %v, want %d, %d, %v", keys, models, err, wantKeys, wantModels, want)
		}
	}
	carry(to, 0, 0, nil) // a new deployment
	if acts, _, err := to.Acts(t.Context(), time.Time{}, 10); len(acts) != 0 || err != nil {
		t.Errorf("logged are %v, %v", acts, err)
	}
	m := route.Model{Pattern: "gpt-4o*", Routes: []route.Route{{Name: "main", BaseURL: "https://api.example.com/v1", Auth: route.Auth{Kind: route.None}}}}
	keys := []tenant.Key{
		{Hash: "h1", Tenant: "acme", CreatedAt: now}, {Hash: "h2", Tenant: "acme", CreatedAt: now.Add(time.Hour), RevokedAt: now.Add(2 * time.Hour)},
	}
	for range 3 {
		if err := from.PutModel(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		m.Revision++
	}
	for _, k := range keys {
		if err := from.PutKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	carry(mute{to}, 0, 0, errUnread)
	carry(lame{to}, 0, 1, errLame) // and goes on the next time
	carry(to, 2, 1, nil)
	m.Revision = 1
	got, err1 := to.Models(t.Context())
	stored, err2 := to.Keys(t.Context(), "")
	if diff := cmp.Diff([]route.Model{m}, got) + cmp.Diff(keys, stored); diff != "" || err1 != nil || err2 != nil {
		t.Errorf("%v, %v, copied (-want +got):\n%s", err1, err2, diff)
	}
	// What is removed afterwards does not come back.
	if err := to.DeleteModel(t.Context(), m.Pattern, 1); err != nil {
		t.Fatal(err)
	}
	carry(to, 0, 0, nil)
	if got, err := to.Models(t.Context()); len(got) != 0 || err != nil {
		t.Errorf("models are %v, %v", got, err)
	}
}
