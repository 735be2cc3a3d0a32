package api_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/tenant"
)

// usage returns what GET /usage says of limits, and of what is in use.
func (w *world) usage(key string) (limits, inUse map[string]any) {
	w.t.Helper()
	r := w.ask(ask{method: http.MethodGet, path: "/v1/usage", key: key}).want(200)
	limits, _ = r.json["limits"].(map[string]any)
	inUse, _ = r.json["in_use"].(map[string]any)
	return limits, inUse
}

func TestUsage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *api.Deps, c *api.Config) {
		c.Limits = tenant.Limits{Batches: 7, Bytes: 1000, Uploads: 5, Creates: 100}
		c.MaxInputBytes, c.MaxLineBytes, c.MaxRequests = 900, 80, 30
	})
	r := w.get("/v1/usage").want(200)
	want := map[string]any{"name": "test", "read_only": false, "created_at": float64(w.clock().Unix()), "expires_at": nil, "last_used": "2026-03-04"}
	if diff := cmp.Diff(want, r.json["key"]); diff != "" || r.text("tenant") != "alice" || r.text("object") != "usage" {
		t.Errorf("of %s (-want +got):\n%s", r.text("tenant"), diff)
	}
	limits, inUse := w.usage(w.alice)
	want = map[string]any{
		"batches": 7.0, "requests": nil, "stored_bytes": 1000.0, "open_uploads": 5.0, "creates_per_minute": 100.0,
		"file_bytes": 900.0, "line_bytes": 80.0, "lines": 30.0,
	}
	if diff := cmp.Diff(want, limits); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	empty := map[string]any{"batches": 0.0, "requests": 0.0, "stored_bytes": 0.0, "open_uploads": 0.0}
	if diff := cmp.Diff(empty, inUse); diff != "" {
		t.Errorf("of a new tenant (-want +got):\n%s", diff)
	}
	w.send(w.alice, "a.jsonl", rows(400)).want(200)
	w.post("/v1/uploads", uploadOf(50)).want(200)
	if _, err := w.store.UpdateQuota(t.Context(), "alice", func(q *tenant.Quota) error {
		return q.AddBatch("batch_1", 12, tenant.Limits{})
	}); err != nil {
		t.Fatal(err)
	}
	before := *w.quota()
	_, inUse = w.usage(w.alice)
	want = map[string]any{"batches": 1.0, "requests": 12.0, "stored_bytes": 450.0, "open_uploads": 1.0}
	if diff := cmp.Diff(want, inUse); diff != "" {
		t.Errorf("in use (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, *w.quota()); diff != "" {
		t.Errorf("reading has changed the quota:\n%s", diff)
	}
	if _, inUse = w.usage(w.bob); !cmp.Equal(empty, inUse) {
		t.Errorf("of another tenant: %v", inUse)
	}
}

// TestUsageThatNobodyCounts holds what is not known to null, and never to nothing.
func TestUsageThatNobodyCounts(t *testing.T) {
	t.Parallel()
	none := map[string]any{"batches": nil, "requests": nil, "stored_bytes": nil, "open_uploads": nil}
	w := newWorld(t)
	limits, inUse := w.usage(w.alice)
	want := map[string]any{
		"batches": nil, "requests": nil, "stored_bytes": nil, "open_uploads": nil, "creates_per_minute": nil,
		"file_bytes": float64(200 << 20), "line_bytes": float64(32 << 20), "lines": 50_000.0,
	}
	if diff := cmp.Diff(want, limits) + cmp.Diff(none, inUse); diff != "" {
		t.Errorf("without limits (-want +got):\n%s", diff)
	}
	// What was stored before there was a limit is counted by the next create.
	w.upload(w.alice, line)
	w.config.Limits = tenant.Limits{Bytes: 1000}
	w.handler = api.New(w.deps, w.config)
	limits, inUse = w.usage(w.alice)
	if limits["batches"] != 5000.0 || limits["open_uploads"] != 1000.0 || inUse["stored_bytes"] != nil {
		t.Errorf("limits %v, in use %v", limits, inUse)
	}
	w.upload(w.alice, line)
	if _, inUse = w.usage(w.alice); inUse["stored_bytes"] != float64(2*len(line)) {
		t.Errorf("in use are %v, want %d bytes", inUse, 2*len(line))
	}
}
