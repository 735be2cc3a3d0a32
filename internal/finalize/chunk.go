package finalize

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

const (
	// maxGap is how many bytes of others between two answers are read along
	// rather than asked for twice: a request costs as much as some 100 KB take.
	maxGap = 64 << 10
	// maxRange bounds what one read brings, unless one answer is longer.
	maxRange = 4 << 20
)

// A part is a run of result lines being put together: bytes has the place of
// each line, which is empty until fetch fills it if the line lies in a segment.
type part struct {
	bytes  []byte
	places []place
	after  int // the line of the batch after which it begins
	line   int // the last line of the batch in it
}

// A place is where in a part an answer belongs, and where it lies.
type place struct {
	at     int // in the part's bytes
	key    string
	offset int64
	length int64
}

// reset makes p the part that follows.
func (p *part) reset() { *p = part{bytes: p.bytes[:0], places: p.places[:0], after: p.line} }

// add appends the result line of a request that has its outcome.
func (p *part) add(b batch.Batch, rec state.Record) error {
	p.line = rec.Spec.Key.Line
	var answer state.Span
	switch phase := rec.Phase.(type) {
	case state.Completed:
		if phase.Answer.Length == 0 {
			return fmt.Errorf("line %d: completed without an answer", p.line)
		}
		answer = phase.Answer
	case state.Failed:
		if phase.Answer.Length == 0 {
			p.bytes = batch.AppendFailure(p.bytes, rec.Spec.Key, rec.Spec.CustomID, phase.Reason)
			return nil
		}
		answer = phase.Answer
	case state.Canceled:
		p.bytes = batch.AppendCanceled(p.bytes, rec.Spec.Key, rec.Spec.CustomID, b.Canceling())
		return nil
	case state.Pending, state.Claimed, state.Processing:
		return fmt.Errorf("line %d of a sealed batch is %s", p.line, phase.Status())
	}
	p.places = append(p.places, place{
		at: len(p.bytes), key: batch.SegmentKey(b.ID, answer.Object), offset: answer.Offset, length: answer.Length,
	})
	p.bytes = append(p.bytes, make([]byte, answer.Length)...)
	return nil
}

// fetch fills the places of p with as few reads as makes sense, several at once.
func (s steps) fetch(ctx context.Context, p *part) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.Config.Readers)
	for _, run := range runs(p.places) {
		group.Go(func() error {
			first, last := run[0], run[len(run)-1]
			body, err := s.Objects.Read(ctx, first.key, first.offset, last.offset+last.length-first.offset)
			if err != nil {
				return fmt.Errorf("read answers: %w", err)
			}
			for _, pl := range run {
				copy(p.bytes[pl.at:], body[pl.offset-first.offset:][:pl.length])
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	p.places = p.places[:0]
	return nil
}

// runs groups places into those that are read together, in the order in which
// they lie. It sorts places.
func runs(places []place) [][]place {
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.offset, b.offset))
	})
	var all [][]place
	start := 0
	for i := range places {
		if i+1 < len(places) && together(places[start], places[i], places[i+1]) {
			continue
		}
		all = append(all, places[start:i+1])
		start = i + 1
	}
	return all
}

// together reports whether next belongs to the run from first to last.
func together(first, last, next place) bool {
	return next.key == first.key &&
		next.offset-(last.offset+last.length) <= maxGap &&
		next.offset+next.length-first.offset <= maxRange
}
