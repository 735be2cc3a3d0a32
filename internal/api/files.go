package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/erase"
)

const (
	mostFiles = 10_000 // of a page, and the default
	// roomForPage bounds a page of files, whose names may be long: an answer has
	// at most 6 MB.
	roomForPage = 4_000_000
)

// uploadPurposes are those that a user may upload files for
// (https://platform.openai.com/docs/api-reference/files/create).
func uploadPurposes() []string {
	return []string{"assistants", "batch", "fine-tune", "vision", "user_data", "evals"}
}

func (a *api) listFiles(w http.ResponseWriter, r *http.Request, tenant string) error {
	q, err := query(r)
	if err != nil {
		return err
	}
	p, err := readPage(q, batch.PrefixFile, mostFiles, mostFiles, true)
	if err != nil {
		return err
	}
	purpose := batch.Purpose(q.Get("purpose"))
	now := a.Clock()
	found, more, err := collect(r.Context(), p,
		func(ctx context.Context, after string, limit int) ([]batch.File, bool, error) {
			return a.Files.Files(ctx, tenant,
				batch.FileQuery{Purpose: purpose, After: after, Limit: limit, Oldest: p.Oldest})
		},
		func(f batch.File) (string, bool) {
			return f.ID, !f.Expired(now) // what is over is hidden; the sweep erases it
		})
	if err != nil {
		return fmt.Errorf("api: list files: %w", err)
	}
	shapes := make([]fileShape, 0, len(found))
	room := 0
	for _, f := range found {
		room += 300 + 6*len(f.Name) // no character takes more in JSON
		if room > roomForPage {
			more = true
			break
		}
		shapes = append(shapes, shapeFile(f))
	}
	writeJSON(w, http.StatusOK, shapeList(shapes, more, func(f fileShape) string { return f.ID }))
	return nil
}

func (a *api) retrieveFile(w http.ResponseWriter, r *http.Request, tenant string) error {
	f, err := a.file(r, tenant)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, shapeFile(f))
	return nil
}

// deleteFile hides the file first, then deletes its bytes, then its record. A
// crash in between leaves a file that nobody sees, whose deletion another
// DELETE finishes, or the sweep once its life would have been over.
func (a *api) deleteFile(w http.ResponseWriter, r *http.Request, tenant string) error {
	ctx, id := r.Context(), r.PathValue("id")
	if _, ok := batch.ParseID(batch.PrefixFile, id); !ok {
		return noFile(id, "id")
	}
	f, err := a.Files.File(ctx, tenant, id)
	if errors.Is(err, batch.ErrNotFound) {
		return noFile(id, "id")
	}
	if err != nil {
		return fmt.Errorf("api: read file: %w", err)
	}
	orphans, err := f.Orphans(a.Clock(), a.find(ctx))
	if err != nil {
		return err
	}
	switch unfinished, err := f.Unfinished(a.find(ctx)); {
	case err != nil:
		return err
	case unfinished:
		return inUse(f.ID, f.Batch)
	}
	end := f.ExpiresAt
	f, err = a.Files.UpdateFile(ctx, tenant, id, func(f *batch.File) error {
		f.Unpin(orphans...)
		if len(f.PinnedBy) > 0 {
			return inUse(f.ID, f.PinnedBy[0])
		}
		if now := a.Clock().UTC().Truncate(time.Millisecond); !f.Expired(now) {
			f.ExpiresAt = now
		}
		return nil
	})
	if errors.Is(err, batch.ErrNotFound) {
		return noFile(id, "id")
	}
	if err != nil {
		return fmt.Errorf("api: hide file: %w", err)
	}
	if err := a.erase(ctx, f, end); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, deletedShape{ID: id, Object: "file", Deleted: true})
	return nil
}

// erase erases a file that nobody sees any more, whose life was over at end. It is
// deleted even where it counts still.
func (a *api) erase(ctx context.Context, f batch.File, end time.Time) error {
	e := erase.Eraser{Files: a.Files, Objects: a.Objects, Clock: a.Clock}
	if a.bounded() {
		e.Quotas = a.Quotas
	}
	switch err := e.Erase(ctx, f, end); {
	case errors.Is(err, erase.ErrCounts):
		a.leftBehind(ctx, f.Tenant, err)
	case err != nil:
		return fmt.Errorf("api: erase file: %w", err)
	}
	return nil
}

func inUse(file, batch string) error {
	return &refusalError{
		status: http.StatusConflict, code: "file_in_use", param: "id",
		message: fmt.Sprintf("File '%s' is in use by batch '%s' and cannot be deleted before that ends.", file, batch),
	}
}

// file returns the file that r's path names.
func (a *api) file(r *http.Request, tenant string) (batch.File, error) {
	id := r.PathValue("id")
	if _, ok := batch.ParseID(batch.PrefixFile, id); !ok {
		return batch.File{}, noFile(id, "id")
	}
	f, err := a.Files.File(r.Context(), tenant, id)
	if errors.Is(err, batch.ErrNotFound) {
		return batch.File{}, noFile(id, "id")
	}
	if err != nil {
		return batch.File{}, fmt.Errorf("api: read file: %w", err)
	}
	now := a.Clock()
	if !f.ExpiresAt.IsZero() && !now.Before(f.ExpiresAt) && len(f.PinnedBy) > 0 {
		// Only a batch that is there prolongs a file's life.
		orphans, err := f.Orphans(now, a.find(r.Context()))
		if err != nil {
			return batch.File{}, err
		}
		f.Unpin(orphans...)
	}
	if f.Expired(now) {
		return batch.File{}, noFile(id, "id")
	}
	return f, nil
}

// find returns how a batch is found that a file names.
func (a *api) find(ctx context.Context) batch.Find {
	return func(ref batch.Ref) (batch.Batch, error) {
		b, err := a.Batches.Batch(ctx, ref)
		if err != nil {
			return b, fmt.Errorf("api: read a file's batch: %w", err)
		}
		return b, nil
	}
}

func noFile(id, param string) error {
	return &refusalError{
		status: http.StatusNotFound, param: param, message: fmt.Sprintf("No such File object: %s", clip(id)),
	}
}
