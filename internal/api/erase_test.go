package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/tenant"
)

// result puts a result file of an ended batch, and a segment of its answers.
func (w *world) result(id string, life time.Duration) batch.File {
	w.t.Helper()
	f := batch.File{
		Tenant: "alice", ID: id, Name: "out.jsonl", Purpose: batch.PurposeBatchOutput, Bytes: 3, CreatedAt: w.clock(),
		ExpiresAt: w.clock().Add(life), Batch: "batch_01jnfh0000000000000000000g",
	}
	if err := errors.Join(w.store.CreateFile(w.t.Context(), f),
		w.files.Put(w.t.Context(), f.ObjectKey(), []byte("{}\n")),
		w.files.Put(w.t.Context(), batch.SegmentKey(f.Batch, "one"), []byte("{}\n")),
		w.files.Put(w.t.Context(), batch.SegmentKey(f.Batch+"1", "one"), []byte("{}\n"))); err != nil {
		w.t.Fatal(err)
	}
	return f
}

// gone demands that nothing of f is left, and that another batch's segments are.
func (w *world) gone(f batch.File) {
	w.t.Helper()
	if _, err := w.store.File(w.t.Context(), f.Tenant, f.ID); !errors.Is(err, batch.ErrNotFound) {
		w.t.Errorf("the record: %v", err)
	}
	for _, key := range []string{f.ObjectKey(), batch.SegmentKey(f.Batch, "one")} {
		if _, err := w.files.Size(w.t.Context(), key); !errors.Is(err, batch.ErrNoObject) {
			w.t.Errorf("%s: %v", key, err)
		}
	}
	if _, err := w.files.Size(w.t.Context(), batch.SegmentKey(f.Batch+"1", "one")); err != nil {
		w.t.Errorf("another batch's segment: %v", err)
	}
}

func TestResultsAreErased(t *testing.T) {
	t.Parallel()
	const id = "file-01jnfh0000000000000000000r"
	for name, c := range map[string]struct {
		wait time.Duration
		ask  ask
		want int
	}{
		"deleted":               {0, ask{method: http.MethodDelete, path: "/v1/files/" + id}, http.StatusOK},
		"deleted after its end": {time.Hour, ask{method: http.MethodDelete, path: "/v1/files/" + id}, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			f := w.result(id, time.Hour)
			w.advance(c.wait)
			c.ask.key = w.bob
			w.ask(c.ask) // another tenant's erases nothing
			if _, err := w.files.Size(t.Context(), f.ObjectKey()); err != nil {
				t.Fatal(err)
			}
			c.ask.key = w.alice
			w.ask(c.ask).want(c.want)
			w.gone(f)
		})
	}
}

// downQuotas are quotas that cannot be had.
type downQuotas struct{ asked int }

func (q *downQuotas) UpdateQuota(context.Context, string, func(*tenant.Quota) error) (tenant.Quota, error) {
	q.asked++
	return tenant.Quota{}, errStore
}

// TestDeletedWithoutItsQuota has a file deleted where that it counts no more cannot
// be recorded, which fails nothing, and where nothing counts, which asks nobody.
func TestDeletedWithoutItsQuota(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits tenant.Limits
		asked  int
	}{
		"limits":    {limits: tenant.Limits{Bytes: 1000}, asked: 2},
		"no limits": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			quotas := &downQuotas{}
			w := newWorld(t, func(d *api.Deps, config *api.Config) { d.Quotas, config.Limits = quotas, c.limits })
			f := w.result("file-01jnfh0000000000000000000s", time.Hour)
			w.ask(ask{method: http.MethodDelete, path: "/v1/files/" + f.ID, key: w.alice}).want(http.StatusOK)
			w.gone(f)
			if told := strings.Contains(w.log.String(), "quota left behind"); quotas.asked != c.asked || told != (c.asked > 0) {
				t.Errorf("the quota was asked %d times, want %d, and its failure told: %t", quotas.asked, c.asked, told)
			}
		})
	}
}

// TestReadsOnlyHide has a file whose life is over met by all that reads: nobody
// sees it, and nothing is written, which could take longer than a request has.
// Erasing is the sweep's (internal/sweep).
func TestReadsOnlyHide(t *testing.T) {
	t.Parallel()
	const id = "file-01jnfh0000000000000000000r"
	for name, c := range map[string]struct {
		path string
		want int
	}{
		"read":    {"/v1/files/" + id, http.StatusNotFound},
		"listed":  {"/v1/files", http.StatusOK},
		"fetched": {"/v1/files/" + id + "/content", http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			f := w.result(id, time.Hour)
			w.advance(time.Hour)
			r := w.ask(ask{method: http.MethodGet, path: c.path, key: w.alice}).want(c.want)
			if list, ok := r.json["data"].([]any); ok && len(list) != 0 {
				t.Errorf("it is listed: %v", list)
			}
			if got, err := w.store.File(t.Context(), f.Tenant, f.ID); err != nil || got.Rev != 1 {
				t.Errorf("its record: %+v, %v", got, err)
			}
			for _, key := range []string{f.ObjectKey(), batch.SegmentKey(f.Batch, "one")} {
				if _, err := w.files.Size(t.Context(), key); err != nil {
					t.Errorf("%s: %v", key, err)
				}
			}
		})
	}
}
