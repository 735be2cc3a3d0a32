package submit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/storetest"
	"github.com/musketry/musketry/internal/submit"
	"github.com/musketry/musketry/internal/tenant"
)

// limited returns an acceptance of a tenant with limits, whose file has so many
// bytes.
func limited(t *testing.T, bytes int64, limits tenant.Limits) *acceptance {
	t.Helper()
	a := newAcceptance(t)
	if _, err := a.store.UpdateFile(t.Context(), "alice", a.file.ID, func(f *batch.File) error {
		f.Bytes = bytes
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	store := storetest.FaultyStore{Store: a.store, Do: a.crash.op}
	a.Acceptor = submit.NewAcceptor(submit.AcceptDeps{
		Store: store, Flow: storetest.FaultyFlow{Flow: a.flow, Do: a.crash.op}, Receipts: store, Clock: func() time.Time { return a.moment }, Random: &counter{}, Log: slog.New(slog.DiscardHandler),
	}, submit.AcceptConfig{Policy: retry.Default(), MaxRequests: 1000, Limits: limits})
	return a
}

func (a *acceptance) quota(t *testing.T) map[string]int {
	t.Helper()
	u, err := a.store.UpdateQuota(t.Context(), "alice", func(*tenant.Quota) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return u.Batches
}

// end ends a batch as its flow does, but leaves its place in the quota.
func (a *acceptance) end(t *testing.T, ref batch.Ref) {
	t.Helper()
	if _, err := a.store.UpdateBatch(t.Context(), ref, func(b *batch.Batch) error {
		return b.Fail(batch.FailInput, []batch.LineError{{Code: batch.CodeEmptyFile}}, a.moment)
	}); err != nil {
		t.Fatal(err)
	}
}

func TestLimitOfBatches(t *testing.T) {
	t.Parallel()
	a := limited(t, 100, tenant.Limits{Batches: 2})
	accept := func() (batch.Batch, error) { return a.Accept(t.Context(), a.order()) }
	first, err := accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := accept(); err != nil {
		t.Fatal(err)
	}
	var limit *tenant.LimitError
	for range 2 {
		_, err = accept()
		if want := (tenant.LimitError{Of: "batches", Max: 2, Now: 2}); !errors.As(err, &limit) || *limit != want {
			t.Fatalf("a third batch: %v", err)
		}
	}
	if f, err := a.store.File(t.Context(), "alice", a.file.ID); len(f.PinnedBy) != 2 || len(a.flow.Starts()) != 2 || err != nil {
		t.Errorf("the refused batch has left %v, %d flows, %v", f.PinnedBy, len(a.flow.Starts()), err)
	}
	// A batch whose flow died before it gave back its place is found out, but not at every call.
	a.end(t, first.Ref)
	if _, err = accept(); !errors.As(err, &limit) {
		t.Errorf("right after a check: %v", err)
	}
	a.moment = a.moment.Add(time.Minute)
	third, err := accept()
	if err != nil {
		t.Fatal(err)
	}
	if used := a.quota(t); len(used) != 2 || used[third.ID] == 0 {
		t.Errorf("in use are %v, want the second and third", used)
	}
}

func TestLimitOfRequests(t *testing.T) {
	t.Parallel()
	a := limited(t, 50*399, tenant.Limits{Requests: 1000}) // at most 400 requests
	accept := func() (batch.Batch, error) { return a.Accept(t.Context(), a.order()) }
	var refs []batch.Ref
	for range 2 {
		b, err := accept()
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, b.Ref)
	}
	var limit *tenant.LimitError
	_, err := accept()
	if want := (tenant.LimitError{Of: "requests", Max: 1000, Now: 800, Asked: 400}); !errors.As(err, &limit) || *limit != want {
		t.Fatalf("a third batch: %v", err)
	}
	// Its validation found fewer, and a crash kept the quota from being told.
	if _, err := a.store.UpdateBatch(t.Context(), refs[0], func(b *batch.Batch) error { return b.Validated(3) }); err != nil {
		t.Fatal(err)
	}
	a.moment = a.moment.Add(time.Minute)
	third, err := accept()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{refs[0].ID: 3, refs[1].ID: 400, third.ID: 400}
	if diff := cmp.Diff(want, a.quota(t)); diff != "" {
		t.Error(diff)
	}
}

// TestLimitOfARefusedKey holds that an order refused for a limit can be sent
// again with its idempotency key.
func TestLimitOfARefusedKey(t *testing.T) {
	t.Parallel()
	a := limited(t, 100, tenant.Limits{Batches: 1})
	first, err := a.Accept(t.Context(), a.order())
	if err != nil {
		t.Fatal(err)
	}
	order := a.order()
	order.IdempotencyKey = "mine"
	var limit *tenant.LimitError
	if _, err := a.Accept(t.Context(), order); !errors.As(err, &limit) {
		t.Fatalf("a second batch: %v", err)
	}
	a.end(t, first.Ref)
	a.moment = a.moment.Add(time.Hour)
	b, err := a.Accept(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := a.Accept(t.Context(), order); again.ID != b.ID || err != nil {
		t.Errorf("the repeated order became %s, %v, want %s", again.ID, err, b.ID)
	}
}

// TestLimitsAfterCrashes has orders die after each of their writes: what is left
// stands in nobody's way for long.
func TestLimitsAfterCrashes(t *testing.T) {
	t.Parallel()
	for at := 1; at <= 8; at++ {
		t.Run(fmt.Sprint("after write ", at), func(t *testing.T) {
			t.Parallel()
			a := limited(t, 100, tenant.Limits{Batches: 1})
			a.crash.left = at
			_, err := a.Accept(t.Context(), a.order())
			a.crash.left = 0
			died := errors.Is(err, errDied)
			a.moment = a.moment.Add(11 * time.Minute)
			_, err = a.Accept(t.Context(), a.order())
			var limit *tenant.LimitError
			// One that was put before its accepter died runs, and counts.
			starts := len(a.flow.Starts())
			stored, _, listErr := a.store.Batches(t.Context(), "alice", "", 10)
			if listErr != nil {
				t.Fatal(listErr)
			}
			switch {
			case err == nil && died && len(stored) == 1:
			case errors.As(err, &limit) && len(stored) == 1 && (starts == 1 || entered(t, a, stored[0].ID)):
			default:
				t.Errorf("died %v, then %v, with %d batches and %d flows", died, err, len(stored), starts)
			}
		})
	}
}

// entered reports whether a batch is among what runs, where the sweep finds it.
func entered(t *testing.T, a *acceptance, id string) bool {
	t.Helper()
	_, err := a.store.Running(t.Context(), id)
	return err == nil
}

// A refusingStore has its file go once a place was taken for a batch of it, and
// its process die after so many writes.
type refusingStore struct {
	*memstore.Store
	a    *acceptance
	left int
}

func (s *refusingStore) do(write func() error) error {
	if s.left == 0 {
		return errDied
	}
	s.left--
	err := write()
	if s.left == 0 {
		return errDied
	}
	return err
}

func (s *refusingStore) UpdateQuota(
	ctx context.Context, tenantName string, change func(*tenant.Quota) error,
) (u tenant.Quota, err error) {
	err = s.do(func() error {
		if u, err = s.Store.UpdateQuota(ctx, tenantName, change); err != nil {
			return err
		}
		f, err := s.File(ctx, tenantName, s.a.file.ID)
		if err == nil {
			err = s.DeleteFile(ctx, f)
		}
		if errors.Is(err, batch.ErrNotFound) {
			return nil
		}
		return err
	})
	return u, err
}

func (s *refusingStore) PutReceipt(ctx context.Context, r batch.Receipt) error {
	return s.do(func() error { return s.Store.PutReceipt(ctx, r) })
}

// TestRefusalAfterACrash has an order refused after it took its place, and die
// after each write of taking that back. Once it is in order it is one batch.
func TestRefusalAfterACrash(t *testing.T) {
	t.Parallel()
	for left := 1; left <= 3; left++ { // the place, the place given back, the receipt
		a := limited(t, 100, tenant.Limits{Batches: 1})
		healthy := a.Acceptor
		store := &refusingStore{Store: a.store, a: a, left: left}
		a.Acceptor = submit.NewAcceptor(submit.AcceptDeps{
			Store: store, Flow: a.flow, Receipts: store, Clock: func() time.Time { return a.moment }, Random: &counter{}, Log: slog.New(slog.DiscardHandler),
		}, submit.AcceptConfig{Policy: retry.Default(), MaxRequests: 1000, Limits: tenant.Limits{Batches: 1}})
		order := a.order()
		order.IdempotencyKey = "mine"
		if _, err := a.Accept(t.Context(), order); !errors.Is(err, errDied) {
			t.Fatalf("write %d: error is %v, want a death", left, err)
		}
		if err := a.store.CreateFile(t.Context(), a.file); err != nil {
			t.Fatal(err)
		}
		a.moment = a.moment.Add(time.Minute)
		b, err := healthy.Accept(t.Context(), order)
		if err != nil {
			t.Fatalf("write %d: sent again: %v", left, err)
		}
		if again, err := healthy.Accept(t.Context(), order); again.ID != b.ID || err != nil {
			t.Errorf("write %d: the repeated order became %s, %v, want %s", left, again.ID, err, b.ID)
		}
		if used := a.quota(t); len(used) != 1 || used[b.ID] == 0 {
			t.Errorf("write %d: unfinished are %v, want %s", left, used, b.ID)
		}
		if n := len(a.flow.Starts()); n != 1 {
			t.Errorf("write %d: %d flows", left, n)
		}
	}
}

// TestLoadReckons follows a tenant's quota through a load.
func TestLoadReckons(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want map[string]int
	}{
		"good": {lines(2), map[string]int{"batch_1": 2, "other": 9}},
		"bad":  {"no JSON\n", map[string]int{"other": 9}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bn := newBench(t, c.text)
			bn.load(t, submit.LoadConfig{})
			if diff := cmp.Diff(c.want, bn.unfinished(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
