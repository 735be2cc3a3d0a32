package sim

import (
	"context"
	"errors"
	"reflect"
	"strconv"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/tenant"
)

// updates is how often an update is tried while others are faster.
const updates = 20

// errRev reports a write whose record somebody else wrote since it was read.
var errRev = errors.New("sim: the record has changed since")

// A record is what is read, changed and written back under the condition that
// nobody wrote it meanwhile.
type record[T any] struct {
	name  string
	key   string
	read  func(ctx context.Context) (T, error)
	write func(ctx context.Context, change func(*T) error) (T, error) // of the store, at once
	rev   func(*T) *int64
}

// update changes r, in one turn for the read and one for the write, so that
// others come between.
func update[T any](ctx context.Context, p ports, r record[T], change func(*T) error) (T, error) {
	var none T
	for try := range updates {
		before, err := read(ctx, p, r)
		if err != nil {
			return none, err
		}
		after := before
		if err := change(&after); err != nil {
			return none, err
		}
		*r.rev(&after) = *r.rev(&before)
		if reflect.DeepEqual(before, after) {
			return before, nil
		}
		stored, err := write(ctx, p, r, after)
		if !errors.Is(err, errRev) {
			return stored, err
		}
		pause := p.world.sched.dice("pause "+p.name+r.key).between(0, time.Duration(try+1)*20*time.Millisecond)
		if err := p.world.sched.await(ctx, p.process, p.name+" pause "+r.key, pause); err != nil {
			return none, err
		}
	}
	return none, batch.ErrBusy
}

func read[T any](ctx context.Context, p ports, r record[T]) (got T, err error) {
	err = p.call(ctx, operation{name: "Read" + r.name, key: r.key}, func(ctx context.Context) error {
		var err error
		got, err = r.read(ctx)
		return err
	})
	return got, err
}

// write writes after unless another revision than its own is stored. Its own
// write seen again is no conflict.
func write[T any](ctx context.Context, p ports, r record[T], after T) (stored T, err error) {
	rev := *r.rev(&after)
	err = p.call(ctx, operation{name: "Update" + r.name, key: r.key, writes: true}, func(ctx context.Context) error {
		var held T
		done, err := r.write(ctx, func(now *T) error {
			if held = *now; *r.rev(now) != rev {
				return errRev
			}
			*now = after
			return nil
		})
		if errors.Is(err, errRev) && *r.rev(&held) == rev+1 {
			mine := after
			*r.rev(&mine) = rev + 1
			if reflect.DeepEqual(held, mine) {
				done, err = held, nil
			}
		}
		if errors.Is(err, errRev) {
			p.world.pass("conflict of a record")
		}
		if err == nil {
			stored = done
		}
		return err
	})
	return stored, err
}

func (p ports) batchRecord(ref batch.Ref) record[batch.Batch] {
	w := p.world
	return record[batch.Batch]{
		name: "Batch", key: w.nick(ref.ID), rev: func(b *batch.Batch) *int64 { return &b.Rev },
		read: func(ctx context.Context) (batch.Batch, error) { return w.store.Batch(ctx, ref) },
		write: func(ctx context.Context, change func(*batch.Batch) error) (batch.Batch, error) {
			before, _ := w.store.Batch(ctx, ref) // absent: the write says so
			after, err := w.store.UpdateBatch(ctx, ref, change)
			if err == nil {
				w.check.batchWritten(before, after)
			}
			return after, err
		},
	}
}

// CreateBatch puts a batch.
func (p ports) CreateBatch(ctx context.Context, b batch.Batch) error {
	o := operation{name: "CreateBatch", key: p.world.nick(b.ID), writes: true}
	return p.call(ctx, o, func(ctx context.Context) error {
		err := p.world.store.CreateBatch(ctx, b)
		if err == nil {
			p.world.check.batchWritten(batch.Batch{}, b)
		}
		return err
	})
}

// Batch reads a batch.
func (p ports) Batch(ctx context.Context, ref batch.Ref) (batch.Batch, error) {
	b, err := read(ctx, p, p.batchRecord(ref))
	if err == nil {
		p.world.check.batchSeen(p.process, b)
	}
	return b, err
}

// UpdateBatch changes a batch.
func (p ports) UpdateBatch(ctx context.Context, ref batch.Ref, change func(*batch.Batch) error) (batch.Batch, error) {
	return update(ctx, p, p.batchRecord(ref), change)
}

// Batches lists a tenant's batches.
func (p ports) Batches(ctx context.Context, name, after string, limit int) (page []batch.Batch, more bool, err error) {
	err = p.call(ctx, operation{name: "Batches", key: name + ">" + after}, func(ctx context.Context) error {
		var err error
		page, more, err = p.world.store.Batches(ctx, name, after, limit)
		return err
	})
	return page, more, err
}

func (p ports) historyRecord(ref batch.Ref) record[batch.History] {
	w := p.world
	return record[batch.History]{
		name: "History", key: w.nick(ref.ID), rev: func(h *batch.History) *int64 { return &h.Rev },
		read: func(ctx context.Context) (batch.History, error) { return w.store.History(ctx, ref) },
		write: func(ctx context.Context, change func(*batch.History) error) (batch.History, error) {
			before, _ := w.store.History(ctx, ref) // an error comes back from the write
			after, err := w.store.UpdateHistory(ctx, ref, change)
			if err == nil {
				w.check.historyWritten(before, after)
			}
			return after, err
		},
	}
}

// History reads how a batch went.
func (p ports) History(ctx context.Context, ref batch.Ref) (batch.History, error) {
	return read(ctx, p, p.historyRecord(ref))
}

// UpdateHistory changes how a batch went.
func (p ports) UpdateHistory(ctx context.Context, ref batch.Ref, change func(*batch.History) error) (batch.History, error) {
	return update(ctx, p, p.historyRecord(ref), change)
}

func (p ports) fileRecord(name, id string) record[batch.File] {
	w := p.world
	return record[batch.File]{
		name: "File", key: w.nick(id), rev: func(f *batch.File) *int64 { return &f.Rev },
		read: func(ctx context.Context) (batch.File, error) { return w.store.File(ctx, name, id) },
		write: func(ctx context.Context, change func(*batch.File) error) (batch.File, error) {
			return w.store.UpdateFile(ctx, name, id, change)
		},
	}
}

// CreateFile puts a file's record.
func (p ports) CreateFile(ctx context.Context, f batch.File) error {
	o := operation{name: "CreateFile", key: p.world.nick(f.ID), writes: true}
	return p.call(ctx, o, func(ctx context.Context) error { return p.world.store.CreateFile(ctx, f) })
}

// File reads a file's record.
func (p ports) File(ctx context.Context, name, id string) (batch.File, error) {
	return read(ctx, p, p.fileRecord(name, id))
}

// UpdateFile changes a file's record.
func (p ports) UpdateFile(ctx context.Context, name, id string, change func(*batch.File) error) (batch.File, error) {
	return update(ctx, p, p.fileRecord(name, id), change)
}

// UpdateQuota changes a tenant's quota.
func (p ports) UpdateQuota(ctx context.Context, name string, change func(*tenant.Quota) error) (tenant.Quota, error) {
	w := p.world
	return update(ctx, p, record[tenant.Quota]{
		name: "Quota", key: name, rev: func(q *tenant.Quota) *int64 { return &q.Rev },
		read: func(ctx context.Context) (tenant.Quota, error) {
			return w.store.UpdateQuota(ctx, name, func(*tenant.Quota) error { return nil })
		},
		write: func(ctx context.Context, change func(*tenant.Quota) error) (tenant.Quota, error) {
			return w.store.UpdateQuota(ctx, name, change)
		},
	}, change)
}

// UpdateLimit changes what is known of a route.
func (p ports) UpdateLimit(ctx context.Context, id string, change func(*limit.Record) error) (limit.Record, error) {
	w := p.world
	return update(ctx, p, record[limit.Record]{
		name: "Limit", key: id, rev: func(r *limit.Record) *int64 { return &r.Rev },
		read: func(ctx context.Context) (limit.Record, error) { return w.store.Limit(ctx, id) },
		write: func(ctx context.Context, change func(*limit.Record) error) (limit.Record, error) {
			return w.store.UpdateLimit(ctx, id, change)
		},
	}, change)
}

// CreateRunning enters a batch among what runs.
func (p ports) CreateRunning(ctx context.Context, r batch.Running) error {
	o := operation{name: "CreateRunning", key: p.world.nick(r.ID), writes: true}
	return p.call(ctx, o, func(ctx context.Context) error { return p.world.store.CreateRunning(ctx, r) })
}

// RemoveRunning takes a batch out of what runs.
func (p ports) RemoveRunning(ctx context.Context, r batch.Running) error {
	o := operation{name: "RemoveRunning", key: p.world.nick(r.ID), writes: true}
	return p.call(ctx, o, func(ctx context.Context) error { return p.world.store.RemoveRunning(ctx, r) })
}

// ClaimReceipt puts a receipt unless there is one.
func (p ports) ClaimReceipt(ctx context.Context, r batch.Receipt) (got batch.Receipt, err error) {
	err = p.call(ctx, operation{name: "ClaimReceipt", key: r.Key, writes: true}, func(ctx context.Context) error {
		held, err := p.world.store.ClaimReceipt(ctx, r)
		if err == nil {
			got = held
		}
		return err
	})
	return got, err
}

// PutReceipt puts a receipt.
func (p ports) PutReceipt(ctx context.Context, r batch.Receipt) error {
	o := operation{name: "PutReceipt", key: r.Key, writes: true}
	return p.call(ctx, o, func(ctx context.Context) error { return p.world.store.PutReceipt(ctx, r) })
}

// NoteKeyUse notes that an API key is used. It takes no time and never fails: nothing
// hangs on it.
func (p ports) NoteKeyUse(ctx context.Context, u tenant.KeyUse) error {
	return p.world.store.NoteKeyUse(ctx, u)
}

// Key reads an API key.
func (p ports) Key(ctx context.Context, hash string) (k tenant.Key, err error) {
	err = p.call(ctx, operation{name: "Key", key: strconv.Itoa(len(hash))}, func(ctx context.Context) error {
		var err error
		k, err = p.world.store.Key(ctx, hash)
		return err
	})
	return k, err
}
