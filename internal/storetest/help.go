package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/state"
)

// tb is what the helpers need of a *testing.T or a *rapid.T.
type tb interface {
	Helper()
	Context() context.Context
	Fatalf(format string, args ...any)
}

// A TB is what making a store needs of a *testing.T or a *rapid.T.
type TB interface {
	tb
	Cleanup(f func())
	Errorf(format string, args ...any)
}

// noon is when every trial takes place.
func noon() time.Time {
	return time.Date(2026, time.March, 4, 12, 0, 0, int(345*time.Millisecond), time.UTC)
}

// deadline is every request's, and retryUntil when its retries end.
func deadline() time.Time   { return noon().Add(24 * time.Hour) }
func retryUntil() time.Time { return deadline().Add(-2 * time.Hour) }

// unique returns an id that no other trial has.
func unique(prefix string) string { return prefix + strings.ToLower(rand.Text()) }

// spec returns line's specification in a batch of shards.
func spec(batchID string, line, shards int) state.Spec {
	return state.Spec{
		Key:      state.Key{Batch: batchID, Line: line, Shard: line % shards},
		CustomID: fmt.Sprintf("request-%d", line),
		Body:     state.Span{Offset: int64(line-1) * 500, Length: 499},
		Deadline: deadline(), RetryUntil: retryUntil(),
	}
}

// lease returns a lease that nobody else has.
func lease() state.Lease {
	return state.Lease{ClaimID: unique("claim-"), Worker: unique("worker-"), Expires: noon().Add(15 * time.Minute)}
}

// ok ends the test if err is not nil.
func ok(t tb, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}

// wantErr ends the test unless err is want.
func wantErr(t tb, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}

// same ends the test unless got is exactly want.
func same[T any](t tb, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// apply makes r durable and returns it as it is stored.
func apply[S state.State](t tb, s Requests, r state.Request[S]) state.Request[S] {
	t.Helper()
	ok(t, s.Apply(t.Context(), change(t, r)))
	return r.Stored()
}

// change returns the change that r's transitions need.
func change[S state.State](t tb, r state.Request[S]) state.Change {
	t.Helper()
	c, err := r.Change()
	ok(t, err)
	return c
}

// creations returns the changes that create lines first to last of a batch.
func creations(t tb, batchID string, first, last, shards int) []state.Change {
	t.Helper()
	var cs []state.Change
	for line := first; line <= last; line++ {
		cs = append(cs, change(t, state.New(spec(batchID, line, shards))))
	}
	return cs
}

// claim claims r under a new lease.
func claim(t tb, r state.Request[state.Pending]) state.Request[state.Claimed] {
	t.Helper()
	c, err := state.Claim(r, lease(), noon())
	ok(t, err)
	return c
}

// start claims and starts r.
func start(t tb, r state.Request[state.Pending]) state.Request[state.Processing] {
	t.Helper()
	p, err := state.Start(claim(t, r), noon().Add(time.Second))
	ok(t, err)
	return p
}

// again fails p's call and puts it back for a retry.
func again(t tb, p state.Request[state.Processing]) state.Request[state.Pending] {
	t.Helper()
	f := state.Fail(p, state.Failure{Reason: state.Timeout{Error: "slow"}}, noon().Add(time.Minute))
	r, err := state.Retry(f, noon().Add(time.Hour))
	ok(t, err)
	return r
}

// refuse denies r, a retry that comes too late, under a claim id of its own.
func refuse(t tb, r state.Request[state.Pending]) state.Request[state.Failed] {
	t.Helper()
	f, err := state.Deny(r, state.Refusal{
		Why: state.DenialDeadline, ClaimID: unique("claim-"), Model: "m",
		Answer: state.Span{Object: "segment-2", Offset: 5, Length: 77}, At: retryUntil(),
	})
	ok(t, err)
	return f
}

// wantStored ends the test unless the stored request is exactly want.
func wantStored(t tb, s Requests, want state.Record) {
	t.Helper()
	got, err := s.Request(t.Context(), want.Spec.Key)
	ok(t, err)
	same(t, "stored request", got, want)
}

// wantConflict ends the test unless err says that winner was first.
func wantConflict(t tb, err error, c state.Change, winner state.Record) {
	t.Helper()
	wantErr(t, err, state.ErrConflict)
	var conflict *state.ConflictError
	if !errors.As(err, &conflict) {
		t.Fatalf("error is %T, want a *state.ConflictError", err)
	}
	same(t, "conflict", *conflict, state.ConflictError{Key: c.Spec().Key, Guard: c.Guard(), Winner: winner})
}

// atOnce runs f n times at once, numbered from 0, and returns the errors.
func atOnce(n int, f func(i int) error) []error {
	errs := make([]error, n)
	begin := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-begin
			errs[i] = f(i)
		})
	}
	close(begin)
	wg.Wait()
	return errs
}
