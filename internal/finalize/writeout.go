package finalize

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// publish makes a sealed batch's journal whole, writes out its result files,
// one after the other, and ends it. It returns b unended if time runs short.
func (s steps) publish(ctx context.Context, b batch.Batch) (batch.Batch, error) {
	if b.WriteOut.Journal == 0 {
		var err error
		if b, err = s.settle(ctx, b); err != nil || b.WriteOut.Journal == 0 || b.Status.Terminal() {
			return b, err
		}
	}
	for _, r := range results() {
		for !r.done(&b) {
			var err error
			if b, err = s.write(ctx, b, r); err != nil {
				return batch.Batch{}, fmt.Errorf("write %s file: %w", r.name, err)
			}
			if b.Status.Terminal() || s.short(ctx) {
				return b, nil
			}
		}
	}
	b, err := s.update(ctx, b.Ref, func(b *batch.Batch) error { return b.End(s.Clock()) })
	if err != nil {
		return batch.Batch{}, err
	}
	s.Log.InfoContext(ctx, "batch ended", slog.String("batch", b.ID), slog.String("status", string(b.Status)))
	return b, nil
}

// A result is one of a batch's two result files.
type result struct {
	name  string
	holds func(p state.Phase) bool // whether it has the line of a request in this state
	lines func(c batch.Counts) int // how many lines it has
	id    func(w batch.WriteOut) string
	file  func(w *batch.WriteOut) *batch.Multipart
}

func results() []result {
	completed := func(p state.Phase) bool { return p.Status() == state.StatusCompleted }
	return []result{{
		name:  "output",
		holds: completed,
		lines: func(c batch.Counts) int { return c.Completed },
		id:    func(w batch.WriteOut) string { return w.OutputID },
		file:  func(w *batch.WriteOut) *batch.Multipart { return &w.Output },
	}, {
		name:  "error",
		holds: func(p state.Phase) bool { return !completed(p) },
		lines: func(c batch.Counts) int { return c.Failed + c.Expired + c.Canceled },
		id:    func(w batch.WriteOut) string { return w.ErrorID },
		file:  func(w *batch.WriteOut) *batch.Multipart { return &w.Error },
	}}
}

// done reports whether there is nothing to write any more. A file without lines
// is not written at all.
func (r result) done(b *batch.Batch) bool { return r.file(&b.WriteOut).Done || r.lines(b.Counts) == 0 }

func (r result) key(b batch.Batch) string { return batch.FileKey(b.Tenant, r.id(b.WriteOut)) }

// write writes r from b's cursor on to its end, or until time runs short, or
// until another finalizer is seen to be ahead. A part ends with the line that
// fills it, so where it ends depends on the lines alone, and all who write it
// write the same bytes.
func (s steps) write(ctx context.Context, b batch.Batch, r result) (batch.Batch, error) {
	p := part{after: r.file(&b.WriteOut).Line}
	for rec, err := range s.walkSealed(ctx, b, p.after) {
		if err != nil || s.short(ctx) {
			return b, err
		}
		if !r.holds(rec.Phase) {
			continue
		}
		if err := p.add(b, rec); err != nil {
			return batch.Batch{}, err
		}
		if int64(len(p.bytes)) < s.Config.Part {
			continue
		}
		var ours bool
		if b, ours, err = s.putPart(ctx, b, r, &p); err != nil || !ours {
			return b, err
		}
		p.reset()
	}
	return s.putRest(ctx, b, r, &p)
}

// putRest writes what is left of r, which may be all or nothing of it, and
// finishes it.
func (s steps) putRest(ctx context.Context, b batch.Batch, r result, p *part) (batch.Batch, error) {
	if len(r.file(&b.WriteOut).Parts) == 0 {
		return s.putWhole(ctx, b, r, p)
	}
	if len(p.bytes) > 0 {
		var ours bool
		var err error
		if b, ours, err = s.putPart(ctx, b, r, p); err != nil || !ours {
			return b, err
		}
	}
	cursor := r.file(&b.WriteOut)
	if err := s.Uploads.FinishParts(ctx, r.key(b), cursor.UploadID, cursor.Parts); err != nil {
		return batch.Batch{}, fmt.Errorf("finish upload: %w", err)
	}
	return s.finish(ctx, b, r, cursor.Bytes, cursor.Digest)
}

// putPart uploads p, and then moves the cursor past its lines unless another
// finalizer has done so. It reports whether the cursor stands where p ends; if
// not, the other is ahead.
func (s steps) putPart(ctx context.Context, b batch.Batch, r result, p *part) (batch.Batch, bool, error) {
	if err := s.fetch(ctx, p); err != nil {
		return batch.Batch{}, false, err
	}
	b, err := s.startParts(ctx, b, r)
	if err != nil {
		return batch.Batch{}, false, err
	}
	cursor := *r.file(&b.WriteOut)
	if cursor.Done || cursor.Line != p.after {
		return b, false, nil
	}
	n := len(cursor.Parts) + 1
	tag, err := s.Uploads.PutPart(ctx, r.key(b), cursor.UploadID, n, p.bytes)
	if err != nil {
		return batch.Batch{}, false, fmt.Errorf("upload part %d: %w", n, err)
	}
	b, err = s.update(ctx, b.Ref, func(b *batch.Batch) error {
		if c := r.file(&b.WriteOut); !c.Done && c.Line == p.after {
			c.Parts, c.Digest = append(slices.Clone(c.Parts), tag), c.Digest.Append(c.Bytes, p.bytes)
			c.Line, c.Bytes = p.line, c.Bytes+int64(len(p.bytes))
		}
		return nil
	})
	if err != nil {
		return batch.Batch{}, false, err
	}
	cursor = *r.file(&b.WriteOut)
	return b, !cursor.Done && cursor.Line == p.line, nil
}

// startParts begins the upload of r unless that was done. Of two who begin at
// the same time one is heard; the other drops what it began. An upload that a
// crash leaves unheard of is dropped by the bucket's lifecycle.
func (s steps) startParts(ctx context.Context, b batch.Batch, r result) (batch.Batch, error) {
	if r.file(&b.WriteOut).UploadID != "" {
		return b, nil
	}
	id, err := s.Uploads.StartParts(ctx, r.key(b))
	if err != nil {
		return batch.Batch{}, fmt.Errorf("start upload: %w", err)
	}
	b, err = s.update(ctx, b.Ref, func(b *batch.Batch) error {
		if c := r.file(&b.WriteOut); c.UploadID == "" && !c.Done {
			c.UploadID = id
		}
		return nil
	})
	if err != nil || r.file(&b.WriteOut).UploadID == id {
		return b, err
	}
	if err := s.Uploads.AbortParts(ctx, r.key(b), id); err != nil {
		return batch.Batch{}, fmt.Errorf("drop the second upload: %w", err)
	}
	return b, nil
}

// putWhole writes a file that needs no parts.
func (s steps) putWhole(ctx context.Context, b batch.Batch, r result, p *part) (batch.Batch, error) {
	if err := s.fetch(ctx, p); err != nil {
		return batch.Batch{}, err
	}
	if err := s.Objects.PutNew(ctx, r.key(b), p.bytes); err != nil {
		return batch.Batch{}, fmt.Errorf("put: %w", err)
	}
	return s.finish(ctx, b, r, int64(len(p.bytes)), batch.Digest("").Append(0, p.bytes))
}

// finish gives a file that is whole its record, and then marks it done.
func (s steps) finish(
	ctx context.Context, b batch.Batch, r result, size int64, digest batch.Digest,
) (batch.Batch, error) {
	created, _ := batch.ParseID(batch.PrefixFile, r.id(b.WriteOut)) // of both files, so that lists are in the order of it
	life := cmp.Or(b.OutputExpiresAfter, s.Config.FileLife)
	err := s.Batches.CreateFile(ctx, batch.File{
		Tenant: b.Tenant, ID: r.id(b.WriteOut), Name: fmt.Sprintf("%s_%s.jsonl", b.ID, r.name),
		Purpose: batch.PurposeBatchOutput, Bytes: size, SHA256: digest.Sum(), CreatedAt: created, ExpiresAt: created.Add(life),
		Batch: b.ID,
	})
	if err != nil && !errors.Is(err, batch.ErrExists) {
		return batch.Batch{}, fmt.Errorf("create record: %w", err)
	}
	return s.update(ctx, b.Ref, func(b *batch.Batch) error {
		c := r.file(&b.WriteOut)
		c.Bytes, c.Done = size, true
		return nil
	})
}
