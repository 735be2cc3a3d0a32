package api_test

import (
	"context"
	"crypto/md5" //nolint:gosec // the API's own checksum
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
)

// A crash ends a process at one of its writes: that one fails, before it takes
// effect or after, and so do all that follow until it is over.
type crash struct {
	api.FileStore
	api.QuotaStore
	api.UploadStore
	api.PartStore
	api.ObjectStore

	mu     sync.Mutex
	left   int  // writes until the one that fails; 0: none does
	before bool // it fails before it takes effect
	down   bool
}

func (c *crash) start(at int, before bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left, c.before, c.down = at, before, false
}

func (c *crash) do(write func() error) error {
	c.mu.Lock()
	if c.down {
		c.mu.Unlock()
		return errStore
	}
	now := c.left == 1
	c.left, c.down = max(c.left-1, 0), now
	c.mu.Unlock()
	if now && c.before {
		return errStore
	}
	if err := write(); err != nil || !now {
		return err
	}
	return errStore
}

// stores returns what an API writes with.
func (c *crash) stores() (api.FileStore, api.UploadStore, api.PartStore, api.ObjectStore) {
	return crashFiles{c}, crashUploads{c}, crashParts{c}, crashObjects{c}
}

type (
	crashFiles   struct{ *crash }
	crashUploads struct{ *crash }
	crashParts   struct{ *crash }
	crashObjects struct{ *crash }
)

func (c crashFiles) CreateFile(ctx context.Context, f batch.File) error {
	return c.do(func() error { return c.FileStore.CreateFile(ctx, f) })
}

func (c crashUploads) UpdateUpload(
	ctx context.Context, tenant, id string, change func(*batch.Upload) error,
) (u batch.Upload, err error) {
	err = c.do(func() error {
		u, err = c.UploadStore.UpdateUpload(ctx, tenant, id, change)
		return err
	})
	return u, err
}

func (c crashParts) StartParts(ctx context.Context, key string) (id string, err error) {
	err = c.do(func() error {
		id, err = c.PartStore.StartParts(ctx, key)
		return err
	})
	return id, err
}

func (c crashParts) PutPart(ctx context.Context, key, upload string, n int, body []byte) (etag string, err error) {
	err = c.do(func() error {
		etag, err = c.PartStore.PutPart(ctx, key, upload, n, body)
		return err
	})
	return etag, err
}

func (c crashParts) FinishParts(ctx context.Context, key, upload string, etags []string) error {
	return c.do(func() error { return c.PartStore.FinishParts(ctx, key, upload, etags) })
}

func (c crashObjects) PutNew(ctx context.Context, key string, body []byte) error {
	return c.do(func() error { return c.ObjectStore.PutNew(ctx, key, body) })
}

func (c crashObjects) DeleteAll(ctx context.Context, prefix string) error {
	return c.do(func() error { return c.ObjectStore.DeleteAll(ctx, prefix) })
}

// crashing returns a world whose writes can be made to fail.
func crashing(t *testing.T) (*world, *crash) {
	t.Helper()
	c := &crash{}
	w := newWorld(t, func(d *api.Deps, config *api.Config) {
		config.MaxBody = 20 << 20
		c.FileStore, c.UploadStore, c.PartStore, c.ObjectStore = d.Files, d.Uploads, d.Parts, d.Objects
		d.Files, d.Uploads, d.Parts, d.Objects = c.stores()
		c.QuotaStore, d.Quotas = d.Quotas, crashQuotas{c}
	})
	return w, c
}

// An opened is an upload with parts of which two files can be made.
type opened struct {
	*world

	path   string
	id     string
	orders [2]string // the parts of each file, as JSON strings
	bodies [2]string // its bytes
	sums   [2]string
}

// open makes an upload of so many bytes, of two parts that can be joined in
// either order.
func (w *world) open(size int) opened {
	w.t.Helper()
	halves := make([]string, 2)
	for i := range halves {
		text := strings.Repeat(fmt.Sprintf(`{"half":%d}`+"\n", i), size/24)
		halves[i] = text + strings.Repeat(" ", size/2-len(text)-1) + "\n"
	}
	id := w.post("/v1/uploads", uploadOf(len(halves[0])+len(halves[1]))).want(200).text("id")
	ids := []string{w.part(w.alice, id, halves[0]).want(200).text("id"), w.part(w.alice, id, halves[1]).want(200).text("id")}
	o := opened{world: w, path: "/v1/uploads/" + id + "/complete", id: id}
	for i := range 2 {
		o.orders[i] = fmt.Sprintf("%q,%q", ids[i], ids[1-i])
		o.bodies[i] = halves[i] + halves[1-i]
		sum := md5.Sum([]byte(o.bodies[i])) //nolint:gosec // the API's own checksum
		o.sums[i] = hex.EncodeToString(sum[:])
	}
	return o
}

// file returns the id of the upload's file, empty before it has one.
func (o opened) file() string {
	o.t.Helper()
	u, err := o.store.Upload(o.t.Context(), "alice", o.id)
	if err != nil {
		o.t.Fatal(err)
	}
	return u.FileID
}

// complete asks for one of the two files, with an MD5 unless that is empty.
func (o opened) complete(which int, sum string) reply {
	o.t.Helper()
	body := fmt.Sprintf(`{"part_ids":[%s]}`, o.orders[which])
	if sum != "" {
		body = fmt.Sprintf(`{"part_ids":[%s],"md5":%q}`, o.orders[which], sum)
	}
	return o.post(o.path, body)
}

// holds checks that there is one file, which has the bytes of one of the two,
// and returns which.
func (o opened) holds() int {
	o.t.Helper()
	if ids := o.get("/v1/files").ids(); !slices.Equal(ids, []string{o.file()}) {
		o.t.Fatalf("the files are %v, want %s", ids, o.file())
	}
	size, err := o.files.Size(o.t.Context(), batch.FileKey("alice", o.file()))
	if err != nil {
		o.t.Fatal(err)
	}
	body, err := o.files.Read(o.t.Context(), batch.FileKey("alice", o.file()), 0, size)
	if err != nil {
		o.t.Fatal(err)
	}
	which := slices.Index(o.bodies[:], string(body))
	if which < 0 {
		o.t.Fatalf("the file's %d bytes are none of the two", size)
	}
	return which
}

// TestCompletionGoesOnAfterACrash dies at each write of a completion, before it
// takes effect and after, and then completes again, with the same parts or with
// others. There is one file, and once it is there its bytes never change.
func TestCompletionGoesOnAfterACrash(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"one write": 240, "in parts": 9 << 20} {
		for _, before := range []bool{true, false} {
			for again := range 2 {
				t.Run(fmt.Sprintf("%s/before=%t/again=%d", name, before, again), func(t *testing.T) {
					t.Parallel()
					completionCrashes(t, size, before, again)
				})
			}
		}
	}
}

func completionCrashes(t *testing.T, size int, before bool, again int) {
	t.Helper()
	least := map[bool]int{true: 5, false: 8}[size < 1000]
	for at := 1; ; at++ {
		w, c := crashing(t)
		o := w.open(size)
		c.start(at, before)
		first := o.complete(0, "")
		crashed := c.down
		c.start(0, false)
		w.advance(batch.UploadLease) // others wait for the dead one until then
		_, err := w.store.File(t.Context(), "alice", o.file())
		recorded := err == nil
		if !crashed || first.Code == 200 { // the last writes drop the parts, which may fail
			if at <= least {
				t.Fatalf("a completion has %d writes, want %d at least", at-1, least)
			}
			if o.holds() != 0 {
				t.Error("the file has the other bytes")
			}
			return
		}
		first.refused(500, "", "", "failed to answer")
		second := o.complete(again, "")
		switch {
		case again == 0, second.Code == 200:
			second.want(200)
			if got := o.holds(); got != again || recorded && got != 0 {
				t.Errorf("crash at write %d: the file is %d, want %d", at, got, again)
			}
		default: // what was begun, or is there, is not replaced
			second.refused(409, "*", "", "")
		}
		// In the end there is one file, which both ways to ask find or refuse.
		replies := []reply{o.complete(0, ""), o.complete(1, "")}
		which := o.holds()
		if replies[which].want(200); replies[1-which].Code != 409 {
			t.Errorf("crash at write %d: the other parts: %d", at, replies[1-which].Code)
		}
		o.complete(which, o.sums[1-which]).refused(400, "md5", "invalid_value", "MD5")
		if diff := cmp.Diff(replies[which].json, o.complete(which, o.sums[which]).want(200).json); diff != "" {
			t.Errorf("crash at write %d: the answer changes: %s", at, diff)
		}
	}
}

// TestCompletionsAtOnce completes an upload many times at once: there is one
// file, nobody is answered 5xx, and all who asked for it get it.
func TestCompletionsAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size  int
		other bool   // half of them ask for the other file
		sum   string // of a third of them
	}{
		"the same parts":                {size: 240},
		"the same parts, in parts":      {size: 9 << 20},
		"other parts":                   {size: 240, other: true},
		"other parts, in parts":         {size: 9 << 20, other: true},
		"some with a wrong MD5":         {size: 240, sum: "00"},
		"other parts and a wrong MD5":   {size: 240, other: true, sum: "00"},
		"wrong and other MD5, in parts": {size: 9 << 20, other: true, sum: "00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := crashing(t)
			o := w.open(c.size)
			const many = 9
			replies := make([]reply, many)
			asked := make([]int, many)
			var all sync.WaitGroup
			for i := range many {
				sum := ""
				if c.other {
					asked[i] = i % 2
				}
				if i%3 == 2 {
					sum = c.sum
				}
				all.Go(func() { replies[i] = o.complete(asked[i], sum) })
			}
			all.Wait()
			which := o.holds()
			codes := map[int]int{}
			for i, r := range replies {
				codes[r.Code]++
				switch wrong := i%3 == 2 && c.sum != ""; {
				case wrong:
					if r.Code != 400 && r.Code != 409 {
						t.Errorf("a wrong MD5 got %d: %s", r.Code, r.Body)
					}
				case asked[i] == which:
					if file, _ := r.want(200).json["file"].(map[string]any); file["id"] != o.file() {
						t.Errorf("the file is %v", file)
					}
				default:
					r.refused(409, "*", "", "")
				}
			}
			t.Log(slices.Sorted(maps.Keys(codes)), codes)
		})
	}
}

// TestCancelOnceBegun cancels an upload whose completion died: its file may be
// there, so nothing but the same completion is left to it.
func TestCancelOnceBegun(t *testing.T) {
	t.Parallel()
	w, c := crashing(t)
	o := w.open(240)
	c.start(3, false) // the try, the beginning, the bytes
	o.complete(0, "").want(500)
	c.start(0, false)
	cancel := strings.TrimSuffix(o.path, "complete") + "cancel"
	o.post(cancel, "").refused(409, "", "", "has begun")
	id := strings.TrimSuffix(strings.TrimPrefix(o.path, "/v1/uploads/"), "/complete")
	o.part(o.alice, id, "x").refused(409, "", "", "has begun")
	o.advance(2 * batch.UploadLife) // what has begun does not expire
	o.complete(1, "").refused(409, "part_ids", "", "begun with other parts")
	o.complete(0, "").want(200)
	if o.holds() != 0 {
		t.Error("the file has the other bytes")
	}
}

// TestWrongSumsAreCheap counts what completions read of the parts.
func TestWrongSumsAreCheap(t *testing.T) {
	t.Parallel()
	var reads countedReads
	w := newWorld(t, func(d *api.Deps, _ *api.Config) {
		reads.ObjectStore = d.Objects
		d.Objects = &reads
	})
	o := w.open(240)
	for range 5 {
		o.complete(0, "00").refused(400, "md5", "invalid_value", "MD5")
	}
	if n := reads.take(); n != 2 {
		t.Errorf("five completions with a wrong MD5 read %d parts, want 2", n)
	}
	for range 6 { // another order each time
		for order := range 2 {
			if r := o.complete(1-order, "00"); r.Code != 409 {
				r.refused(400, "md5", "invalid_value", "MD5")
			}
		}
	}
	o.complete(0, "").refused(409, "", "too_many_tries", "Cancel it")
	if n := reads.take(); n != 2*(batch.MaxUploadTries-1) {
		t.Errorf("completions of one upload read %d parts more, want %d", n, 2*(batch.MaxUploadTries-1))
	}
}

// A countedReads counts reads.
type countedReads struct {
	api.ObjectStore

	mu sync.Mutex
	n  int
}

func (r *countedReads) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	r.mu.Lock()
	r.n++
	r.mu.Unlock()
	return r.ObjectStore.Read(ctx, key, offset, length)
}

func (r *countedReads) take() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.n
	r.n = 0
	return n
}
