package dynamostore_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/state"
)

// granting does whatever a group says.
type granting struct {
	dynamostore.API

	mu    sync.Mutex
	sizes []int
}

func (g *granting) BatchExecuteStatement(
	_ context.Context, in *dynamodb.BatchExecuteStatementInput, _ ...func(*dynamodb.Options),
) (*dynamodb.BatchExecuteStatementOutput, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sizes = append(g.sizes, len(in.Statements))
	return &dynamodb.BatchExecuteStatementOutput{Responses: make([]types.BatchStatementResponse, len(in.Statements))}, nil
}

// TestGroupWaitsForStragglers has a process that gets little of its machine: the
// changes of a group come half a millisecond after one another.
func TestGroupWaitsForStragglers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &granting{}
		s := dynamostore.NewGrouping(must(dynamostore.New(api, dynamostore.Config{Table: "table", Now: noon})))
		var all sync.WaitGroup
		for line := range 50 {
			spec := usualSpec()
			spec.Key.Line = line + 1
			all.Go(func() {
				time.Sleep(time.Duration(line) * time.Millisecond / 2)
				if err := s.Apply(t.Context(), must(state.Expire(state.New(spec).Stored(), noon()).Change())); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if len(api.sizes) != 2 {
			t.Errorf("50 changes went in calls of %d", api.sizes)
		}
	})
}
