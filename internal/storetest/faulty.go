package storetest

import (
	"context"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/tenant"
)

// A Fault makes a call of the operation op, or has it fail: before it took
// effect or after.
type Fault func(op string, call func() error) error

// A FaultyStore is a store in memory whose writes, and the reads that a use case
// begins with, go by Do.
type FaultyStore struct {
	*memstore.Store

	Do Fault
}

// A FaultyFlow is a flow in memory whose starts and wakes go by Do.
type FaultyFlow struct {
	*memstore.Flow

	Do Fault
}

// faulty returns what call does, by do: nothing, if that fails.
func faulty[T any](do Fault, op string, call func() (T, error)) (T, error) {
	var got, none T
	err := do(op, func() (err error) {
		got, err = call()
		return err
	})
	if err != nil {
		return none, err
	}
	return got, nil
}

// Apply goes by Do.
func (s FaultyStore) Apply(ctx context.Context, c state.Change) error {
	return s.Do("Apply", func() error { return s.Store.Apply(ctx, c) })
}

// Create goes by Do.
func (s FaultyStore) Create(ctx context.Context, cs []state.Change) error {
	return s.Do("Create", func() error { return s.Store.Create(ctx, cs) })
}

// PutCounter goes by Do.
func (s FaultyStore) PutCounter(ctx context.Context, batchID string, c batch.CounterShard) error {
	return s.Do("PutCounter", func() error { return s.Store.PutCounter(ctx, batchID, c) })
}

// Counters goes by Do.
func (s FaultyStore) Counters(ctx context.Context, batchID string) ([]batch.CounterShard, error) {
	return faulty(s.Do, "Counters", func() ([]batch.CounterShard, error) { return s.Store.Counters(ctx, batchID) })
}

// AppendJournal goes by Do.
func (s FaultyStore) AppendJournal(ctx context.Context, batchID string, e batch.Entry) (int, error) {
	return faulty(s.Do, "AppendJournal", func() (int, error) { return s.Store.AppendJournal(ctx, batchID, e) })
}

// Batch goes by Do.
func (s FaultyStore) Batch(ctx context.Context, ref batch.Ref) (batch.Batch, error) {
	return faulty(s.Do, "Batch", func() (batch.Batch, error) { return s.Store.Batch(ctx, ref) })
}

// CreateBatch goes by Do.
func (s FaultyStore) CreateBatch(ctx context.Context, b batch.Batch) error {
	return s.Do("CreateBatch", func() error { return s.Store.CreateBatch(ctx, b) })
}

// UpdateBatch goes by Do.
func (s FaultyStore) UpdateBatch(
	ctx context.Context, ref batch.Ref, change func(*batch.Batch) error,
) (batch.Batch, error) {
	return faulty(s.Do, "UpdateBatch", func() (batch.Batch, error) { return s.Store.UpdateBatch(ctx, ref, change) })
}

// CreateFile goes by Do.
func (s FaultyStore) CreateFile(ctx context.Context, f batch.File) error {
	return s.Do("CreateFile", func() error { return s.Store.CreateFile(ctx, f) })
}

// UpdateFile goes by Do.
func (s FaultyStore) UpdateFile(
	ctx context.Context, tenantName, id string, change func(*batch.File) error,
) (batch.File, error) {
	return faulty(s.Do, "UpdateFile", func() (batch.File, error) {
		return s.Store.UpdateFile(ctx, tenantName, id, change)
	})
}

// UpdateQuota goes by Do.
func (s FaultyStore) UpdateQuota(
	ctx context.Context, tenantName string, change func(*tenant.Quota) error,
) (tenant.Quota, error) {
	return faulty(s.Do, "UpdateQuota", func() (tenant.Quota, error) {
		return s.Store.UpdateQuota(ctx, tenantName, change)
	})
}

// History goes by Do.
func (s FaultyStore) History(ctx context.Context, ref batch.Ref) (batch.History, error) {
	return faulty(s.Do, "History", func() (batch.History, error) { return s.Store.History(ctx, ref) })
}

// UpdateHistory goes by Do.
func (s FaultyStore) UpdateHistory(
	ctx context.Context, ref batch.Ref, change func(*batch.History) error,
) (batch.History, error) {
	return faulty(s.Do, "UpdateHistory", func() (batch.History, error) { return s.Store.UpdateHistory(ctx, ref, change) })
}

// UpdateAllowance goes by Do.
func (s FaultyStore) UpdateAllowance(
	ctx context.Context, change func(*batch.Allowance) error,
) (batch.Allowance, error) {
	return faulty(s.Do, "UpdateAllowance", func() (batch.Allowance, error) { return s.Store.UpdateAllowance(ctx, change) })
}

// UpdateLimit goes by Do.
func (s FaultyStore) UpdateLimit(
	ctx context.Context, id string, change func(*limit.Record) error,
) (limit.Record, error) {
	return faulty(s.Do, "UpdateLimit", func() (limit.Record, error) { return s.Store.UpdateLimit(ctx, id, change) })
}

// CreateRunning goes by Do.
func (s FaultyStore) CreateRunning(ctx context.Context, r batch.Running) error {
	return s.Do("CreateRunning", func() error { return s.Store.CreateRunning(ctx, r) })
}

// RemoveRunning goes by Do.
func (s FaultyStore) RemoveRunning(ctx context.Context, r batch.Running) error {
	return s.Do("RemoveRunning", func() error { return s.Store.RemoveRunning(ctx, r) })
}

// Postpone goes by Do.
func (s FaultyStore) Postpone(ctx context.Context, e batch.Expiring, at time.Time) error {
	return s.Do("Postpone", func() error { return s.Store.Postpone(ctx, e, at) })
}

// RemoveExpiring goes by Do.
func (s FaultyStore) RemoveExpiring(ctx context.Context, e batch.Expiring) error {
	return s.Do("RemoveExpiring", func() error { return s.Store.RemoveExpiring(ctx, e) })
}

// ClaimReceipt goes by Do.
func (s FaultyStore) ClaimReceipt(ctx context.Context, r batch.Receipt) (batch.Receipt, error) {
	return faulty(s.Do, "ClaimReceipt", func() (batch.Receipt, error) { return s.Store.ClaimReceipt(ctx, r) })
}

// PutReceipt goes by Do.
func (s FaultyStore) PutReceipt(ctx context.Context, r batch.Receipt) error {
	return s.Do("PutReceipt", func() error { return s.Store.PutReceipt(ctx, r) })
}

// Start goes by Do.
func (f FaultyFlow) Start(ctx context.Context, b batch.Batch) error {
	return f.Do("Start", func() error { return f.Flow.Start(ctx, b) })
}

// Wake goes by Do.
func (f FaultyFlow) Wake(ctx context.Context, token string) error {
	return f.Do("Wake", func() error { return f.Flow.Wake(ctx, token) })
}
