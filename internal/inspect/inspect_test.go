package inspect_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/inspect"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/storetest"
)

var errDied = errors.New("crash")

// A world is a batch in progress and an Inspector that may die after any of its
// writes.
type world struct {
	*inspect.Inspector

	t     *testing.T
	store *memstore.Store
	files *memstore.Files
	flow  *memstore.Flow
	ref   batch.Ref
	now   time.Time
	left  int          // writes until the crash; 0: none
	first func() error // runs before the next Apply
}

// op makes a call of the store or the flow, and dies after it.
func (w *world) op(op string, call func() error) error {
	if op == "Batch" {
		return call()
	}
	if first := w.first; first != nil && op == "Apply" {
		w.first = nil
		if err := first(); err != nil {
			return err
		}
	}
	return w.after(call())
}

func (w *world) after(err error) error {
	if w.left--; w.left == 0 {
		return errors.Join(err, errDied)
	}
	return err
}

func customID(line int) string { return fmt.Sprintf("id/%d é", line) }

func requestID(line int) string { return fmt.Sprintf("batch_req_01a_%d", line) }

// newWorld returns a world with a loaded batch of total requests, all of them
// enqueued.
func newWorld(t *testing.T, total int) *world {
	t.Helper()
	w := &world{
		t: t, store: memstore.NewStore(), files: memstore.NewFiles(), flow: memstore.NewFlow(),
		ref: batch.Ref{Tenant: "acme", ID: "batch_01a"}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	store := storetest.FaultyStore{Store: w.store, Do: w.op}
	w.Inspector = inspect.New(inspect.Deps{
		Requests: store, Batches: store, Objects: w.files, Flow: storetest.FaultyFlow{Flow: w.flow, Do: w.op},
		Clock: func() time.Time { return w.now },
	})
	b := batch.Batch{
		Ref: w.ref, Status: batch.StatusInProgress, Shards: batch.Shards(total), Enqueued: total, Mark: total, Token: "token",
		Load:   batch.LoadCursor{Validated: true, Line: total},
		Counts: batch.Counts{Total: total}, CreatedAt: w.now, InProgressAt: w.now, Deadline: w.now.Add(time.Hour),
	}
	w.must(w.store.CreateBatch(t.Context(), b))
	var x batch.Index
	made := make([]state.Change, 0, total)
	for line := 1; line <= total; line++ {
		c, err := state.New(state.Spec{Key: b.Key(line), CustomID: customID(line), Deadline: b.Deadline}).Change()
		w.must(err)
		made = append(made, c)
		x.Add(sha256.Sum256([]byte(customID(line))), line)
	}
	w.must(w.store.Create(t.Context(), made))
	w.must(w.files.Put(t.Context(), batch.IndexKey(b.ID), x.Bytes()))
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) batch() batch.Batch {
	w.t.Helper()
	b, err := w.store.Batch(w.t.Context(), w.ref)
	w.must(err)
	return b
}

func (w *world) change(f func(*batch.Batch)) batch.Batch {
	w.t.Helper()
	b, err := w.store.UpdateBatch(w.t.Context(), w.ref, func(b *batch.Batch) error {
		f(b)
		return nil
	})
	w.must(err)
	return b
}

func (w *world) record(line int) state.Record {
	w.t.Helper()
	b := w.batch()
	rec, err := w.store.Request(w.t.Context(), b.Key(line))
	w.must(err)
	return rec
}

// start has a worker call a line.
func (w *world) start(line int) state.Request[state.Processing] {
	w.t.Helper()
	pending, err := state.As[state.Pending](w.record(line))
	w.must(err)
	claimed, err := state.Claim(pending, state.Lease{
		ClaimID: fmt.Sprintf("claim-%d", line), Worker: "w", Expires: w.now.Add(time.Minute),
	}, w.now)
	w.must(err)
	started, err := state.Start(claimed, w.now)
	w.must(err)
	c, err := started.Change()
	w.must(err)
	w.must(w.store.Apply(w.t.Context(), c))
	return started.Stored()
}

func (w *world) complete(line int) {
	w.t.Helper()
	c, err := state.Complete(w.start(line), state.Result{StatusCode: 200}, w.now).Change()
	w.must(err)
	w.must(w.store.Apply(w.t.Context(), c))
}

func (w *world) expire(line int) {
	w.t.Helper()
	r, err := state.As[state.Pending](w.record(line))
	w.must(err)
	c, err := state.Expire(r, w.now).Change()
	w.must(err)
	w.must(w.store.Apply(w.t.Context(), c))
}

func lines(recs []state.Record) []int {
	out := []int{}
	for _, rec := range recs {
		out = append(out, rec.Spec.Key.Line)
	}
	return out
}

// walk lists page after page until there is no more, and returns the lines and
// the number of pages.
func (w *world) walk(q batch.RequestQuery) (all []int, pages int) {
	w.t.Helper()
	for {
		page, err := w.List(w.t.Context(), w.batch(), q)
		w.must(err)
		if len(page.Requests) > q.Limit {
			w.t.Fatalf("a page of %d, asked for %d", len(page.Requests), q.Limit)
		}
		all = append(all, lines(page.Requests)...)
		if pages++; !page.More {
			return all, pages
		}
		if page.Last <= q.After {
			w.t.Fatalf("a page after %d ends with %d", q.After, page.Last)
		}
		q.After = page.Last
	}
}

func TestListMissesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 23)
	w.complete(3)
	w.start(5)
	w.expire(8)
	w.complete(23)
	_, err := w.Cancel(t.Context(), w.batch(), requestID(9))
	w.must(err)
	var every []int
	for line := range 23 {
		every = append(every, line+1)
	}
	for _, limit := range []int{1, 4, 23, 100} {
		all, _ := w.walk(batch.RequestQuery{Limit: limit})
		if diff := cmp.Diff(every, all); diff != "" {
			t.Errorf("pages of %d: %s", limit, diff)
		}
		for outcome, want := range map[batch.Outcome][]int{
			batch.OutcomeCompleted: {3, 23}, batch.OutcomeInProgress: {5}, batch.OutcomeExpired: {8},
			batch.OutcomeCanceled: {9}, batch.OutcomeFailed: nil,
			batch.OutcomePending: slices.DeleteFunc(slices.Clone(every), func(line int) bool {
				return slices.Contains([]int{3, 5, 8, 9, 23}, line)
			}),
		} {
			if all, _ := w.walk(batch.RequestQuery{Outcome: outcome, Limit: limit}); !slices.Equal(all, want) {
				t.Errorf("%s, pages of %d: %v, want %v", outcome, limit, all, want)
			}
		}
	}
}

// TestListLooksThroughSoMany has a filter that leaves nearly everything out.
func TestListLooksThroughSoMany(t *testing.T) {
	t.Parallel()
	const total = 2*batch.MaxScan + 10
	w := newWorld(t, total)
	w.complete(total)
	page, err := w.List(t.Context(), w.batch(), batch.RequestQuery{Outcome: batch.OutcomeCompleted, Limit: 10})
	w.must(err)
	if len(page.Requests) != 0 || !page.More || page.Last != batch.MaxScan {
		t.Errorf("the first page is %+v", page)
	}
	all, pages := w.walk(batch.RequestQuery{Outcome: batch.OutcomeCompleted, Limit: 10})
	if !slices.Equal(all, []int{total}) || pages != 3 {
		t.Errorf("found %v in %d pages", all, pages)
	}
}

// aMillion has a million requests that are made as they are read, of which each 100,000th has failed.
type aMillion struct {
	*memstore.Store

	b    batch.Batch
	read *int
}

const million = 1_000_000

func (m aMillion) Requests(_ context.Context, _ string, _, after int) iter.Seq2[state.Record, error] {
	return func(yield func(state.Record, error) bool) {
		for line := after + 1; line <= million; line++ {
			*m.read++
			rec := state.Record{Spec: state.Spec{Key: m.b.Key(line), CustomID: customID(line)}, Phase: state.Completed{}}
			if line%100_000 == 0 {
				rec.Phase = state.Failed{Reason: state.Timeout{}}
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// TestFiltersOfAMillion demands that no page of a filtered list reads more than it may, and that the pages miss none.
func TestFiltersOfAMillion(t *testing.T) {
	t.Parallel()
	read := 0
	b := batch.Batch{
		Ref: batch.Ref{Tenant: "acme", ID: "batch_01a"}, Shards: 1, Status: batch.StatusInProgress,
		Load: batch.LoadCursor{Validated: true, Line: million}, Counts: batch.Counts{Total: million},
	}
	i := inspect.New(inspect.Deps{Requests: aMillion{b: b, read: &read}})
	for q, want := range map[batch.RequestQuery]int{
		{Outcome: batch.OutcomeFailed, Limit: 3}: 10,
		{Reason: "request_timeout", Limit: 100}:  10,
		{Search: "D/9", Limit: 100}:              111_111,
	} {
		found, pages := 0, 0
		for more := true; more; pages++ {
			read = 0
			page, err := i.List(t.Context(), b, q)
			if err != nil || read > batch.MaxScan || page.Last < q.After || page.More && page.Last == q.After {
				t.Fatalf("%+v: a page reads %d requests up to %d, %v", q, read, page.Last, err)
			}
			found, more, q.After = found+len(page.Requests), page.More, page.Last
		}
		if q.After = 0; found != want {
			t.Errorf("%+v: found %d in %d pages, want %d", q, found, pages, want)
		}
	}
}

func TestNothingIsSeenBeforeAllIsStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	b := w.change(func(b *batch.Batch) { b.Status, b.Load.Line = batch.StatusValidating, 4 })
	page, err := w.List(t.Context(), b, batch.RequestQuery{Limit: 10})
	if err != nil || len(page.Requests) != 0 || page.More {
		t.Errorf("page is %+v, %v", page, err)
	}
	if _, err := w.Find(t.Context(), b, customID(1)); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("error is %v", err)
	}
	if _, err := w.Get(t.Context(), b, requestID(1)); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("error is %v", err)
	}
	if _, err := w.Cancel(t.Context(), b, requestID(1)); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("error is %v", err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 500)
	for line := 1; line <= 500; line += 7 {
		found, err1 := w.Find(t.Context(), w.batch(), customID(line))
		got, err2 := w.Get(t.Context(), w.batch(), requestID(line))
		if err := errors.Join(err1, err2); err != nil || found.Spec.Key.Line != line || got.Spec.Key.Line != line {
			t.Fatalf("line %d is %+v and %+v, %v", line, found, got, err)
		}
	}
	for _, name := range []string{"", "id", customID(501), requestID(1), strings.Repeat("x", 9_999)} {
		if _, err := w.Find(t.Context(), w.batch(), name); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("%.20s: error is %v", name, err)
		}
	}
	for _, id := range []string{"", customID(1), requestID(501), requestID(0), "batch_req_01b_1", "batch_req_01a_1/"} {
		if _, err := w.Get(t.Context(), w.batch(), id); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("%s: error is %v", id, err)
		}
	}
	w.must(w.files.Delete(t.Context(), batch.IndexKey(w.ref.ID)))
	if _, err := w.Find(t.Context(), w.batch(), customID(1)); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("without an index the error is %v", err)
	}
}

// TestFindAmongTwins has an index in which several lines share a hash: the
// request's own custom_id decides.
func TestFindAmongTwins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	var x batch.Index
	for line := 1; line <= 5; line++ {
		x.Add(sha256.Sum256([]byte(customID(4))), line)
	}
	w.must(w.files.Put(t.Context(), batch.IndexKey(w.ref.ID), x.Bytes()))
	rec, err := w.Find(t.Context(), w.batch(), customID(4))
	if err != nil || rec.Spec.Key.Line != 4 {
		t.Errorf("found %+v, %v", rec, err)
	}
}

func TestCancelEndsOneRequest(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*world){
		"pending":    func(*world) {},
		"processing": func(w *world) { w.start(2) },
		"moved on meanwhile": func(w *world) {
			w.first = func() error {
				w.start(2)
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 3)
			prepare(w)
			for range 2 { // again is the same
				rec, err := w.Cancel(t.Context(), w.batch(), requestID(2))
				if err != nil || rec.Phase.Status() != state.StatusCanceled || rec.Spec.Key.Line != 2 {
					t.Fatalf("canceled %+v, %v", rec, err)
				}
			}
			counts, err := w.store.Progress(t.Context(), w.ref.ID)
			w.must(err)
			if counts != (batch.Counts{Canceled: 1}) || len(w.flow.Wakes()) != 0 {
				t.Errorf("counts %+v, wakes %v", counts, w.flow.Wakes())
			}
			if b := w.batch(); !slices.Equal(b.CanceledLines, []int{2}) || b.Canceling() || b.Status != batch.StatusInProgress {
				t.Errorf("batch is %+v", b)
			}
			for _, line := range []int{1, 3} {
				if got := w.record(line).Phase.Status(); got != state.StatusPending {
					t.Errorf("line %d is %s", line, got)
				}
			}
		})
	}
}

func TestCancelOfTheLastWakesTheFlow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.complete(1)
	w.must(w.store.PutCounter(t.Context(), w.ref.ID, batch.CounterShard{ID: "c", Counts: batch.Counts{Completed: 1}}))
	_, err := w.Cancel(t.Context(), w.batch(), requestID(2))
	w.must(err)
	if diff := cmp.Diff([]string{"token"}, w.flow.Wakes()); diff != "" {
		t.Error(diff)
	}
}

func TestCancelRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	w.complete(1)
	w.expire(2)
	for line, want := range map[int]batch.Outcome{1: batch.OutcomeCompleted, 2: batch.OutcomeExpired} {
		_, err := w.Cancel(t.Context(), w.batch(), requestID(line))
		var refused *batch.RequestError
		if !errors.As(err, &refused) || refused.Outcome != want {
			t.Errorf("line %d: error is %v", line, err)
		}
	}
	if _, err := w.Cancel(t.Context(), w.batch(), customID(4)); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("error is %v", err)
	}
	w.first = func() error { // the answer comes first
		w.complete(3)
		return nil
	}
	var refused *batch.RequestError
	if _, err := w.Cancel(t.Context(), w.batch(), requestID(3)); !errors.As(err, &refused) {
		t.Errorf("error is %v", err)
	}
	before := w.change(func(b *batch.Batch) { w.must(b.Fail(batch.FailNow, batch.InternalError("given up"), w.now)) })
	var ended *batch.StatusError
	if _, err := w.Cancel(t.Context(), before, requestID(4)); !errors.As(err, &ended) {
		t.Errorf("error is %v", err)
	}
	if diff := cmp.Diff(before, w.batch()); diff != "" {
		t.Errorf("an ended batch changed: %s", diff)
	}
}

// TestCancelCrashes dies after each write of a cancel. A worker that has the
// call, or a cancel that is repeated, puts right what is missing.
func TestCancelCrashes(t *testing.T) {
	t.Parallel()
	for writes := 1; writes <= 4; writes++ {
		t.Run(fmt.Sprint(writes), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.left = writes
			if _, err := w.Cancel(t.Context(), w.batch(), requestID(1)); !errors.Is(err, errDied) {
				t.Fatalf("error is %v", err)
			}
			if got := w.record(1).Phase.Status(); got != state.StatusCanceled {
				t.Fatalf("the request is %s", got)
			}
			rec, err := w.Cancel(t.Context(), w.batch(), requestID(1))
			if err != nil || rec.Phase.Status() != state.StatusCanceled {
				t.Fatalf("canceled %+v, %v", rec, err)
			}
			counts, err := w.store.Progress(t.Context(), w.ref.ID)
			w.must(err)
			if b := w.batch(); !slices.Equal(b.CanceledLines, []int{1}) || counts != (batch.Counts{Canceled: 1}) ||
				!slices.Contains(w.flow.Wakes(), "token") {
				t.Errorf("stopped %v, counts %+v, wakes %v", b.CanceledLines, counts, w.flow.Wakes())
			}
		})
	}
}
