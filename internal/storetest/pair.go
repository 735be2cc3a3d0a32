package storetest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/tenant"
)

const (
	// sequences are the fewest that a run does.
	sequences = 4
	// rounds bound how often rapid is asked for more, when it has come to its end.
	rounds = 4
	// stretch is how many of rapid's sequences, of 30 steps on average, make one of
	// ours: as long as it takes to do everything.
	stretch = 10

	pairShards = 2
	pairLines  = 3
)

// A pair does each operation to two stores.
type pair struct {
	stores [2]Store
	tally  tally // of this sequence
	wrote  bool  // since the last snapshot, perhaps

	read      []state.Record // all requests that were ever read or written
	written   []state.Change // all that was ever applied
	files     []batch.File   // readings of any age, as of what runs
	runnings  []batch.Running
	expirings []batch.Expiring
	receipts  []batch.Receipt // what is there
	entries   map[string]int  // of each batch's journal
}

// A tally counts how operations ended, by their names.
type tally map[string]*outcomes

type outcomes struct{ succeeded, failed int }

func newTally() tally {
	t := tally{}
	for _, op := range methods(reflect.TypeFor[Store]()) {
		t[op] = &outcomes{}
	}
	return t
}

// lacking returns the operations that have not succeeded, or not failed.
func (t tally) lacking() []string {
	var ops []string
	for _, op := range slices.Sorted(maps.Keys(t)) {
		if t[op].succeeded == 0 || t[op].failed == 0 {
			ops = append(ops, op)
		}
	}
	return ops
}

// RunPair does random sequences of operations to the two stores that open
// returns, which are empty. It demands equal answers and errors, and after each
// operation that may have written that all that can be read is equal. It ends
// after four sequences, or as many more as it takes until each operation has
// succeeded and failed; where -rapid.checks is set, after so many. It fails if a
// store has an operation that takes no part.
func RunPair(t *testing.T, open func(*rapid.T) (Store, Store)) {
	t.Helper()
	sum, n, failed := newTally(), 0, false
	checks := flag.Lookup("rapid.checks")
	check := func(rt *rapid.T) {
		n++
		if !failed && n > sequences && len(sum.lacking()) == 0 && checks.Value.String() == checks.DefValue {
			return
		}
		defer func() { failed = failed || rt.Failed() }() // what follows looks for a shorter sequence
		left, right := open(rt)
		p := &pair{stores: [2]Store{left, right}, tally: newTally(), entries: map[string]int{}, wrote: true}
		p.run(rt)
		for op, o := range p.tally {
			sum[op].succeeded += o.succeeded
			sum[op].failed += o.failed
		}
	}
	rapid.Check(t, check)
	for range rounds {
		if len(sum.lacking()) > 0 {
			rapid.Check(t, check)
		}
	}
	for _, op := range sum.lacking() {
		t.Errorf("%s succeeded %d times and failed %d times in %d sequences", op, sum[op].succeeded, sum[op].failed, n)
	}
}

// run does one sequence. What has not succeeded, or not failed, comes more often.
func (p *pair) run(rt *rapid.T) {
	ops := p.operations()
	names := slices.Sorted(maps.Keys(ops))
	same(rt, "operations", names, methods(reflect.TypeFor[Store]()))
	for _, s := range p.stores {
		same(rt, fmt.Sprintf("methods of %T", s), methods(reflect.TypeOf(s)), names)
	}
	steps := map[string]func(*rapid.T){
		"": p.wantEqual,
		"step": func(rt *rapid.T) {
			choice := names
			if rare := p.tally.lacking(); len(rare) > 0 && rapid.Bool().Draw(rt, "rare") {
				choice = rare
			}
			ops[one(rt, "operation", choice...)](rt)
		},
	}
	for range stretch {
		rt.Repeat(steps)
	}
}

// methods returns the names of t's exported methods, in order.
func methods(t reflect.Type) []string {
	var names []string
	for m := range t.Methods() {
		names = append(names, m.Name)
	}
	return names
}

// both does call, which is op, to both stores, with a context that has ended at
// times. It returns the answer, and false if there was an error.
func both[T any](
	rt *rapid.T, p *pair, op string, call func(context.Context, Store) (T, error),
) (answer T, done bool) {
	ctx, cancel := context.WithCancel(rt.Context())
	defer cancel()
	ended := seldom(rt, "ended")
	if ended {
		cancel()
	}
	var answers [2]T
	var errs [2]error
	for i, s := range p.stores {
		answers[i], errs[i] = call(ctx, s)
	}
	kinds := [2]string{kind(errs[0]), kind(errs[1])}
	if ended && errs[0] != nil && errs[1] != nil && slices.Contains(kinds[:], kind(context.Canceled)) {
		kinds[0] = kinds[1] // a call that makes no sense may be told so first
	}
	same(rt, "error of "+op, kinds[1], kinds[0])
	if errs[0] != nil {
		p.tally[op].failed++
		return answer, false
	}
	same(rt, "answer of "+op, answers[1], answers[0])
	p.tally[op].succeeded++
	return answers[0], true
}

// write is both, for what returns an error alone.
func write(rt *rapid.T, p *pair, op string, call func(context.Context, Store) error) bool {
	_, done := update(rt, p, op, func(ctx context.Context, s Store) (struct{}, error) {
		return struct{}{}, call(ctx, s)
	})
	return done
}

// update is both, for what writes and has an answer.
func update[T any](
	rt *rapid.T, p *pair, op string, call func(context.Context, Store) (T, error),
) (answer T, done bool) {
	p.wrote = true
	return both(rt, p, op, call)
}

// kind returns what both stores must say of an error: the domain's word for it
// and what it tells, or that there is one.
func kind(err error) string {
	if err == nil {
		return "none"
	}
	if e, is := errors.AsType[*state.ConflictError](err); is {
		return fmt.Sprintf("%T %+v", e, *e)
	}
	if e, is := errors.AsType[*batch.StatusError](err); is {
		return fmt.Sprintf("%T %+v", e, *e)
	}
	if e, is := errors.AsType[*tenant.LimitError](err); is {
		return fmt.Sprintf("%T %+v", e, *e)
	}
	if e, is := errors.AsType[*batch.UploadError](err); is {
		return fmt.Sprintf("%T %+v", e, *e)
	}
	for _, known := range []error{
		context.Canceled, errStop, batch.ErrNotFound, batch.ErrExists, batch.ErrBusy, batch.ErrJournalClosed,
		batch.ErrUploadBegun, batch.ErrUploadOrder, batch.ErrUploadSum, batch.ErrUploadTries, batch.ErrUploadJoining,
		state.ErrNotFound, state.ErrNotTransitioned, tenant.ErrUnknownKey,
		route.ErrInvalid, route.ErrNotFound, route.ErrConflict,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "an error"
}

// A page is what a listing answers.
type page[T any] struct {
	Entries []T
	More    bool
}

// paged returns a listing's answer. A page of nothing may be nil or empty.
func paged[T any](entries []T, more bool, err error) (page[T], error) {
	if len(entries) == 0 {
		entries = nil
	}
	return page[T]{entries, more}, err
}

// A look is one thing that a store shows.
type look struct {
	name string
	read func(context.Context, Store) (any, error)
}

func newLook[T any](name string, read func(context.Context, Store) (T, error)) look {
	return look{name, func(ctx context.Context, s Store) (any, error) { return read(ctx, s) }}
}

// wantEqual ends the test unless both stores show the same.
func (p *pair) wantEqual(rt *rapid.T) {
	if !p.wrote {
		return
	}
	p.wrote = false
	looks := p.looks()
	same(rt, "snapshot", snapshot(rt, p.stores[1], looks), snapshot(rt, p.stores[0], looks))
}

// snapshot returns all that s shows.
func snapshot(rt *rapid.T, s Store, looks []look) map[string]any {
	shown := make([]any, len(looks))
	group, ctx := errgroup.WithContext(rt.Context())
	group.SetLimit(8)
	for i, l := range looks {
		group.Go(func() (err error) {
			shown[i], err = l.read(ctx, s)
			return err
		})
	}
	ok(rt, group.Wait())
	all := map[string]any{}
	for i, l := range looks {
		all[l.name] = shown[i]
	}
	return all
}

// looks returns everything that can be read through the ports.
func (p *pair) looks() []look {
	const most = 1000
	all := []look{
		newLook("allowance", func(ctx context.Context, s Store) (batch.Allowance, error) {
			return s.UpdateAllowance(ctx, noChange)
		}),
		newLook("running", func(ctx context.Context, s Store) (page[batch.Running], error) {
			return paged(s.Runnings(ctx, "", most))
		}),
		newLook("models", func(ctx context.Context, s Store) ([]route.Model, error) { return s.Models(ctx) }),
		newLook("acts", func(ctx context.Context, s Store) (page[tenant.Act], error) {
			return paged(s.Acts(ctx, time.Time{}, most))
		}),
		newLook("keys", func(ctx context.Context, s Store) ([]tenant.Key, error) { return s.Keys(ctx, "") }),
	}
	for _, id := range batchIDs() {
		all = append(all, looksAtBatch(id)...)
	}
	for _, id := range routeIDs() {
		all = append(all, newLook(id, func(ctx context.Context, s Store) (limit.Record, error) { return s.Limit(ctx, id) }))
	}
	for _, id := range workerIDs() {
		all = append(all, newLook(id, func(ctx context.Context, s Store) (state.Worker, error) { return s.Worker(ctx, id) }))
	}
	for _, owner := range owners() {
		all = append(all, looksAtOwner(owner)...)
	}
	for _, r := range p.receipts {
		r.CreatedAt = noon().Add(-time.Hour) // before any ends, so nothing is written
		all = append(all, newLook("receipt "+r.Key+" of "+r.Tenant, func(ctx context.Context, s Store) (batch.Receipt, error) {
			return s.ClaimReceipt(ctx, r)
		}))
	}
	return all
}

func looksAtBatch(id string) []look {
	const most = 1000
	return []look{
		newLook("requests of "+id, func(ctx context.Context, s Store) ([]state.Record, error) {
			return collect(s.Requests(ctx, id, pairShards, 0))
		}),
		newLook("counters of "+id, func(ctx context.Context, s Store) ([]batch.CounterShard, error) { return s.Counters(ctx, id) }),
		newLook("journal of "+id, func(ctx context.Context, s Store) ([]batch.Entry, error) {
			return s.Journal(ctx, id, 0, most)
		}),
	}
}

func looksAtOwner(owner string) []look {
	const most = 1000
	all := []look{
		newLook("batches of "+owner, func(ctx context.Context, s Store) (page[batch.Batch], error) {
			return paged(s.Batches(ctx, owner, "", most))
		}),
		newLook("files of "+owner, func(ctx context.Context, s Store) (page[batch.File], error) {
			return paged(s.Files(ctx, owner, batch.FileQuery{Limit: most}))
		}),
		newLook("history of "+owner+"'s", func(ctx context.Context, s Store) ([]batch.History, error) {
			var all []batch.History
			for _, id := range batchIDs() {
				h, err := s.History(ctx, batch.Ref{Tenant: owner, ID: id})
				if err != nil {
					return nil, err
				}
				all = append(all, h)
			}
			return all, nil
		}),
		newLook("quota of "+owner, func(ctx context.Context, s Store) (tenant.Quota, error) {
			return s.UpdateQuota(ctx, owner, noChange)
		}),
	}
	all = append(all, newLook("key uses of "+owner, func(ctx context.Context, s Store) (page[tenant.KeyUse], error) {
		uses, err := s.KeyUses(ctx, owner)
		return paged(uses, false, err)
	}))
	for _, id := range uploadIDs() {
		all = append(all, newLook(id+" of "+owner, func(ctx context.Context, s Store) (batch.Upload, error) {
			u, err := s.Upload(ctx, owner, id)
			if errors.Is(err, batch.ErrNotFound) {
				err = nil
			}
			return u, err
		}))
	}
	return all
}
