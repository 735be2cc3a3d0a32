package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/tenant"
)

// bounded returns a world whose tenants have limits.
func bounded(t *testing.T, l tenant.Limits) *world {
	t.Helper()
	return newWorld(t, func(_ *api.Deps, c *api.Config) { c.Limits = l })
}

// send sends a file for batches.
func (w *world) send(key, name, content string, fields ...string) reply {
	w.t.Helper()
	body, kind := formOf(w.t, name, content, append([]string{"purpose", "batch"}, fields...)...)
	return w.ask(ask{method: http.MethodPost, path: "/v1/files", key: key, kind: kind, body: body})
}

// limited checks what a client is told of a limit of its tenant.
func (r reply) limited(status int, code, message string, headers map[string]string) {
	r.t.Helper()
	r.want(status)
	e, _ := r.json["error"].(map[string]any)
	if got, _ := e["message"].(string); e["code"] != code || !strings.Contains(got, message) {
		r.t.Errorf("error is %v, want code %s and %q", e, code, message)
	}
	for name, want := range headers {
		if got := r.Header().Get(name); got != want {
			r.t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// quota returns what is recorded of alice.
func (w *world) quota() *tenant.Quota {
	w.t.Helper()
	u, err := w.store.UpdateQuota(w.t.Context(), "alice", func(*tenant.Quota) error { return nil })
	if err != nil {
		w.t.Fatal(err)
	}
	return &u
}

func zipped(t *testing.T, content string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(content)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	return b.String()
}

// rows returns a file for batches of n bytes.
func rows(n int) string { return "{" + strings.Repeat(" ", n-3) + "}\n" }

func TestLimitOfStoredBytes(t *testing.T) {
	t.Parallel()
	w := bounded(t, tenant.Limits{Bytes: 1000})
	first := w.send(w.alice, "a.jsonl", rows(400)).want(200).text("id")
	w.send(w.alice, "b.jsonl", rows(601)).limited(413, "storage_limit_exceeded",
		"your files and open uploads have 400 bytes, and may have 1000; this needs 601 more",
		map[string]string{"X-Ratelimit-Limit-Bytes": "1000", "X-Ratelimit-Remaining-Bytes": "600"})
	// What is compressed counts unpacked, and nothing of it stays.
	w.send(w.alice, "b.jsonl.gz", zipped(t, rows(601))).limited(413, "storage_limit_exceeded", "", nil)
	w.send(w.alice, "b.jsonl.gz", zipped(t, rows(200))).want(200)
	if got := w.quota().Stored(); got != 600 {
		t.Errorf("stored are %d bytes, want 600", got)
	}
	// A file that is refused for its form counts no more; another's never did.
	w.send(w.alice, "c.jsonl", strings.Repeat("x", 400)).want(400)
	w.send(w.bob, "c.jsonl", rows(1000)).want(200)
	// An open upload counts as much as was declared.
	upload := w.post("/v1/uploads", uploadOf(400)).want(200).text("id")
	w.post("/v1/uploads", uploadOf(1)).limited(413, "storage_limit_exceeded", "have 1000 bytes", nil)
	// Without any room no batch is taken, since its results will need some.
	w.post("/v1/batches", orderOf(first)).limited(413, "storage_limit_exceeded", "have 1000 bytes", nil)
	w.post("/v1/uploads/"+upload+"/cancel", "").want(200)
	w.post("/v1/batches", orderOf(first)).want(200)
	// What is deleted is given back, at once and once.
	id := w.send(w.alice, "d.jsonl", rows(400)).want(200).text("id")
	w.send(w.alice, "e.jsonl", rows(10)).want(413)
	for _, want := range []int{200, 404} {
		w.ask(ask{method: http.MethodDelete, path: "/v1/files/" + id, key: w.alice}).want(want)
	}
	if got := w.quota().Stored(); got != 600 {
		t.Errorf("stored are %d bytes, want 600", got)
	}
	w.send(w.alice, "e.jsonl", rows(400)).want(200)
}

func TestUploadsCountOnce(t *testing.T) {
	t.Parallel()
	w := bounded(t, tenant.Limits{Bytes: 1000, Uploads: 2})
	content := rows(300)
	id := w.post("/v1/uploads", uploadOf(300)).want(200).text("id")
	part := w.part(w.alice, id, content).want(200).text("id")
	path := "/v1/uploads/" + id + "/complete"
	for range 2 {
		w.post(path, completion("", part)).want(200)
		if u := w.quota(); u.Stored() != 300 || len(u.Uploads) != 0 {
			t.Errorf("stored are %d bytes with %v open, want 300 and none", u.Stored(), u.Uploads)
		}
	}
	// Compressed, it may become too much when it is unpacked: then it is not.
	packed := zipped(t, rows(701))
	body := strings.Replace(uploadOf(len(packed)), "in.jsonl", "in.jsonl.gz", 1)
	id = w.post("/v1/uploads", body).want(200).text("id")
	part = w.part(w.alice, id, packed).want(200).text("id")
	w.post("/v1/uploads/"+id+"/complete", completion("", part)).limited(413, "storage_limit_exceeded", "", nil)
	w.post("/v1/uploads", uploadOf(1)).want(200)
	w.post("/v1/uploads", uploadOf(1)).limited(429, "rate_limit_exceeded", "you have 2 open uploads, and may have 2",
		map[string]string{"X-Ratelimit-Limit-Uploads": "2", "X-Ratelimit-Remaining-Uploads": "0", "Retry-After": "60"})
	// Who meets the limit counts what has expired no more; the sweep deletes its parts.
	w.advance(batch.UploadLife)
	w.post("/v1/uploads", uploadOf(1)).want(200)
	if keys := w.files.Keys(); len(keys) != 2 {
		t.Errorf("stored are %v, want the file, and the part that the sweep deletes", keys)
	}
	if u := w.quota(); len(u.Uploads) != 1 || u.Stored() != 301 {
		t.Errorf("stored are %d bytes with %v open, want 301 and one", u.Stored(), u.Uploads)
	}
}

func TestLimitOfCreates(t *testing.T) {
	t.Parallel()
	w := bounded(t, tenant.Limits{Creates: 3})
	file := w.send(w.alice, "a.jsonl", rows(10)).want(200).text("id")
	w.post("/v1/uploads", uploadOf(1)).want(200)
	// A batch counts, whatever becomes of it.
	w.post("/v1/batches", strings.Replace(orderOf(file), file, "file-01jnfh0000000000000000000g", 1)).want(404)
	w.advance(20 * time.Second)
	for range 2 {
		w.post("/v1/batches", orderOf(file)).limited(429, "rate_limit_exceeded",
			"you have created 3 files, uploads and batches in this minute, and may create 3. Try again in 33 seconds.",
			map[string]string{"X-Ratelimit-Limit-Creates": "3", "X-Ratelimit-Remaining-Creates": "0", "Retry-After": "33"})
	}
	w.send(w.bob, "a.jsonl", rows(10)).want(200)
	w.advance(33 * time.Second)
	w.post("/v1/batches", orderOf(file)).want(200)
}

// TestCountHeals leaves in the record what crashes leave, and in the store what
// is over; who meets the limit finds the truth.
func TestCountHeals(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // files of before there was a limit
	w.send(w.alice, "a.jsonl", rows(300)).want(200)
	w.send(w.alice, "b.jsonl", rows(300), "expires_after[anchor]", "created_at", "expires_after[seconds]", "3600").want(200)
	config := w.config
	config.Limits = tenant.Limits{Bytes: 1000, Uploads: 10}
	w.handler = api.New(w.deps, config)
	w.send(w.alice, "c.jsonl", rows(401)).limited(413, "storage_limit_exceeded", "have 600 bytes", nil)
	_, err := w.store.UpdateQuota(t.Context(), "alice", func(u *tenant.Quota) error {
		id, err := batch.NewID(batch.PrefixUpload, w.clock(), zeros{})
		if err == nil {
			err = u.OpenUpload(id, 200, config.Limits) // a crash before the upload was put
		}
		if err == nil {
			err = u.ReserveFile("file-lost", 200, w.clock(), config.Limits) // a crash before the file was
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.advance(2 * time.Minute)
	w.send(w.alice, "c.jsonl", rows(10)).limited(413, "storage_limit_exceeded", "have 1000 bytes", nil)
	w.advance(time.Hour)
	w.send(w.alice, "c.jsonl", rows(700)).want(200)
	want := &tenant.Quota{Tenant: "alice", FileBytes: 300, CountedAt: w.clock()}
	got := w.quota()
	if got.Stored() != 1000 {
		t.Errorf("changes are %v, stored %d", got.Changes, got.Stored())
	}
	got.Changes, got.Rev = nil, 0
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if keys := w.files.Keys(); len(keys) != 3 {
		t.Errorf("stored are %v, want two files, and one that is over and that the sweep erases", keys)
	}
}

// TestCreatesCost counts the calls of a create: two more for its limits.
func TestCreatesCost(t *testing.T) {
	t.Parallel()
	counts := &countedQuotas{}
	w := newWorld(t, func(d *api.Deps, c *api.Config) {
		c.Limits = tenant.Limits{Bytes: 1 << 30, Uploads: 100, Creates: 1000}
		counts.QuotaStore, counts.FileStore = d.Quotas, d.Files
		d.Quotas, d.Files = counts, countedFiles{counts}
	})
	w.send(w.alice, "a.jsonl", rows(10)).want(200) // the first counts all files
	if got := counts.take(); got != [2]int{3, 1} {
		t.Errorf("the first create: %v updates and pages, want 3 and 1", got)
	}
	for range 99 {
		w.send(w.alice, "a.jsonl", rows(10)).want(200)
	}
	if got := counts.take(); got != [2]int{99, 0} {
		t.Errorf("99 creates: %v updates and pages, want 99 and 0", got)
	}
	w.advance(time.Minute)
	w.send(w.alice, "a.jsonl", rows(10)).want(200) // so that the record stays small
	if got := counts.take(); got != [2]int{3, 1} {
		t.Errorf("after 100 changes: %v updates and pages, want 3 and 1", got)
	}
	if n := len(w.quota().Changes); n != 1 {
		t.Errorf("%d changes are left, want 1", n)
	}
}

// A countedQuotas counts updates of quotas, and pages of files.
type countedQuotas struct {
	api.QuotaStore
	api.FileStore

	mu sync.Mutex
	n  [2]int
}

type countedFiles struct{ *countedQuotas }

func (c *countedQuotas) add(which int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[which]++
}

func (c *countedQuotas) take() [2]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.n
	c.n = [2]int{}
	return n
}

func (c *countedQuotas) UpdateQuota(
	ctx context.Context, tenantName string, change func(*tenant.Quota) error,
) (tenant.Quota, error) {
	c.add(0)
	return c.QuotaStore.UpdateQuota(ctx, tenantName, change)
}

func (c countedFiles) Files(ctx context.Context, tenant string, q batch.FileQuery) ([]batch.File, bool, error) {
	c.add(1)
	return c.FileStore.Files(ctx, tenant, q)
}

// TestCreatesAtOnce has many files come at once: never more than there is room
// for.
func TestCreatesAtOnce(t *testing.T) {
	t.Parallel()
	w := bounded(t, tenant.Limits{Bytes: 1000})
	const many = 10
	replies := make([]reply, many)
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() { replies[i] = w.send(w.alice, fmt.Sprintf("%d.jsonl", i), rows(300)) })
	}
	all.Wait()
	taken := 0
	for _, r := range replies {
		if r.Code == 200 {
			taken++
		} else {
			r.limited(413, "storage_limit_exceeded", "", nil)
		}
	}
	if taken != 3 || len(w.files.Keys()) != 3 {
		t.Errorf("%d files were taken and %d stored, want 3", taken, len(w.files.Keys()))
	}
}
