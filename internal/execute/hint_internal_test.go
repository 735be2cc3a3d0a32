package execute

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// A summed is batches whose counter shards are read.
type summed struct {
	Batches
	reads int
}

func (s *summed) Progress(context.Context, string) (batch.Counts, error) {
	s.reads++
	return batch.Counts{Total: 10, Completed: 1}, nil
}

// TestTheLastInHandReadsTheSum has the counter shards be read a moment ago: they are read
// again only once nothing of the batch is in hand any more.
func TestTheLastInHandReadsTheSum(t *testing.T) {
	t.Parallel()
	ref := batch.Ref{Tenant: "acme", ID: "b"}
	for _, tc := range []struct{ pending, inHand, reads int }{{0, 0, 1}, {1, 0, 0}, {0, 1, 0}, {1, 1, 0}} {
		now := time.Now()
		k := kit{ctx: t.Context(), clock: func() time.Time { return now }, log: slog.New(slog.DiscardHandler)}
		s := &summed{}
		p := &poller{kit: k, ledger: newLedger(), calls: t.Context(), known: map[batch.Ref]*polled{}}
		b := p.entry(ref)
		b.record, b.sum.readAt = batch.Batch{Ref: ref, Mark: 10, Token: "t"}, now
		known := p.ledger.batches.of(ref)
		known.pending, known.inHand = tc.pending, tc.inHand
		b.count(1)
		(&reconciler{kit: k, batches: s, polled: p}).hint(ref)
		if s.reads != tc.reads {
			t.Errorf("with %d that may bring an outcome, and %d that may have, it is read %d times, want %d", tc.pending, tc.inHand, s.reads, tc.reads)
		}
	}
}
