package finalize

import (
	"context"
	"errors"
	"fmt"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/multipart"
)

const (
	// restBytes is the least size of a segment of lines that no worker entered,
	// but for the last one.
	restBytes = 1 << 20
	// journalPage is how many entries are read at once: some 100 KB.
	journalPage = 200
)

// completeJournal closes a sealed batch's journal and makes it whole, so that it has
// each line exactly once. What no worker entered, since it died in between or
// because the line never got an answer, is entered in input order. It returns b
// without its Journal if time runs short.
//
// From the closing entry on only finalizers write entries, and which ones
// follows from the entries before and from requests that never change again: all
// who do so write the same. What they make is read from the journal again after
// a crash.
func (t *turn) completeJournal(ctx context.Context, b batch.Batch) (batch.Batch, error) {
	j := journal{turn: t, batch: b, lines: make([]bool, b.Counts.Total+1)}
	if err := j.close(ctx); err != nil {
		return batch.Batch{}, err
	}
	if j.known < b.Counts.Total {
		if whole, err := j.complete(ctx); err != nil || !whole {
			return b, err
		}
	}
	return t.update(ctx, b.Ref, func(b *batch.Batch) error {
		b.WriteOut.Journal = j.last
		return nil
	})
}

// A journal is what was read of one.
type journal struct {
	*turn
	batch  batch.Batch
	lines  []bool // whether a worker entered a line
	known  int    // how many there are
	last   int    // the number of the last entry
	closed bool
	after  int // the line up to which what is missing was entered
}

// close reads the journal to its end and makes sure that it is closed.
func (j *journal) close(ctx context.Context) error {
	for {
		if err := j.read(ctx); err != nil || j.closed {
			return err
		}
		_, err := j.Journal.AppendJournal(ctx, j.batch.ID, batch.Entry{Closed: true})
		if err != nil && !errors.Is(err, batch.ErrJournalClosed) {
			return fmt.Errorf("close journal: %w", err)
		}
	}
}

// read reads what follows the last entry.
func (j *journal) read(ctx context.Context) error {
	for {
		entries, err := j.Journal.Journal(ctx, j.batch.ID, j.last, journalPage)
		if err != nil {
			return fmt.Errorf("read journal: %w", err)
		}
		for _, e := range entries {
			j.add(e)
		}
		if len(entries) < journalPage {
			return nil
		}
	}
}

func (j *journal) add(e batch.Entry) {
	j.last, j.closed = e.N, j.closed || e.Closed
	for _, p := range e.Spans {
		switch {
		case e.Closed:
			j.after = p.Line
		case p.Line > 0 && p.Line <= j.batch.Counts.Total && !j.lines[p.Line]:
			j.lines[p.Line] = true
			j.known++
		}
	}
}

// complete enters all lines that no worker did, and reports whether it came to
// their end. A segment ends with the line that fills it, so where it ends
// depends on the lines alone.
func (j *journal) complete(ctx context.Context) (bool, error) {
	c := chunk{Chunk: multipart.Chunk{After: j.after}}
	for rec, err := range j.walkSealed(ctx, j.batch, j.after) {
		if err != nil || j.short(ctx) {
			return false, err
		}
		if j.lines[rec.Spec.Key.Line] {
			continue
		}
		if err := c.add(j.batch, rec); err != nil {
			return false, err
		}
		if len(c.Bytes) < restBytes {
			continue
		}
		if err := j.enter(ctx, &c); err != nil {
			return false, err
		}
		c.reset()
	}
	if len(c.Bytes) == 0 {
		return true, nil
	}
	return true, j.enter(ctx, &c)
}

// enter makes c a segment of its own and enters it.
func (j *journal) enter(ctx context.Context, c *chunk) error {
	if err := j.fetch(ctx, c); err != nil {
		return err
	}
	name := fmt.Sprintf("rest-%d", c.After)
	if err := j.Objects.Put(ctx, batch.SegmentKey(j.batch.ID, name), c.Bytes); err != nil {
		return fmt.Errorf("put segment: %w", err)
	}
	e := batch.Entry{
		N: j.last + 1, Segment: name, Closed: true,
		Spans: []batch.LineSpan{{Line: c.Line, Length: int64(len(c.Bytes))}},
	}
	if _, err := j.Journal.AppendJournal(ctx, j.batch.ID, e); err != nil {
		return fmt.Errorf("complete journal: %w", err)
	}
	j.last = e.N
	return nil
}
