package finalize

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/multipart"
	"github.com/musketry/musketry/internal/state"
)

// publish makes a sealed batch's journal whole, writes out its result files,
// one after the other, and ends it. It returns b unended if time runs short, and
// after the journal.
func (t *turn) publish(ctx context.Context, b batch.Batch) (batch.Batch, error) {
	if b.WriteOut.Journal == 0 {
		return t.completeJournal(ctx, b)
	}
	for _, r := range results() {
		for !r.done(&b) {
			var err error
			if b, err = t.write(ctx, b, r); err != nil {
				return batch.Batch{}, fmt.Errorf("write %s file: %w", r.name, err)
			}
			if b.Status.Terminal() || t.short(ctx) {
				return b, nil
			}
		}
	}
	b, err := t.update(ctx, b.Ref, func(b *batch.Batch) error { return b.End(t.Clock()) })
	if err != nil {
		return batch.Batch{}, err
	}
	t.Log.InfoContext(ctx, "batch ended", slog.String("batch", b.ID), slog.String("status", string(b.Status)))
	return b, nil
}

// A result is one of a batch's two result files.
type result struct {
	name   string
	has    func(p state.Phase) bool // whether it has the line of a request in this state
	lines  func(c batch.Counts) int // how many lines it has
	id     func(w batch.WriteOut) string
	cursor func(b *batch.Batch) *batch.Multipart
}

func results() []result {
	completed := func(p state.Phase) bool { return p.Status() == state.StatusCompleted }
	return []result{{
		name:   "output",
		has:    completed,
		lines:  func(c batch.Counts) int { return c.Completed },
		id:     func(w batch.WriteOut) string { return w.OutputID },
		cursor: func(b *batch.Batch) *batch.Multipart { return &b.WriteOut.Output },
	}, {
		name:   "error",
		has:    func(p state.Phase) bool { return !completed(p) },
		lines:  func(c batch.Counts) int { return c.Failed + c.Expired + c.Canceled },
		id:     func(w batch.WriteOut) string { return w.ErrorID },
		cursor: func(b *batch.Batch) *batch.Multipart { return &b.WriteOut.Error },
	}}
}

// done reports whether there is nothing to write any more. A file without lines
// is not written at all.
func (r result) done(b *batch.Batch) bool { return r.cursor(b).Done || r.lines(b.Counts) == 0 }

func (r result) key(b batch.Batch) string { return batch.FileKey(b.Tenant, r.id(b.WriteOut)) }

// write writes r from b's cursor on to its end, or until time runs short, or
// until another finalizer is seen to be ahead. A part ends with the line that
// fills it, so where it ends depends on the lines alone, and all who write it
// write the same bytes.
func (t *turn) write(ctx context.Context, b batch.Batch, r result) (batch.Batch, error) {
	w := multipart.Writer{Batches: t.Batches, Objects: t.Objects, Uploads: t.Uploads, Key: r.key(b), Cursor: r.cursor}
	c := chunk{Chunk: multipart.Chunk{After: r.cursor(&b).Line}}
	for rec, err := range t.walkSealed(ctx, b, c.After) {
		if err != nil || t.short(ctx) {
			return b, err
		}
		if !r.has(rec.Phase) {
			continue
		}
		if err := c.add(b, rec); err != nil {
			return batch.Batch{}, err
		}
		if int64(len(c.Bytes)) < t.Config.Part {
			continue
		}
		var ours bool
		if b, ours, err = t.put(ctx, w, b, &c); err != nil || !ours {
			return b, err
		}
		c.reset()
	}
	return t.putRest(ctx, w, b, r, &c)
}

// put uploads c, and reports whether nobody else is ahead.
func (t *turn) put(ctx context.Context, w multipart.Writer, b batch.Batch, c *chunk) (batch.Batch, bool, error) {
	if err := t.fetch(ctx, c); err != nil {
		return batch.Batch{}, false, err
	}
	return w.Put(ctx, b, c.Chunk)
}

// putRest writes what is left of r, which may be all or nothing of it, and
// finishes it.
func (t *turn) putRest(
	ctx context.Context, w multipart.Writer, b batch.Batch, r result, c *chunk,
) (batch.Batch, error) {
	if err := t.fetch(ctx, c); err != nil {
		return batch.Batch{}, err
	}
	b, made, whole, err := w.Finish(ctx, b, c.Chunk)
	if err != nil || !whole {
		return b, err
	}
	return t.finish(ctx, b, r, made)
}

// finish gives a file that is whole its record, and then marks it done.
func (t *turn) finish(ctx context.Context, b batch.Batch, r result, made multipart.Whole) (batch.Batch, error) {
	created, _ := batch.ParseID(batch.PrefixFile, r.id(b.WriteOut)) // of both files, so that lists are in the order of it
	life := cmp.Or(b.OutputExpiresAfter, t.Config.FileLife)
	err := t.Batches.CreateFile(ctx, batch.File{
		Tenant: b.Tenant, ID: r.id(b.WriteOut), Name: fmt.Sprintf("%s_%s.jsonl", b.ID, r.name),
		Purpose: batch.PurposeBatchOutput, Bytes: made.Bytes, SHA256: made.Digest.Sum(), CreatedAt: created, ExpiresAt: created.Add(life),
		Batch: b.ID,
	})
	if err != nil && !errors.Is(err, batch.ErrExists) {
		return batch.Batch{}, fmt.Errorf("create record: %w", err)
	}
	return t.update(ctx, b.Ref, func(b *batch.Batch) error {
		m := r.cursor(b)
		m.Bytes, m.Done = made.Bytes, true
		return nil
	})
}
