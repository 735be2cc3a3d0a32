package finalize

import (
	"testing"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// TestChunkTakesWhatItHas demands that a line beyond a span's size takes exactly its bytes, that others grow as slices do,
// and that what fits is not moved.
func TestChunkTakesWhatItHas(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		n     int
		exact bool
	}{{spanBytes + 1, true}, {spanBytes, false}} {
		var c chunk
		c.extend(10)
		c.extend(tt.n)
		if need := 10 + tt.n; len(c.Bytes) != need || cap(c.Bytes) == need != tt.exact {
			t.Errorf("%d bytes more take %d of %d bytes", tt.n, len(c.Bytes), cap(c.Bytes))
		}
		room := cap(c.Bytes)
		c.reset()
		at := &c.Bytes[:1][0]
		if c.extend(room); &c.Bytes[0] != at {
			t.Errorf("%d bytes that fit are moved", room)
		}
	}
}

// TestSpansOfAnAnswer demands that an answer is read in spans of at most spanBytes, none of them empty.
func TestSpansOfAnAnswer(t *testing.T) {
	t.Parallel()
	for length, spans := range map[int64]int{1: 1, spanBytes: 1, spanBytes + 1: 2, 2 * spanBytes: 2} {
		var c chunk
		if err := c.add(batch.Batch{}, state.Record{Phase: state.Completed{Answer: state.Span{Length: length}}}); err != nil {
			t.Fatal(err)
		}
		if len(c.spans) != spans || len(c.Bytes) != int(length) {
			t.Errorf("an answer of %d bytes: %d spans, want %d", length, len(c.spans), spans)
		}
		for _, s := range c.spans {
			if s.Length < 1 || s.Length > spanBytes {
				t.Errorf("an answer of %d bytes has a span of %d", length, s.Length)
			}
		}
	}
}
