package submit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// validate reads the whole input file, and then writes the index of its
// requests and records that it is good and how many there are, or refuses b. A
// batch that meanwhile was cancelled or overdue is sealed with no requests.
// Nothing is written before.
func (l *Loader) validate(ctx context.Context, b batch.Batch) (batch.Batch, error) {
	polled := l.Clock()
	in, err := l.open(ctx, b, 0)
	if errors.Is(err, batch.ErrNoObject) {
		return l.refuse(ctx, b, []batch.LineError{{
			Code: batch.CodeInvalidRequest, Param: "file_id",
			Message: fmt.Sprintf("Cannot find file %s, or it is not yours.", b.InputFileID),
		}})
	}
	if err != nil {
		return batch.Batch{}, err
	}
	defer func() { _ = in.Close() }() // read only

	v := verdict{
		endpoint: b.Endpoint, limit: l.config.MaxRequests, inputLimit: l.config.MaxEmbeddingInputs, lineLimit: l.config.MaxLineBytes,
		seen: map[digest]uint32{},
	}
	if v.routed, err = l.routed(ctx); err != nil {
		return batch.Batch{}, err
	}
	for more := true; more; {
		var over bool
		if b, over, err = l.overtaken(ctx, b, &polled); err != nil || over {
			return b, err
		}
		if more, err = v.read(in); err != nil {
			return batch.Batch{}, err
		}
	}
	if errs := v.errors(); len(errs) > 0 {
		return l.refuse(ctx, b, errs)
	}
	v.seen = nil // its memory may serve the index
	if err := l.Inputs.Put(ctx, batch.IndexKey(b.ID), v.index.Bytes()); err != nil {
		return batch.Batch{}, fmt.Errorf("put index: %w", err)
	}
	return l.update(ctx, b.Ref, func(b *batch.Batch) error {
		b.NameModels(v.models)
		return b.Validated(v.total)
	})
}

// routed returns whether requests for a model have a route.
func (l *Loader) routed(ctx context.Context) (func(model string) bool, error) {
	if l.Models == nil {
		return func(string) bool { return true }, nil
	}
	table, err := l.Models(ctx)
	if err != nil {
		return nil, fmt.Errorf("models: %w", err)
	}
	return func(model string) bool {
		_, ok := table.Match(model)
		return ok
	}, nil
}

// overtaken reports whether validation is over before its verdict: b was
// cancelled or is overdue, and is sealed; or another load has validated it. It
// reads b every so often, and returns ErrSlow if time runs short.
func (l *Loader) overtaken(ctx context.Context, b batch.Batch, polled *time.Time) (batch.Batch, bool, error) {
	now := l.Clock()
	if now.Sub(*polled) >= l.config.Poll {
		*polled = now
		var err error
		if b, err = l.Store.Batch(ctx, b.Ref); err != nil {
			return batch.Batch{}, true, fmt.Errorf("read batch: %w", err)
		}
	}
	switch {
	case !loading(b) || b.Load.Validated:
		return b, true, nil
	case b.Canceling() || b.Overdue(now):
		b, err := l.sealEmpty(ctx, b)
		return b, true, err
	case l.short(ctx):
		return batch.Batch{}, true, ErrSlow
	}
	return b, false, nil
}

// sealEmpty seals b with no requests unless another load has validated it:
// then its lines are known and each must have its outcome.
func (l *Loader) sealEmpty(ctx context.Context, b batch.Batch) (batch.Batch, error) {
	return l.update(ctx, b.Ref, func(b *batch.Batch) error {
		if b.Load.Validated {
			return nil
		}
		return b.Seal(batch.Counts{}, l.Clock())
	})
}

func (l *Loader) refuse(ctx context.Context, b batch.Batch, errs []batch.LineError) (batch.Batch, error) {
	l.Log.InfoContext(ctx, "input file refused",
		slog.String("batch", b.ID), slog.String("code", errs[0].Code), slog.Int("errors", len(errs)))
	return l.update(ctx, b.Ref, func(b *batch.Batch) error {
		if b.Load.Validated {
			return nil // the load that did so read another file, or this one in vain: it goes on
		}
		return b.Fail(batch.FailInput, errs, l.Clock())
	})
}

// A digest stands for a custom_id: the first 128 bits of its SHA-256. Two
// different ids of a million share one with a probability below 10^-26, so a
// good file is never refused for it; ids at full length could take 256 MB.
type digest [16]byte

// A verdict on an input file grows line by line.
type verdict struct {
	endpoint string
	limit    int // requests
	total    int // requests so far

	inputLimit int // of requests for embeddings
	inputs     int // so far
	lineLimit  int // bytes of a line
	seen       map[digest]uint32
	index      batch.Index
	routed     func(model string) bool
	models     batch.ModelSet
	errs       []batch.LineError
}

// read judges the next line. It reports whether there may be more to judge:
// not at the file's end, nor when what comes could add nothing to the verdict.
func (v *verdict) read(in *lineReader) (more bool, err error) {
	ln, err := in.next()
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	v.total++
	if v.total > v.limit {
		v.add(batch.LineError{
			Code:    batch.CodeTooManyRequests,
			Message: fmt.Sprintf("The file has more than %d requests. Split it into several batches.", v.limit),
		})
		return false, nil
	}
	v.judge(ln)
	if v.inputs > v.inputLimit {
		v.add(batch.LineError{
			Code: batch.CodeTooManyInputs, Line: ln.number, Param: "body.input",
			Message: fmt.Sprintf("The file has more than %d embedding inputs up to this line. Split it into several batches.",
				v.inputLimit),
		})
		return false, nil
	}
	return len(v.errs) < batch.MaxErrors, nil
}

func (v *verdict) judge(ln line) {
	if ln.tooLong {
		v.add(batch.LineError{
			Code: batch.CodeLineTooLong, Line: ln.number,
			Message: fmt.Sprintf("Line %d is longer than %d bytes, the most that this deployment takes (maxLineBytes). Shorten it, for "+
				"instance by an image's address in place of its data.", ln.number, v.lineLimit),
		})
		return
	}
	input, err := batch.ParseInput(ln.text, v.endpoint)
	var bad *batch.LineError
	if errors.As(err, &bad) {
		named := *bad
		named.Line = ln.number
		v.add(named)
		return
	}
	if !v.models.Has(input.Model) && !v.routed(input.Model) {
		v.add(batch.LineError{
			Code: batch.CodeModelNotFound, Line: ln.number, Param: "body.model",
			Message: "This line's model is none that this deployment calls. Name one of those that GET /v1/models lists, " +
				"or ask who runs it to add yours.",
		})
		return
	}
	v.models.Add(input.Model)
	if v.endpoint == batch.EndpointEmbeddings {
		v.inputs += batch.EmbeddingInputs(input.Body)
	}
	sum := sha256.Sum256([]byte(input.CustomID))
	id := digest(sum[:len(digest{})])
	if first, ok := v.seen[id]; ok {
		v.add(batch.LineError{
			Code: batch.CodeDuplicateCustomID, Line: ln.number, Param: "custom_id",
			Message: fmt.Sprintf("The custom_id of this line is line %d's already. Each must be unique in its file.", first),
		})
		return
	}
	v.seen[id] = uint32(ln.number) //nolint:gosec // wraps in a message about a file of 4 billion lines
	v.index.Add(sum, v.total)
}

func (v *verdict) add(e batch.LineError) { v.errs = append(v.errs, e) }

// errors returns why the file is refused; none if it is good.
func (v *verdict) errors() []batch.LineError {
	if v.total == 0 {
		v.add(batch.LineError{
			Code: batch.CodeEmptyFile, Message: "The input file is empty. Write one request on each line.",
		})
	}
	return v.errs
}
