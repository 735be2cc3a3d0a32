package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
)

// repeat sends a part as an SDK does that got no answer.
func (w *world) repeat(upload, content string) reply {
	w.t.Helper()
	body, kind := dataForm(w.t, content)
	return w.ask(ask{
		method: http.MethodPost, path: "/v1/uploads/" + upload + "/parts", key: w.alice, kind: kind, body: body,
		header: map[string]string{"X-Stainless-Retry-Count": "1"},
	})
}

// TestPartsFillAnUpload adds more than was declared: nothing of it is stored.
func TestPartsFillAnUpload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	small := w.post("/v1/uploads", uploadOf(1)).want(200).text("id")
	r := w.part(w.alice, small, strings.Repeat("x", 4_000_000))
	r.refused(413, "data", "upload_too_large", "The parts of this upload have 0 bytes, and it was created for 1: this part of 4000000")
	for name, want := range map[string]string{"X-Ratelimit-Limit-Upload-Bytes": "1", "X-Ratelimit-Remaining-Upload-Bytes": "1"} {
		if got := r.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	id := w.post("/v1/uploads", uploadOf(8)).want(200).text("id")
	first := w.part(w.alice, id, "{  }\n").want(200).text("id")
	w.part(w.alice, id, "[ ]\n").refused(413, "data", "upload_too_large", "have 5 bytes, and it was created for 8")
	second := w.part(w.alice, id, "[]\n").want(200).text("id")
	w.part(w.alice, id, "\n").refused(413, "data", "upload_too_large", "have 8 bytes")
	if keys := w.files.Keys(); len(keys) != 2 {
		t.Errorf("stored are %v", keys)
	}
	w.post("/v1/uploads/"+id+"/complete", completion("", first, second)).want(200)
}

// TestPartSentAgain repeats a part whose answer was lost, and one that was not
// stored.
func TestPartSentAgain(t *testing.T) {
	t.Parallel()
	w, c := crashing(t)
	id := w.post("/v1/uploads", uploadOf(6)).want(200).text("id")
	c.start(2, true) // recorded, and not stored
	w.part(w.alice, id, "{}\n").want(500)
	c.start(0, false)
	one := w.repeat(id, "{}\n").want(200).text("id")
	if two := w.repeat(id, "{}\n").want(200).text("id"); two != one {
		t.Errorf("the same part again is %s, want %s", two, one)
	}
	// What was recorded before it died counts until nothing can be on its way.
	w.part(w.alice, id, "[]\n\n").refused(413, "data", "upload_too_large", "")
	w.part(w.alice, id, "[]\n").refused(413, "data", "upload_too_large", "have 6 bytes")
	w.advance(time.Minute)
	two := w.part(w.alice, id, "[]\n").want(200).text("id")
	w.part(w.alice, id, "\n").refused(413, "data", "upload_too_large", "have 6 bytes")
	w.post("/v1/uploads/"+id+"/complete", completion("", one, two)).want(200)
}

// TestPartsHaveANumber takes no more parts than S3 does.
func TestPartsHaveANumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.post("/v1/uploads", uploadOf(1<<20)).want(200).text("id")
	_, err := w.store.UpdateUpload(t.Context(), "alice", id, func(u *batch.Upload) error {
		u.ReservedParts, u.ReservedAt = batch.MaxUploadParts, w.clock()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.part(w.alice, id, "x").refused(413, "data", "upload_too_large", "has 10000 parts")
}

// TestCompletionListsItsParts counts the calls of a completion of many parts:
// one list for each 1,000, and each part is read once.
func TestCompletionListsItsParts(t *testing.T) {
	t.Parallel()
	var reads countedReads
	w := newWorld(t, func(d *api.Deps, _ *api.Config) {
		reads.ObjectStore = d.Objects
		d.Objects = &reads
	})
	const parts = 300
	id := w.post("/v1/uploads", uploadOf(3*parts)).want(200).text("id")
	ids := make([]string, parts)
	for i := range ids {
		var err error
		if ids[i], err = batch.NewID(batch.PrefixPart, w.clock(), strings.NewReader(fmt.Sprintf("%010d", i))); err != nil {
			t.Fatal(err)
		}
		if err := w.files.Put(context.WithoutCancel(t.Context()), batch.PartKey("alice", id, ids[i]), []byte("{}\n")); err != nil {
			t.Fatal(err)
		}
	}
	path := "/v1/uploads/" + id + "/complete"
	for range 3 {
		w.post(path, completion("00", ids...)).refused(400, "md5", "invalid_value", "MD5")
	}
	w.post(path, completion("00", ids[1:]...)).refused(400, "part_ids", "invalid_value", "897 bytes together")
	if n := reads.take(); n != parts {
		t.Errorf("completions that were refused read %d parts, want %d", n, parts)
	}
	w.post(path, completion("", ids...)).want(200)
	if n := reads.take(); n != parts {
		t.Errorf("the completion read %d parts, want %d", n, parts)
	}
}
