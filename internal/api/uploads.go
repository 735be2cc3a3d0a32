package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/tenant"
)

func (a *api) createUpload(w http.ResponseWriter, r *http.Request, tenantName string) error {
	f, err := readFields(w, r, "filename", "purpose", "bytes", "mime_type", "expires_after")
	if err != nil {
		return err
	}
	u, err := a.readUpload(f)
	if err != nil {
		return err
	}
	now := a.Clock()
	u.Tenant, u.Status, u.CreatedAt = tenantName, batch.UploadPending, now.UTC().Truncate(time.Millisecond)
	if u.ID, err = batch.NewID(batch.PrefixUpload, now, a.Random); err != nil {
		return fmt.Errorf("api: upload: %w", err)
	}
	err = a.admit(r.Context(), tenantName, func(quota *tenant.Quota) error {
		if err := quota.CountCreate(now, a.config.Limits); err != nil {
			return err
		}
		return quota.OpenUpload(u.ID, u.Bytes, a.config.Limits)
	})
	if err != nil {
		return err
	}
	if err := a.Uploads.CreateUpload(r.Context(), u); err != nil {
		a.updateQuota(r.Context(), tenantName, func(quota *tenant.Quota) { quota.CloseUpload(u.ID) })
		return fmt.Errorf("api: create upload: %w", err)
	}
	writeJSON(w, http.StatusOK, shapeUpload(u, nil, now))
	return nil
}

// readUpload reads an upload's parameters.
func (a *api) readUpload(f fields) (batch.Upload, error) {
	var (
		u   batch.Upload
		err error
	)
	if u.Name, err = f.text("filename"); err != nil {
		return u, err
	}
	u.Name = cleanName(u.Name)
	purpose, err := f.text("purpose")
	if err != nil {
		return u, err
	}
	if u.Purpose, err = checkPurpose(purpose); err != nil {
		return u, err
	}
	if u.Bytes, err = f.whole("bytes", "bytes"); err != nil {
		return u, err
	}
	if u.MimeType, err = f.text("mime_type"); err != nil {
		return u, err
	}
	if u.FileLife, err = f.life("expires_after"); err != nil {
		return u, err
	}
	limit := a.config.MaxFileBytes
	if u.Purpose == batch.PurposeBatch {
		limit = a.config.MaxInputBytes
		plain, _ := batch.PlainName(u.Name)
		if err := batch.CheckName(plain, "filename"); err != nil {
			return u, err
		}
	}
	switch {
	case u.Bytes < 1:
		return u, badRequest("bytes", "integer_below_min_value",
			"Invalid 'bytes': integer below minimum value. Expected a value >= 1, but got %d instead.", u.Bytes)
	case u.Bytes > limit:
		return u, badRequest("bytes", "integer_above_max_value",
			"File is too large. A file of this purpose has at most %d bytes, but 'bytes' is %d.", limit, u.Bytes)
	case len(u.MimeType) > maxNameLength:
		return u, badRequest("mime_type", "string_above_max_length", "Invalid 'mime_type': it is too long.")
	}
	return u, nil
}

// completeUpload makes the file of an upload's parts. Which parts these are is
// settled once (batch.Upload.Begin), before any byte has the file's name, and
// after all of them were read and found good; so whoever completes, at once or
// again, writes the same bytes, and the store keeps the first. What a crash
// after each write leaves, a repeated call goes on from:
//
//	the try            a try less, of ten, and others wait for 20 s
//	the file's pieces  they have no name; aborted, or dropped by the bucket's rule
//	the beginning      the same parts go on, and are read again; others are refused
//	the file's bytes   they are there already
//	the file's record  it is found: the upload is completed, and answers this file
//	the status         the same; parts that are left are dropped by the bucket's rule for uploads/
func (a *api) completeUpload(w http.ResponseWriter, r *http.Request, tenant string) error {
	ctx := r.Context()
	u, err := a.upload(r, tenant)
	if err != nil {
		return err
	}
	c, err := readCompletion(w, r)
	if err != nil {
		return err
	}
	f, there, err := a.completed(ctx, u)
	if err != nil {
		return err
	}
	switch s := u.StatusAt(a.Clock()); {
	case there, s == batch.UploadCompleted:
		err = u.Matches(c.order, c.sum)
	case s == batch.UploadPending:
		f, there, err = a.assemble(ctx, u, c)
	default:
		err = &batch.UploadError{Op: "complete", Status: s}
	}
	if err != nil {
		return fmt.Errorf("api: complete upload: %w", err)
	}
	if u.Status != batch.UploadCompleted {
		if u, err = a.finishUpload(ctx, u, f.Bytes); err != nil {
			return err
		}
	}
	if !there { // deleted since
		writeJSON(w, http.StatusOK, shapeUpload(u, nil, a.Clock()))
		return nil
	}
	writeJSON(w, http.StatusOK, shapeUpload(u, &f, a.Clock()))
	return nil
}

// completed returns the file of an upload whose completion has begun, and
// whether it is there: then the upload is completed, whatever else failed.
func (a *api) completed(ctx context.Context, u batch.Upload) (f batch.File, there bool, err error) {
	if !u.Begun() {
		return batch.File{}, false, nil
	}
	f, err = a.Files.File(ctx, u.Tenant, u.FileID)
	if errors.Is(err, batch.ErrNotFound) {
		return batch.File{}, false, nil
	}
	if err != nil {
		return batch.File{}, false, fmt.Errorf("api: read file: %w", err)
	}
	return f, true, nil
}

// finishUpload records that u's file of so many bytes is there, and drops its
// parts.
func (a *api) finishUpload(ctx context.Context, u batch.Upload, size int64) (batch.Upload, error) {
	u, err := a.Uploads.UpdateUpload(ctx, u.Tenant, u.ID, (*batch.Upload).Complete)
	if err != nil {
		return batch.Upload{}, fmt.Errorf("api: complete upload: %w", err)
	}
	a.dropParts(ctx, u)
	a.updateQuota(ctx, u.Tenant, func(quota *tenant.Quota) {
		quota.CloseUpload(u.ID)
		quota.AddFile(u.FileID, size, a.Clock())
	})
	return u, nil
}

// A completion says which parts an upload's file is made of.
type completion struct {
	ids   []string
	order string // of ids
	sum   string // MD5 that the whole has; empty: not said
}

// readCompletion reads the parts' ids and, if it is there, the MD5 of the whole.
func readCompletion(w http.ResponseWriter, r *http.Request) (completion, error) {
	f, err := readFields(w, r, "part_ids", "md5")
	if err != nil {
		return completion{}, err
	}
	var c completion
	if c.ids, err = f.texts("part_ids"); err != nil {
		return completion{}, err
	}
	if !f.absent("md5") {
		if c.sum, err = f.text("md5"); err != nil {
			return completion{}, err
		}
	}
	if len(c.ids) == 0 || len(c.ids) > batch.MaxUploadParts {
		return completion{}, badRequest("part_ids", batch.CodeInvalidValue,
			"Invalid 'part_ids': expected 1 to %d parts, but got %d.", batch.MaxUploadParts, len(c.ids))
	}
	seen := make(map[string]bool, len(c.ids))
	for _, id := range c.ids {
		if _, ok := batch.ParseID(batch.PrefixPart, id); !ok {
			return completion{}, noPart(id)
		}
		if seen[id] {
			return completion{}, badRequest("part_ids", batch.CodeInvalidValue, "Invalid 'part_ids': '%s' is named twice.", id)
		}
		seen[id] = true
	}
	c.order = batch.PartOrder(c.ids)
	return c, nil
}

// makeOrFind makes the file of u's parts, and returns it and whether it is there.
// Another completion of the same parts may have been faster, and have dropped
// the parts meanwhile: then its file is returned, unless it was deleted since. It
// returns batch.ErrUploadJoining while another completion makes it.
func (a *api) makeOrFind(ctx context.Context, u batch.Upload, c completion) (batch.File, bool, error) {
	f, err := a.make(ctx, u, c)
	if err == nil {
		return f, true, nil
	}
	now, again := a.Uploads.Upload(ctx, u.Tenant, u.ID)
	if again != nil {
		return batch.File{}, false, errors.Join(err, again)
	}
	f, there, again := a.completed(ctx, now)
	switch {
	case again != nil:
		return batch.File{}, false, errors.Join(err, again)
	case there, now.Status == batch.UploadCompleted:
		return f, there, now.Matches(c.order, c.sum)
	case errors.Is(err, batch.ErrExists):
		return batch.File{}, false, batch.ErrUploadOrder
	}
	return batch.File{}, false, err
}

// make makes the file of u's parts. What is wrong with a completion is said
// before the parts are read, where that can be known: which parts there are and
// what they have together, by a call for each 1,000, and an MD5 that was read of
// them before.
func (a *api) make(ctx context.Context, u batch.Upload, c completion) (batch.File, error) {
	sizes, err := a.sizes(ctx, u, c.ids)
	if err != nil {
		return batch.File{}, err
	}
	now := a.Clock()
	fileID, err := batch.NewID(batch.PrefixFile, now, a.Random) // new each time: it names this completion too
	if err != nil {
		return batch.File{}, fmt.Errorf("api: upload: %w", err)
	}
	u, err = a.Uploads.UpdateUpload(ctx, u.Tenant, u.ID, func(u *batch.Upload) error {
		err := u.Try(c.order, c.sum, fileID, now)
		if err == nil || errors.Is(err, batch.ErrUploadTries) { // the last try may go on
			err = cmp.Or(u.Join(fileID, now), err)
		}
		return err
	})
	if err != nil {
		return batch.File{}, fmt.Errorf("api: try completion: %w", err)
	}
	f := batch.File{Tenant: u.Tenant, ID: u.FileID, Name: u.Name, Purpose: u.Purpose}
	err = a.holding(ctx, u, fileID, func(ctx context.Context) error { return a.join(ctx, &f, u, c, sizes) })
	return f, err
}

// join makes f of u's parts, which have these sizes.
func (a *api) join(ctx context.Context, f *batch.File, u batch.Upload, c completion, sizes []int64) error {
	parts := newJoined(ctx, len(c.ids), func(ctx context.Context, i int) ([]byte, error) {
		return a.Objects.Read(ctx, batch.PartKey(u.Tenant, u.ID, c.ids[i]), 0, sizes[i])
	})
	defer parts.stop()
	content := newSummed(parts)
	return a.keep(ctx, f, content, u.FileLife, func(size int64) error {
		if size > u.Bytes { // unpacked; else the upload itself counts as much
			err := a.admit(ctx, u.Tenant, func(quota *tenant.Quota) error {
				return quota.ReserveFile(u.FileID, size, a.Clock(), a.config.Limits)
			})
			if err != nil {
				return err
			}
		}
		return a.begin(ctx, u, c, content.sum())
	})
}

// begin begins u's completion with parts that have this MD5, or remembers it if
// it is not the one that was said.
func (a *api) begin(ctx context.Context, u batch.Upload, c completion, sum string) error {
	wrong := c.sum != "" && !strings.EqualFold(c.sum, sum)
	_, err := a.Uploads.UpdateUpload(ctx, u.Tenant, u.ID, func(u *batch.Upload) error {
		if wrong {
			u.Saw(c.order, sum)
			return nil
		}
		return u.Begin(c.order, sum, a.Clock())
	})
	if err != nil {
		return fmt.Errorf("api: begin completion: %w", err)
	}
	if wrong {
		return batch.ErrUploadSum
	}
	return nil
}

// sizes returns the parts' sizes. It returns a 400 that names one that is not
// there, or says that together they are not what was declared.
func (a *api) sizes(ctx context.Context, u batch.Upload, ids []string) ([]int64, error) {
	stored, err := a.Objects.List(ctx, batch.PartsKey(u.Tenant, u.ID))
	if err != nil {
		return nil, fmt.Errorf("api: list parts: %w", err)
	}
	known := make(map[string]int64, len(stored))
	for _, s := range stored {
		known[s.Key] = s.Bytes
	}
	sizes, total := make([]int64, len(ids)), int64(0)
	for i, id := range ids {
		n, ok := known[batch.PartKey(u.Tenant, u.ID, id)]
		if !ok {
			return nil, noPart(id)
		}
		sizes[i], total = n, total+n
	}
	if total != u.Bytes {
		return nil, badRequest("part_ids", batch.CodeInvalidValue,
			"The parts have %d bytes together, but the upload was created for %d.", total, u.Bytes)
	}
	return sizes, nil
}

func (a *api) cancelUpload(w http.ResponseWriter, r *http.Request, tenantName string) error {
	u, err := a.upload(r, tenantName)
	if err != nil {
		return err
	}
	if err := readNothing(w, r); err != nil {
		return err
	}
	u, err = a.Uploads.UpdateUpload(r.Context(), tenantName, u.ID, func(u *batch.Upload) error { return u.Cancel(a.Clock()) })
	if err != nil {
		return fmt.Errorf("api: cancel upload: %w", err)
	}
	a.dropParts(r.Context(), u)
	a.updateQuota(r.Context(), tenantName, func(quota *tenant.Quota) { quota.CloseUpload(u.ID) })
	writeJSON(w, http.StatusOK, shapeUpload(u, nil, a.Clock()))
	return nil
}

// dropParts deletes what nobody needs any more. What it fails to delete, the
// bucket's rule for uploads/ does.
func (a *api) dropParts(ctx context.Context, u batch.Upload) {
	if err := a.Objects.DeleteAll(ctx, batch.PartsKey(u.Tenant, u.ID)); err != nil {
		a.Logger.LogAttrs(ctx, slog.LevelWarn, "parts left behind",
			slog.String("upload", u.ID), slog.Any("error", err))
	}
}

// upload returns the upload that r's path names.
func (a *api) upload(r *http.Request, tenant string) (batch.Upload, error) {
	id := r.PathValue("id")
	none := &refusalError{
		status: http.StatusNotFound, param: "id", message: fmt.Sprintf("No such Upload object: %s", clip(id)),
	}
	if _, ok := batch.ParseID(batch.PrefixUpload, id); !ok {
		return batch.Upload{}, none
	}
	u, err := a.Uploads.Upload(r.Context(), tenant, id)
	if errors.Is(err, batch.ErrNotFound) {
		return batch.Upload{}, none
	}
	if err != nil {
		return batch.Upload{}, fmt.Errorf("api: read upload: %w", err)
	}
	return u, nil
}

func noPart(id string) error {
	return badRequest("part_ids", batch.CodeInvalidValue, "No such part of this upload: %s", clip(id))
}
