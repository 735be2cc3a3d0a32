package dynamostore_test

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/state"
)

// A narrow table takes so many inserts a second, and a second's worth at once.
type narrow struct {
	dynamostore.API

	rate  float64
	whole bool // it refuses whole calls, as DynamoDB does where an account's limit is met

	mu       sync.Mutex
	room     float64
	at       time.Time
	taken    int
	refused  int
	refusals []time.Time
}

func (n *narrow) BatchExecuteStatement(
	_ context.Context, in *dynamodb.BatchExecuteStatementInput, _ ...func(*dynamodb.Options),
) (*dynamodb.BatchExecuteStatementOutput, error) {
	time.Sleep(10 * time.Millisecond)
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	n.room = min(n.rate, n.room+now.Sub(n.at).Seconds()*n.rate)
	n.at = now
	if n.whole && n.room < float64(len(in.Statements)) {
		n.refused += len(in.Statements)
		return nil, &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}
	}
	out := &dynamodb.BatchExecuteStatementOutput{}
	for range in.Statements {
		var answer types.BatchStatementResponse
		if n.room >= 1 {
			n.room--
			n.taken++
		} else {
			n.refused++
			n.refusals = append(n.refusals, now)
			answer.Error = &types.BatchStatementError{Code: types.BatchStatementErrorCodeEnumThrottlingError}
		}
		out.Responses = append(out.Responses, answer)
	}
	return out, nil
}

// A counter is a source of numbers that are the same each time.
type counter struct {
	mu sync.Mutex
	n  uint64
}

func (c *counter) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 0; i+8 <= len(b); i += 8 {
		c.n += 0x9e3779b97f4a7c15
		binary.BigEndian.PutUint64(b[i:], c.n)
	}
	return len(b), nil
}

// inserts returns the changes that create n requests.
func inserts(t *testing.T, n int) []state.Change {
	t.Helper()
	all := make([]state.Change, n)
	for i := range all {
		change, err := state.New(state.Spec{Key: state.Key{Batch: "batch_1", Line: i + 1}}).Change()
		if err != nil {
			t.Fatal(err)
		}
		all[i] = change
	}
	return all
}

// insertInto inserts n requests at a rate, and returns how long that took.
func insertInto(t *testing.T, table *narrow, rate, n int) time.Duration {
	t.Helper()
	table.room, table.at = table.rate, time.Now()
	s, err := dynamostore.New(table, dynamostore.Config{Table: "table", Now: time.Now, Random: &counter{}, CreateRate: rate})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := s.Create(t.Context(), inserts(t, n)); err != nil {
		t.Fatal(err)
	}
	return time.Since(begun)
}

// TestCreateKeepsToItsRate has a table that takes all.
func TestCreateKeepsToItsRate(t *testing.T) {
	t.Parallel()
	for rate, want := range map[int]time.Duration{0: 100 * time.Millisecond, 1_000: 2 * time.Second, 4_000: 500 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			table := &narrow{rate: 1e6}
			took := insertInto(t, table, rate, 2_000)
			if took < want*9/10 || took > want*12/10 || table.taken != 2_000 {
				t.Errorf("%d inserts at %d a second took %v, want %v", table.taken, rate, took, want)
			}
		})
	}
}

// TestCreateBacksOff has a table that takes a tenth of what it is sent, and says
// so of each insert or of whole calls: all are inserted, in little more time
// than the table needs, and few are refused.
func TestCreateBacksOff(t *testing.T) {
	t.Parallel()
	for name, whole := range map[string]bool{"inserts": false, "calls": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const n, takes = 20_000, 400
				table := &narrow{rate: takes, whole: whole}
				took := insertInto(t, table, 4_000, n)
				least := time.Duration(n-takes) * time.Second / takes
				t.Logf("%d of %d were refused, in %v of which %v are the table's", table.refused, n, took, least)
				if table.taken != n || table.refused > n/4 || took > least*3/2 {
					t.Errorf("%d were taken and %d refused in %v, of which %v are the table's", table.taken, table.refused, took, least)
				}
			})
		})
	}
}

// TestCreateRecovers has a table that grows, as one on demand does: the pace
// follows.
func TestCreateRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := &narrow{rate: 200}
		time.AfterFunc(20*time.Second, func() {
			table.mu.Lock()
			defer table.mu.Unlock()
			table.rate = 1e6
		})
		if took := insertInto(t, table, 2_000, 80_000); took > 80*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
