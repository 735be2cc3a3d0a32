package finalize_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/finalize"
)

// TestLateParkYields lets a park's write take effect and its answer be lost
// until its token was woken and the next park has stored its own. Stored again,
// the first token would leave the flow deaf until its tick.
func TestLateParkYields(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, 10)
		w.advance()
		late := w.finalizer(nil)
		late.Batches = lostAnswer{late.Batches, func() { w.must(w.finalizer(nil).Park(t.Context(), w.ref, "second")) }}
		w.must(late.Park(t.Context(), w.ref, "first"))
		b, err := w.store.Batch(t.Context(), w.ref)
		w.must(err)
		if b.Token != "second" {
			t.Errorf("the token is %q, want that of the later park", b.Token)
		}
	})
}

// A lostAnswer makes a change again after meanwhile, as a store does that did
// not hear of its first write.
type lostAnswer struct {
	finalize.Batches
	meanwhile func()
}

func (l lostAnswer) UpdateBatch(
	ctx context.Context, ref batch.Ref, change func(*batch.Batch) error,
) (batch.Batch, error) {
	if _, err := l.Batches.UpdateBatch(ctx, ref, change); err != nil {
		return batch.Batch{}, err
	}
	l.meanwhile()
	return l.Batches.UpdateBatch(ctx, ref, change)
}
