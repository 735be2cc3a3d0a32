package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/tenant"
)

// The shapes of what a tenant may have, and has. A null of a limit is none; a null
// of what is in use is not known, since nothing is counted where nothing is limited.
type (
	tenantUsageShape struct {
		Object string           `json:"object"`
		Tenant string           `json:"tenant"`
		Key    keyShape         `json:"key"`
		Limits tenantLimitShape `json:"limits"`
		InUse  inUseShape       `json:"in_use"`
	}

	keyShape struct {
		Name      string  `json:"name"`
		ReadOnly  bool    `json:"read_only"`
		CreatedAt int64   `json:"created_at"`
		ExpiresAt *int64  `json:"expires_at"`
		LastUsed  *string `json:"last_used"`
	}

	tenantLimitShape struct {
		Batches     *int64 `json:"batches"`
		Requests    *int64 `json:"requests"`
		StoredBytes *int64 `json:"stored_bytes"`
		OpenUploads *int64 `json:"open_uploads"`
		Creates     *int64 `json:"creates_per_minute"`
		FileBytes   int64  `json:"file_bytes"`
		LineBytes   int64  `json:"line_bytes"`
		Lines       int64  `json:"lines"`
	}

	inUseShape struct {
		Batches     *int64 `json:"batches"`
		Requests    *int64 `json:"requests"`
		StoredBytes *int64 `json:"stored_bytes"`
		OpenUploads *int64 `json:"open_uploads"`
	}
)

// usage answers what the caller's tenant may have, and has, as its limits count it: a
// read of its quota, and one of a file where its files were never counted.
func (a *api) usage(w http.ResponseWriter, r *http.Request, tenantName string) error {
	q, err := a.quota(r.Context(), tenantName)
	if err != nil {
		return err
	}
	out := tenantUsageShape{
		Object: "usage", Tenant: tenantName, Key: a.shapeKey(callOf(r).key), Limits: a.shapeLimits(),
	}
	if !a.config.Limits.None() {
		out.InUse.Batches, out.InUse.Requests = new(int64(len(q.Batches))), new(int64(q.Requests()))
	}
	if l := a.config.Limits; l.Bytes > 0 || l.Uploads > 0 {
		out.InUse.OpenUploads = new(int64(len(q.Uploads)))
	}
	bytes, known, err := a.stored(r.Context(), q)
	if err != nil {
		return err
	}
	if known {
		out.InUse.StoredBytes = &bytes
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// stored returns the bytes that q's tenant has stored; they are not known where nobody
// has counted them, and there are some.
func (a *api) stored(ctx context.Context, q tenant.Quota) (bytes int64, known bool, err error) {
	if limited := a.config.Limits.Bytes > 0; !limited || q.Counted() {
		return q.Stored(), limited, nil
	}
	files, _, err := a.Files.Files(ctx, q.Tenant, batch.FileQuery{Limit: 1})
	if err != nil {
		return 0, false, fmt.Errorf("api: look for a file: %w", err)
	}
	return q.Stored(), len(files) == 0, nil
}

func (a *api) shapeLimits() tenantLimitShape {
	l := a.config.Limits
	out := tenantLimitShape{
		Batches: limited(l.Batches), Requests: limited(l.Requests), StoredBytes: limited(l.Bytes),
		OpenUploads: limited(l.Uploads), Creates: limited(l.Creates),
		FileBytes: a.config.MaxInputBytes, LineBytes: int64(a.config.MaxLineBytes), Lines: int64(a.config.MaxRequests),
	}
	if !l.None() { // what these are counted in has room for so many
		if l.Batches == 0 {
			out.Batches = new(int64(tenant.MaxBatches))
		}
		if l.Uploads == 0 && l.Bytes > 0 {
			out.OpenUploads = new(int64(tenant.MaxOpenUploads))
		}
	}
	return out
}

func (a *api) shapeKey(k tenant.Key) keyShape {
	out := keyShape{Name: k.Name, ReadOnly: k.ReadOnly, CreatedAt: k.CreatedAt.Unix(), ExpiresAt: unix(k.ExpiresAt)}
	if day := a.keys.lastUse(k.Hash); !day.IsZero() {
		out.LastUsed = new(day.Format(time.DateOnly))
	}
	return out
}

// limited returns a limit; nil where there is none.
func limited[N int | int64](n N) *int64 {
	if n == 0 {
		return nil
	}
	return new(int64(n))
}
