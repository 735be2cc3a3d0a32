package dynamostore

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/musketry/musketry/internal/state"
)

// linger is how long a change waits for others to go with: no longer than a
// write takes.
const linger = 20 * time.Millisecond

// A Grouping is a Store for whoever ends thousands of requests at once: changes
// that are applied at the same time go together, 25 a call, and name only what
// they change. It costs what single writes do, in a tenth of the time where a
// call is dear.
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
	done    chan struct{} // closed when answers are there
	answers []answer
}

// An answer is what came of one change of a group.
type answer struct {
	known bool  // otherwise the change may have taken effect or not
	err   error // as Apply returns it
}

// Apply is Store.Apply, in company. A change of which the call did not tell what
// came of it is applied alone, which does.
func (g *Grouping) Apply(ctx context.Context, c state.Change) error {
	if c.To() == nil || c.From() == nil || ctx.Err() != nil {
		return g.Store.Apply(ctx, c)
	}
	group, index := g.join(c)
	if index == 0 {
		g.lead(ctx, group)
	}
	select {
	case <-group.done:
	case <-ctx.Done():
		return g.Store.Apply(ctx, c) // its error
	}
	if a := group.answers[index]; a.known {
		return a.err
	}
	return g.Store.Apply(ctx, c)
}

// join returns the group that c goes with, and its index there. A call may not
// name an item twice
// (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchExecuteStatement.html).
func (g *Grouping) join(c state.Change) (*changeGroup, int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.forming == nil || g.forming.has(c.Spec().Key) {
		g.forming = &changeGroup{full: make(chan struct{}), done: make(chan struct{})}
	}
	group := g.forming
	group.changes = append(group.changes, c)
	if len(group.changes) == statements {
		g.forming = nil
		close(group.full)
	}
	return group, len(group.changes) - 1
}

func (g *changeGroup) has(k state.Key) bool {
	return slices.ContainsFunc(g.changes, func(c state.Change) bool { return c.Spec().Key == k })
}

// lead waits for others to join group, and makes its call.
func (g *Grouping) lead(ctx context.Context, group *changeGroup) {
	defer close(group.done)
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
	group.answers = g.applyTogether(ctx, group.changes)
}

// applyTogether makes one call of changes. Without an answer nothing is known.
func (g *Grouping) applyTogether(ctx context.Context, changes []state.Change) []answer {
	answers := make([]answer, len(changes))
	together := make([]types.BatchStatementRequest, len(changes))
	for i, c := range changes {
		together[i] = g.updates(c)
	}
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	out, err := g.api.BatchExecuteStatement(ctx, &dynamodb.BatchExecuteStatementInput{Statements: together})
	if err != nil || len(out.Responses) != len(together) {
		return answers
	}
	for i, response := range out.Responses {
		switch failed := response.Error; {
		case failed == nil:
			answers[i] = answer{known: true}
		case failed.Code == types.BatchStatementErrorCodeEnumConditionalCheckFailed:
			answers[i] = answer{known: true, err: conflict(changes[i], failed.Item)}
		}
	}
	return answers
}

// updates returns the statement that makes of a stored request what c makes of
// it, if it is what c's guard demands. It names no attribute that stays as it
// is: each costs time to read, and of a request that satisfies the guard c knows
// them all
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.update.html).
func (s *Store) updates(c state.Change) types.BatchStatementRequest {
	before, after := item{}, item{}
	before.setPhase(c.From())
	after.setPhase(c.To())
	guard, key := c.Guard(), requestKey(c.Spec().Key).item()
	var text strings.Builder
	var params []types.AttributeValue
	text.WriteString(`UPDATE "` + s.table + `"`)
	for _, name := range phaseAttributes() {
		switch value, ok := after[name]; {
		case ok && !sameValue(before[name], value):
			text.WriteString(` SET "` + name + `"=?`)
			params = append(params, value)
		case !ok && before[name] != nil:
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
	return types.BatchStatementRequest{
		Statement: &statement, Parameters: params,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
}

// sameValue reports whether a and b, of the types that items have, are the same.
func sameValue(a, b types.AttributeValue) bool {
	switch a := a.(type) {
	case *types.AttributeValueMemberS:
		b, ok := b.(*types.AttributeValueMemberS)
		return ok && a.Value == b.Value
	case *types.AttributeValueMemberN:
		b, ok := b.(*types.AttributeValueMemberN)
		return ok && a.Value == b.Value
	}
	return false
}
