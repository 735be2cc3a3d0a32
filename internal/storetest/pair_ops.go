package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/tenant"
)

// What the operations name: little, so that they meet.
func batchIDs() []string  { return []string{"batch_a", "batch_ab"} }
func fileIDs() []string   { return []string{"file-a", "file-ab"} }
func uploadIDs() []string { return []string{"upload_a"} }
func workerIDs() []string { return []string{"worker-a", "worker-b"} }
func routeIDs() []string  { return []string{"*#default", "gpt-4o*#eu"} }
func owners() []string    { return []string{"acme", "acme1"} }

// one returns one of some, each as likely as the other, which rapid.SampledFrom
// does not.
func one[T any](rt *rapid.T, label string, of ...T) T {
	return rapid.Custom(func(rt *rapid.T) T {
		n := 0
		for range 10 {
			n <<= 1
			if rapid.Bool().Draw(rt, "bit") {
				n++
			}
		}
		return of[n*len(of)>>10]
	}).Draw(rt, label)
}

// seldom returns true one time in four.
func seldom(rt *rapid.T, label string) bool { return one(rt, label, false, false, false, true) }

// mostly returns the first of some, and seldom another.
func mostly(rt *rapid.T, label string, of []string) string {
	if len(of) > 1 && seldom(rt, "other") {
		of = of[1:]
	}
	return one(rt, label, of[:1]...)
}

// upTo returns a number from first to last.
func upTo(rt *rapid.T, label string, first, last int) int {
	return one(rt, label, lines(first, last)...)
}

func aBatch(rt *rapid.T) string  { return mostly(rt, "batch", batchIDs()) }
func anOwner(rt *rapid.T) string { return mostly(rt, "owner", owners()) }
func aRef(rt *rapid.T) batch.Ref { return batch.Ref{Tenant: anOwner(rt), ID: aBatch(rt)} }

// aName returns one of ids, or seldom what no store has.
func aName(rt *rapid.T, ids []string) string {
	if seldom(rt, "odd") {
		return one(rt, "name", "", "none", strings.Repeat("long", 1000))
	}
	return mostly(rt, "name", ids)
}

// anyRef returns a batch's name, there or not.
func anyRef(rt *rapid.T) batch.Ref { return batch.Ref{Tenant: anOwner(rt), ID: aName(rt, batchIDs())} }

func anyTime(rt *rapid.T) time.Time { return drawn[time.Time](rt, "time") }

func noChange[T any](*T) error { return nil }

func stopped[T any](*T) error { return errStop }

func whole[T any](v T) func(*T) error {
	return func(into *T) error {
		*into = v
		return nil
	}
}

// operations returns each operation by its name.
func (p *pair) operations() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"Apply": p.apply, "ApplyAll": p.applyAll, "Create": p.create, "Request": p.request, "Requests": p.requests,
		"Beat": p.beat, "Worker": p.worker, "PutCounter": p.putCounter, "Counters": p.counters, "Progress": p.progress,
		"AppendJournal": p.appendJournal, "Journal": p.journal,
		"CreateRunning": p.createRunning, "Running": p.running, "Runnings": p.listRunning,
		"NextFlow": p.nextFlow, "RemoveRunning": p.removeRunning,
		"Expiring": p.listExpiring, "Postpone": p.postpone, "RemoveExpiring": p.removeExpiring,
		"CreateBatch": p.createBatch, "Batch": p.batch, "UpdateBatch": p.updateBatch, "Batches": p.batches,
		"History": p.history, "UpdateHistory": p.updateHistory,
		"CreateFile": p.createFile, "File": p.file, "UpdateFile": p.updateFile, "DeleteFile": p.deleteFile,
		"Files":        p.listFiles,
		"CreateUpload": p.createUpload, "Upload": p.upload, "UpdateUpload": p.updateUpload,
		"ClaimReceipt": p.claimReceipt, "PutReceipt": p.putReceipt,
		"UpdateQuota": p.updateQuota, "UpdateAllowance": p.updateAllowance,
		"Limit": p.limit, "UpdateLimit": p.updateLimit,
		"Key": p.key, "PutKey": p.putKey, "Keys": p.keys, "NoteKeyUse": p.noteKeyUse, "KeyUses": p.keyUses,
		"PutAct": p.putAct, "Acts": p.acts,
		"Models": p.models, "PutModel": p.putModel, "DeleteModel": p.deleteModel,
	}
}

func (p *pair) apply(rt *rapid.T) {
	c := p.anyChange(rt)
	if write(rt, p, "Apply", func(ctx context.Context, s Store) error { return s.Apply(ctx, c) }) {
		p.read = append(p.read, c.Record())
	}
	p.written = append(p.written, c)
}

// applyAll applies several such changes in one call, and holds each one's error
// against the other store's.
func (p *pair) applyAll(rt *rapid.T) {
	cs := make([]state.Change, upTo(rt, "changes", 1, pairLines+1))
	for i := range cs {
		cs[i] = p.anyChange(rt)
	}
	errs := [2][]error{}
	n := 0
	done := write(rt, p, "ApplyAll", func(ctx context.Context, s Store) error {
		errs[n] = s.ApplyAll(ctx, cs)
		n++
		return errors.Join(errs[n-1]...)
	})
	for i, c := range cs {
		if ctxErr := errors.Is(errs[0][i], context.Canceled) || errors.Is(errs[1][i], context.Canceled); !ctxErr {
			same(rt, fmt.Sprintf("error of change %d", i), kind(errs[1][i]), kind(errs[0][i]))
		}
		if done || errs[0][i] == nil {
			p.read = append(p.read, c.Record())
		}
	}
	p.written = append(p.written, cs...)
}

// anyChange returns a change that is legal for a reading of any age, one that was
// applied before, or none.
func (p *pair) anyChange(rt *rapid.T) state.Change {
	rec := state.New(spec(aBatch(rt), upTo(rt, "line", 1, pairLines), pairShards)).Record()
	if len(p.read) > 0 && !seldom(rt, "of none") {
		rec = one(rt, "reading", p.read[max(len(p.read)-8, 0):]...)
	}
	c, _ := anyChange(rt, rec)
	if len(p.written) > 0 && seldom(rt, "again") {
		c = one(rt, "written", p.written...)
	}
	return c
}

func (p *pair) create(rt *rapid.T) {
	first := upTo(rt, "first", 1, pairLines)
	cs := creations(rt, aBatch(rt), first, upTo(rt, "last", first-1, pairLines), pairShards)
	if len(p.written) > 0 && seldom(rt, "another") {
		cs = append(cs, one(rt, "written", p.written...))
	}
	if write(rt, p, "Create", func(ctx context.Context, s Store) error { return s.Create(ctx, cs) }) {
		for _, c := range cs {
			p.read = append(p.read, c.Record())
		}
	}
}

func (p *pair) request(rt *rapid.T) {
	k := state.Key{
		Batch: aBatch(rt), Line: upTo(rt, "line", 1, pairLines),
		Shard: upTo(rt, "shard", 0, pairShards-1),
	}
	if len(p.read) > 0 && rapid.Bool().Draw(rt, "known") {
		k = one(rt, "reading", p.read...).Spec.Key
	}
	rec, done := both(rt, p, "Request", func(ctx context.Context, s Store) (state.Record, error) { return s.Request(ctx, k) })
	if done {
		p.read = append(p.read, rec)
	}
}

func (p *pair) requests(rt *rapid.T) {
	id := one(rt, "batch", append(batchIDs(), "", "none")...)
	shards, after := upTo(rt, "shards", -1, pairShards+1), upTo(rt, "after", -1, pairLines)
	both(rt, p, "Requests", func(ctx context.Context, s Store) ([]state.Record, error) {
		return collect(s.Requests(ctx, id, shards, after))
	})
}

// collect returns what a walk yields before its error.
func collect(walk iter.Seq2[state.Record, error]) ([]state.Record, error) {
	var all []state.Record
	for rec, err := range walk {
		if err != nil {
			return all, err
		}
		all = append(all, rec)
	}
	return all, nil
}

func (p *pair) beat(rt *rapid.T) {
	w := drawn[state.Worker](rt, "worker")
	w.ID = one(rt, "id", workerIDs()...)
	write(rt, p, "Beat", func(ctx context.Context, s Store) error { return s.Beat(ctx, w) })
}

func (p *pair) worker(rt *rapid.T) {
	id := one(rt, "id", append(workerIDs(), "none")...)
	both(rt, p, "Worker", func(ctx context.Context, s Store) (state.Worker, error) { return s.Worker(ctx, id) })
}

func (p *pair) putCounter(rt *rapid.T) {
	id := aBatch(rt)
	count := func(label string) int { return upTo(rt, label, 0, 3) }
	c := batch.CounterShard{ID: one(rt, "counter", "a", "line-1", "ab"), Counts: batch.Counts{
		Total: count("total"), Completed: count("completed"), Failed: count("failed"),
		Expired: count("expired"), Canceled: count("canceled"),
	}}
	write(rt, p, "PutCounter", func(ctx context.Context, s Store) error { return s.PutCounter(ctx, id, c) })
}

func (p *pair) counters(rt *rapid.T) {
	id := aBatch(rt)
	both(rt, p, "Counters", func(ctx context.Context, s Store) ([]batch.CounterShard, error) { return s.Counters(ctx, id) })
}

func (p *pair) progress(rt *rapid.T) {
	id := aBatch(rt)
	both(rt, p, "Progress", func(ctx context.Context, s Store) (batch.Counts, error) { return s.Progress(ctx, id) })
}

// appendJournal keeps to what the caller owes: the entry before a numbered one
// exists, and one that closes the journal names no lines.
func (p *pair) appendJournal(rt *rapid.T) {
	id, e := aBatch(rt), drawn[batch.Entry](rt, "entry")
	e.Segment, e.Closed = one(rt, "segment", "a", "b", "c", ""), seldom(rt, "closed")
	if e.N = 0; rapid.Bool().Draw(rt, "numbered") {
		e.N, e.Closed = upTo(rt, "number", 1, p.entries[id]+1), !seldom(rt, "open")
	}
	if e.N == 0 && e.Closed {
		e.Segment, e.Spans = "", nil
	}
	n, done := update(rt, p, "AppendJournal", func(ctx context.Context, s Store) (int, error) {
		return s.AppendJournal(ctx, id, e)
	})
	if done {
		p.entries[id] = max(p.entries[id], n)
	}
}

func (p *pair) journal(rt *rapid.T) {
	id, after, limit := aBatch(rt), upTo(rt, "after", -1, 5), upTo(rt, "limit", 0, 3)
	both(rt, p, "Journal", func(ctx context.Context, s Store) (page[batch.Entry], error) {
		entries, err := s.Journal(ctx, id, after, limit)
		return paged(entries, false, err)
	})
}

// anyRunning returns an entry as it was read once, or a new one.
func (p *pair) anyRunning(rt *rapid.T) batch.Running {
	if len(p.runnings) > 0 && !seldom(rt, "new") {
		return one(rt, "entry", p.runnings...)
	}
	return batch.Running{Ref: aRef(rt), Deadline: anyTime(rt), Flow: upTo(rt, "flow", 1, 2)}
}

func (p *pair) createRunning(rt *rapid.T) {
	r := p.anyRunning(rt)
	done := write(rt, p, "CreateRunning", func(ctx context.Context, s Store) error { return s.CreateRunning(ctx, r) })
	if done {
		p.runnings = append(p.runnings, r)
	}
}

func (p *pair) running(rt *rapid.T) {
	id := aName(rt, batchIDs())
	r, done := both(rt, p, "Running", func(ctx context.Context, s Store) (batch.Running, error) { return s.Running(ctx, id) })
	if done {
		p.runnings = append(p.runnings, r)
	}
}

func (p *pair) listRunning(rt *rapid.T) {
	after, limit := aName(rt, batchIDs()), upTo(rt, "limit", 0, 2)
	both(rt, p, "Runnings", func(ctx context.Context, s Store) (page[batch.Running], error) {
		return paged(s.Runnings(ctx, after, limit))
	})
}

func (p *pair) nextFlow(rt *rapid.T) {
	r := p.anyRunning(rt)
	r, done := update(rt, p, "NextFlow", func(ctx context.Context, s Store) (batch.Running, error) { return s.NextFlow(ctx, r) })
	if done {
		p.runnings = append(p.runnings, r)
	}
}

func (p *pair) removeRunning(rt *rapid.T) {
	r := p.anyRunning(rt)
	if rapid.Bool().Draw(rt, "whatever its flow") {
		r.Flow = 0
	}
	write(rt, p, "RemoveRunning", func(ctx context.Context, s Store) error { return s.RemoveRunning(ctx, r) })
}

// anyExpiring returns an entry as it was read once, or a new one.
func (p *pair) anyExpiring(rt *rapid.T) batch.Expiring {
	if len(p.expirings) > 0 && !seldom(rt, "new") {
		return one(rt, "entry", p.expirings...)
	}
	return batch.NewExpiring(anOwner(rt), one(rt, "id", fileIDs()...), anyTime(rt))
}

func (p *pair) listExpiring(rt *rapid.T) {
	now, limit, after := anyTime(rt), upTo(rt, "limit", 0, 3), batch.Expiring{}
	if rapid.Bool().Draw(rt, "after one") {
		after = p.anyExpiring(rt)
	}
	got, done := both(rt, p, "Expiring", func(ctx context.Context, s Store) (page[batch.Expiring], error) {
		return paged(s.Expiring(ctx, now, after, limit))
	})
	if done {
		p.expirings = append(p.expirings, got.Entries...)
	}
}

func (p *pair) postpone(rt *rapid.T) {
	e, at := p.anyExpiring(rt), anyTime(rt)
	write(rt, p, "Postpone", func(ctx context.Context, s Store) error { return s.Postpone(ctx, e, at) })
}

func (p *pair) removeExpiring(rt *rapid.T) {
	e := p.anyExpiring(rt)
	write(rt, p, "RemoveExpiring", func(ctx context.Context, s Store) error { return s.RemoveExpiring(ctx, e) })
}

// anyBatchRecord returns a new batch, or one in which any field may be anything.
func anyBatchRecord(rt *rapid.T) batch.Batch {
	b := newBatch("")
	if rapid.Bool().Draw(rt, "any") {
		b = drawn[batch.Batch](rt, "b")
		b.Status = one(rt, "status", batch.StatusValidating, batch.StatusInProgress, batch.StatusCanceling,
			batch.StatusFinalizing, batch.StatusCompleted)
	}
	b.Ref = aRef(rt)
	return b
}

func (p *pair) createBatch(rt *rapid.T) {
	b := anyBatchRecord(rt)
	write(rt, p, "CreateBatch", func(ctx context.Context, s Store) error { return s.CreateBatch(ctx, b) })
}

func (p *pair) batch(rt *rapid.T) {
	ref := anyRef(rt)
	both(rt, p, "Batch", func(ctx context.Context, s Store) (batch.Batch, error) { return s.Batch(ctx, ref) })
}

func (p *pair) updateBatch(rt *rapid.T) {
	ref, at, n := anyRef(rt), anyTime(rt), upTo(rt, "n", 0, 3)
	token := one(rt, "token", "", "t")
	change := one(rt, "change",
		noChange, stopped, whole(anyBatchRecord(rt)),
		func(b *batch.Batch) error { return b.Park(token) },
		func(b *batch.Batch) error { return b.Enqueue(n) },
		func(b *batch.Batch) error { return b.Validated(n) },
		func(b *batch.Batch) error { return b.Loaded(n, int64(n), at) },
		func(b *batch.Batch) error { return b.Cancel(at) },
		func(b *batch.Batch) error {
			b.Reconciled = b.Reconciled.See(n, at)
			b.CreatedAt = b.CreatedAt.Add(time.Nanosecond)
			return nil
		},
	)
	update(rt, p, "UpdateBatch", func(ctx context.Context, s Store) (batch.Batch, error) {
		return s.UpdateBatch(ctx, ref, change)
	})
}

func (p *pair) batches(rt *rapid.T) {
	owner, after, limit := anOwner(rt), aName(rt, batchIDs()), upTo(rt, "limit", 0, 2)
	both(rt, p, "Batches", func(ctx context.Context, s Store) (page[batch.Batch], error) {
		return paged(s.Batches(ctx, owner, after, limit))
	})
}

// anyFile returns a file as it was read once, or any.
func (p *pair) anyFile(rt *rapid.T) batch.File {
	if len(p.files) > 0 && !seldom(rt, "new") {
		return one(rt, "file", p.files...)
	}
	f := drawn[batch.File](rt, "f")
	f.Tenant, f.ID, f.Rev = anOwner(rt), mostly(rt, "id", fileIDs()), int64(upTo(rt, "rev", 0, 2))
	f.Purpose = one(rt, "purpose", batch.PurposeBatch, batch.PurposeBatchOutput)
	return f
}

func (p *pair) createFile(rt *rapid.T) {
	f := p.anyFile(rt)
	write(rt, p, "CreateFile", func(ctx context.Context, s Store) error { return s.CreateFile(ctx, f) })
}

func (p *pair) file(rt *rapid.T) {
	owner, id := anOwner(rt), aName(rt, fileIDs())
	f, done := both(rt, p, "File", func(ctx context.Context, s Store) (batch.File, error) { return s.File(ctx, owner, id) })
	if done {
		p.files = append(p.files, f)
	}
}

func (p *pair) updateFile(rt *rapid.T) {
	owner, id := anOwner(rt), aName(rt, fileIDs())
	change := one(rt, "change",
		noChange, stopped, whole(p.anyFile(rt)),
		func(f *batch.File) error { f.Pin("batch_a"); return nil },
		func(f *batch.File) error { f.Unpin("batch_a"); return nil },
	)
	f, done := update(rt, p, "UpdateFile", func(ctx context.Context, s Store) (batch.File, error) {
		return s.UpdateFile(ctx, owner, id, change)
	})
	if done {
		p.files = append(p.files, f)
	}
}

func (p *pair) deleteFile(rt *rapid.T) {
	f := p.anyFile(rt)
	write(rt, p, "DeleteFile", func(ctx context.Context, s Store) error { return s.DeleteFile(ctx, f) })
}

func (p *pair) listFiles(rt *rapid.T) {
	owner, q := anOwner(rt), batch.FileQuery{
		Purpose: one(rt, "purpose", "", batch.PurposeBatch, batch.PurposeBatchOutput, "vision"),
		After:   aName(rt, fileIDs()), Limit: upTo(rt, "limit", 0, 2), Oldest: rapid.Bool().Draw(rt, "oldest"),
	}
	both(rt, p, "Files", func(ctx context.Context, s Store) (page[batch.File], error) {
		return paged(s.Files(ctx, owner, q))
	})
}

func anyUpload(rt *rapid.T) batch.Upload {
	u := newUpload()
	if rapid.Bool().Draw(rt, "any") {
		u = drawn[batch.Upload](rt, "u")
	}
	u.Tenant, u.ID = anOwner(rt), one(rt, "id", uploadIDs()...)
	return u
}

func (p *pair) createUpload(rt *rapid.T) {
	u := anyUpload(rt)
	write(rt, p, "CreateUpload", func(ctx context.Context, s Store) error { return s.CreateUpload(ctx, u) })
}

func (p *pair) upload(rt *rapid.T) {
	owner, id := anOwner(rt), aName(rt, uploadIDs())
	both(rt, p, "Upload", func(ctx context.Context, s Store) (batch.Upload, error) { return s.Upload(ctx, owner, id) })
}

func (p *pair) updateUpload(rt *rapid.T) {
	owner, id, at := anOwner(rt), aName(rt, uploadIDs()), anyTime(rt)
	order, bytes := one(rt, "order", "1", "2"), one(rt, "bytes", int64(0), 7, 1<<29)
	change := one(rt, "change",
		noChange, stopped, whole(anyUpload(rt)),
		func(u *batch.Upload) error { return u.ReservePart(bytes, at) },
		func(u *batch.Upload) error { return u.Try(order, "", "file-a", at) },
		func(u *batch.Upload) error { return u.Join(order, at) },
		func(u *batch.Upload) error { return u.Begin(order, "5d", at) },
		func(u *batch.Upload) error { return u.Cancel(at) },
		(*batch.Upload).Complete,
	)
	update(rt, p, "UpdateUpload", func(ctx context.Context, s Store) (batch.Upload, error) {
		return s.UpdateUpload(ctx, owner, id, change)
	})
}

// aReceipt returns a receipt, of which the snapshots know from then on.
func (p *pair) aReceipt(rt *rapid.T) batch.Receipt {
	r := newReceipt(anOwner(rt), one(rt, "key", "key:1", "order:1"), 0)
	r.CreatedAt = noon().Add(time.Duration(upTo(rt, "minute", 0, 3))*time.Minute + 999*time.Microsecond)
	r.ExpiresAt = r.CreatedAt.Add(time.Duration(upTo(rt, "life", 0, 2)) * time.Minute)
	return r
}

// noteReceipt has the snapshots look for a receipt.
func (p *pair) noteReceipt(r batch.Receipt) {
	for _, known := range p.receipts {
		if known.Tenant == r.Tenant && known.Key == r.Key {
			return
		}
	}
	p.receipts = append(p.receipts, r)
}

func (p *pair) claimReceipt(rt *rapid.T) {
	r := p.aReceipt(rt)
	held, done := update(rt, p, "ClaimReceipt", func(ctx context.Context, s Store) (batch.Receipt, error) {
		return s.ClaimReceipt(ctx, r)
	})
	if done {
		p.noteReceipt(held)
	}
}

func (p *pair) putReceipt(rt *rapid.T) {
	r := p.aReceipt(rt)
	if write(rt, p, "PutReceipt", func(ctx context.Context, s Store) error { return s.PutReceipt(ctx, r) }) {
		p.noteReceipt(r)
	}
}

func (p *pair) history(rt *rapid.T) {
	ref := aRef(rt)
	both(rt, p, "History", func(ctx context.Context, s Store) (batch.History, error) { return s.History(ctx, ref) })
}

func (p *pair) updateHistory(rt *rapid.T) {
	ref, at := aRef(rt), anyTime(rt)
	change := one(rt, "change",
		noChange, stopped, whole(drawn[batch.History](rt, "history")),
		func(h *batch.History) error { h.Add(batch.Sample{At: at, Counts: batch.Counts{Failed: 3}}); return nil },
		func(h *batch.History) error { h.Settle(batch.NewReview(noon(), at), at); return nil },
	)
	update(rt, p, "UpdateHistory", func(ctx context.Context, s Store) (batch.History, error) {
		return s.UpdateHistory(ctx, ref, change)
	})
}

func (p *pair) updateQuota(rt *rapid.T) {
	owner, id, at := anOwner(rt), aBatch(rt), anyTime(rt)
	limits := tenant.Limits{Batches: 1, Bytes: 10, Creates: 1}
	change := one(rt, "change",
		noChange, stopped, whole(drawn[tenant.Quota](rt, "quota")),
		func(q *tenant.Quota) error { return q.AddBatch(id, 3, limits) },
		func(q *tenant.Quota) error { q.RemoveBatch(id); return nil },
		func(q *tenant.Quota) error { return q.CountCreate(at, limits) },
		func(q *tenant.Quota) error { return q.OpenUpload(id, 7, limits) },
		func(q *tenant.Quota) error { q.Recount(nil, q.CountedAt, at); return nil },
	)
	update(rt, p, "UpdateQuota", func(ctx context.Context, s Store) (tenant.Quota, error) {
		return s.UpdateQuota(ctx, owner, change)
	})
}

func (p *pair) updateAllowance(rt *rapid.T) {
	q, at := batch.Ask{Ref: aRef(rt), Due: anyTime(rt), Wants: one(rt, "wants", 0, 7, 900)}, anyTime(rt)
	change := one(rt, "change",
		noChange, stopped, whole(drawn[batch.Allowance](rt, "allowance")),
		func(a *batch.Allowance) error { a.Ask(q, 500, at); return nil },
		func(a *batch.Allowance) error { a.Drop(q.ID); return nil },
	)
	update(rt, p, "UpdateAllowance", func(ctx context.Context, s Store) (batch.Allowance, error) {
		return s.UpdateAllowance(ctx, change)
	})
}

func (p *pair) limit(rt *rapid.T) {
	id := one(rt, "route", routeIDs()...)
	both(rt, p, "Limit", func(ctx context.Context, s Store) (limit.Record, error) { return s.Limit(ctx, id) })
}

func (p *pair) updateLimit(rt *rapid.T) {
	id, at := one(rt, "route", routeIDs()...), limit.At(anyTime(rt))
	l := limit.Limits{Concurrency: one(rt, "slots", 0, 3), RPM: one(rt, "requests", 0, 20), TPM: one(rt, "tokens", 0, 900)}
	change := one(rt, "change",
		noChange, stopped, whole(drawn[limit.Record](rt, "record")),
		func(r *limit.Record) error { r.Hold(at, "w1", 2, l.Concurrency); return nil },
		func(r *limit.Record) error { r.Take(at, l, []int64{5, 300}); return nil },
		func(r *limit.Record) error {
			r.Report(at, l, limit.Report{RefusedAt: at, Says: true})
			return nil
		},
	)
	update(rt, p, "UpdateLimit", func(ctx context.Context, s Store) (limit.Record, error) {
		return s.UpdateLimit(ctx, id, change)
	})
}

func (p *pair) key(rt *rapid.T) {
	hash := aName(rt, []string{"h1", "h2"})
	both(rt, p, "Key", func(ctx context.Context, s Store) (tenant.Key, error) { return s.Key(ctx, hash) })
}

func (p *pair) putKey(rt *rapid.T) {
	k := drawn[tenant.Key](rt, "key")
	k.Hash, k.Tenant = one(rt, "hash", "h1", "h2"), anOwner(rt)
	if rapid.Bool().Draw(rt, "in force") {
		k.RevokedAt = time.Time{}
	}
	write(rt, p, "PutKey", func(ctx context.Context, s Store) error { return s.PutKey(ctx, k) })
}

func (p *pair) noteKeyUse(rt *rapid.T) {
	u := drawn[tenant.KeyUse](rt, "use")
	u.Tenant, u.Hash = anOwner(rt), one(rt, "hash", "h1", "h2")
	write(rt, p, "NoteKeyUse", func(ctx context.Context, s Store) error { return s.NoteKeyUse(ctx, u) })
}

func (p *pair) keyUses(rt *rapid.T) {
	owner := anOwner(rt)
	both(rt, p, "KeyUses", func(ctx context.Context, s Store) (page[tenant.KeyUse], error) {
		uses, err := s.KeyUses(ctx, owner)
		return paged(uses, false, err)
	})
}

func (p *pair) putAct(rt *rapid.T) {
	a := drawn[tenant.Act](rt, "act")
	write(rt, p, "PutAct", func(ctx context.Context, s Store) error { return s.PutAct(ctx, a) })
}

func (p *pair) acts(rt *rapid.T) {
	before, limit := one(rt, "before", time.Time{}, noon(), noon().Add(time.Hour)), upTo(rt, "limit", 0, 3)
	both(rt, p, "Acts", func(ctx context.Context, s Store) (page[tenant.Act], error) {
		return paged(s.Acts(ctx, before, limit))
	})
}

func (p *pair) keys(rt *rapid.T) {
	owner := one(rt, "owner", append(owners(), "")...)
	both(rt, p, "Keys", func(ctx context.Context, s Store) (page[tenant.Key], error) {
		keys, err := s.Keys(ctx, owner)
		return paged(keys, false, err)
	})
}
