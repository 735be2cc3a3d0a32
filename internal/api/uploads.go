package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// mostParts bounds an upload: S3's own largest number of parts, too.
	mostParts = 10_000
	// sizesAtOnce is how many parts' sizes are asked for at once.
	sizesAtOnce = 20
)

func (a *api) createUpload(w http.ResponseWriter, r *http.Request, tenant string) error {
	f, err := readFields(w, r)
	if err != nil {
		return err
	}
	u, err := a.readUpload(f)
	if err != nil {
		return err
	}
	now := a.Clock()
	u.Tenant, u.Status, u.CreatedAt = tenant, batch.UploadPending, now.UTC().Truncate(time.Millisecond)
	if u.ID, err = batch.NewID(batch.PrefixUpload, now, a.Random); err != nil {
		return fmt.Errorf("api: upload: %w", err)
	}
	if err := a.Uploads.CreateUpload(r.Context(), u); err != nil {
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
		if plain, _ := plainName(u.Name); !isJSONL(plain) {
			return u, badRequest("filename", "invalid_file_format", "Invalid file format for Batch API. Must be .jsonl")
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

// addPart stores a part. Its record is its object: parts may come in parallel,
// in any order, and a part that is sent again is another part.
func (a *api) addPart(w http.ResponseWriter, r *http.Request, tenant string) error {
	u, err := a.upload(r, tenant)
	if err != nil {
		return err
	}
	now := a.Clock()
	if s := u.StatusAt(now); s != batch.UploadPending {
		return &batch.UploadError{Op: "add a part to", Status: s}
	}
	form, err := readForm(w, r, "data", a.config.MaxBody)
	if err != nil {
		return err
	}
	switch {
	case !form.hasFile:
		return missing("data")
	case len(form.file) == 0:
		return badRequest("data", "empty_file", "The part is empty.")
	}
	id, err := batch.NewID(batch.PrefixPart, now, a.Random)
	if err != nil {
		return fmt.Errorf("api: part: %w", err)
	}
	if err := a.Objects.Put(r.Context(), batch.PartKey(tenant, u.ID, id), form.file); err != nil {
		return fmt.Errorf("api: put part: %w", err)
	}
	writeJSON(w, http.StatusOK, partShape{ID: id, Object: "upload.part", CreatedAt: now.Unix(), UploadID: u.ID})

	return nil
}

// completeUpload makes the file of an upload's parts. What a crash after each
// write leaves, a repeated call goes on from:
//
//	the order of the parts  another order is refused, so that two callers never mix two files
//	the file's bytes        they are written again, the same
//	the file's record       it is there already
//	the upload's status     the call returns the file; the parts are left to the bucket's rule for uploads/
func (a *api) completeUpload(w http.ResponseWriter, r *http.Request, tenant string) error {
	ctx := r.Context()
	u, err := a.upload(r, tenant)
	if err != nil {
		return err
	}
	ids, sum, err := readCompletion(w, r)
	if err != nil {
		return err
	}
	switch s := u.StatusAt(a.Clock()); {
	case s == batch.UploadPending:
		if u, err = a.assemble(ctx, u, ids, sum); err != nil {
			return err
		}
	case s != batch.UploadCompleted || !slices.Equal(u.Parts, ids):
		return &batch.UploadError{Op: "complete", Status: s}
	}
	f, err := a.Files.File(ctx, tenant, u.FileID)
	if errors.Is(err, batch.ErrNotFound) { // deleted since
		writeJSON(w, http.StatusOK, shapeUpload(u, nil, a.Clock()))

		return nil
	}
	if err != nil {
		return fmt.Errorf("api: read file: %w", err)
	}
	writeJSON(w, http.StatusOK, shapeUpload(u, &f, a.Clock()))

	return nil
}

// readCompletion reads the parts' ids and, if it is there, the MD5 of the whole.
func readCompletion(w http.ResponseWriter, r *http.Request) (ids []string, sum string, err error) {
	f, err := readFields(w, r)
	if err != nil {
		return nil, "", err
	}
	if ids, err = f.texts("part_ids"); err != nil {
		return nil, "", err
	}
	if !f.absent("md5") {
		if sum, err = f.text("md5"); err != nil {
			return nil, "", err
		}
	}
	if len(ids) == 0 || len(ids) > mostParts {
		return nil, "", badRequest("part_ids", batch.CodeInvalidValue,
			"Invalid 'part_ids': expected 1 to %d parts, but got %d.", mostParts, len(ids))
	}
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		if _, ok := batch.ParseID(batch.PrefixPart, id); !ok {
			return nil, "", noPart(id)
		}
		if seen[id] {
			return nil, "", badRequest("part_ids", batch.CodeInvalidValue, "Invalid 'part_ids': '%s' is named twice.", id)
		}
		seen[id] = true
	}

	return ids, sum, nil
}

// assemble makes the file of u's parts and returns u completed.
func (a *api) assemble(ctx context.Context, u batch.Upload, ids []string, sum string) (batch.Upload, error) {
	sizes, err := a.sizes(ctx, u, ids)
	if err != nil {
		return batch.Upload{}, err
	}
	total := int64(0)
	for _, n := range sizes {
		total += n
	}
	if total != u.Bytes {
		return batch.Upload{}, badRequest("part_ids", batch.CodeInvalidValue,
			"The parts have %d bytes together, but the upload was created for %d.", total, u.Bytes)
	}
	now := a.Clock()
	fileID, err := batch.NewID(batch.PrefixFile, now, a.Random)
	if err != nil {
		return batch.Upload{}, fmt.Errorf("api: upload: %w", err)
	}
	u, err = a.Uploads.UpdateUpload(ctx, u.Tenant, u.ID, func(u *batch.Upload) error { return u.Begin(ids, fileID, now) })
	if err != nil {
		return batch.Upload{}, fmt.Errorf("api: begin completion: %w", err)
	}
	if err := a.join(ctx, u, sizes, sum); err != nil {
		var told *refusalError
		if !errors.As(err, &told) {
			return batch.Upload{}, err
		}
		// Other parts may do: the user is told what is wrong with these.
		_, reopened := a.Uploads.UpdateUpload(ctx, u.Tenant, u.ID, (*batch.Upload).Reopen)

		return batch.Upload{}, errors.Join(err, reopened)
	}
	u, err = a.Uploads.UpdateUpload(ctx, u.Tenant, u.ID, (*batch.Upload).Complete)
	if err != nil {
		return batch.Upload{}, fmt.Errorf("api: complete upload: %w", err)
	}
	a.dropParts(ctx, u)

	return u, nil
}

// join writes u's parts as its file.
func (a *api) join(ctx context.Context, u batch.Upload, sizes []int64, sum string) error {
	parts := newJoined(ctx, len(u.Parts), func(ctx context.Context, i int) ([]byte, error) {
		return a.Objects.Read(ctx, batch.PartKey(u.Tenant, u.ID, u.Parts[i]), 0, sizes[i])
	})
	defer parts.stop()
	var content io.Reader = parts
	if sum != "" {
		content = newSummed(parts, sum)
	}
	f := batch.File{Tenant: u.Tenant, ID: u.FileID, Name: u.Name, Purpose: u.Purpose}

	return a.keep(ctx, &f, content, u.FileLife)
}

// sizes returns the parts' sizes, or a 400 that names one that is not there.
func (a *api) sizes(ctx context.Context, u batch.Upload, ids []string) ([]int64, error) {
	sizes := make([]int64, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sizesAtOnce)
	for i, id := range ids {
		group.Go(func() error {
			n, err := a.Objects.Size(ctx, batch.PartKey(u.Tenant, u.ID, id))
			if errors.Is(err, batch.ErrNoObject) {
				return noPart(id)
			}
			sizes[i] = n

			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("api: sizes of parts: %w", err)
	}

	return sizes, nil
}

func (a *api) cancelUpload(w http.ResponseWriter, r *http.Request, tenant string) error {
	u, err := a.upload(r, tenant)
	if err != nil {
		return err
	}
	u, err = a.Uploads.UpdateUpload(r.Context(), tenant, u.ID, func(u *batch.Upload) error { return u.Cancel(a.Clock()) })
	if err != nil {
		return fmt.Errorf("api: cancel upload: %w", err)
	}
	a.dropParts(r.Context(), u)
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
