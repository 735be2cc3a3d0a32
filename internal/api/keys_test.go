package api_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/tenant"
)

// alter changes what is stored of alice's key, and has the API forget what it knew of it.
func (w *world) alter(change func(*tenant.Key)) {
	w.t.Helper()
	k, err := w.store.Key(w.t.Context(), tenant.Hash(w.alice))
	if err != nil {
		w.t.Fatal(err)
	}
	change(&k)
	if err := w.store.PutKey(w.t.Context(), k); err != nil {
		w.t.Fatal(err)
	}
	w.handler = api.New(w.deps, w.config)
}

// TestExpiredKeys has a key's life end while it is remembered.
func TestExpiredKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	end := w.clock().Add(30 * time.Second)
	w.alter(func(k *tenant.Key) { k.ExpiresAt = end })
	shown, _ := w.get("/v1/usage").want(200).json["key"].(map[string]any)
	if shown["expires_at"] != float64(end.Unix()) {
		t.Errorf("the key is shown as %v, want its end %d", shown, end.Unix())
	}
	w.advance(29 * time.Second)
	w.get("/v1/files").want(200)
	w.advance(time.Second)
	for range 2 {
		w.get("/v1/files").refused(401, "", "expired_api_key", "has expired. Ask whoever runs this deployment")
	}
	if got := w.stats.counts["auth_failures_total{reason,expired}"]; got != 2 {
		t.Errorf("%d are counted, want 2", got)
	}
	w.ask(ask{method: http.MethodGet, path: "/v1/files", key: w.bob}).want(200)
}

// TestReadOnlyKeys goes over all routes of the document, and of each over every method: what a route that is new does is
// refused to a read-only key unless it is named here.
func TestReadOnlyKeys(t *testing.T) {
	t.Parallel()
	reads := map[string]bool{"POST /files/{id}/link": true} // those that are no GET, and change nothing
	w := newWorld(t)
	d, err := readDocument()
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	paths, _ := d.raw["paths"].(map[string]any)
	for path := range paths {
		ids[path] = "/v1" + pathOf(t, w, path)
	}
	w.alter(func(k *tenant.Key) { k.ReadOnly = true })
	keys, refused, let := w.files.Keys(), 0, 0
	for path, v := range paths {
		operations, _ := v.(map[string]any)
		for name := range operations {
			method := strings.ToUpper(name)
			r := w.ask(ask{method: method, path: ids[path], key: w.alice, kind: "application/json", body: "{}"})
			if method == http.MethodGet || reads[method+" "+path] {
				let++
				if r.Code == http.StatusForbidden {
					t.Errorf("%s %s only reads, and is refused", method, path)
				}
				continue
			}
			refused++
			r.refused(403, "", "read_only_api_key", "This API key is read-only")
		}
	}
	if refused < 10 || let < 10 {
		t.Errorf("%d operations were refused, and %d not", refused, let)
	}
	if diff := cmp.Diff(keys, w.files.Keys()); diff != "" {
		t.Errorf("objects (-before +after):\n%s", diff)
	}
	w.ask(ask{method: http.MethodHead, path: "/v1/files", key: w.alice}).want(200)
	shown, _ := w.get("/v1/usage").want(200).json["key"].(map[string]any)
	if shown["read_only"] != true {
		t.Errorf("the key is shown as %v", shown)
	}
}

// notingKeys is a store of keys that notes how often a use was noted, and may fail at it.
type notingKeys struct {
	api.KeyStore

	mu    sync.Mutex
	noted []tenant.KeyUse
	fails bool
}

func (k *notingKeys) NoteKeyUse(ctx context.Context, u tenant.KeyUse) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.noted = append(k.noted, u)
	if _, bounded := ctx.Deadline(); k.fails || !bounded {
		return errStore
	}
	return k.KeyStore.NoteKeyUse(ctx, u)
}

// TestKeyUseIsNoted demands a write a day and a key, whatever is called how often, and that no call fails of it.
func TestKeyUseIsNoted(t *testing.T) {
	t.Parallel()
	k := &notingKeys{}
	w := newWorld(t, func(d *api.Deps, _ *api.Config) { k.KeyStore, d.Keys = d.Keys, k })
	day := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	use := tenant.KeyUse{Tenant: "alice", Hash: tenant.Hash(w.alice), Day: day}
	for range 3 {
		w.get("/v1/files").want(200)
		w.get("/v1/files/none").want(404)
	}
	w.ask(ask{method: http.MethodGet, path: "/v1/files", key: guess(t)}).want(401)
	w.ask(ask{method: http.MethodGet, path: "/v1/files", key: w.bob}).want(200)
	want := []tenant.KeyUse{use, {Tenant: "bob", Hash: tenant.Hash(w.bob), Day: day}}
	if diff := cmp.Diff(want, k.noted); diff != "" {
		t.Errorf("noted (-want +got):\n%s", diff)
	}
	w.advance(24 * time.Hour)
	k.fails = true
	lastUsed := func() any {
		key, _ := w.get("/v1/usage").want(200).json["key"].(map[string]any)
		return key["last_used"]
	}
	for range 3 { // once a minute while it fails
		if day := lastUsed(); day != nil {
			t.Errorf("the last use is %v, and could not be noted", day)
		}
	}
	if len(k.noted) != 3 || !strings.Contains(w.log.String(), "key use not noted") {
		t.Errorf("noted %d times, want 3, and a line in the log", len(k.noted))
	}
	w.advance(time.Minute)
	k.fails = false
	if day := lastUsed(); day != "2026-03-05" {
		t.Errorf("the last use is %v, want 2026-03-05", day)
	}
	if uses, err := w.store.KeyUses(t.Context(), "alice"); err != nil || len(uses) != 1 || !uses[0].Day.Equal(day.Add(24*time.Hour)) {
		t.Errorf("stored are %v, %v", uses, err)
	}
	if strings.Contains(w.log.String(), w.alice) {
		t.Error("the log has a key")
	}
}
