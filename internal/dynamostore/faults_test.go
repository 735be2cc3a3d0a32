//go:build e2e

package dynamostore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/tenant"
)

// faulty is the local cloud with what it lacks: throttles, lost answers, and
// other writers at the wrong moment.
type faulty struct {
	dynamostore.API

	beforePut func(*dynamodb.PutItemInput)                                 // nil: nothing
	putTwice  bool                                                         // as the SDK does after a lost answer
	statement func(types.BatchStatementRequest) *types.BatchStatementError // nil: nothing fails

	mu       sync.Mutex
	queries  []*dynamodb.QueryInput
	inserts  []int // statements of each call
	inFlight int
	most     int // calls in flight at once
}

func (f *faulty) PutItem(
	ctx context.Context, in *dynamodb.PutItemInput, opts ...func(*dynamodb.Options),
) (*dynamodb.PutItemOutput, error) {
	if f.beforePut != nil {
		f.beforePut(in)
	}
	if f.putTwice {
		if out, err := f.API.PutItem(ctx, in, opts...); err != nil {
			return out, err
		}
	}
	return f.API.PutItem(ctx, in, opts...)
}

func (f *faulty) Query(
	ctx context.Context, in *dynamodb.QueryInput, opts ...func(*dynamodb.Options),
) (*dynamodb.QueryOutput, error) {
	f.mu.Lock()
	f.queries = append(f.queries, in)
	f.mu.Unlock()
	return f.API.Query(ctx, in, opts...)
}

func (f *faulty) BatchExecuteStatement(
	ctx context.Context, in *dynamodb.BatchExecuteStatementInput, opts ...func(*dynamodb.Options),
) (*dynamodb.BatchExecuteStatementOutput, error) {
	f.mu.Lock()
	f.inserts = append(f.inserts, len(in.Statements))
	f.inFlight++
	f.most = max(f.most, f.inFlight)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.inFlight--
		f.mu.Unlock()
	}()
	all := &dynamodb.BatchExecuteStatementOutput{
		Responses: make([]types.BatchStatementResponse, len(in.Statements)),
	}
	pass := &dynamodb.BatchExecuteStatementInput{}
	var at []int
	for i, st := range in.Statements {
		if f.statement != nil {
			if failed := f.statement(st); failed != nil {
				all.Responses[i].Error = failed
				continue
			}
		}
		pass.Statements, at = append(pass.Statements, st), append(at, i)
	}
	if len(at) == 0 {
		return all, nil
	}
	out, err := f.API.BatchExecuteStatement(ctx, pass, opts...)
	if err != nil {
		return nil, err
	}
	for i, answer := range out.Responses {
		all.Responses[at[i]] = answer
	}
	return all, nil
}

// unhurried is a source of randomness that makes every pause 0.
type unhurried struct{}

func (unhurried) Read(p []byte) (int, error) {
	if len(p) == 8 { // a pause's part of its ceiling
		clear(p)
		return len(p), nil
	}
	return rand.Read(p)
}

// openFaulty returns a store on a faulty cloud, and a plain one on the same
// table.
func openFaulty(t *testing.T, f *faulty) (faultyStore, plain *dynamostore.Store) {
	t.Helper()
	api := client(t)
	f.API = api
	table := newTable(t, api)
	s, err := dynamostore.New(f, dynamostore.Config{
		Table: table, Now: time.Now, Retention: time.Hour, Parallel: 3, Random: unhurried{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, open(t, api, table)
}

func creations(t *testing.T, n int) []state.Change {
	t.Helper()
	var cs []state.Change
	for line := 1; line <= n; line++ {
		spec := usualSpec()
		spec.Key.Line, spec.Key.Shard = line, line%4
		c, err := state.New(spec).Change()
		if err != nil {
			t.Fatal(err)
		}
		cs = append(cs, c)
	}
	return cs
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantLines(t *testing.T, s *dynamostore.Store, n int) {
	t.Helper()
	line := 0
	for rec, err := range s.Requests(t.Context(), batchID, 4, 0) {
		check(t, err)
		line++
		if rec.Spec.Key.Line != line {
			t.Fatalf("line %d where %d is due", rec.Spec.Key.Line, line)
		}
	}
	if line != n {
		t.Fatalf("%d lines, want %d", line, n)
	}
}

func TestCreateSendsWhatWasThrottledAgain(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	tries := map[string]int{}
	codes := []types.BatchStatementErrorCodeEnum{
		types.BatchStatementErrorCodeEnumThrottlingError, types.BatchStatementErrorCodeEnumProvisionedThroughputExceeded,
		types.BatchStatementErrorCodeEnumRequestLimitExceeded, types.BatchStatementErrorCodeEnumInternalServerError,
		types.BatchStatementErrorCodeEnumTransactionConflict,
	}
	f := &faulty{statement: func(st types.BatchStatementRequest) *types.BatchStatementError {
		mu.Lock()
		defer mu.Unlock()
		key := fmt.Sprint(st.Parameters) // addresses, which a repeat keeps
		tries[key]++
		if n := len(tries) + tries[key]; tries[key] <= 1+n%5 {
			return &types.BatchStatementError{Code: codes[n%5]}
		}
		return nil
	}}
	s, plain := openFaulty(t, f)
	check(t, s.Create(t.Context(), creations(t, 210)))
	wantLines(t, plain, 210)
	for _, n := range f.inserts {
		if n < 1 || n > 25 {
			t.Errorf("%d statements in a call, want 1 to 25", n)
		}
	}
	if f.most > 3 {
		t.Errorf("%d calls at once, want 3 at most", f.most)
	}
}

func TestCreateIsCalledOffByItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	f := &faulty{statement: func(types.BatchStatementRequest) *types.BatchStatementError {
		if n++; n == 100 {
			cancel()
		}
		return &types.BatchStatementError{Code: types.BatchStatementErrorCodeEnumThrottlingError}
	}}
	s, plain := openFaulty(t, f)
	if err := s.Create(ctx, creations(t, 20)); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled", err)
	}
	wantLines(t, plain, 0)
}

func TestCreateReportsWhatWillNeverSucceed(t *testing.T) {
	t.Parallel()
	f := &faulty{statement: func(types.BatchStatementRequest) *types.BatchStatementError {
		return &types.BatchStatementError{Code: types.BatchStatementErrorCodeEnumAccessDenied}
	}}
	s, _ := openFaulty(t, f)
	err := s.Create(t.Context(), creations(t, 60))
	if err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("error is %v, want one that names AccessDenied", err)
	}
	if len(f.inserts) > 3 {
		t.Errorf("%d calls after the first refusal", len(f.inserts)-1)
	}
}

func TestAWriteWhoseAnswerWasLostCountsOnce(t *testing.T) {
	t.Parallel()
	s, plain := openFaulty(t, &faulty{putTwice: true})
	ctx := t.Context()
	ref := batch.Ref{Tenant: "acme", ID: batchID}
	check(t, s.CreateBatch(ctx, batch.Batch{Ref: ref}))
	for range 3 {
		_, err := s.UpdateBatch(ctx, ref, func(b *batch.Batch) error { b.Enqueued++; return nil })
		check(t, err)
	}
	b, err := plain.Batch(ctx, ref)
	check(t, err)
	if b.Enqueued != 3 || b.Rev != 4 {
		t.Errorf("enqueued %d at revision %d, want 3 at 4", b.Enqueued, b.Rev)
	}

	r := state.New(usualSpec())
	c, err := r.Change()
	check(t, err)
	check(t, s.Apply(ctx, c))
	claimed, err := state.Claim(r.Stored(), state.Lease{ClaimID: "c"}, noon())
	check(t, err)
	started, err := state.Start(claimed, noon())
	check(t, err)
	c, err = started.Change()
	check(t, err)
	check(t, s.Apply(ctx, c))
	rec, err := plain.Request(ctx, c.Spec().Key)
	check(t, err)
	if rec != c.Record() {
		t.Errorf("(-want +got):\n%s", cmp.Diff(c.Record(), rec))
	}

	e := batch.Entry{Segment: "s", Spans: []batch.LineSpan{{Line: 1, Length: 9}}}
	for n, e := range []batch.Entry{e, {Closed: true}} {
		if got, err := s.AppendJournal(ctx, batchID, e); err != nil || got != n+1 {
			t.Errorf("entry %d, %v, want %d", got, err, n+1)
		}
	}
	entries, err := plain.Journal(ctx, batchID, 0, 9)
	check(t, err)
	if e.N = 1; !cmp.Equal(entries, []batch.Entry{e, {N: 2, Closed: true}}) {
		t.Errorf("entries %+v", entries)
	}

	check(t, s.PutCounter(ctx, batchID, batch.CounterShard{ID: "a", Counts: batch.Counts{Completed: 2}}))
	mine := batch.Receipt{Tenant: "acme", Key: "k", BatchID: "b", CreatedAt: noon(), ExpiresAt: noon().Add(time.Hour)}
	held, err := s.ClaimReceipt(ctx, mine)
	check(t, err)
	if held != mine {
		t.Errorf("(-want +got):\n%s", cmp.Diff(mine, held))
	}
}

func TestUpdateGivesUpWhereOthersAlwaysComeFirst(t *testing.T) {
	t.Parallel()
	ref := batch.Ref{Tenant: "acme", ID: batchID}
	f := &faulty{}
	s, plain := openFaulty(t, f)
	check(t, s.CreateBatch(t.Context(), batch.Batch{Ref: ref}))
	others := 0
	f.beforePut = func(*dynamodb.PutItemInput) {
		others++
		_, err := plain.UpdateBatch(t.Context(), ref, func(b *batch.Batch) error { b.Enqueued++; return nil })
		check(t, err)
	}
	calls := 0
	_, err := s.UpdateBatch(t.Context(), ref, func(b *batch.Batch) error {
		if b.Enqueued != calls {
			t.Errorf("change saw %d of %d updates", b.Enqueued, calls)
		}
		calls++
		b.Token = "mine"
		return nil
	})
	if !errors.Is(err, batch.ErrBusy) {
		t.Errorf("error is %v, want batch.ErrBusy", err)
	}
	if calls != others || calls != 20 {
		t.Errorf("%d calls of change and %d puts, want 20", calls, others)
	}
	b, err := plain.Batch(t.Context(), ref)
	check(t, err)
	if b.Token != "" || b.Enqueued != others {
		t.Errorf("token %q, enqueued %d: want nothing of the update and %d", b.Token, b.Enqueued, others)
	}
}

func TestARecordThatFitsNoItemIsRefused(t *testing.T) {
	t.Parallel()
	s, _ := openFaulty(t, &faulty{})
	b := batch.Batch{Ref: batch.Ref{Tenant: "acme", ID: batchID}, Metadata: map[string]string{
		"long": strings.Repeat("x", 400<<10),
	}}
	if err := s.CreateBatch(t.Context(), b); !errors.Is(err, dynamostore.ErrTooLarge) {
		t.Errorf("error is %v, want ErrTooLarge", err)
	}
	b.Metadata["long"] = strings.Repeat("x", 390<<10)
	check(t, s.CreateBatch(t.Context(), b))
	_, err := s.UpdateBatch(t.Context(), b.Ref, func(b *batch.Batch) error {
		b.Metadata["long"] += b.Metadata["long"]
		return nil
	})
	if !errors.Is(err, dynamostore.ErrTooLarge) {
		t.Errorf("error is %v, want ErrTooLarge", err)
	}
}

func TestRequestsReadsNoMoreThanItNeeds(t *testing.T) {
	t.Parallel()
	f := &faulty{}
	s, _ := openFaulty(t, f)
	check(t, s.Create(t.Context(), creations(t, 400)))
	for _, err := range s.Requests(t.Context(), batchID, 4, 100) {
		check(t, err)
		break
	}
	if len(f.queries) != 4 {
		t.Errorf("%d queries for one line of 4 shards, want 4", len(f.queries))
	}
	wantLines(t, s, 400)
	held := 0
	for _, q := range f.queries {
		held = max(held, int(*q.Limit))
		if !*q.ConsistentRead {
			t.Error("a query was not consistent")
		}
	}
	if *f.queries[0].Limit > 12 || held > 3000 {
		t.Errorf("pages from %d to %d of a shard, want 12 to 3,000", *f.queries[0].Limit, held)
	}
	// 12 and the rest, of 100 lines a shard.
	if n := len(f.queries) - 4; n > 4*2 {
		t.Errorf("%d queries for all lines, want 8 at most", n)
	}
}

func TestAKeyThatWasNeverWholeIsNotListed(t *testing.T) {
	t.Parallel()
	f := &faulty{}
	s, plain := openFaulty(t, f)
	whole := tenant.Key{Hash: "aa", Tenant: "acme", CreatedAt: noon()}
	check(t, s.PutKey(t.Context(), whole))
	ctx, cancel := context.WithCancel(t.Context())
	puts := 0
	f.beforePut = func(*dynamodb.PutItemInput) {
		if puts++; puts == 2 {
			cancel() // a crash between the two writes
		}
	}
	if err := s.PutKey(ctx, tenant.Key{Hash: "bb", Tenant: "acme", CreatedAt: noon()}); err == nil {
		t.Fatal("the second write was not called off")
	}
	keys, err := plain.Keys(t.Context(), "acme")
	check(t, err)
	if diff := cmp.Diff([]tenant.Key{whole}, keys); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := plain.Key(t.Context(), "bb"); !errors.Is(err, tenant.ErrUnknownKey) {
		t.Errorf("error is %v, want tenant.ErrUnknownKey", err)
	}
}

func TestManyKeysAreListed(t *testing.T) {
	t.Parallel()
	s, _ := openFaulty(t, &faulty{})
	for i := range 205 { // more than one page
		check(t, s.PutKey(t.Context(), tenant.Key{
			Hash: fmt.Sprintf("%04d", i), Tenant: "acme", CreatedAt: noon().Add(time.Duration(i) * time.Second),
		}))
	}
	keys, err := s.Keys(t.Context(), "acme")
	check(t, err)
	for i, k := range keys {
		if k.Hash != fmt.Sprintf("%04d", i) {
			t.Fatalf("key %d is %s", i, k.Hash)
		}
	}
	if len(keys) != 205 {
		t.Errorf("%d keys, want 205", len(keys))
	}
}
