package dynamostore

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/musketry/musketry/internal/state"
)

// linger is how long a change waits for others to go with: much less than a
// write takes.
const linger = 2 * time.Millisecond

// A Grouping is a Store for whoever ends thousands of requests at once: changes
// that are applied at the same time go together, 25 a call. It costs what
// single writes do, in a tenth of the time where a call is dear.
type Grouping struct {
	*Store

	mu      sync.Mutex
	forming *changeGroup
}

// NewGrouping returns a Grouping of s.
func NewGrouping(s *Store) *Grouping { return &Grouping{Store: s} }

// A changeGroup is a call in the making. Who comes first makes it.
type changeGroup struct {
	changes []state.Change
	full    chan struct{} // closed when it has room for no more
	over    chan struct{} // closed when applied is there
	applied []bool
}

// Apply is Store.Apply, in company. A change that does not take effect there,
// for whatever reason, is applied alone, which tells why.
func (g *Grouping) Apply(ctx context.Context, c state.Change) error {
	if c.To() == nil || c.Guard().Status == "" || ctx.Err() != nil {
		return g.Store.Apply(ctx, c)
	}
	group, place := g.join(c)
	if place == 0 {
		g.lead(ctx, group)
	}
	select {
	case <-group.over:
	case <-ctx.Done():
	}
	if ctx.Err() == nil && group.applied[place] {
		return nil
	}

	return g.Store.Apply(ctx, c)
}

// join returns the group that c goes with, and its place there.
func (g *Grouping) join(c state.Change) (*changeGroup, int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.forming == nil {
		g.forming = &changeGroup{full: make(chan struct{}), over: make(chan struct{})}
	}
	group := g.forming
	group.changes = append(group.changes, c)
	if len(group.changes) == statements {
		g.forming = nil
		close(group.full)
	}

	return group, len(group.changes) - 1
}

// lead waits for others to join group, and makes its call.
func (g *Grouping) lead(ctx context.Context, group *changeGroup) {
	defer close(group.over)
	wait := time.NewTimer(linger)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-group.full:
	case <-ctx.Done(): // the others' changes must not wait for somebody else
	}
	g.mu.Lock()
	if g.forming == group {
		g.forming = nil
	}
	g.mu.Unlock()
	group.applied = make([]bool, len(group.changes))
	together := make([]types.BatchStatementRequest, len(group.changes))
	for i, c := range group.changes {
		together[i] = g.updates(c)
	}
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	out, err := g.api.BatchExecuteStatement(ctx, &dynamodb.BatchExecuteStatementInput{Statements: together})
	if err != nil || len(out.Responses) != len(together) {
		return // whatever took effect is seen by those who look
	}
	for i, answer := range out.Responses {
		group.applied[i] = answer.Error == nil
	}
}

// updates returns the statement that makes of a stored request what c makes of
// it, if it is what c's guard demands
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.update.html).
func (s *Store) updates(c state.Change) types.BatchStatementRequest {
	it, guard := encodeRequest(c.Record(), s.retention), c.Guard()
	key := requestKey(c.Spec().Key).item()
	var text strings.Builder
	var params []types.AttributeValue
	text.WriteString(`UPDATE "` + s.table + `"`)
	for _, name := range requestAttributes() {
		if value, ok := it[name]; ok {
			text.WriteString(` SET "` + name + `"=?`)
			params = append(params, value)
		} else {
			text.WriteString(` REMOVE "` + name + `"`)
		}
	}
	text.WriteString(` WHERE "` + attrPK + `"=? AND "` + attrSK + `"=? AND "` + attrStatus + `"=? AND "` + attrClaim + `"`)
	params = append(params, key[attrPK], key[attrSK], &types.AttributeValueMemberS{Value: string(guard.Status)})
	if guard.ClaimID == "" {
		text.WriteString(` IS MISSING`)
	} else {
		text.WriteString(`=?`)
		params = append(params, &types.AttributeValueMemberS{Value: guard.ClaimID})
	}
	statement := text.String()

	return types.BatchStatementRequest{Statement: &statement, Parameters: params}
}
