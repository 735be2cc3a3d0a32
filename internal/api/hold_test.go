package api_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
)

// apiGateway is how long API Gateway waits for an answer.
const apiGateway = 29 * time.Second

// slowReads takes its time for each part.
type slowReads struct {
	countedReads

	each time.Duration
}

func (s *slowReads) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	select {
	case <-time.After(s.each):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return s.countedReads.Read(ctx, key, offset, length)
}

// An unheard store fails to record that a completion is heard of, for a while.
type unheard struct {
	api.UploadStore

	until time.Time
}

func (s *unheard) UpdateUpload(
	ctx context.Context, tenant, id string, change func(*batch.Upload) error,
) (batch.Upload, error) {
	before, err := s.Upload(ctx, tenant, id)
	if err != nil {
		return batch.Upload{}, err
	}
	return s.UploadStore.UpdateUpload(ctx, tenant, id, func(u *batch.Upload) error {
		if err := change(u); err != nil {
			return err
		}
		if u.JoinedBy != "" && u.JoinedBy == before.JoinedBy && time.Now().Before(s.until) {
			return errStore
		}
		return nil
	})
}

// slowUpload returns an upload whose parts take so long each to be read, one beside
// the other.
func slowUpload(t *testing.T, each time.Duration, tune ...func(*api.Deps, *api.Config)) (opened, *slowReads) {
	t.Helper()
	reads := &slowReads{each: each}
	w := newWorld(t, append(tune, func(d *api.Deps, _ *api.Config) {
		reads.ObjectStore, d.Objects = d.Objects, reads
		d.Clock = time.Now
	})...)
	return w.open(240), reads
}

// TestCompletionsWaitForTheFirst completes an upload whose parts take longer than
// API Gateway waits: it goes on although nobody waits for it, each repeat waits
// for it and is told to come again, and the parts are read once.
func TestCompletionsWaitForTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, reads := slowUpload(t, 70*time.Second)
		began := time.Now()
		first := make(chan reply, 1)
		go func() { first <- o.complete(0, "") }()
		time.Sleep(apiGateway) // it answers 504, and an SDK sends the same again
		asked := time.Now()
		r := o.complete(0, "")
		r.refused(503, "", "upload_completing", "still being joined")
		if took := time.Since(asked); took >= apiGateway || took < 20*time.Second {
			t.Errorf("the first repeat was answered after %s", took)
		}
		if r.Header().Get("X-Should-Retry") != "true" || r.Header().Get("Retry-After") != "1" {
			t.Errorf("headers %v", r.Header())
		}
		second := o.complete(0, "").want(200)
		if took := time.Since(began); took > 71*time.Second {
			t.Errorf("completed after %s", took)
		}
		if id := (<-first).want(200).json["file"].(map[string]any)["id"]; id != second.json["file"].(map[string]any)["id"] {
			t.Errorf("the first call made another file: %v", id)
		}
		if n := reads.take(); n != 2 {
			t.Errorf("%d parts were read, want 2", n)
		}
		if u, err := o.store.Upload(t.Context(), "alice", o.id); err != nil || u.Tries != 1 {
			t.Errorf("%d tries, %v", u.Tries, err)
		}
	})
}

// TestCompletionGoesOnForTheDead has a completion die while it joins: one that
// waits for it joins the parts once it was not heard of for a while.
func TestCompletionGoesOnForTheDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, c := crashing(t)
		w.deps.Clock = time.Now
		w.deps.Files, w.deps.Uploads, w.deps.Parts, w.deps.Objects = c.stores()
		w.handler = api.New(w.deps, w.config)
		o := w.open(240)
		c.start(1, false)
		o.complete(0, "").want(500)
		c.start(0, false)
		asked := time.Now()
		o.complete(0, "").want(200)
		if took := time.Since(asked); took < batch.UploadLease || took > batch.UploadLease+2*time.Second {
			t.Errorf("it waited for the dead for %s", took)
		}
		if o.holds() != 0 {
			t.Error("the file has the other bytes")
		}
	})
}

// TestCompletionThatIsNotHeardOf has a completion go on that cannot say so: another
// takes over, and it stops, and answers the other's file.
func TestCompletionThatIsNotHeardOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &unheard{until: time.Now().Add(30 * time.Second)}
		o, reads := slowUpload(t, 45*time.Second, func(d *api.Deps, _ *api.Config) { store.UploadStore, d.Uploads = d.Uploads, store })
		first := make(chan reply, 1)
		go func() { first <- o.complete(0, "") }()
		time.Sleep(time.Second)
		if r := o.complete(0, ""); r.Code != 200 {
			r.refused(503, "", "upload_completing", "")
			o.complete(0, "").want(200)
		}
		if r := <-first; r.Code != 200 {
			r.refused(503, "", "upload_completing", "")
		}
		if n := reads.take(); n != 2 {
			t.Errorf("%d parts were read to their end, want 2: the first stops", n)
		}
	})
}

// TestWrongCompletionsLetGo has one that was refused leave nothing to wait for.
func TestWrongCompletionsLetGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, _ := slowUpload(t, time.Second)
		o.complete(0, "00").refused(400, "md5", "invalid_value", "MD5")
		asked := time.Now()
		o.complete(0, "").want(200)
		if took := time.Since(asked); took > 2*time.Second {
			t.Errorf("completed after %s", took)
		}
	})
}
