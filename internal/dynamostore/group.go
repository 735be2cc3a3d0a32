package dynamostore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/internal/state"
)

// ApplyAll makes changes durable in one call, each by a conditional write of its
// own that names only what it changes, and returns what Apply would of each. It
// returns state.ErrGroup for all of them, and applies none, if they cannot be
// applied in one call. After any other error but a *state.ConflictError a change
// was applied or not, and ApplyAll may be repeated for it: its own write seen again
// is no error.
//
// It costs what single writes do, in a tenth of the time where a call is dear. A
// transaction would cost double. What an engine does not know to do so is written
// alone.
func (s *Store) ApplyAll(ctx context.Context, cs []state.Change) []error {
	errs := make([]error, len(cs))
	if err := cmp.Or(ctx.Err(), state.CheckGroup(cs)); err != nil {
		return failAll(errs, fmt.Errorf("dynamostore: apply: %w", err))
	}
	var alone, together []int
	for i, c := range cs {
		if c.From() == nil { // there is nothing to update
			alone = append(alone, i)
		} else {
			together = append(together, i)
		}
	}
	alone = append(alone, s.updateAll(ctx, cs, together, errs)...)
	var group errgroup.Group
	group.SetLimit(s.parallel)
	for _, i := range alone {
		group.Go(func() error {
			errs[i] = s.Apply(ctx, cs[i])
			return nil
		})
	}
	_ = group.Wait() // each has its own
	return errs
}

func failAll(errs []error, err error) []error {
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// updateAll makes one call of those of cs that which names, and sets their errs. It
// returns those that must be written alone instead.
func (s *Store) updateAll(ctx context.Context, cs []state.Change, which []int, errs []error) (alone []int) {
	if len(which) == 0 {
		return nil
	}
	in := &dynamodb.BatchExecuteStatementInput{}
	for _, i := range which {
		in.Statements = append(in.Statements, s.updates(cs[i]))
	}
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	out, err := s.api.BatchExecuteStatement(limited, in)
	if err != nil && refused(err) {
		return which
	}
	if err == nil && len(out.Responses) != len(which) {
		err = fmt.Errorf("%d answers to %d updates", len(out.Responses), len(which))
	}
	for n, i := range which {
		if err != nil {
			errs[i] = wrap("apply", err)
			continue
		}
		switch failed := out.Responses[n].Error; {
		case failed == nil:
		case failed.Code == types.BatchStatementErrorCodeEnumConditionalCheckFailed:
			errs[i] = conflict(cs[i], failed.Item)
		case retryable(failed.Code): // its message may quote the item
			errs[i] = fmt.Errorf("dynamostore: apply: an update was refused: %s", failed.Code)
		default:
			alone = append(alone, i)
		}
	}
	return alone
}

// refused reports whether err says that a call, as it was made, will never be
// done: an engine does not know such statements.
func refused(err error) bool {
	var known smithy.APIError
	if !errors.As(err, &known) {
		return false
	}
	switch known.ErrorCode() {
	case "ValidationException", "UnknownOperationException", "NotImplemented", "SerializationException":
		return true
	}
	return false
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
	done    chan struct{} // closed when errs are there
	errs    []error
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
	if err := group.errs[index]; err == nil || errors.Is(err, state.ErrConflict) {
		return err
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
	if len(group.changes) == state.GroupSize {
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
	group.errs = g.ApplyAll(ctx, group.changes)
}
