package submit

import (
	"context"
	"errors"
	"fmt"
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
	body, err := l.open(ctx, b, 0)
	if errors.Is(err, batch.ErrNoObject) {
		return l.refuse(ctx, b, []batch.LineError{{
			Code: batch.CodeInvalidRequest, Param: "file_id",
			Message: fmt.Sprintf("Cannot find file %s, or it is not yours.", b.InputFileID),
		}})
	}
	if err != nil {
		return batch.Batch{}, err
	}
	defer func() { _ = body.Close() }() // read only

	routed, err := l.routed(ctx)
	if err != nil {
		return batch.Batch{}, err
	}
	in := batch.NewLineReader(body, 0, l.config.MaxLineBytes)
	v := batch.NewVerdict(batch.Rules{
		Endpoint: b.Endpoint, MaxRequests: l.config.MaxRequests, MaxEmbeddingInputs: l.config.MaxEmbeddingInputs,
		MaxLineBytes: l.config.MaxLineBytes, Routed: routed,
	})
	for more := true; more; {
		var over bool
		if b, over, err = l.overtaken(ctx, b, &polled); err != nil || over {
			return b, err
		}
		if more, err = v.Read(in); err != nil {
			return batch.Batch{}, err
		}
	}
	if errs := v.Errors(); len(errs) > 0 {
		return l.refuse(ctx, b, errs)
	}
	if err := l.Inputs.Put(ctx, batch.IndexKey(b.ID), v.Index()); err != nil {
		return batch.Batch{}, fmt.Errorf("put index: %w", err)
	}
	return l.update(ctx, b.Ref, func(b *batch.Batch) error {
		b.NameModels(v.Models())
		return b.Validated(v.Total())
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
