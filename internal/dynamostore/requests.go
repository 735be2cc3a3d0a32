package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/internal/state"
)

const (
	// The pauses before throttled statements are sent again.
	insertPause    = 50 * time.Millisecond
	insertPauseMax = 5 * time.Second
)

// Apply makes c durable by one conditional write. It returns a
// *state.ConflictError, which names the winner, if the stored request is not
// what c's guard demands, and nil if that is because c was applied already.
func (s *Store) Apply(ctx context.Context, c state.Change) error {
	if c.To() == nil {
		return fmt.Errorf("dynamostore: apply: %w", state.ErrNotTransitioned)
	}
	err := s.put(ctx, encodeRequest(c.Record(), s.retention), isAt(c.Guard()))
	var lost *lostError
	if !errors.As(err, &lost) {
		return err
	}
	return conflict(c, lost.stored)
}

// conflict returns what a change's guard that failed means: stored was found,
// nil if there was nothing.
func conflict(c state.Change, stored item) error {
	found := &state.ConflictError{Key: c.Spec().Key, Guard: c.Guard()}
	if stored != nil {
		var err error
		if found.Winner, err = decodeRequest(stored); err != nil {
			return err
		}
	}
	if c.AppliedIn(found.Winner.Phase) {
		return nil
	}
	return found
}

// Create inserts the requests that cs create, any number of them, 25 a call
// and a few calls at once, at Config.CreateRate. A request that exists already, or comes earlier in
// cs, is left alone. What is throttled is sent again until ctx ends. It returns
// an error, and inserts nothing, if a change's guard is not absence; after any
// other error some are inserted and some not, and Create may be repeated.
//
// Inserts are PartiQL since BatchWriteItem knows no condition and a transaction
// costs double
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.insert.html).
func (s *Store) Create(ctx context.Context, cs []state.Change) error {
	inserts := make([]types.BatchStatementRequest, 0, len(cs))
	seen := make(map[state.Key]bool, len(cs)) // a call may not name an item twice
	for _, c := range cs {
		if c.To() == nil || c.Guard() != (state.Guard{}) {
			return fmt.Errorf("dynamostore: create: the change of line %d is not a creation", c.Spec().Key.Line)
		}
		if !seen[c.Spec().Key] {
			seen[c.Spec().Key] = true
			inserts = append(inserts, s.insert(encodeRequest(c.Record(), s.retention)))
		}
	}
	group, together := errgroup.WithContext(ctx)
	group.SetLimit(s.parallel)
	for chunk := range slices.Chunk(inserts, state.GroupSize) {
		if together.Err() != nil {
			break
		}
		group.Go(func() error { return s.insertAll(together, chunk) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return wrap("create", ctx.Err())
}

// insert returns the statement that inserts it unless its key is taken.
func (s *Store) insert(it item) types.BatchStatementRequest {
	var text strings.Builder
	text.WriteString(`INSERT INTO "` + s.table + `" VALUE {`)
	params := make([]types.AttributeValue, 0, len(it))
	for i, name := range slices.Sorted(maps.Keys(it)) {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString("'" + name + "':?")
		params = append(params, it[name])
	}
	text.WriteByte('}')
	statement := text.String()
	return types.BatchStatementRequest{Statement: &statement, Parameters: params}
}

// insertAll sends at most 25 inserts until each has taken effect or found its
// key taken.
func (s *Store) insertAll(ctx context.Context, inserts []types.BatchStatementRequest) error {
	for try := 0; ; try++ {
		if err := s.inserting.wait(ctx, len(inserts)); err != nil {
			return fmt.Errorf("dynamostore: create: %w", err)
		}
		remaining, throttled, err := s.insertOnce(ctx, inserts)
		s.inserting.learn(len(inserts)-len(remaining), throttled)
		if err != nil || len(remaining) == 0 {
			return err
		}
		if len(remaining) < len(inserts) {
			try = 0
		}
		inserts = remaining
		if err := s.pause(ctx, try, insertPause, insertPauseMax); err != nil {
			return fmt.Errorf("create: %d requests throttled: %w", len(remaining), err)
		}
	}
}

// insertOnce sends inserts and returns those to be sent again, and whether that is
// because there were too many.
func (s *Store) insertOnce(
	ctx context.Context, inserts []types.BatchStatementRequest,
) (remaining []types.BatchStatementRequest, throttled bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	out, err := s.api.BatchExecuteStatement(ctx, &dynamodb.BatchExecuteStatementInput{Statements: inserts})
	if isThrottle(err) {
		return inserts, true, nil
	}
	if err != nil {
		return nil, false, wrap("create", err)
	}
	if len(out.Responses) != len(inserts) {
		return nil, false, fmt.Errorf("dynamostore: create: %d answers to %d inserts", len(out.Responses), len(inserts))
	}
	for i, answer := range out.Responses {
		switch failed := answer.Error; {
		case failed == nil, failed.Code == types.BatchStatementErrorCodeEnumDuplicateItem:
		case retryable(failed.Code):
			remaining = append(remaining, inserts[i])
			throttled = throttled || tooMany(failed.Code)
		default: // its message may quote the item
			return nil, throttled, fmt.Errorf("dynamostore: create: an insert was refused: %s", failed.Code)
		}
	}
	return remaining, throttled, nil
}

// Request returns the request under k, or state.ErrNotFound.
func (s *Store) Request(ctx context.Context, k state.Key) (state.Record, error) {
	it, err := s.get(ctx, requestKey(k))
	if err != nil {
		return state.Record{}, err
	}
	if it == nil {
		return state.Record{}, fmt.Errorf("dynamostore: line %d of %s: %w", k.Line, k.Batch, state.ErrNotFound)
	}
	return decodeRequest(it)
}
