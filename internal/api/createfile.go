package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/tenant"
)

const (
	// partBytes is how much of a file is in memory at a time, what is looked at of its start, and the size of
	// S3's parts: at least 5 MiB, and 10,000 of them at most
	// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html).
	partBytes = batch.StartBytes
	// abortFor bounds the tidying up after a write that failed.
	abortFor = 10 * time.Second
)

// createFile stores a file that one request carries. Its bytes come first and
// its record last: a crash in between leaves bytes that no file names, and the
// user, who got no answer, uploads again.
func (a *api) createFile(w http.ResponseWriter, r *http.Request, tenant string) error {
	form, err := readForm(w, r, a.config.MaxBody, "file", "purpose", fieldLife, fieldAnchor, fieldSeconds)
	if err != nil {
		return err
	}
	f := batch.File{Tenant: tenant, Name: form.filename}
	if f.Purpose, err = form.purpose(); err != nil {
		return err
	}
	life, err := form.life()
	if err != nil {
		return err
	}
	switch {
	case !form.hasFile:
		return missing("file")
	case form.filename == "":
		return badRequest("file", batch.CodeInvalidValue, "The part 'file' of the form names no filename.")
	case len(form.file) == 0 && f.Purpose != batch.PurposeBatch:
		return badRequest("file", "empty_file", "The file is empty.")
	}
	if f.ID, err = batch.NewID(batch.PrefixFile, a.Clock(), a.Random); err != nil {
		return fmt.Errorf("api: file: %w", err)
	}
	if err := a.create(r.Context(), &f, form.file, life); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, shapeFile(f))
	return nil
}

// create stores body as f, whose size counts before there is a file. A crash in
// between leaves a file that counts and is not there, until whoever meets the
// limit counts files.
func (a *api) create(ctx context.Context, f *batch.File, body []byte, life time.Duration) error {
	now, sent := a.Clock(), int64(len(body))
	err := a.admit(ctx, f.Tenant, func(q *tenant.Quota) error {
		if err := q.CountCreate(now, a.config.Limits); err != nil {
			return err
		}
		return q.ReserveFile(f.ID, sent, now, a.config.Limits)
	})
	if err != nil {
		return err
	}
	err = a.keep(ctx, f, bytes.NewReader(body), life, func(size int64) error {
		if size == sent {
			return nil
		}
		return a.admit(ctx, f.Tenant, func(q *tenant.Quota) error { return q.ReserveFile(f.ID, size, now, a.config.Limits) })
	})
	if err != nil {
		a.updateQuota(ctx, f.Tenant, func(q *tenant.Quota) { q.CancelReservation(f.ID) })
	}
	return err
}

// keep stores what content has as f, whose id, name and purpose are set, and
// sets the rest. It returns a 400 if the content does not suit the purpose. A
// file for batches that is compressed, by its name or its bytes, is stored
// unpacked, since requests are read from the middle of it. commit is called with its size when all of content has been read and found
// good, right before its bytes get f's name; an error of it is returned as it is,
// and there is no file.
func (a *api) keep(
	ctx context.Context, f *batch.File, content io.Reader, life time.Duration, commit func(size int64) error,
) error {
	limit, check := a.config.MaxFileBytes, func([]byte) error { return nil }
	if f.Purpose == batch.PurposeBatch {
		limit, check = a.config.MaxInputBytes, batch.CheckStart
		plain, packed := batch.PlainName(f.Name)
		if err := batch.CheckName(plain, "file"); err != nil {
			return err
		}
		f.Name, content = plain, batch.Unpack(content, packed)
	}
	if life == 0 {
		life = a.config.FileLife
	}
	var err error
	hash := sha256.New()
	if f.Bytes, err = a.write(ctx, f.ObjectKey(), io.TeeReader(content, hash), limit, check, commit); err != nil {
		return err
	}
	f.SHA256 = hex.EncodeToString(hash.Sum(nil))
	f.CreatedAt, _ = batch.ParseID(batch.PrefixFile, f.ID) // so that lists, which sort by id, are in the order of it
	f.ExpiresAt = f.CreatedAt.Add(life)
	err = a.Files.CreateFile(ctx, *f)
	if errors.Is(err, batch.ErrExists) { // made by an earlier try of the same upload
		*f, err = a.Files.File(ctx, f.Tenant, f.ID)
	}
	if err != nil {
		return fmt.Errorf("api: create file: %w", err)
	}
	return nil
}

// write stores content under key in memory of two parts, and returns its size.
// check is asked about its start, partBytes of it at most. It returns a 400 if
// content is larger than limit or breaks off, batch.ErrExists if key has other
// bytes, and commit's error, which is called before key has any.
func (a *api) write(
	ctx context.Context, key string, content io.Reader, limit int64, check func(head []byte) error, commit func(size int64) error,
) (int64, error) {
	content = io.LimitReader(content, limit+1)
	head, err := readPart(content)
	if err != nil {
		return 0, err
	}
	switch err := check(head); {
	case err != nil:
		return 0, err
	case int64(len(head)) > limit:
		return 0, batch.FileTooLarge(limit)
	}
	if len(head) < partBytes {
		if err := commit(int64(len(head))); err != nil {
			return 0, err
		}
		if err := a.Objects.PutNew(ctx, key, head); err != nil {
			return 0, fmt.Errorf("api: put content: %w", err)
		}
		return int64(len(head)), nil
	}
	upload, err := a.Parts.StartParts(ctx, key)
	if err != nil {
		return 0, fmt.Errorf("api: start parts: %w", err)
	}
	size, err := a.writeParts(ctx, key, upload, head, content, limit, commit)
	if err != nil {
		tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortFor)
		defer cancel()
		// What this leaves behind, the bucket's rule for unfinished uploads removes.
		_ = a.Parts.AbortParts(tidy, key, upload)
		return 0, err
	}
	return size, nil
}

func (a *api) writeParts(
	ctx context.Context, key, upload string, part []byte, rest io.Reader, limit int64, commit func(size int64) error,
) (size int64, err error) {
	var sums []string
	for len(part) > 0 {
		if size += int64(len(part)); size > limit {
			return 0, batch.FileTooLarge(limit)
		}
		sum, err := a.Parts.PutPart(ctx, key, upload, len(sums)+1, part)
		if err != nil {
			return 0, fmt.Errorf("api: put part: %w", err)
		}
		sums = append(sums, sum)
		if part, err = readPart(rest); err != nil {
			return 0, err
		}
	}
	if err := commit(size); err != nil {
		return 0, err
	}
	if err := a.Parts.FinishParts(ctx, key, upload, sums); err != nil {
		return 0, fmt.Errorf("api: finish parts: %w", err)
	}
	return size, nil
}

// readPart reads the next part; it is shorter than partBytes at the end only,
// and empty behind it.
func readPart(content io.Reader) ([]byte, error) {
	part := new(bytes.Buffer)
	switch _, err := io.CopyN(part, content, partBytes); {
	case err == nil || errors.Is(err, io.EOF):
		return part.Bytes(), nil
	default:
		return nil, fmt.Errorf("api: read content: %w", err)
	}
}
