package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/tenant"
)

// partGrace is how long after the last part of an upload what is stored of its
// parts can be counted: none is on its way to the store any more, since a call
// of the API takes at most 30 seconds
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html).
const partGrace = time.Minute

// probes are how many parts are asked at once whether they are one that is sent
// again.
const probes = 32

// addPart stores a part. Parts may come in parallel, in any order, and together
// have no more bytes than the upload was created for. A part that a client sends
// again, as it says, is the first one if that was stored; otherwise, and for
// clients that do not say so, it is another part.
func (a *api) addPart(w http.ResponseWriter, r *http.Request, tenant string) error {
	u, err := a.upload(r, tenant)
	if err != nil {
		return err
	}
	now := a.Clock()
	probe := u
	if err := probe.ReservePart(0, now); err != nil { // before the body is read
		return fmt.Errorf("api: part: %w", err)
	}
	form, err := readForm(w, r, a.config.MaxBody, "data")
	if err != nil {
		return err
	}
	switch {
	case !form.hasFile:
		return missing("data")
	case len(form.file) == 0:
		return badRequest("data", "empty_file", "The part is empty.")
	}
	repeats, _ := strconv.Atoi(r.Header.Get("X-Stainless-Retry-Count"))
	id, err := a.putPart(r.Context(), u, form.file, now, repeats > 0)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, partShape{ID: id, Object: "upload.part", CreatedAt: now.Unix(), UploadID: u.ID})
	return nil
}

// putPart stores a part and returns its id. A crash after it was reserved leaves
// a part that counts and is not there; it counts no more once whoever meets the
// limit has counted what is stored.
func (a *api) putPart(ctx context.Context, u batch.Upload, body []byte, now time.Time, repeated bool) (string, error) {
	if repeated {
		if id, err := a.storedPart(ctx, u, body); err != nil || id != "" {
			return id, err
		}
	}
	id, err := batch.NewID(batch.PrefixPart, now, a.Random)
	if err != nil {
		return "", fmt.Errorf("api: part: %w", err)
	}
	size := int64(len(body))
	if err := a.reservePart(ctx, u, size, now); err != nil {
		return "", err
	}
	if err := a.Objects.PutNew(ctx, batch.PartKey(u.Tenant, u.ID, id), body); err != nil {
		_, gave := a.Uploads.UpdateUpload(ctx, u.Tenant, u.ID, func(u *batch.Upload) error {
			u.CancelReservation(size)
			return nil
		})
		return "", errors.Join(fmt.Errorf("api: put part: %w", err), gave)
	}
	return id, nil
}

// reservePart reserves a part before it is stored. Who meets the upload's limit
// counts what is stored of it, unless a part may be on its way.
func (a *api) reservePart(ctx context.Context, u batch.Upload, size int64, now time.Time) error {
	var seen batch.Upload
	_, err := a.Uploads.UpdateUpload(ctx, u.Tenant, u.ID, func(u *batch.Upload) error {
		seen = *u
		return u.ReservePart(size, now)
	})
	limit, met := errors.AsType[*tenant.LimitError](err)
	if met && now.Sub(seen.ReservedAt) >= partGrace && int64(limit.Asked) <= u.Bytes {
		var stored []batch.Stored
		if stored, err = a.Objects.List(ctx, batch.PartsKey(u.Tenant, u.ID)); err != nil {
			return fmt.Errorf("api: list parts: %w", err)
		}
		_, err = a.Uploads.UpdateUpload(ctx, u.Tenant, u.ID, func(u *batch.Upload) error {
			u.Recount(stored, seen.ReservedAt)
			return u.ReservePart(size, now)
		})
	}
	if err != nil {
		return fmt.Errorf("api: reserve part: %w", err)
	}
	return nil
}

// storedPart returns the id of a part of u with these bytes, empty if there is
// none.
func (a *api) storedPart(ctx context.Context, u batch.Upload, body []byte) (string, error) {
	stored, err := a.Objects.List(ctx, batch.PartsKey(u.Tenant, u.ID))
	if err != nil {
		return "", fmt.Errorf("api: list parts: %w", err)
	}
	stored = slices.DeleteFunc(stored, func(s batch.Stored) bool { return s.Bytes != int64(len(body)) })
	slices.Reverse(stored) // names sort by time, and what is sent again was sent a moment ago
	for found := range slices.Chunk(stored, probes) {
		held := make([]bool, len(found))
		group, ctx := errgroup.WithContext(ctx)
		for i, s := range found {
			group.Go(func() (err error) {
				held[i], err = a.Contents.Holds(ctx, s.Key, body)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return "", fmt.Errorf("api: find part: %w", err)
		}
		if i := slices.Index(held, true); i >= 0 {
			return strings.TrimPrefix(found[i].Key, batch.PartsKey(u.Tenant, u.ID)), nil
		}
	}
	return "", nil
}
