package submit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/musketry/musketry/internal/batch"
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
//	the upload's start  an upload of nothing, or a second one, dropped by the bucket's rule for unfinished uploads
//	a part              it is written again, the same: where it ends follows from the lines
//	the cursor          the next load goes on behind it
//	the finished file   it is finished again, which changes nothing
//	the file's record   it is there already
//	the mark of its end the next load takes the pin off the other batch's file, and validates
func (l *Loader) gather(ctx context.Context, b batch.Batch) (batch.Batch, error) {
	old, err := l.store.Batch(ctx, batch.Ref{Tenant: b.Tenant, ID: b.RetryOf})
	if errors.Is(err, batch.ErrNotFound) {
		return l.lost(ctx, b)
	}
	if err != nil {
		return batch.Batch{}, fmt.Errorf("read the batch to retry: %w", err)
	}
	in := &copier{open: func(offset int64) (io.ReadCloser, error) {
		return l.inputs.Open(ctx, batch.FileKey(b.Tenant, b.Gather.From), offset)
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
	polled, begun := l.clock(), b.Gather.File.Line
	p := piece{after: begun, line: begun}
	for rec, err := range l.source.Requests(ctx, old.ID, old.Shards, begun) {
		if err != nil {
			return b, fmt.Errorf("requests to retry: %w", err)
		}
		now, over, err := l.gatherOn(ctx, b, &polled, begun)
		if err != nil || over {
			return now, err
		}
		b = now
		p.line = rec.Spec.Key.Line
		if rec.Phase.Status() == state.StatusCompleted {
			continue
		}
		if err := p.add(in, rec.Spec.Body); err != nil {
			return b, fmt.Errorf("copy line %d: %w", p.line, err)
		}
		if len(p.bytes) < l.config.Part {
			continue
		}
		var ours bool
		if b, ours, err = l.putPart(ctx, b, p); err != nil || !ours {
			return b, err
		}
		p = piece{bytes: p.bytes[:0], after: p.line, line: p.line}
	}
	return l.gathered(ctx, b, old, p)
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

// gathered ends the file with p, the last piece, which may be all of it.
func (l *Loader) gathered(ctx context.Context, b, old batch.Batch, p piece) (batch.Batch, error) {
	lines := b.Gather.Lines + p.lines
	if lines == 0 || old.Sealed && lines != old.Counts.Total-old.Counts.Completed {
		return l.lost(ctx, b)
	}
	size := b.Gather.File.Bytes + int64(len(p.bytes))
	digest := b.Gather.File.Digest.Append(b.Gather.File.Bytes, p.bytes)
	if len(b.Gather.File.Parts) == 0 {
		if err := l.inputs.PutNew(ctx, batch.FileKey(b.Tenant, b.InputFileID), p.bytes); err != nil {
			return b, fmt.Errorf("put input file: %w", err)
		}
	} else if next, err := l.finishParts(ctx, b, p); err != nil || next.Gather.File.Line != p.line {
		return next, err
	}
	err := l.source.CreateFile(ctx, batch.File{
		Tenant: b.Tenant, ID: b.InputFileID, Name: b.ID + "_input.jsonl", Purpose: batch.PurposeBatch, Bytes: size, SHA256: digest.Sum(),
		CreatedAt: b.CreatedAt, ExpiresAt: b.CreatedAt.Add(l.config.FileLife), PinnedBy: []string{b.ID},
	})
	if err != nil && !errors.Is(err, batch.ErrExists) {
		return b, fmt.Errorf("create the input file's record: %w", err)
	}
	return l.update(ctx, b.Ref, func(b *batch.Batch) error {
		b.Gather.File.Bytes, b.Gather.File.Done, b.Gather.Lines = size, true, lines
		return nil
	})
}

// finishParts uploads p, unless it is empty, and joins the parts.
func (l *Loader) finishParts(ctx context.Context, b batch.Batch, p piece) (batch.Batch, error) {
	if len(p.bytes) > 0 {
		var ours bool
		var err error
		if b, ours, err = l.putPart(ctx, b, p); err != nil || !ours {
			return b, err
		}
	}
	f := b.Gather.File
	if err := l.inputs.FinishParts(ctx, batch.FileKey(b.Tenant, b.InputFileID), f.UploadID, f.Parts); err != nil {
		return b, fmt.Errorf("finish input file: %w", err)
	}
	b.Gather.File.Line = p.line // nothing behind the cursor was worth a part
	return b, nil
}

// putPart uploads p, and then moves the cursor past its lines unless another
// load has done so. It reports whether the cursor stands where p ends; if not,
// the other is ahead.
func (l *Loader) putPart(ctx context.Context, b batch.Batch, p piece) (batch.Batch, bool, error) {
	b, err := l.startParts(ctx, b)
	if err != nil {
		return b, false, err
	}
	if b.Gather.File.Done || b.Gather.File.Line != p.after {
		return b, false, nil
	}
	f := b.Gather.File
	tag, err := l.inputs.PutPart(ctx, batch.FileKey(b.Tenant, b.InputFileID), f.UploadID, len(f.Parts)+1, p.bytes)
	if err != nil {
		return b, false, fmt.Errorf("upload part %d of the input file: %w", len(f.Parts)+1, err)
	}
	b, err = l.update(ctx, b.Ref, func(b *batch.Batch) error {
		if f := &b.Gather.File; !f.Done && f.Line == p.after {
			f.Parts, f.Digest = append(slices.Clone(f.Parts), tag), f.Digest.Append(f.Bytes, p.bytes)
			f.Line, f.Bytes = p.line, f.Bytes+int64(len(p.bytes))
			b.Gather.Lines += p.lines
		}
		return nil
	})
	return b, err == nil && !b.Gather.File.Done && b.Gather.File.Line == p.line, err
}

// startParts begins the upload of b's input file unless that was done. Of two
// who begin at the same time one is heard; what the other began is dropped by
// the bucket's rule for unfinished uploads.
func (l *Loader) startParts(ctx context.Context, b batch.Batch) (batch.Batch, error) {
	if b.Gather.File.UploadID != "" {
		return b, nil
	}
	id, err := l.inputs.StartParts(ctx, batch.FileKey(b.Tenant, b.InputFileID))
	if err != nil {
		return b, fmt.Errorf("start upload of the input file: %w", err)
	}
	return l.update(ctx, b.Ref, func(b *batch.Batch) error {
		if f := &b.Gather.File; f.UploadID == "" && !f.Done {
			f.UploadID = id
		}
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

// A piece is a run of lines on their way into a file.
type piece struct {
	bytes []byte
	lines int
	after int // the line of the other batch after which it begins
	line  int // the last line of the other batch that it covers
}

// add appends the line that lies at span.
func (p *piece) add(in *copier, span state.Span) error {
	var err error
	if p.bytes, err = in.append(p.bytes, span); err != nil {
		return err
	}
	p.bytes = append(p.bytes, '\n')
	p.lines++
	return nil
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
