package multipart

import (
	"context"
	"fmt"
	"slices"

	"github.com/musketry/musketry/internal/batch"
)

// A Batches keeps the records with the cursors.
type Batches interface {
	// UpdateBatch changes a batch, guarded by its revision.
	UpdateBatch(ctx context.Context, ref batch.Ref, change func(*batch.Batch) error) (batch.Batch, error)
}

// An Objects writes objects that need no parts.
type Objects interface {
	// PutNew returns batch.ErrExists, and leaves what is there, if other bytes
	// have this name.
	PutNew(ctx context.Context, key string, body []byte) error
}

// An Uploads writes objects in parts.
type Uploads interface {
	StartParts(ctx context.Context, key string) (uploadID string, err error)
	// PutPart writes part n, from 1 to 10,000, in place of an earlier one. All
	// but the last must have at least 5 MiB. The sum depends on the bytes alone.
	PutPart(ctx context.Context, key, uploadID string, n int, body []byte) (sum string, err error)
	// FinishParts joins the parts. It is idempotent. It returns batch.ErrExists,
	// and leaves what is there, if other parts were joined.
	FinishParts(ctx context.Context, key, uploadID string, sums []string) error
	// AbortParts drops an upload. One that is not there is no error.
	AbortParts(ctx context.Context, key, uploadID string) error
}

// A Writer writes one object. All fields are needed.
type Writer struct {
	Batches Batches
	Objects Objects
	Uploads Uploads
	Key     string                              // of the object
	Cursor  func(*batch.Batch) *batch.Multipart // which one of a record's is the object's
}

// A Chunk is a run of lines on their way into an object.
type Chunk struct {
	Bytes []byte
	Lines int // that Bytes has
	After int // the line of a batch after which it begins
	Line  int // the last line of that batch that it covers
}

// Put uploads c as the next part, and then moves the cursor past its lines unless
// another writer has. It reports whether the cursor stands where c ends; if not,
// the other is ahead.
func (w Writer) Put(ctx context.Context, b batch.Batch, c Chunk) (batch.Batch, bool, error) {
	b, err := w.start(ctx, b)
	if err != nil {
		return b, false, err
	}
	cursor := *w.Cursor(&b)
	if cursor.Done || cursor.Line != c.After {
		return b, false, nil
	}
	n := len(cursor.Parts) + 1
	sum, err := w.Uploads.PutPart(ctx, w.Key, cursor.UploadID, n, c.Bytes)
	if err != nil {
		return b, false, fmt.Errorf("upload part %d: %w", n, err)
	}
	b, err = w.Batches.UpdateBatch(ctx, b.Ref, func(b *batch.Batch) error {
		if m := w.Cursor(b); !m.Done && m.Line == c.After {
			m.Parts, m.Digest = append(slices.Clone(m.Parts), sum), m.Digest.Append(m.Bytes, c.Bytes)
			m.Line, m.Lines, m.Bytes = c.Line, m.Lines+c.Lines, m.Bytes+int64(len(c.Bytes))
		}
		return nil
	})
	if err != nil {
		return b, false, fmt.Errorf("move the cursor: %w", err)
	}
	cursor = *w.Cursor(&b)
	return b, !cursor.Done && cursor.Line == c.Line, nil
}

// start begins the upload unless that was done. Of two who begin at the same time
// one is heard, and the other drops what it began. An upload that a crash leaves
// unheard of is dropped by the bucket's lifecycle.
func (w Writer) start(ctx context.Context, b batch.Batch) (batch.Batch, error) {
	if w.Cursor(&b).UploadID != "" {
		return b, nil
	}
	id, err := w.Uploads.StartParts(ctx, w.Key)
	if err != nil {
		return b, fmt.Errorf("start upload: %w", err)
	}
	b, err = w.Batches.UpdateBatch(ctx, b.Ref, func(b *batch.Batch) error {
		if m := w.Cursor(b); m.UploadID == "" && !m.Done {
			m.UploadID = id
		}
		return nil
	})
	if err != nil {
		return b, fmt.Errorf("record the upload: %w", err)
	}
	if w.Cursor(&b).UploadID == id {
		return b, nil
	}
	if err := w.Uploads.AbortParts(ctx, w.Key, id); err != nil {
		return b, fmt.Errorf("drop the second upload: %w", err)
	}
	return b, nil
}

// A Whole is what an object that is whole has.
type Whole struct {
	Bytes  int64
	Digest batch.Digest
}

// Finish writes c, which may be all or nothing of the object, and joins the parts.
// It reports whether the object is whole; if not, another writer is ahead.
func (w Writer) Finish(ctx context.Context, b batch.Batch, c Chunk) (batch.Batch, Whole, bool, error) {
	if len(w.Cursor(&b).Parts) == 0 {
		if err := w.Objects.PutNew(ctx, w.Key, c.Bytes); err != nil {
			return b, Whole{}, false, fmt.Errorf("put: %w", err)
		}
		return b, Whole{Bytes: int64(len(c.Bytes)), Digest: batch.Digest("").Append(0, c.Bytes)}, true, nil
	}
	if len(c.Bytes) > 0 {
		var ours bool
		var err error
		if b, ours, err = w.Put(ctx, b, c); err != nil || !ours {
			return b, Whole{}, false, err
		}
	}
	cursor := w.Cursor(&b)
	if err := w.Uploads.FinishParts(ctx, w.Key, cursor.UploadID, cursor.Parts); err != nil {
		return b, Whole{}, false, fmt.Errorf("finish upload: %w", err)
	}
	return b, Whole{Bytes: cursor.Bytes, Digest: cursor.Digest}, true, nil
}
