package api_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/tenant"
)

type crashQuotas struct{ *crash }

func (c crashQuotas) UpdateQuota(
	ctx context.Context, tenantName string, change func(*tenant.Quota) error,
) (u tenant.Quota, err error) {
	err = c.do(func() error {
		u, err = c.QuotaStore.UpdateQuota(ctx, tenantName, change)
		return err
	})
	return u, err
}

func (c crashFiles) UpdateFile(
	ctx context.Context, tenant, id string, change func(*batch.File) error,
) (f batch.File, err error) {
	err = c.do(func() error {
		f, err = c.FileStore.UpdateFile(ctx, tenant, id, change)
		return err
	})
	return f, err
}

func (c crashFiles) DeleteFile(ctx context.Context, f batch.File) error {
	return c.do(func() error { return c.FileStore.DeleteFile(ctx, f) })
}

func (c crashUploads) CreateUpload(ctx context.Context, u batch.Upload) error {
	return c.do(func() error { return c.UploadStore.CreateUpload(ctx, u) })
}

func (c crashObjects) Delete(ctx context.Context, key string) error {
	return c.do(func() error { return c.ObjectStore.Delete(ctx, key) })
}

// TestFilesGoOnAfterACrash dies at each write of what creates and deletes, before
// it takes effect and after, and then does it again. Once what was left is
// counted, a tenant has stored what is in its list, and nothing is seen of what
// was deleted.
func TestFilesGoOnAfterACrash(t *testing.T) {
	t.Parallel()
	create := func(w *world, _ string) reply { return w.send(w.alice, "a.jsonl", rows(300)) }
	upload := func(w *world, _ string) reply { return w.post("/v1/uploads", uploadOf(300)) }
	erase := func(w *world, id string) reply {
		return w.ask(ask{method: http.MethodDelete, path: "/v1/files/" + id, key: w.alice})
	}
	for name, tc := range map[string]struct {
		before  func(w *world) string // returns an id
		do      func(w *world, id string) reply
		writes  int // at least
		deleted bool
	}{
		"a file": {do: create, writes: 3, before: func(w *world) string { return create(w, "").text("id") }},
		"an upload": {do: upload, writes: 2, before: func(w *world) string {
			create(w, "").want(200) // counts what there is
			return ""
		}},
		"an upload's cancel": {
			writes: 3, before: func(w *world) string {
				id := upload(w, "").text("id")
				w.part(w.alice, id, "{}\n").want(200)
				return id
			},
			do: func(w *world, id string) reply { return w.post("/v1/uploads/"+id+"/cancel", "{}") },
		},
		"a count": {
			writes: 5, before: func(w *world) string {
				create(w, "").want(200)
				id := w.post("/v1/uploads", uploadOf(600)).want(200).text("id")
				w.part(w.alice, id, "{}\n").want(200)
				w.advance(2 * time.Hour) // its life is over
				return id
			},
			do: func(w *world, _ string) reply { return w.send(w.alice, "b.jsonl", rows(350)) },
		},
		"a file's deletion": {
			do: erase, writes: 5, deleted: true, before: func(w *world) string { return create(w, "").text("id") },
		},
		"a result's deletion": {do: erase, writes: 6, deleted: true, before: func(w *world) string {
			create(w, "").want(200)
			return w.result("file-01jnfh0000000000000000000r", 90*24*time.Hour).ID
		}},
	} {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, before %t", name, before), func(t *testing.T) {
				t.Parallel()
				for at := 1; ; at++ {
					w, c := crashing(t)
					w.config.Limits = tenant.Limits{Bytes: 1000, Uploads: 10}
					w.handler = api.New(w.deps, w.config)
					id := tc.before(w)
					c.start(at, before)
					tc.do(w, id)
					crashed := c.down
					c.start(0, false)
					if !crashed {
						if at <= tc.writes {
							t.Fatalf("it has %d writes, want %d at least", at-1, tc.writes)
						}
						return
					}
					w.listed()
					if again := tc.do(w, id); again.Code != 200 && (!tc.deleted || again.Code != 404) {
						t.Errorf("crash at write %d: done again: %d", at, again.Code)
					}
					w.reckoned()
					if _, err := w.files.Size(t.Context(), batch.FileKey("alice", id)); tc.deleted && err == nil {
						t.Errorf("crash at write %d: the bytes are there", at)
					}
					if tc.deleted && w.get("/v1/files/"+id).Code != 404 {
						t.Errorf("crash at write %d: the file is seen", at)
					}
				}
			})
		}
	}
}

// reckoned demands that alice, once a limit is met two hours later, counts as
// having stored what she can see.
func (w *world) reckoned() {
	w.t.Helper()
	w.advance(2 * time.Hour)
	w.send(w.alice, "large.jsonl", rows(1001)).want(413)
	if got, want := w.quota().Stored(), w.listed(); got != want {
		w.t.Errorf("%d bytes count as stored, and %d are: %+v", got, want, w.quota())
	}
}

// listed returns the bytes of alice's files, and demands that they are there.
func (w *world) listed() (sum int64) {
	w.t.Helper()
	for _, id := range w.get("/v1/files").ids() {
		size, err := w.files.Size(w.t.Context(), batch.FileKey("alice", id))
		if err != nil {
			w.t.Errorf("listed is %s, of which there are no bytes: %v", id, err)
		}
		sum += size
	}
	return sum
}

// TestPartsGoOnAfterACrash dies at each write of a part, or only cannot store
// it. The upload takes as many bytes as it was created for all the same.
func TestPartsGoOnAfterACrash(t *testing.T) {
	t.Parallel()
	for _, before := range []bool{true, false} {
		for at := 1; at <= 2; at++ {
			w, c := crashing(t)
			id := w.post("/v1/uploads", uploadOf(6)).want(200).text("id")
			c.start(at, before)
			w.part(w.alice, id, "{}\n").want(500)
			c.start(0, false)
			w.filled(id)
		}
	}
	w, c := crashing(t)
	objects := &fullDisk{ObjectStore: w.deps.Objects, full: true}
	w.deps.Objects = objects
	w.handler = api.New(w.deps, w.config)
	id := w.post("/v1/uploads", uploadOf(6)).want(200).text("id")
	w.part(w.alice, id, "{}\n").want(500)
	objects.full = false
	if u, err := c.Upload(t.Context(), "alice", id); err != nil || u.Reserved != 0 || u.ReservedParts != 0 {
		t.Errorf("what was not stored counts: %+v, %v", u, err)
	}
	w.filled(id)
}

// filled demands that an upload of six bytes takes two parts of three, the first
// of which may be stored already.
func (w *world) filled(id string) {
	w.t.Helper()
	first := w.repeat(id, "{}\n").want(200).text("id")
	w.advance(time.Minute)
	parts := []string{first, w.part(w.alice, id, "[]\n").want(200).text("id")}
	w.part(w.alice, id, "\n").refused(413, "data", "upload_too_large", "have 6 bytes")
	stored := slices.DeleteFunc(w.files.Keys(), func(key string) bool { return !strings.HasPrefix(key, batch.PartsKey("alice", id)) })
	if len(stored) != 2 {
		w.t.Errorf("stored are %v", stored)
	}
	w.post("/v1/uploads/"+id+"/complete", completion("", parts...)).want(200)
}

// A fullDisk stores nothing while it is full.
type fullDisk struct {
	api.ObjectStore
	full bool
}

func (d *fullDisk) PutNew(ctx context.Context, key string, body []byte) error {
	if d.full {
		return errStore
	}
	return d.ObjectStore.PutNew(ctx, key, body)
}
