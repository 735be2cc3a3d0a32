package inspect

import (
	"context"
	"iter"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// A Requests keeps requests.
type Requests interface {
	// Apply makes one conditional write. It returns a *state.ConflictError,
	// which names the winner, if the guard failed; one's own write seen again is
	// no error.
	Apply(ctx context.Context, c state.Change) error
	// Request reads consistently. It returns state.ErrNotFound.
	Request(ctx context.Context, k state.Key) (state.Record, error)
	// Requests reads consistently, in the order of lines, those above afterLine.
	Requests(ctx context.Context, batchID string, shards, afterLine int) iter.Seq2[state.Record, error]
}

// A Batches keeps batches and their counts.
type Batches interface {
	// Batch reads consistently. It returns batch.ErrNotFound.
	Batch(ctx context.Context, ref batch.Ref) (batch.Batch, error)
	// UpdateBatch changes a batch, guarded by its revision. It returns
	// batch.ErrNotFound, batch.ErrBusy if others write it all the time, and
	// change's own error as it is.
	UpdateBatch(ctx context.Context, ref batch.Ref, change func(*batch.Batch) error) (batch.Batch, error)
	// PutCounter raises a counter shard's absolute counts, component by
	// component.
	PutCounter(ctx context.Context, batchID string, c batch.CounterShard) error
	// Progress returns the sum of all counter shards, read consistently.
	Progress(ctx context.Context, batchID string) (batch.Counts, error)
}

// An Objects keeps bytes.
type Objects interface {
	// Read returns exactly length bytes. It returns batch.ErrNoObject.
	Read(ctx context.Context, key string, offset, length int64) ([]byte, error)
}

// A Flow wakes a batch's flow.
type Flow interface {
	// Wake continues the flow that waits with token; a token that nobody waits
	// with any more is no error.
	Wake(ctx context.Context, token string) error
}
