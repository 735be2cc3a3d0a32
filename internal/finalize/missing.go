package finalize

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// inputChunk is how many bytes of an input file one read brings.
const inputChunk = 4 << 20

// everyLine returns all of b's lines in their order: the requests that are
// stored, and for each that is missing its specification alone, as the input
// has it. Of the input it reads each 4 MiB at most once, and only such as hold
// lines that are missing.
func (t *turn) everyLine(ctx context.Context, b batch.Batch) iter.Seq2[state.Record, error] {
	return func(yield func(state.Record, error) bool) {
		in := &inputReader{objects: t.Objects, key: batch.FileKey(b.Tenant, b.InputFileID), size: b.Load.Offset}
		g := gap{first: 1}
		for rec, err := range t.walk(ctx, b, 0) {
			if err != nil {
				yield(state.Record{}, err)
				return
			}
			g.last, g.to = rec.Spec.Key.Line-1, rec.Spec.Body.Offset
			if !t.fill(ctx, b, in, g, yield) || !yield(rec, nil) {
				return
			}
			g = gap{first: rec.Spec.Key.Line + 1, from: rec.Spec.Body.Offset + rec.Spec.Body.Length}
		}
		g.last, g.to = b.Counts.Total, b.Load.Offset
		t.fill(ctx, b, in, g, yield)
	}
}

// A gap is a run of lines whose requests are missing.
type gap struct {
	first, last int   // lines of the batch; none are missing if last is before first
	from, to    int64 // where in the input they lie
}

// fill yields the lines of g, and reports whether to go on. One that the input
// does not show where it must be has no custom_id: a batch ends all the same.
func (t *turn) fill(
	ctx context.Context, b batch.Batch, in *inputReader, g gap, yield func(state.Record, error) bool,
) bool {
	if g.last < g.first {
		return true
	}
	t.Log.ErrorContext(ctx, "requests are missing", slog.String("batch", b.ID),
		slog.Int("first", g.first), slog.Int("last", g.last))
	lines := bufio.NewReader(&sectionReader{ctx: ctx, in: in, at: g.from, to: g.to})
	at := g.from
	for line := g.first; line <= g.last; line++ {
		text, start, err := nextLine(lines, &at)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, batch.ErrNoObject) {
			return yield(state.Record{}, fmt.Errorf("read line %d of the input: %w", line, err))
		}
		input, bad := batch.DecodeInput(text)
		if bad != nil {
			t.Log.ErrorContext(ctx, "a missing request is not in the input either",
				slog.String("batch", b.ID), slog.Int("line", line))
		}
		rec := state.Record{Spec: state.New(b.Spec(line, input, state.Span{
			Offset: start, Length: int64(len(text)),
		})).Spec()}
		if !yield(rec, nil) {
			return false
		}
	}
	return true
}

// nextLine returns the next line that is not blank, without its end, and where
// it starts; *at is the offset of what in is to read next.
func nextLine(in *bufio.Reader, at *int64) (text []byte, start int64, err error) {
	for {
		start = *at
		raw, err := in.ReadBytes('\n')
		*at += int64(len(raw))
		text = bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r"))
		if mark := []byte("\uFEFF"); start == 0 && bytes.HasPrefix(text, mark) {
			text, start = text[len(mark):], int64(len(mark))
		}
		if len(bytes.TrimSpace(text)) > 0 {
			return text, start, nil
		}
		if err != nil {
			return nil, 0, err
		}
	}
}

// An inputReader reads an input file from its start on, a chunk at a time.
type inputReader struct {
	objects Objects
	key     string
	size    int64 // bytes up to the end of the last line
	start   int64 // of chunk
	chunk   []byte
}

// at returns what follows the byte at offset in its chunk: io.EOF if nothing does.
func (r *inputReader) at(ctx context.Context, offset int64) ([]byte, error) {
	if offset >= r.size {
		return nil, io.EOF
	}
	if start := offset / inputChunk * inputChunk; r.chunk == nil || start != r.start {
		chunk, err := r.objects.Read(ctx, r.key, start, min(inputChunk, r.size-start))
		if err != nil {
			return nil, fmt.Errorf("read input: %w", err)
		}
		r.start, r.chunk = start, chunk
	}
	return r.chunk[offset-r.start:], nil
}

// A sectionReader reads the bytes of an input file from at on, up to to.
type sectionReader struct {
	ctx    context.Context // io.Reader has no place for it
	in     *inputReader
	at, to int64
}

func (r *sectionReader) Read(p []byte) (int, error) {
	if r.at >= r.to {
		return 0, io.EOF
	}
	bytes, err := r.in.at(r.ctx, r.at)
	if err != nil {
		return 0, err
	}
	n := copy(p[:min(int64(len(p)), r.to-r.at)], bytes)
	r.at += int64(n)
	return n, nil
}
