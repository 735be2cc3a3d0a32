package dynamostore

import (
	"context"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/internal/state"
)

const (
	// firstPage is how many requests of a shard are read first. Pages then
	// double, so that who wants few lines pays for few: 12 requests of the usual
	// size are one read unit.
	firstPage = 12
	// heldRequests bounds how many requests a walk holds, over all shards. A
	// shard's page is never below minPage, so 64 shards hold up to 4,000.
	heldRequests = 4_000
	minPage      = 50
)

// Requests returns a batch's requests whose line is above afterLine, in the
// order of their lines, merged from its shards by ordered, consistent queries.
// It reads pages as they are needed and holds at most some thousand requests.
// After an error there is nothing more.
func (s *Store) Requests(
	ctx context.Context, batchID string, shards, afterLine int,
) iter.Seq2[state.Record, error] {
	return func(yield func(state.Record, error) bool) {
		w := s.newWalk(batchID, max(shards, 1), max(afterLine, 0))
		for {
			rec, ok, err := w.next(ctx)
			if err != nil {
				yield(state.Record{}, err)

				return
			}
			if !ok || !yield(rec, nil) {
				return
			}
		}
	}
}

// A walk merges the shards of a batch.
type walk struct {
	store  *Store
	shards []*strand
	limit  int // the largest page
}

// A strand is one shard of a walk.
type strand struct {
	pk    string
	after string         // the sort key of the last request read
	ahead []state.Record // read and not yet passed on
	page  int            // how many to read next
	ended bool           // nothing is left to read
}

func (s *Store) newWalk(batchID string, shards, afterLine int) *walk {
	w := &walk{store: s, shards: make([]*strand, shards), limit: max(heldRequests/shards, minPage)}
	for i := range w.shards {
		w.shards[i] = &strand{pk: requestsOf(batchID, i), after: lineKey(afterLine), page: firstPage}
	}

	return w
}

// next returns the request of the lowest line, and false at the end.
func (w *walk) next(ctx context.Context) (state.Record, bool, error) {
	if err := w.fill(ctx); err != nil {
		return state.Record{}, false, err
	}
	var lowest *strand
	for _, st := range w.shards {
		if len(st.ahead) > 0 && (lowest == nil || st.ahead[0].Spec.Key.Line < lowest.ahead[0].Spec.Key.Line) {
			lowest = st
		}
	}
	if lowest == nil {
		return state.Record{}, false, nil
	}
	rec := lowest.ahead[0]
	lowest.ahead = lowest.ahead[1:]

	return rec, true, nil
}

// fill reads on in every shard of which nothing is ahead: only then is the
// lowest line known. Lines go to shards by turns, so all run out at about the
// same time; those that are about to are read with the first.
func (w *walk) fill(ctx context.Context) error {
	if !w.dry() {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(w.store.parallel)
	for _, st := range w.shards {
		if !st.ended && len(st.ahead) <= 1 {
			group.Go(func() error { return w.read(ctx, st) })
		}
	}

	return group.Wait()
}

// dry reports whether a shard that has not ended has nothing ahead.
func (w *walk) dry() bool {
	for _, st := range w.shards {
		if !st.ended && len(st.ahead) == 0 {
			return true
		}
	}

	return false
}

// read adds the next requests of st to what is ahead, at least one unless st
// ends.
func (w *walk) read(ctx context.Context, st *strand) error {
	for had := len(st.ahead); !st.ended && len(st.ahead) == had; {
		items, more, err := w.store.query(ctx, &dynamodb.QueryInput{
			KeyConditionExpression:   aws.String("#pk = :pk AND #sk > :after"),
			ExpressionAttributeNames: map[string]string{"#pk": attrPK, "#sk": attrSK},
			ExpressionAttributeValues: map[string]types.AttributeValue{
				":pk":    &types.AttributeValueMemberS{Value: st.pk},
				":after": &types.AttributeValueMemberS{Value: st.after},
			},
			Limit: aws.Int32(int32(st.page)), //nolint:gosec // a few thousand
		})
		if err != nil {
			return err
		}
		ahead := make([]state.Record, len(st.ahead), len(st.ahead)+len(items))
		copy(ahead, st.ahead)
		for _, it := range items {
			rec, err := decodeRequest(it)
			if err != nil {
				return err
			}
			ahead = append(ahead, rec)
		}
		st.ahead, st.ended = ahead, more == nil
		if more != nil {
			last := reader{item: more}
			st.after = last.string(attrSK)
		}
		st.page = min(2*st.page, w.limit)
	}

	return nil
}
