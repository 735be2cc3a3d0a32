package api_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/tenant"
)

func TestUnknownRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{
		"/", "/v1", "/v1/", "/v2/files", "/v1/v1/files", "/v1/filesx", "/v1/fine_tuning/jobs", "/v1/files/a/b/c",
		"//files", "/v1//files", "/files/../batches", "/v1/batches/x/y", "/v1/files/%2e%2e/batches",
	} {
		w.get(path).refused(404, "", "unknown_url", "Invalid URL (GET "+strings.ReplaceAll(path, "%2e%2e", "..")+")")
	}
	for route, allow := range map[string]string{
		"PUT /v1/files": "GET, HEAD, POST", "PATCH /v1/batches/x": "GET, HEAD", "GET /v1/batches/x/cancel": "POST",
		"DELETE /v1/batches": "GET, HEAD, POST", "OPTIONS /v1/files": "GET, HEAD, POST", "POST /v1/models": "GET, HEAD",
	} {
		method, path, _ := strings.Cut(route, " ")
		r := w.ask(ask{method: method, path: path, key: w.alice})
		r.refused(405, "", "method_not_allowed", "Not allowed: "+route)
		if got := r.Header().Get("Allow"); got != allow {
			t.Errorf("%s: allow is %q, want %q", route, got, allow)
		}
	}
}

func TestPathsWithAndWithoutThePrefix(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.upload(w.alice, line)
	for _, path := range []string{"/files/", "/v1/files/", "/files", "/v1/files", "/files/" + id, "/v1/files/" + id + "/"} {
		w.get(path).want(200)
	}
	if r := w.ask(ask{method: "HEAD", path: "/v1/files/" + id, key: w.alice}); r.Code != 200 {
		t.Errorf("HEAD is %d", r.Code)
	}
	w = newWorld(t, func(_ *api.Deps, c *api.Config) { c.Prefix = "/openai/v1" })
	w.get("/openai/v1/files").want(200)
	w.get("/v1/files").refused(404, "", "unknown_url", "")
}

func TestKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, header := range []string{
		"", "Bearer", "Bearer ", "Basic " + w.alice, w.alice, "Bearer " + strings.Repeat("k", 600),
		"Bearer wrong", "Bearer " + w.alice + "x", "Bearer " + tenant.Hash(w.alice),
	} {
		for _, path := range []string{"/v1/files", "/v1/batches", "/v1/models", "/v1/files/x/content"} {
			w.ask(ask{method: "GET", path: path, header: map[string]string{"Authorization": header}}).
				refused(401, "", "invalid_api_key", "API key")
		}
	}
	for _, header := range []string{"Bearer " + w.alice, "bearer " + w.alice, "Bearer  " + w.alice + " "} {
		w.ask(ask{method: "GET", path: "/v1/files", header: map[string]string{"Authorization": header}}).want(200)
	}
	if strings.Contains(w.log.String(), w.alice) {
		t.Error("the log has a key")
	}
}

func TestRevokedKeysEndWithinAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.get("/v1/files").want(200)
	key, err := w.store.Key(t.Context(), tenant.Hash(w.alice))
	if err != nil {
		t.Fatal(err)
	}
	key.RevokedAt = w.clock()
	if err := w.store.PutKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	w.advance(59 * time.Second)
	w.get("/v1/files").want(200) // remembered
	w.advance(time.Second)
	w.get("/v1/files").refused(401, "", "invalid_api_key", "revoked")
	// A key that was not there is looked for again soon.
	key.RevokedAt = time.Time{}
	if err := w.store.PutKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	w.get("/v1/files").refused(401, "", "invalid_api_key", "")
	w.advance(5 * time.Second)
	w.get("/v1/files").want(200)
}

// TestKeysAreFew sends more keys than are remembered.
func TestManyWrongKeysDoNotDisplaceRightOnes(t *testing.T) {
	t.Parallel()
	counted := &countingKeys{asked: map[string]int{}}
	w := newWorld(t, func(d *api.Deps, _ *api.Config) { counted.KeyStore, d.Keys = d.Keys, counted })
	w.get("/v1/models").want(200)
	var wrong string
	for range 3000 {
		wrong = guess(t)
		w.ask(ask{method: "GET", path: "/v1/models", key: wrong}).want(401)
	}
	w.get("/v1/models").want(200)
	w.ask(ask{method: "GET", path: "/v1/models", key: wrong}).want(401)
	if n := counted.asked[tenant.Hash(w.alice)]; n != 1 {
		t.Errorf("the right key was looked up %d times, want 1", n)
	}
	if n := counted.asked[tenant.Hash(wrong)]; n != 1 {
		t.Errorf("a wrong key was looked up %d times, want 1", n)
	}
}

// guess returns a key that nobody has, of the right form.
func guess(t *testing.T) string {
	t.Helper()
	secret, _, err := tenant.NewKey("nobody", "", rand.Reader, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// TestGuessesCostNoRead demands that what cannot be a key is refused without a
// look at the store.
func TestGuessesCostNoRead(t *testing.T) {
	t.Parallel()
	counted := &countingKeys{asked: map[string]int{}}
	w := newWorld(t, func(d *api.Deps, _ *api.Config) { counted.KeyStore, d.Keys = d.Keys, counted })
	for _, key := range []string{"x", "sk-proj-" + strings.Repeat("A", 43), w.alice[1:], w.alice[:len(w.alice)-1], w.alice + "A"} {
		w.ask(ask{method: "GET", path: "/v1/models", key: key}).refused(401, "", "invalid_api_key", "Incorrect API key")
	}
	if len(counted.asked) > 0 {
		t.Errorf("%d keys were looked up", len(counted.asked))
	}
}

// TestGuessesAreSeen demands that a refused key can be traced to where it came
// from and told from others, that it counts, and that nothing of it is kept.
func TestGuessesAreSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wrong := guess(t)
	header := map[string]string{"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
	w.ask(ask{method: "GET", path: "/v1/models", header: header}).want(401)
	w.ask(ask{method: "GET", path: "/v1/models", key: "sk-mine", header: header}).want(401)
	w.ask(ask{method: "GET", path: "/v1/models", key: wrong, header: header}).want(401)
	w.get("/v1/models").want(200)
	want := map[string]int{
		"auth_failures_total{reason,missing}": 1, "auth_failures_total{reason,malformed}": 1, "auth_failures_total{reason,unknown}": 1,
	}
	if diff := cmp.Diff(want, w.stats.counts); diff != "" {
		t.Error(diff)
	}
	log := w.log.String()
	var told [][3]any
	for line := range strings.Lines(log) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		if entry["status"] == 401.0 {
			told = append(told, [3]any{entry["source"], entry["reason"], entry["key_hash"]})
		}
	}
	lines := [][3]any{
		{"192.0.2.1", "missing", ""}, // httptest's own address
		{"192.0.2.1", "malformed", tenant.Hash("sk-mine")[:8]},
		{"192.0.2.1", "unknown", tenant.Hash(wrong)[:8]},
	}
	if diff := cmp.Diff(lines, told); diff != "" {
		t.Error(diff)
	}
	for _, secret := range []string{"203.0.113.9", "sk-", wrong[len(wrong)-4:]} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

// TestTenantsDoNotMeet tries every route with another tenant's ids.
func TestTenantsDoNotMeet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	batchID, fileID := w.order(w.alice)
	upload := w.post("/v1/uploads", uploadOf(3)).want(200).text("id")
	part := w.part(w.alice, upload, "{}\n").want(200).text("id")
	before := w.snapshot(batchID, fileID, upload)
	keys := w.files.Keys()

	body, kind := dataForm(t, "{}\n")
	for _, a := range []ask{
		{method: "GET", path: "/v1/files/" + fileID},
		{method: "HEAD", path: "/v1/files/" + fileID},
		{method: "GET", path: "/v1/files/" + fileID + "/content"},
		{method: "GET", path: "/v1/files/" + fileID + "/content", header: map[string]string{"Range": "bytes=0-1"}},
		{method: "DELETE", path: "/v1/files/" + fileID},
		{method: "POST", path: "/v1/batches", kind: "application/json", body: orderOf(fileID)},
		{method: "GET", path: "/v1/batches/" + batchID},
		{method: "POST", path: "/v1/batches/" + batchID + "/cancel"},
		{method: "POST", path: "/v1/uploads/" + upload + "/parts", kind: kind, body: body},
		{method: "POST", path: "/v1/uploads/" + upload + "/complete", kind: "application/json", body: `{"part_ids":["` + part + `"]}`},
		{method: "POST", path: "/v1/uploads/" + upload + "/cancel"},
	} {
		a.key = w.bob
		if r := w.ask(a); r.Code != http.StatusNotFound {
			t.Errorf("%s %s is %d for another tenant", a.method, a.path, r.Code)
		}
	}
	for _, path := range []string{"/v1/files", "/v1/batches", "/v1/files?after=" + fileID, "/v1/batches?after=" + batchID} {
		if ids := w.ask(ask{method: "GET", path: path, key: w.bob}).want(200).ids(); len(ids) != 0 {
			t.Errorf("%s lists %v to another tenant", path, ids)
		}
	}
	// An upload of one's own takes no part of another's.
	own := w.ask(ask{method: "POST", path: "/v1/uploads", key: w.bob, kind: "application/json", body: uploadOf(3)}).text("id")
	w.ask(ask{
		method: "POST", path: "/v1/uploads/" + own + "/complete", key: w.bob, kind: "application/json",
		body: `{"part_ids":["` + part + `"]}`,
	}).refused(400, "part_ids", "invalid_value", "No such part")
	if after := w.snapshot(batchID, fileID, upload); !reflect.DeepEqual(before, after) || !reflect.DeepEqual(keys, w.files.Keys()) {
		t.Errorf("another tenant changed %+v to %+v", before, after)
	}
}

// snapshot returns alice's objects as they are stored.
func (w *world) snapshot(batchID, fileID, upload string) []any {
	w.t.Helper()
	b, err1 := w.store.Batch(w.t.Context(), batch.Ref{Tenant: "alice", ID: batchID})
	f, err2 := w.store.File(w.t.Context(), "alice", fileID)
	u, err3 := w.store.Upload(w.t.Context(), "alice", upload)
	if err1 != nil || err2 != nil || err3 != nil {
		w.t.Fatal(err1, err2, err3)
	}
	return []any{b, f, u}
}

func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	const origin = "https://page.test"
	asked := ask{method: "OPTIONS", path: "/v1/batches", header: map[string]string{
		"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization",
	}}
	w := newWorld(t)
	off := w.ask(asked)
	off.refused(405, "", "method_not_allowed", "")
	if off.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error("pages may call although nobody said so")
	}
	w = newWorld(t, func(_ *api.Deps, c *api.Config) { c.Origins = []string{origin} })
	on := w.ask(asked).want(204)
	if on.Header().Get("Access-Control-Allow-Origin") != origin || on.Header().Get("Access-Control-Allow-Headers") != "authorization" {
		t.Errorf("headers are %v", on.Header())
	}
	called := w.ask(ask{method: "GET", path: "/v1/batches", key: w.alice, header: map[string]string{"Origin": origin}}).want(200)
	if called.Header().Get("Access-Control-Allow-Origin") != origin {
		t.Error("the answer does not allow the page")
	}
	other := w.ask(ask{method: "GET", path: "/v1/batches", key: w.alice, header: map[string]string{"Origin": "https://other.test"}})
	if other.want(200).Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error("the answer allows another page")
	}
}
