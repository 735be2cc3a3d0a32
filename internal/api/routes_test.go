package api_test

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

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
	for i := range 3000 {
		w.ask(ask{method: "GET", path: "/v1/models", key: fmt.Sprintf("wrong-%d", i)}).want(401)
	}
	w.get("/v1/models").want(200)
	w.ask(ask{method: "GET", path: "/v1/models", key: "wrong-2999"}).want(401)
	if n := counted.asked[tenant.Hash(w.alice)]; n != 1 {
		t.Errorf("the right key was looked up %d times, want 1", n)
	}
	if n := counted.asked[tenant.Hash("wrong-2999")]; n != 1 {
		t.Errorf("a wrong key was looked up %d times, want 1", n)
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
