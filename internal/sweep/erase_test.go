package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/sweep"
	"github.com/musketry/musketry/internal/tenant"
)

// A cellar has what tenants have stored.
type cellar struct {
	t     *testing.T
	store *memstore.Store
	files *memstore.Files
	log   *strings.Builder
	made  int
	dies  int // at its so manieth write; 0: never

	mu    sync.Mutex
	wrote int
}

var errDied = errors.New("died")

// write says whether a write may be made.
func (c *cellar) write() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wrote++; c.dies > 0 && c.wrote >= c.dies {
		return errDied
	}
	return nil
}

func newCellar(t *testing.T) *cellar {
	t.Helper()
	return &cellar{t: t, store: memstore.NewStore(), files: memstore.NewFiles(), log: &strings.Builder{}}
}

// mortal are the stores of a process that dies.
type mortal struct {
	*memstore.Store
	*cellar
}

func (m mortal) Postpone(ctx context.Context, x batch.Expiring, at time.Time) error {
	if err := m.write(); err != nil {
		return err
	}
	return m.Store.Postpone(ctx, x, at)
}

func (m mortal) RemoveExpiring(ctx context.Context, x batch.Expiring) error {
	if err := m.write(); err != nil {
		return err
	}
	return m.Store.RemoveExpiring(ctx, x)
}

func (m mortal) DeleteFile(ctx context.Context, f batch.File) error {
	if err := m.write(); err != nil {
		return err
	}
	return m.Store.DeleteFile(ctx, f)
}

func (m mortal) UpdateFile(ctx context.Context, owner, id string, change func(*batch.File) error) (batch.File, error) {
	if err := m.write(); err != nil {
		return batch.File{}, err
	}
	return m.Store.UpdateFile(ctx, owner, id, change)
}

func (m mortal) UpdateQuota(ctx context.Context, owner string, change func(*tenant.Quota) error) (tenant.Quota, error) {
	if err := m.write(); err != nil {
		return tenant.Quota{}, err
	}
	return m.Store.UpdateQuota(ctx, owner, change)
}

type mortalFiles struct {
	*memstore.Files
	*cellar
}

func (m mortalFiles) Delete(ctx context.Context, key string) error {
	if err := m.write(); err != nil {
		return err
	}
	return m.Files.Delete(ctx, key)
}

func (m mortalFiles) DeleteAll(ctx context.Context, prefix string) error {
	if err := m.write(); err != nil {
		return err
	}
	return m.Files.DeleteAll(ctx, prefix)
}

func (c *cellar) erase(ctx context.Context, cfg sweep.EraseConfig) error {
	c.t.Helper()
	m := mortal{c.store, c}
	return sweep.NewEraser(sweep.EraseDeps{
		Expiries: m, Files: m, Uploads: m, Objects: mortalFiles{c.files, c}, Quotas: m, Clock: time.Now,
		Log: slog.New(slog.NewTextHandler(c.log, nil)),
	}, cfg).Erase(ctx)
}

func (c *cellar) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// id makes an id of now.
func (c *cellar) id(prefix string) string {
	c.t.Helper()
	c.made++
	id, err := batch.NewID(prefix, time.Now(), strings.NewReader(fmt.Sprintf("%010d", c.made)))
	c.must(err)
	return id
}

// file puts a file that counts, a result with a segment if of names a batch.
func (c *cellar) file(life time.Duration, of string, pins ...string) batch.File {
	c.t.Helper()
	f := batch.File{Tenant: "acme", ID: c.id(batch.PrefixFile), Bytes: 10, CreatedAt: time.Now(), Batch: of, PinnedBy: pins}
	if life > 0 {
		f.ExpiresAt = time.Now().Add(life)
	}
	ctx := c.t.Context()
	c.must(errors.Join(c.store.CreateFile(ctx, f), c.files.Put(ctx, f.ObjectKey(), []byte("0123456789"))))
	if of != "" {
		c.must(c.files.Put(ctx, batch.SegmentKey(of, "one"), []byte("{}")))
	}
	_, err := c.store.UpdateQuota(ctx, "acme", func(q *tenant.Quota) error {
		if !q.Counted() {
			q.Recount(nil, q.CountedAt, time.Now())
		}
		q.AddFile(f.ID, f.Bytes, time.Now())
		return nil
	})
	c.must(err)
	return f
}

// left demands what is stored, and what of it counts.
func (c *cellar) left(files int, bytes int64, keys ...string) {
	c.t.Helper()
	all, _, err := c.store.Files(c.t.Context(), "acme", batch.FileQuery{Limit: 1000})
	c.must(err)
	q, err := c.store.UpdateQuota(c.t.Context(), "acme", func(*tenant.Quota) error { return nil })
	c.must(err)
	slices.Sort(keys)
	if got := c.files.Keys(); len(all) != files || q.Stored() != bytes || !slices.Equal(got, keys) {
		c.t.Errorf("left are %d files, %d bytes and %q, want %d, %d and %q", len(all), q.Stored(), got, files, bytes, keys)
	}
}

// due returns how many entries there are, whenever they end.
func (c *cellar) due() int {
	c.t.Helper()
	all, _, err := c.store.Expiring(c.t.Context(), time.Now().Add(1000*time.Hour), batch.Expiring{}, 10_000)
	c.must(err)
	return len(all)
}

func TestEraseWhatHasExpired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCellar(t)
		c.file(time.Hour, "")
		c.file(time.Hour, "batch_1")
		late, never := c.file(2*time.Hour, "batch_2"), c.file(0, "")
		c.must(c.erase(t.Context(), sweep.EraseConfig{}))
		time.Sleep(time.Hour + time.Minute)
		c.must(c.erase(t.Context(), sweep.EraseConfig{}))
		c.left(2, 20, late.ObjectKey(), batch.SegmentKey("batch_2", "one"), never.ObjectKey())
		if n := c.due(); n != 1 {
			t.Errorf("%d entries are left, want the late one's", n)
		}
		time.Sleep(time.Hour + time.Minute)
		c.must(c.erase(t.Context(), sweep.EraseConfig{}))
		c.left(1, 10, never.ObjectKey())
	})
}

// TestEraseNoSegmentsOfWhatIsWritten has a result whose life is over while its batch
// writes the other one: the segments, of which that is made, stay until it has ended.
func TestEraseNoSegmentsOfWhatIsWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCellar(t)
		b := batch.Batch{Ref: batch.Ref{Tenant: "acme", ID: c.id(batch.PrefixBatch)}, Status: batch.StatusFinalizing, Sealed: true}
		c.must(c.store.CreateBatch(t.Context(), b))
		f := c.file(time.Hour, b.ID)
		time.Sleep(2 * time.Hour)
		c.must(c.erase(t.Context(), sweep.EraseConfig{}))
		c.left(1, 10, f.ObjectKey(), batch.SegmentKey(b.ID, "one"))
		_, err := c.store.UpdateBatch(t.Context(), b.Ref, func(b *batch.Batch) error {
			b.Status = batch.StatusCompleted
			return nil
		})
		c.must(err)
		time.Sleep(time.Hour + time.Minute)
		c.must(c.erase(t.Context(), sweep.EraseConfig{}))
		c.left(0, 0)
	})
}

// TestErasePinned has files that batches need beyond their lives: one runs, one
// has ended without giving its file back, and one never came to be.
func TestErasePinned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCellar(t)
		running := batch.Batch{Ref: batch.Ref{Tenant: "acme", ID: c.id(batch.PrefixBatch)}, Status: batch.StatusInProgress}
		ended := batch.Batch{Ref: batch.Ref{Tenant: "acme", ID: c.id(batch.PrefixBatch)}, Status: batch.StatusCompleted}
		c.must(errors.Join(c.store.CreateBatch(t.Context(), running), c.store.CreateBatch(t.Context(), ended)))
		needed := c.file(time.Hour, "", running.ID)
		c.file(time.Hour, "", ended.ID)
		c.file(time.Hour, "", c.id(batch.PrefixBatch))
		time.Sleep(time.Hour + time.Minute)
		c.must(c.erase(t.Context(), sweep.EraseConfig{}))
		c.left(1, 10, needed.ObjectKey())
		_, err := c.store.UpdateFile(t.Context(), "acme", needed.ID, func(f *batch.File) error {
			f.Unpin(running.ID)
			return nil
		})
		c.must(err)
		time.Sleep(time.Hour + time.Minute)
		c.must(c.erase(t.Context(), sweep.EraseConfig{}))
		c.left(0, 0)
	})
}

// TestEraseUploads deletes the parts of what nobody completed, and of a completion
// that has begun only when it cannot go on.
func TestEraseUploads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCellar(t)
		ctx := t.Context()
		var keys []string
		for _, begun := range []bool{false, true} {
			u := batch.Upload{Tenant: "acme", ID: c.id(batch.PrefixUpload), Bytes: 10, Status: batch.UploadPending, CreatedAt: time.Now()}
			c.must(c.store.CreateUpload(ctx, u))
			key := batch.PartKey("acme", u.ID, "part_1")
			c.must(c.files.Put(ctx, key, []byte("0123456789")))
			keys = append(keys, key)
			if begun {
				_, err := c.store.UpdateUpload(ctx, "acme", u.ID, func(u *batch.Upload) error { return u.Begin("order", "sum", time.Now()) })
				c.must(err)
			}
			_, err := c.store.UpdateQuota(ctx, "acme", func(q *tenant.Quota) error { return q.OpenUpload(u.ID, 10, tenant.Limits{Uploads: 9}) })
			c.must(err)
		}
		time.Sleep(time.Hour + time.Minute)
		c.must(c.erase(ctx, sweep.EraseConfig{}))
		c.left(0, 10, keys[1])
		time.Sleep(47 * time.Hour)
		c.must(c.erase(ctx, sweep.EraseConfig{}))
		c.left(0, 0)
	})
}

// TestEraseInPortions comes to the end of what one call may not: by number, and by
// time.
func TestEraseInPortions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCellar(t)
		for range 250 {
			c.file(time.Hour, "")
		}
		time.Sleep(time.Hour + time.Minute)
		for _, left := range []int{130, 10, 0} {
			c.must(c.erase(t.Context(), sweep.EraseConfig{Portion: 120}))
			if n := c.due(); n != left {
				t.Errorf("%d are left, want %d", n, left)
			}
		}
		c.file(time.Hour, "")
		time.Sleep(time.Hour + time.Minute)
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c.must(c.erase(short, sweep.EraseConfig{}))
		if n := c.due(); n != 1 {
			t.Errorf("without time %d are left, want 1", n)
		}
	})
}

// TestEraseCrashes dies at each write, and then goes on.
func TestEraseCrashes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for at := 1; ; at++ {
			c := newCellar(t)
			c.file(time.Hour, "batch_1", "batch_gone")
			time.Sleep(time.Hour + time.Minute)
			c.dies = at
			err := c.erase(t.Context(), sweep.EraseConfig{})
			c.dies = 0
			if err == nil {
				if at < 6 {
					t.Errorf("it makes %d writes", at-1)
				}
				return
			}
			c.must(c.erase(t.Context(), sweep.EraseConfig{}))
			if n := c.due(); n != 0 || len(c.files.Keys()) != 0 {
				t.Errorf("after a crash at write %d there are %d entries and %q left", at, n, c.files.Keys())
			}
		}
	})
}

// TestEraseGoesOnBehindAFailure has one file that cannot be erased: the others
// are, and the failure is told.
func TestEraseGoesOnBehindAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCellar(t)
		bad := c.file(time.Hour, "")
		for range 150 {
			c.file(time.Hour, "")
		}
		time.Sleep(time.Hour + time.Minute)
		err := sweep.NewEraser(sweep.EraseDeps{
			Expiries: c.store, Files: c.store, Uploads: c.store, Objects: stuck{c.files, bad.ObjectKey()}, Quotas: c.store, Clock: time.Now,
			Log: slog.New(slog.NewTextHandler(c.log, nil)),
		}, sweep.EraseConfig{}).Erase(t.Context())
		if err == nil || c.due() != 1 || !strings.Contains(c.log.String(), bad.ID) {
			t.Errorf("%v: %d are left\n%s", err, c.due(), c.log)
		}
	})
}

// stuck keeps one object.
type stuck struct {
	*memstore.Files

	key string
}

func (s stuck) Delete(ctx context.Context, key string) error {
	if key == s.key {
		return errDown
	}
	return s.Files.Delete(ctx, key)
}
