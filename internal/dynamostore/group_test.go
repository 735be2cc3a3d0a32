//go:build e2e

package dynamostore_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/state"
)

// counting is the local cloud, whose calls are counted, and whose answers to
// groups are lost if lose is set.
type counting struct {
	dynamostore.API

	lose         bool
	puts, groups atomic.Int64
}

func (c *counting) PutItem(
	ctx context.Context, in *dynamodb.PutItemInput, opts ...func(*dynamodb.Options),
) (*dynamodb.PutItemOutput, error) {
	c.puts.Add(1)
	return c.API.PutItem(ctx, in, opts...)
}

func (c *counting) BatchExecuteStatement(
	ctx context.Context, in *dynamodb.BatchExecuteStatementInput, opts ...func(*dynamodb.Options),
) (*dynamodb.BatchExecuteStatementOutput, error) {
	c.groups.Add(1)
	out, err := c.API.BatchExecuteStatement(ctx, in, opts...)
	if c.lose {
		return nil, errors.New("the answer was lost")
	}
	return out, err
}

// endings returns the changes that expire n stored requests: pending ones, and
// every third one as a worker has it.
func endings(t *testing.T, s *dynamostore.Store, n int) []state.Change {
	t.Helper()
	check(t, s.Create(t.Context(), creations(t, n)))
	var changes []state.Change
	for rec, err := range s.Requests(t.Context(), batchID, 4, 0) {
		check(t, err)
		r, err := state.As[state.Pending](rec)
		check(t, err)
		change, err := state.Expire(r, noon()).Change()
		check(t, err)
		if rec.Spec.Key.Line%3 == 0 {
			claimed, err := state.Claim(r, state.Lease{ClaimID: "c", Worker: "w", Expires: noon().Add(time.Hour)}, noon())
			check(t, err)
			claim, err := claimed.Change()
			check(t, err)
			check(t, s.Apply(t.Context(), claim))
			change, err = state.Expire(claimed.Stored(), noon()).Change()
			check(t, err)
		}
		changes = append(changes, change)
	}
	return changes
}

func TestGroupedChangesGoTogether(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]bool{"as usual": false, "answers lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 100
			api := client(t)
			table := newTable(t, api)
			plain := open(t, api, table)
			changes := endings(t, plain, n)
			calls := &counting{API: api, lose: lose}
			s := dynamostore.NewGrouping(open(t, calls, table))
			errs := make([]error, n)
			var all sync.WaitGroup
			for i, c := range changes {
				all.Go(func() { errs[i] = s.Apply(t.Context(), c) })
			}
			all.Wait()
			check(t, errors.Join(errs...))
			i := 0
			for rec, err := range plain.Requests(t.Context(), batchID, 4, 0) {
				check(t, err)
				if diff := cmp.Diff(changes[i].Record(), rec); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				i++
			}
			if puts, groups := calls.puts.Load(), calls.groups.Load(); i != n || groups > n/4 || !lose && puts > 0 {
				t.Errorf("%d requests, %d groups, %d single writes", i, groups, puts)
			}
		})
	}
}
