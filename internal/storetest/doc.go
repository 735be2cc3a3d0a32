// Package storetest is the contract of what keeps things: [Run] tries a store
// of requests, batches, files and keys, [RunFiles] a store of bytes. Every
// adapter passes the same suite, so a use case tried against one holds on all.
//
// It knows the domain and no adapter, and is imported by tests only.
package storetest

import (
	"context"
	"iter"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/tenant"
)

// A Store is what [Run] tries.
type Store interface {
	Requests
	Fleet
	Journals
	Records
	Admin
}

// Admin keeps what people write with musketry admin.
type Admin interface {
	Keys
	Models
	Acts
}

// Fleet keeps what workers share.
type Fleet interface {
	Workers
	Limits
}

// Records keeps what tenants have.
type Records interface {
	Batches
	Histories
	Contents
	Receipts
	Quotas
}

// Contents keeps what is known of bytes that are stored elsewhere.
type Contents interface {
	Files
	Uploads
	Expiries
}

// Requests keeps requests.
type Requests interface {
	Apply(ctx context.Context, c state.Change) error
	ApplyAll(ctx context.Context, cs []state.Change) []error
	Create(ctx context.Context, cs []state.Change) error
	Request(ctx context.Context, k state.Key) (state.Record, error)
	Requests(ctx context.Context, batchID string, shards, afterLine int) iter.Seq2[state.Record, error]
}

// Workers keeps heartbeats and counts.
type Workers interface {
	Beat(ctx context.Context, w state.Worker) error
	Worker(ctx context.Context, id string) (state.Worker, error)
	PutCounter(ctx context.Context, batchID string, c batch.CounterShard) error
	Counters(ctx context.Context, batchID string) ([]batch.CounterShard, error)
	Progress(ctx context.Context, batchID string) (batch.Counts, error)
}

// Limits keeps what the fleet knows of routes.
type Limits interface {
	Limit(ctx context.Context, id string) (limit.Record, error)
	UpdateLimit(ctx context.Context, id string, change func(*limit.Record) error) (limit.Record, error)
}

// Journals keeps in what order lines were recorded.
type Journals interface {
	AppendJournal(ctx context.Context, batchID string, e batch.Entry) (int, error)
	Journal(ctx context.Context, batchID string, after, limit int) ([]batch.Entry, error)
}

// Histories keeps how batches went.
type Histories interface {
	History(ctx context.Context, ref batch.Ref) (batch.History, error)
	UpdateHistory(ctx context.Context, ref batch.Ref, change func(*batch.History) error) (batch.History, error)
}

// Batches keeps batches, and which of them run.
type Batches interface {
	Runnings

	CreateBatch(ctx context.Context, b batch.Batch) error
	Batch(ctx context.Context, ref batch.Ref) (batch.Batch, error)
	UpdateBatch(ctx context.Context, ref batch.Ref, change func(*batch.Batch) error) (batch.Batch, error)
	Batches(ctx context.Context, tenantName, after string, limit int) ([]batch.Batch, bool, error)
}

// Files keeps what is known of files.
type Files interface {
	CreateFile(ctx context.Context, f batch.File) error
	File(ctx context.Context, tenantName, id string) (batch.File, error)
	UpdateFile(ctx context.Context, tenantName, id string, change func(*batch.File) error) (batch.File, error)
	DeleteFile(ctx context.Context, f batch.File) error
	Files(ctx context.Context, tenantName string, q batch.FileQuery) ([]batch.File, bool, error)
}

// Expiries keeps when the lives of files and uploads end.
type Expiries interface {
	Expiring(ctx context.Context, now time.Time, after batch.Expiring, limit int) ([]batch.Expiring, bool, error)
	Postpone(ctx context.Context, e batch.Expiring, at time.Time) error
	RemoveExpiring(ctx context.Context, e batch.Expiring) error
}

// Uploads keeps what is known of files that come in parts.
type Uploads interface {
	CreateUpload(ctx context.Context, u batch.Upload) error
	Upload(ctx context.Context, tenantName, id string) (batch.Upload, error)
	UpdateUpload(ctx context.Context, tenantName, id string, change func(*batch.Upload) error) (batch.Upload, error)
}

// Receipts keeps which batch an order became.
type Receipts interface {
	ClaimReceipt(ctx context.Context, r batch.Receipt) (batch.Receipt, error)
	PutReceipt(ctx context.Context, r batch.Receipt) error
}

// Quotas keeps the quotas of tenants, and the allowance of messages in flight.
type Quotas interface {
	UpdateQuota(ctx context.Context, tenantName string, change func(*tenant.Quota) error) (tenant.Quota, error)
	UpdateAllowance(ctx context.Context, change func(*batch.Allowance) error) (batch.Allowance, error)
}

// Runnings keeps which batches may be unfinished.
type Runnings interface {
	CreateRunning(ctx context.Context, r batch.Running) error
	Running(ctx context.Context, batchID string) (batch.Running, error)
	Runnings(ctx context.Context, after string, limit int) ([]batch.Running, bool, error)
	NextFlow(ctx context.Context, r batch.Running) (batch.Running, error)
	RemoveRunning(ctx context.Context, r batch.Running) error
}

// Keys keeps API keys.
type Keys interface {
	Key(ctx context.Context, hash string) (tenant.Key, error)
	PutKey(ctx context.Context, k tenant.Key) error
	Keys(ctx context.Context, tenantName string) ([]tenant.Key, error)
	NoteKeyUse(ctx context.Context, u tenant.KeyUse) error
	KeyUses(ctx context.Context, tenantName string) ([]tenant.KeyUse, error)
}

// Acts keeps what operators did.
type Acts interface {
	PutAct(ctx context.Context, a tenant.Act) error
	Acts(ctx context.Context, before time.Time, limit int) ([]tenant.Act, bool, error)
}

// Models keeps what an operator says of models.
type Models interface {
	Models(ctx context.Context) ([]route.Model, error)
	PutModel(ctx context.Context, m route.Model) error
	DeleteModel(ctx context.Context, pattern string, revision int64) error
}

// A trial is one test of the contract.
type trial[S any] struct {
	name string
	run  func(*testing.T, S)
}

// Run tries the store that open returns. The trials name everything anew, so
// open may return one store to all of them.
func Run(t *testing.T, open func(*testing.T) Store) {
	t.Helper()
	runAll(t, open, requestTrials(), raceTrials(), walkTrials(), workerTrials(), limitTrials(), journalTrials(),
		batchTrials(), fileTrials(), listingTrials(), uploadTrials(), keyTrials(), routeTrials(), quotaTrials(), runningTrials(), historyTrials(),
		modelTrials())
}

func runAll[S any](t *testing.T, open func(*testing.T) S, groups ...[]trial[S]) {
	t.Helper()
	for _, group := range groups {
		for _, tr := range group {
			t.Run(tr.name, func(t *testing.T) {
				t.Parallel()
				tr.run(t, open(t))
			})
		}
	}
}
