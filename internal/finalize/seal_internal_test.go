package finalize

import (
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// TestKeptOfTheLargestBatch keeps the requests of a batch as large as OpenAI takes
// from its seal to its write-out, and of none that is larger.
func TestKeptOfTheLargestBatch(t *testing.T) {
	t.Parallel()
	for total, kept := range map[int]bool{1: true, 50_000: true, 50_001: false} {
		b := running(func(b *batch.Batch) { b.Counts.Total = total })
		if got := newTally(b, time.Time{}).kept; (got != nil) != kept {
			t.Errorf("of %d requests %d are kept", total, len(got))
		}
	}
}
