package finalize

import (
	"context"
	"iter"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/tenant"
)

// A Requests keeps requests, and what workers leave about them.
type Requests interface {
	// Apply makes one conditional write. It returns a *state.ConflictError,
	// which names the winner, if the guard failed; one's own write seen again is
	// no error.
	Apply(ctx context.Context, c state.Change) error
	// Requests reads consistently, in the order of lines, those above afterLine.
	Requests(ctx context.Context, batchID string, shards, afterLine int) iter.Seq2[state.Record, error]
	// Worker reads consistently; BeatAt is zero if id was never seen.
	Worker(ctx context.Context, id string) (state.Worker, error)
	// PutCounter raises a counter shard's absolute counts, component by
	// component.
	PutCounter(ctx context.Context, batchID string, c batch.CounterShard) error
	// Counters reads consistently.
	Counters(ctx context.Context, batchID string) ([]batch.CounterShard, error)
}

// A Journal keeps in what order lines were recorded.
type Journal interface {
	// AppendJournal adds an entry and returns its number: with e.N 0 after all that
	// were appended so far, or batch.ErrJournalClosed if the journal is closed, and
	// otherwise, if e is Closed, as e.N, or batch.ErrExists if there is another.
	AppendJournal(ctx context.Context, batchID string, e batch.Entry) (int, error)
	// Journal returns at most limit entries after the one numbered after, read
	// consistently.
	Journal(ctx context.Context, batchID string, after, limit int) ([]batch.Entry, error)
}

// A Batches keeps batches and files.
type Batches interface {
	// Batch reads consistently. It returns batch.ErrNotFound.
	Batch(ctx context.Context, ref batch.Ref) (batch.Batch, error)
	// UpdateBatch changes a batch, guarded by its revision. It returns
	// batch.ErrNotFound, batch.ErrBusy if others write it all the time, and
	// change's own error as it is.
	UpdateBatch(ctx context.Context, ref batch.Ref, change func(*batch.Batch) error) (batch.Batch, error)
	// CreateFile returns batch.ErrExists if there is a file of this id.
	CreateFile(ctx context.Context, f batch.File) error
	// UpdateFile is to a file what UpdateBatch is to a batch.
	UpdateFile(ctx context.Context, tenant, id string, change func(*batch.File) error) (batch.File, error)
	Unfinished
}

// An Unfinished keeps what is not known to have ended, and how it goes.
type Unfinished interface {
	// UpdateHistory is to a batch's history, which is empty at first, what
	// UpdateBatch is to a batch.
	UpdateHistory(ctx context.Context, ref batch.Ref, change func(*batch.History) error) (batch.History, error)
	// UpdateQuota is to a tenant's quota what UpdateBatch is to a batch; a tenant
	// without a stored one has an empty one.
	UpdateQuota(ctx context.Context, tenantName string, change func(*tenant.Quota) error) (tenant.Quota, error)
	// RemoveRunning deletes the entry of a batch; one that is not there is no
	// error.
	RemoveRunning(ctx context.Context, r batch.Running) error
	// Runnings returns at most limit entries, oldest batch first, that come after
	// the batch named after, and whether there are more.
	Runnings(ctx context.Context, after string, limit int) ([]batch.Running, bool, error)
	// UpdateAllowance is to the deployment's allowance of messages what UpdateQuota
	// is to a tenant's quota.
	UpdateAllowance(ctx context.Context, change func(*batch.Allowance) error) (batch.Allowance, error)
}

// An Objects keeps bytes.
type Objects interface {
	// Read returns exactly length bytes. It returns batch.ErrNoObject.
	Read(ctx context.Context, key string, offset, length int64) ([]byte, error)
	Put(ctx context.Context, key string, body []byte) error
	// PutNew is Put, but returns batch.ErrExists and leaves what is there if
	// other bytes have this name.
	PutNew(ctx context.Context, key string, body []byte) error
}

// A Queue brings messages to workers.
type Queue interface {
	// Send returns an error if any message may not have been sent.
	Send(ctx context.Context, ms []batch.Message) error
}

// A Flow wakes a batch's flow.
type Flow interface {
	// Wake continues the flow that waits with token; a token that nobody waits
	// with any more is no error.
	Wake(ctx context.Context, token string) error
}
