package submit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// fill stores b's requests from its cursor on, until all are there or time
// runs short. A group is created before the cursor passes it, so a crash
// between the two repeats the group, whose requests are then left alone.
func (l *Loader) fill(ctx context.Context, b batch.Batch) (batch.Batch, error) {
	body, err := l.open(ctx, b, b.Load.Offset)
	if err != nil {
		return batch.Batch{}, err
	}
	defer func() { _ = body.Close() }() // read only

	in := batch.NewLineReader(body, b.Load.Offset, l.config.MaxLineBytes)
	done := b.Load.Line
	for {
		group, err := l.group(in, b, done)
		if err != nil {
			return batch.Batch{}, err
		}
		if err := l.Store.Create(ctx, group); err != nil {
			return batch.Batch{}, fmt.Errorf("create requests: %w", err)
		}
		done += len(group)
		stop := done == b.Counts.Total || l.short(ctx)
		if !stop && done-b.Load.Line < l.config.Cursor {
			continue
		}
		b, err = l.update(ctx, b.Ref, func(b *batch.Batch) error { return b.Loaded(done, in.Offset(), l.Clock()) })
		if err != nil || stop || !loading(b) {
			return b, err
		}
	}
}

// group returns the changes that create the requests after the first done
// ones, as many as go together. It returns ErrInput if the file ends before
// b's total, or has a line that is no request.
func (l *Loader) group(in *batch.LineReader, b batch.Batch, done int) ([]state.Change, error) {
	size := min(l.config.Group, b.Counts.Total-done)
	group := make([]state.Change, 0, size)
	for len(group) < size {
		ln, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: it has %d requests, not %d", ErrInput, done+len(group), b.Counts.Total)
		}
		if err != nil {
			return nil, err
		}
		input, err := batch.DecodeInput(ln.Text)
		if err != nil {
			return nil, fmt.Errorf("%w: request %d: %w", ErrInput, done+len(group)+1, err)
		}
		body := state.Span{Offset: ln.Offset, Length: int64(len(ln.Text))}
		change, err := born(b.Spec(done+len(group)+1, input, body), b, l.Clock())
		if err != nil {
			return nil, err
		}
		group = append(group, change)
	}
	return group, nil
}

// born returns the change that creates a request: pending, or in the state
// that b's cancel or deadline leaves it, so that no worker ever sees it.
func born(spec state.Spec, b batch.Batch, now time.Time) (state.Change, error) {
	var change state.Change
	var err error
	switch r := state.New(spec); {
	case b.Canceling():
		change, err = state.Cancel(r, now).Change()
	case b.Overdue(now):
		change, err = state.Expire(r, now).Change()
	default:
		change, err = r.Change()
	}
	if err != nil {
		return state.Change{}, fmt.Errorf("create line %d: %w", spec.Key.Line, err)
	}
	return change, nil
}
