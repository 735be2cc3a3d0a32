package memstore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/memstore"
)

const visibility = time.Minute

// sent returns a queue with messages of lines 1 to n.
func sent(t *testing.T, n int) *memstore.Queue {
	t.Helper()
	q := memstore.NewQueue(time.Now, visibility)
	var ms []batch.Message
	for line := 1; line <= n; line++ {
		ms = append(ms, batch.Message{Tenant: "acme", Batch: "b", Line: line})
	}
	if err := q.Send(t.Context(), ms); err != nil {
		t.Fatal(err)
	}
	return q
}

// receive returns what can be received, and what each is: line and receives.
func receive(t *testing.T, q *memstore.Queue, limit int) (handles []string, got [][2]int) {
	t.Helper()
	rs, err := q.Receive(t.Context(), limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rs {
		handles = append(handles, r.Handle)
		got = append(got, [2]int{r.Message.Line, r.Receives})
	}
	return handles, got
}

func want(t *testing.T, got [][2]int, want ...[2]int) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("messages (-want +got):\n%s", diff)
	}
}

func TestQueueHidesWhatWasReceived(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := sent(t, 3)
		_, got := receive(t, q, 2)
		want(t, got, [2]int{1, 1}, [2]int{2, 1})
		_, got = receive(t, q, 10)
		want(t, got, [2]int{3, 1})
		time.Sleep(visibility - time.Nanosecond)
		_, got = receive(t, q, 10)
		want(t, got)
		time.Sleep(time.Nanosecond)
		_, got = receive(t, q, 2)
		want(t, got, [2]int{1, 2}, [2]int{2, 2})
		if q.Len() != 3 {
			t.Errorf("%d messages, want 3", q.Len())
		}
	})
}

func TestQueueHidesAndShowsAsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := sent(t, 2)
		old, _ := receive(t, q, 10)
		if err := q.ChangeVisibility(t.Context(), old[:1], time.Hour); err != nil {
			t.Fatal(err)
		}
		if err := q.ChangeVisibility(t.Context(), old[1:], 0); err != nil {
			t.Fatal(err)
		}
		fresh, got := receive(t, q, 10)
		want(t, got, [2]int{2, 2})
		if err := q.ChangeVisibility(t.Context(), old[1:], 0); err != nil { // stale: passed over
			t.Fatal(err)
		}
		if err := q.Delete(t.Context(), old[1:]); err != nil {
			t.Fatal(err)
		}
		_, got = receive(t, q, 10)
		want(t, got)
		if at, ok := q.NextVisible(); !ok || !at.Equal(time.Now().Add(visibility)) {
			t.Errorf("next is visible at %v, %t", at, ok)
		}
		if err := q.Delete(t.Context(), append(fresh, "nobody's")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		_, got = receive(t, q, 10)
		want(t, got, [2]int{1, 2})
	})
}

func TestQueueHidesForTwelveHoursAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := sent(t, 1)
		handles, _ := receive(t, q, 1)
		for _, d := range []time.Duration{-1, 12*time.Hour + 1} {
			if err := q.ChangeVisibility(t.Context(), handles, d); err == nil {
				t.Errorf("hidden for %v", d)
			}
		}
		if err := q.ChangeVisibility(t.Context(), handles, 12*time.Hour); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		if err := q.ChangeVisibility(t.Context(), handles, 12*time.Hour); err == nil {
			t.Error("hidden for 13 hours since its receive")
		}
		if err := q.ChangeVisibility(t.Context(), handles, 11*time.Hour); err != nil {
			t.Error(err)
		}
	})
}

func TestQueueHandsEachToOne(t *testing.T) {
	t.Parallel()
	q := sent(t, 100)
	var mu sync.Mutex
	seen := map[int]int{}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for {
				rs, err := q.Receive(t.Context(), 3)
				if err != nil || len(rs) == 0 {
					return
				}
				var handles []string
				mu.Lock()
				for _, r := range rs {
					seen[r.Message.Line]++
					handles = append(handles, r.Handle)
				}
				mu.Unlock()
				if err := q.Delete(t.Context(), handles); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(seen) != 100 || q.Len() != 0 {
		t.Errorf("%d messages received, %d left", len(seen), q.Len())
	}
	for line, n := range seen {
		if n != 1 {
			t.Errorf("line %d received %d times", line, n)
		}
	}
}

func TestFlowStartsABatchOnce(t *testing.T) {
	t.Parallel()
	f := memstore.NewFlow()
	b := batch.Batch{Ref: batch.Ref{Tenant: "acme", ID: "b"}, Metadata: map[string]string{"k": "v"}}
	for range 2 {
		if err := f.Start(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	b.Metadata["k"] = "other"
	got, err := f.AwaitStart(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Starts()) != 1 || got.Metadata["k"] != "v" {
		t.Errorf("started %+v", f.Starts())
	}
}

func TestFlowAwaitsStartsAndWakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := memstore.NewFlow()
		var wg sync.WaitGroup
		wg.Go(func() {
			if b, err := f.AwaitStart(t.Context(), 1); err != nil || b.ID != "b2" {
				t.Errorf("started %q, error %v", b.ID, err)
			}
			if err := f.Await(t.Context(), "token"); err != nil {
				t.Error(err)
			}
		})
		for _, id := range []string{"b1", "b2"} {
			synctest.Wait()
			if err := f.Start(t.Context(), batch.Batch{Ref: batch.Ref{ID: id}}); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		for range 2 {
			if err := f.Wake(t.Context(), "token"); err != nil {
				t.Error(err)
			}
		}
		wg.Wait()
		if err := f.Await(t.Context(), "token"); err != nil { // woken before
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"token", "token"}, f.Wakes()); diff != "" {
			t.Errorf("wakes (-want +got):\n%s", diff)
		}
		if err := f.Await(soon(t), "other"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v, want a deadline's", err)
		}
		if _, err := f.AwaitStart(soon(t), 2); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v, want a deadline's", err)
		}
	})
}

// soon returns a context that ends in a second.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}
