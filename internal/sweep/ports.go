package sweep

import (
	"context"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/tenant"
)

// A Batches keeps batches, and which of them may be unfinished.
type Batches interface {
	// Batch reads consistently. It returns batch.ErrNotFound.
	Batch(ctx context.Context, ref batch.Ref) (batch.Batch, error)
	// Running returns a batch's entry, or batch.ErrNotFound.
	Running(ctx context.Context, batchID string) (batch.Running, error)
	// Runnings returns at most limit entries, oldest batch first, that come after
	// the batch named after, and whether there are more.
	Runnings(ctx context.Context, after string, limit int) ([]batch.Running, bool, error)
	// NextFlow raises the number of r's flow by one unless another has, and
	// returns the entry as it is then. It returns batch.ErrNotFound.
	NextFlow(ctx context.Context, r batch.Running) (batch.Running, error)
	// RemoveRunning deletes r unless its flow's number has risen.
	RemoveRunning(ctx context.Context, r batch.Running) error
}

// A Flows starts flows and knows how they stand.
type Flows interface {
	// Running returns the names of the flows that run. It may lag behind.
	Running(ctx context.Context) (map[string]bool, error)
	// State returns how a batch's n-th flow stands. It may lag behind.
	State(ctx context.Context, batchID string, n int) (batch.FlowState, error)
	// StartAgain starts b's n-th flow with b as its record. One that was started
	// before is no error.
	StartAgain(ctx context.Context, b batch.Batch, n int) error
}

// A Requests reads requests.
type Requests interface {
	// Request returns state.ErrNotFound if there is no such request.
	Request(ctx context.Context, k state.Key) (state.Record, error)
}

// A DeadLetters is what the queue gave up.
type DeadLetters interface {
	// Receive returns at most 10 of them, hidden from others for some minutes;
	// none if there are none.
	Receive(ctx context.Context) ([]batch.DeadLetter, error)
	// Delete passes over a handle that is not good any more.
	Delete(ctx context.Context, handles []string) error
}

// A Queue brings messages to workers.
type Queue interface {
	// Send returns an error if any message may not have been sent.
	Send(ctx context.Context, ms []batch.Message) error
}

// A Metrics counts events. Labels are names and values in turn.
type Metrics interface {
	Count(name string, n int, labels ...string)
}

// An Expiries keeps when the lives of files and uploads end.
type Expiries interface {
	// Expiring returns at most limit of those that end by now, the first first,
	// that come after the one given, and whether there are more.
	Expiring(ctx context.Context, now time.Time, after batch.Expiring, limit int) ([]batch.Expiring, bool, error)
	// Postpone has x end at another instant.
	Postpone(ctx context.Context, x batch.Expiring, at time.Time) error
	// RemoveExpiring forgets x; one that is not there is no error.
	RemoveExpiring(ctx context.Context, x batch.Expiring) error
}

// A Files keeps files' records, and knows the batches that pin them.
type Files interface {
	// File returns batch.ErrNotFound if the tenant has no such file.
	File(ctx context.Context, tenantName, id string) (batch.File, error)
	// UpdateFile writes what change changes, guarded by the file's revision.
	UpdateFile(ctx context.Context, tenantName, id string, change func(*batch.File) error) (batch.File, error)
	// DeleteFile returns batch.ErrBusy if f has changed, and batch.ErrNotFound if
	// it is not there.
	DeleteFile(ctx context.Context, f batch.File) error
	// Batch returns batch.ErrNotFound if there is no such batch.
	Batch(ctx context.Context, ref batch.Ref) (batch.Batch, error)
}

// An Uploads reads uploads' records.
type Uploads interface {
	// Upload returns batch.ErrNotFound if the tenant has no such upload.
	Upload(ctx context.Context, tenantName, id string) (batch.Upload, error)
}

// An Objects deletes bytes.
type Objects interface {
	// Delete returns nil if there is no such object.
	Delete(ctx context.Context, key string) error
	// DeleteAll deletes every object whose name begins with prefix.
	DeleteAll(ctx context.Context, prefix string) error
}

// A Quotas keeps what tenants have stored.
type Quotas interface {
	// UpdateQuota writes what change changes, if anything.
	UpdateQuota(ctx context.Context, tenantName string, change func(*tenant.Quota) error) (tenant.Quota, error)
}
