package submit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/storetest"
	"github.com/musketry/musketry/internal/submit"
)

// errDied is what a call returns whose caller dies right after it.
var errDied = errors.New("crash")

// An acceptance is an Acceptor over stores in memory, which may die after any
// of its writes.
type acceptance struct {
	*submit.Acceptor

	store  *memstore.Store
	flow   *memstore.Flow
	crash  *crashes
	file   batch.File
	moment time.Time
}

// crashes makes the call fail that brings left down to 0, after it took effect.
type crashes struct {
	mu   sync.Mutex
	left int
}

func (c *crashes) after(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left--
	if c.left == 0 {
		return errors.Join(err, errDied)
	}
	return err
}

// op makes a call of the store or the flow, and dies after it. What only a
// cancel does is left out.
func (c *crashes) op(op string, call func() error) error {
	if op == "Batch" || op == "UpdateBatch" {
		return call()
	}
	return c.after(call())
}

// testing is what a test or a property of one has.
type tester interface {
	Helper()
	Fatal(args ...any)
}

func newAcceptance(t tester) *acceptance {
	t.Helper()
	a := &acceptance{
		store: memstore.NewStore(), flow: memstore.NewFlow(), crash: &crashes{},
		moment: time.Date(2026, 1, 2, 3, 4, 5, int(678*time.Millisecond), time.UTC),
	}
	a.file = batch.File{
		Tenant: "alice", ID: "file-01jnfh0000000000000000000a", Name: "in.jsonl", Purpose: batch.PurposeBatch, Bytes: 10,
		CreatedAt: a.moment,
	}
	if err := a.store.CreateFile(context.Background(), a.file); err != nil {
		t.Fatal(err)
	}
	store := storetest.FaultyStore{Store: a.store, Do: a.crash.op}
	a.Acceptor = submit.NewAcceptor(submit.AcceptDeps{
		Store: store, Flow: storetest.FaultyFlow{Flow: a.flow, Do: a.crash.op}, Receipts: store, Clock: func() time.Time { return a.moment }, Random: &counter{}, Log: slog.New(slog.DiscardHandler),
	}, submit.AcceptConfig{Policy: retry.Default(), ExtraEndpoints: []string{"/v1/rerank"}})
	return a
}

// counter is randomness that never repeats.
type counter struct {
	mu sync.Mutex
	n  byte
}

func (c *counter) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	copy(p, bytes.Repeat([]byte{c.n}, len(p)))
	return len(p), nil
}

func (a *acceptance) order() batch.Order {
	return batch.Order{
		Tenant: "alice", InputFileID: a.file.ID, Endpoint: "/v1/chat/completions", Window: "24h",
		Metadata: map[string]string{"a": "b"}, OutputExpiresAfter: time.Hour,
	}
}

func TestAcceptMakesABatch(t *testing.T) {
	t.Parallel()
	a := newAcceptance(t)
	got, err := a.Accept(t.Context(), a.order())
	if err != nil {
		t.Fatal(err)
	}
	want := batch.Batch{
		Ref: batch.Ref{Tenant: "alice", ID: got.ID}, Endpoint: "/v1/chat/completions", InputFileID: a.file.ID,
		Window: "24h", Metadata: map[string]string{"a": "b"}, OutputExpiresAfter: time.Hour, Policy: retry.Default(),
		Status: batch.StatusValidating, CreatedAt: a.moment, Deadline: a.moment.Add(24 * time.Hour),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]batch.Batch{want}, a.flow.Starts()); diff != "" {
		t.Errorf("the flow's record: %s", diff)
	}
	stored, err := a.store.Batch(t.Context(), got.Ref)
	want.Rev = 1
	if diff := cmp.Diff(want, stored); diff != "" || err != nil {
		t.Errorf("stored: %v: %s", err, diff)
	}
	file, err := a.store.File(t.Context(), "alice", a.file.ID)
	if diff := cmp.Diff([]string{got.ID}, file.PinnedBy); diff != "" || err != nil {
		t.Errorf("the file's pins: %v: %s", err, diff)
	}
}

// TestAcceptTakesEndpointsWithoutTheirVersion demands that an order by Azure's spelling is the same order.
func TestAcceptTakesEndpointsWithoutTheirVersion(t *testing.T) {
	t.Parallel()
	a := newAcceptance(t)
	for name, want := range map[string]string{"/chat/completions": "/v1/chat/completions", "/rerank": "/v1/rerank", "/embeddings": "/v1/embeddings"} {
		o := a.order()
		o.Endpoint, o.IdempotencyKey = name, "order of "+want
		b, err := a.Accept(t.Context(), o)
		if err != nil || b.Endpoint != want {
			t.Errorf("%s: the batch is for %q, %v", name, b.Endpoint, err)
		}
		o.Endpoint = want
		if again, err := a.Accept(t.Context(), o); err != nil || again.ID != b.ID {
			t.Errorf("%s: spelled with its version it is batch %s and not %s, %v", name, again.ID, b.ID, err)
		}
	}
}

func TestAcceptRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		order  func(*batch.Order)
		file   func(*batch.File)
		param  string // of an OrderError
		absent bool   // batch.ErrNotFound
	}{
		"endpoint":     {order: func(o *batch.Order) { o.Endpoint = "/v1/models" }, param: "endpoint"},
		"window":       {order: func(o *batch.Order) { o.Window = "1s" }, param: "completion_window"},
		"life":         {order: func(o *batch.Order) { o.OutputExpiresAfter = time.Minute }, param: "output_expires_after.seconds"},
		"metadata":     {order: func(o *batch.Order) { o.Metadata["a"] = strings.Repeat("x", 513) }, param: "metadata.a"},
		"absent file":  {order: func(o *batch.Order) { o.InputFileID = "file-other" }, absent: true},
		"other's file": {order: func(o *batch.Order) { o.Tenant = "bob" }, absent: true},
		"expired file": {file: func(f *batch.File) { f.ExpiresAt = f.CreatedAt }, absent: true},
		"purpose":      {file: func(f *batch.File) { f.Purpose = "vision" }, param: "input_file_id"},
		"large file":   {file: func(f *batch.File) { f.Bytes = batch.MaxInputBytes + 1 }, param: "input_file_id"},
		"file of many": {file: func(f *batch.File) { f.PinnedBy = make([]string, 1000) }, param: "input_file_id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAcceptance(t)
			o := a.order()
			o.IdempotencyKey = "key"
			if c.order != nil {
				c.order(&o)
			}
			if c.file != nil {
				_, err := a.store.UpdateFile(t.Context(), "alice", a.file.ID, func(f *batch.File) error { c.file(f); return nil })
				if err != nil {
					t.Fatal(err)
				}
			}
			_, err := a.Accept(t.Context(), o)
			var refused *batch.OrderError
			if c.absent != errors.Is(err, batch.ErrNotFound) || errors.As(err, &refused) != (c.param != "") {
				t.Fatalf("error is %v", err)
			}
			if refused != nil && refused.Param != c.param {
				t.Errorf("param is %s, want %s", refused.Param, c.param)
			}
			if n := len(a.flow.Starts()); n != 0 {
				t.Errorf("%d flows were started", n)
			}
			// A refusal leaves no receipt: under its key the order as it is mended is taken.
			mended := a.order()
			mended.IdempotencyKey = o.IdempotencyKey
			if c.file != nil {
				mended.InputFileID = "file-01jnfh0000000000000000000b"
				other := a.file
				other.ID = mended.InputFileID
				if err := a.store.CreateFile(t.Context(), other); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := a.Accept(t.Context(), mended); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAcceptAfterACrash dies after each write in turn, and orders again: with
// a key, or as an SDK that repeats. It becomes one batch and one flow.
func TestAcceptAfterACrash(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "key"} {
		for at := 1; at <= 6; at++ {
			t.Run(fmt.Sprintf("key %q, call %d", key, at), func(t *testing.T) {
				t.Parallel()
				a := newAcceptance(t)
				o := a.order()
				o.IdempotencyKey = key
				a.crash.left = at
				_, err := a.Accept(t.Context(), o)
				if started := at == 6; started != (err == nil) || !started && !errors.Is(err, errDied) {
					t.Fatalf("error is %v, want a death, or none of the flow's start", err)
				}
				a.moment = a.moment.Add(time.Minute)
				o.Repeated = true
				b, err := a.Accept(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				starts := a.flow.Starts()
				all, _, err := a.store.Batches(t.Context(), "alice", "", 100)
				if err != nil || len(starts) != 1 || len(all) != 1 || starts[0].ID != b.ID || all[0].ID != b.ID {
					t.Errorf("there are flows %v and batches %v: %v", starts, all, err)
				}
				if r, err := a.store.Running(t.Context(), b.ID); err != nil || r != batch.RunningOf(b) {
					t.Errorf("its entry among what runs is %v, %v", r, err)
				}
				// The flow is of the batch as it was put.
				all[0].Rev, starts[0].Rev = 0, 0
				if diff := cmp.Diff(starts[0], all[0]); diff != "" {
					t.Error(diff)
				}
				file, err := a.store.File(t.Context(), "alice", a.file.ID)
				if diff := cmp.Diff([]string{b.ID}, file.PinnedBy); diff != "" || err != nil {
					t.Errorf("pins: %v: %s", err, diff)
				}
			})
		}
	}
}

// noFlow starts none.
type noFlow struct{ *memstore.Flow }

func (noFlow) Start(context.Context, batch.Batch) error { return errDied }

// TestAcceptWithoutAFlow orders while no flow starts: the batch is there, and its
// entry, by which the sweep starts it. An error would have it ordered twice.
func TestAcceptWithoutAFlow(t *testing.T) {
	t.Parallel()
	a := newAcceptance(t)
	a.Flow = noFlow{a.flow}
	b, err := a.Accept(t.Context(), a.order())
	if err != nil || len(a.flow.Starts()) != 0 {
		t.Fatalf("%v; flows are %v", err, a.flow.Starts())
	}
	if stored, err := a.store.Batch(t.Context(), b.Ref); err != nil || stored.Status != batch.StatusValidating {
		t.Errorf("the batch is %v, %v", stored.Status, err)
	}
	if _, err := a.store.Running(t.Context(), b.ID); err != nil {
		t.Errorf("its entry among what runs: %v", err)
	}
}

// TestAcceptProperty orders with few keys and crashes anywhere: a key is one
// batch, and whatever batch there is has a flow and a pin.
func TestAcceptProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		a := newAcceptance(rt)
		ctx := context.Background()
		first := map[string]string{}
		for range rapid.IntRange(1, 12).Draw(rt, "orders") {
			o := a.order()
			o.IdempotencyKey = rapid.SampledFrom([]string{"k1", "k2", "k3"}).Draw(rt, "key")
			a.crash.left = rapid.IntRange(0, 6).Draw(rt, "crash")
			b, err := a.Accept(ctx, o)
			if err != nil && !errors.Is(err, errDied) {
				rt.Fatal(err)
			}
			if id, ok := first[o.IdempotencyKey]; err == nil && ok && id != b.ID {
				rt.Fatalf("key %s is %s and %s", o.IdempotencyKey, id, b.ID)
			} else if err == nil {
				first[o.IdempotencyKey] = b.ID
			}
			a.moment = a.moment.Add(time.Second)
		}
		started := map[string]bool{}
		for _, b := range a.flow.Starts() {
			started[b.ID] = true
		}
		if len(started) > 3 {
			rt.Fatalf("%d flows of 3 keys", len(started))
		}
		file, err := a.store.File(ctx, "alice", a.file.ID)
		if err != nil {
			rt.Fatal(err)
		}
		all, _, err := a.store.Batches(ctx, "alice", "", 100)
		if err != nil {
			rt.Fatal(err)
		}
		for _, b := range all {
			_, err := a.store.Running(ctx, b.ID) // by which the sweep starts a flow that is absent
			if !started[b.ID] && err != nil || !strings.Contains(strings.Join(file.PinnedBy, " "), b.ID) {
				rt.Fatalf("batch %s has no flow and no entry, or no pin", b.ID)
			}
		}
	})
}

// TestKeyOutlivesTheFile repeats an order whose file was deleted since.
func TestKeyOutlivesTheFile(t *testing.T) {
	t.Parallel()
	a := newAcceptance(t)
	o := a.order()
	o.IdempotencyKey = "key"
	first, err := a.Accept(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	file, err := a.store.File(t.Context(), "alice", a.file.ID)
	if err == nil {
		err = a.store.DeleteFile(t.Context(), file)
	}
	if err != nil {
		t.Fatal(err)
	}
	if again, err := a.Accept(t.Context(), o); err != nil || again.ID != first.ID {
		t.Errorf("the repeat is %s, want %s: %v", again.ID, first.ID, err)
	}
}

func TestAcceptAtOnce(t *testing.T) {
	t.Parallel()
	a := newAcceptance(t)
	o := a.order()
	o.IdempotencyKey = "key"
	ids := make([]string, 20)
	var group sync.WaitGroup
	for i := range ids {
		group.Go(func() {
			b, err := a.Accept(context.Background(), o)
			if err != nil {
				t.Error(err)
			}
			ids[i] = b.ID
		})
	}
	group.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("one key became %v", ids)
		}
	}
	if n := len(a.flow.Starts()); n != 1 {
		t.Errorf("%d flows were started", n)
	}
}

func TestCancelWakesTheFlow(t *testing.T) {
	t.Parallel()
	a := newAcceptance(t)
	b, err := a.Accept(t.Context(), a.order())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.store.UpdateBatch(t.Context(), b.Ref, func(b *batch.Batch) error { return b.Park("token") }); err != nil {
		t.Fatal(err)
	}
	// A wake that failed is told, so that the caller cancels again; the cancel stays.
	a.crash.left = 1
	if _, err := a.Cancel(t.Context(), b.Ref); !errors.Is(err, errDied) {
		t.Errorf("error is %v", err)
	}
	b, err = a.Cancel(t.Context(), b.Ref)
	if err != nil || b.Status != batch.StatusCanceling || !b.CancelingAt.Equal(a.moment) {
		t.Errorf("the batch is %+v: %v", b, err)
	}
	if diff := cmp.Diff([]string{"token", "token"}, a.flow.Wakes()); diff != "" {
		t.Error(diff)
	}
	if _, err := a.Cancel(t.Context(), batch.Ref{Tenant: "bob", ID: b.ID}); !errors.Is(err, batch.ErrNotFound) {
		t.Errorf("another tenant's cancel: %v", err)
	}
	_, err = a.store.UpdateBatch(t.Context(), b.Ref, func(b *batch.Batch) error { b.Status = batch.StatusCompleted; return nil })
	if err != nil {
		t.Fatal(err)
	}
	var state *batch.StatusError
	if _, err := a.Cancel(t.Context(), b.Ref); !errors.As(err, &state) || state.Status != batch.StatusCompleted {
		t.Errorf("cancelling a completed batch: %v", err)
	}
}
