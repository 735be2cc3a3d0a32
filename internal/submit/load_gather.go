package submit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/multipart"
	"github.com/musketry/musketry/internal/state"
)

// maxSkip is how many bytes of lines that are not copied are read along rather
// than asked around: a request costs as much time as some 100 KB take.
const maxSkip = 256 << 10

// gather makes the input file of a retry: the lines of the requests of another
// batch, which has ended, that were not completed, byte by byte as they were. It
// goes on from its cursor, and stops where validation would, or when time runs
// short. It returns ErrSlow if that is before the cursor has moved, so that its
// caller's repeats are bounded.
//
// What a crash after each write leaves:
//
//	the upload's start  an upload of nothing, dropped by the bucket's rule for unfinished uploads
//	a part              it is written again, the same: where it ends follows from the lines
//	the cursor          the next load goes on behind it
//	the finished file   it is finished again, which is idempotent
//	the file's record   it is there already
//	the mark of its end the next load takes the pin off the other batch's file, and validates
func (l *Loader) gather(ctx context.Context, b batch.Batch) (batch.Batch, error) {
	old, err := l.Store.Batch(ctx, batch.Ref{Tenant: b.Tenant, ID: b.RetryOf})
	if errors.Is(err, batch.ErrNotFound) {
		return l.lost(ctx, b)
	}
	if err != nil {
		return batch.Batch{}, fmt.Errorf("read the batch to retry: %w", err)
	}
	in := &copier{open: func(offset int64) (io.ReadCloser, error) {
		return l.Inputs.Open(ctx, batch.FileKey(b.Tenant, b.Gather.From), offset)
	}}
	defer in.close()
	b, err = l.gatherFrom(ctx, b, old, in)
	if errors.Is(err, batch.ErrNoObject) {
		return l.lost(ctx, b)
	}
	return b, err
}

// gatherFrom copies old's lines from b's cursor on.
func (l *Loader) gatherFrom(ctx context.Context, b, old batch.Batch, in *copier) (batch.Batch, error) {
	polled, begun := l.Clock(), b.Gather.File.Line
	w, c := l.writer(b), multipart.Chunk{After: begun, Line: begun}
	for rec, err := range l.Source.Requests(ctx, old.ID, old.Shards, begun) {
		if err != nil {
			return b, fmt.Errorf("requests to retry: %w", err)
		}
		now, over, err := l.gatherOn(ctx, b, &polled, begun)
		if err != nil || over {
			return now, err
		}
		b = now
		c.Line = rec.Spec.Key.Line
		if rec.Phase.Status() == state.StatusCompleted {
			continue
		}
		if c.Bytes, err = in.append(c.Bytes, rec.Spec.Body); err != nil {
			return b, fmt.Errorf("copy line %d: %w", c.Line, err)
		}
		c.Bytes, c.Lines = append(c.Bytes, '\n'), c.Lines+1
		if len(c.Bytes) < l.config.Part {
			continue
		}
		var ours bool
		if b, ours, err = w.Put(ctx, b, c); err != nil || !ours {
			return b, err
		}
		c = multipart.Chunk{Bytes: c.Bytes[:0], After: c.Line, Line: c.Line}
	}
	return l.gathered(ctx, b, old, c)
}

// gatherOn reports whether gathering is over before its end, for a while or for
// good, and returns b as it is then.
func (l *Loader) gatherOn(
	ctx context.Context, b batch.Batch, polled *time.Time, begun int,
) (batch.Batch, bool, error) {
	now, over, err := l.overtaken(ctx, b, polled)
	switch {
	case errors.Is(err, ErrSlow) && b.Gather.File.Line > begun:
		return b, true, nil
	case err != nil:
		return b, true, err
	}
	return now, over || !now.Gathering(), nil
}

// writer returns what writes b's input file.
func (l *Loader) writer(b batch.Batch) multipart.Writer {
	return multipart.Writer{
		Batches: l.Store, Objects: l.Inputs, Uploads: l.Inputs, Key: batch.FileKey(b.Tenant, b.InputFileID),
		Cursor: func(b *batch.Batch) *batch.Multipart { return &b.Gather.File },
	}
}

// gathered ends the file with c, the last chunk, which may be all of it.
func (l *Loader) gathered(ctx context.Context, b, old batch.Batch, c multipart.Chunk) (batch.Batch, error) {
	lines := b.Gather.File.Lines + c.Lines
	if lines == 0 || old.Sealed && lines != old.Counts.Total-old.Counts.Completed {
		return l.lost(ctx, b)
	}
	b, made, whole, err := l.writer(b).Finish(ctx, b, c)
	if err != nil || !whole {
		return b, err
	}
	err = l.Source.CreateFile(ctx, batch.File{
		Tenant: b.Tenant, ID: b.InputFileID, Name: b.ID + "_input.jsonl", Purpose: batch.PurposeBatch, Bytes: made.Bytes,
		SHA256: made.Digest.Sum(), CreatedAt: b.CreatedAt, ExpiresAt: b.CreatedAt.Add(l.config.FileLife), PinnedBy: []string{b.ID},
	})
	if err != nil && !errors.Is(err, batch.ErrExists) {
		return b, fmt.Errorf("create the input file's record: %w", err)
	}
	return l.update(ctx, b.Ref, func(b *batch.Batch) error {
		m := &b.Gather.File
		m.Bytes, m.Done, m.Lines = made.Bytes, true, lines
		return nil
	})
}

// lost refuses a retry of which not everything is there any more.
func (l *Loader) lost(ctx context.Context, b batch.Batch) (batch.Batch, error) {
	return l.refuse(ctx, b, []batch.LineError{{
		Code: batch.CodeInvalidRequest, Param: "retry_of",
		Message: fmt.Sprintf("The requests of batch %s that were not completed are no longer there. "+
			"Upload their lines as a new file, and create a batch of it.", b.RetryOf),
	}})
}

// unpinSource takes a retry's pin off the file from which its own was made.
func (l *Loader) unpinSource(ctx context.Context, b batch.Batch) error {
	if b.RetryOf == "" {
		return nil
	}
	return l.unpin(ctx, b, b.Gather.From)
}

// A copier reads ranges of a file that lie one behind the other.
type copier struct {
	open func(offset int64) (io.ReadCloser, error)
	body io.ReadCloser // nil before the first
	at   int64         // of body
}

// append appends the bytes of span to dst.
func (c *copier) append(dst []byte, span state.Span) ([]byte, error) {
	if err := c.seek(span.Offset); err != nil {
		return dst, err
	}
	start := len(dst)
	dst = slices.Grow(dst, int(span.Length)+1)[:start+int(span.Length)]
	n, err := io.ReadFull(c.body, dst[start:])
	c.at += int64(n)
	if err != nil {
		return dst, fmt.Errorf("read: %w", err)
	}
	return dst, nil
}

// seek has body stand at offset.
func (c *copier) seek(offset int64) error {
	if gap := offset - c.at; c.body != nil && gap >= 0 && gap <= maxSkip {
		n, err := io.CopyN(io.Discard, c.body, gap)
		if c.at += n; err != nil {
			return fmt.Errorf("read on: %w", err)
		}
		return nil
	}
	c.close()
	body, err := c.open(offset)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	c.body, c.at = body, offset
	return nil
}

func (c *copier) close() {
	if c.body != nil {
		_ = c.body.Close() // read only
		c.body = nil
	}
}
