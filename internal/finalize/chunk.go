package finalize

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/multipart"
	"github.com/musketry/musketry/internal/state"
)

// spanBytes is the longest span of a chunk. A longer line is read in several, so
// that its bytes are not there twice.
const spanBytes = 4 << 20

// A chunk is a run of result lines being put together. A line that lies in a
// segment has its span of the bytes, which is empty until fetch fills it.
type chunk struct {
	multipart.Chunk

	spans []lineSpan
}

// A lineSpan is where in a chunk an answer, or a piece of a long one, belongs, and
// where it lies.
type lineSpan struct {
	batch.Extent

	at int // in the chunk's bytes
}

// reset makes c the chunk that follows.
func (c *chunk) reset() {
	*c = chunk{Chunk: multipart.Chunk{Bytes: c.Bytes[:0], After: c.Line}, spans: c.spans[:0]}
}

// add appends the result line of a request that has its outcome.
func (c *chunk) add(b batch.Batch, rec state.Record) error {
	c.Line, c.Lines = rec.Spec.Key.Line, c.Lines+1
	var answer state.Span
	switch phase := rec.Phase.(type) {
	case state.Completed:
		if phase.Answer.Length == 0 {
			return fmt.Errorf("line %d: completed without an answer", c.Line)
		}
		answer = phase.Answer
	case state.Failed:
		if phase.Answer.Length == 0 {
			c.Bytes = batch.AppendFailure(c.Bytes, rec.Spec.Key, rec.Spec.CustomID, batch.Failing{Reason: phase.Reason})
			return nil
		}
		answer = phase.Answer
	case state.Canceled:
		c.Bytes = batch.AppendCanceled(c.Bytes, rec.Spec.Key, rec.Spec.CustomID, phase, b.Canceling())
		return nil
	case state.Pending, state.Claimed, state.Processing:
		return fmt.Errorf("line %d of a sealed batch is %s", c.Line, phase.Status())
	}
	for from := int64(0); from < answer.Length; from += spanBytes {
		c.spans = append(c.spans, lineSpan{at: len(c.Bytes) + int(from), Extent: batch.Extent{
			Key: batch.SegmentKey(b.ID, answer.Object), Offset: answer.Offset + from, Length: min(answer.Length-from, spanBytes),
		}})
	}
	c.extend(int(answer.Length))
	return nil
}

// extend adds n bytes. A long line takes no more than it has.
func (c *chunk) extend(n int) {
	if need := len(c.Bytes) + n; n > spanBytes && need > cap(c.Bytes) {
		c.Bytes = append(make([]byte, 0, need), c.Bytes...)
	}
	c.Bytes = append(c.Bytes, make([]byte, n)...)
}

// fetch fills the spans of c with as few reads as makes sense, several at once.
func (t *turn) fetch(ctx context.Context, c *chunk) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(t.Config.Readers)
	for _, r := range batch.Coalesce(c.spans, func(l lineSpan) batch.Extent { return l.Extent }) {
		group.Go(func() error {
			body, err := t.Objects.Read(ctx, r.Key, r.Offset, r.Length)
			if err != nil {
				return fmt.Errorf("read answers: %w", err)
			}
			for _, l := range r.Items {
				copy(c.Bytes[l.at:], body[l.Offset-r.Offset:][:l.Length])
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	c.spans = c.spans[:0]
	return nil
}
