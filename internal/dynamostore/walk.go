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
	// firstPage is how many requests of a shard are read first. Each page then
	// has pageGrowth times as many, so that who wants few lines pays for few (12
	// requests of the usual size are one read unit), and who wants all makes few
	// calls, each of which costs a local engine a look at the whole shard.
	firstPage  = 12
	pageGrowth = 16
	// heldRequests bounds how many requests a walk holds, over all shards: some
	// 16 MB. A page of a shard is at most as many, and below 1 MB
	// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html).
	heldRequests = 32_000
	maxPage      = 3_000
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
	after string         // the sort key after which it begins; empty: with the first
	next  item           // the key to go on after; nil before the first page
	ahead []state.Record // read and not yet passed on
	page  int            // how many to read next
	ended bool           // nothing is left to read
}

func (s *Store) newWalk(batchID string, shards, afterLine int) *walk {
	w := &walk{store: s, shards: make([]*strand, shards), limit: min(max(heldRequests/shards, 1), maxPage)}
	after := ""
	if afterLine > 0 {
		after = lineKey(afterLine)
	}
	for i := range w.shards {
		w.shards[i] = &strand{pk: requestsOf(batchID, i), after: after, page: firstPage}
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
		items, more, err := w.store.query(ctx, st.query())
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
		st.ahead, st.next, st.ended = ahead, more, more == nil
		st.page = min(pageGrowth*st.page, w.limit)
	}
	return nil
}

// query returns what asks for st's next page.
func (st *strand) query() *dynamodb.QueryInput {
	in := &dynamodb.QueryInput{
		KeyConditionExpression:   aws.String("#pk = :pk"),
		ExpressionAttributeNames: map[string]string{"#pk": attrPK},
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":pk": &types.AttributeValueMemberS{Value: st.pk},
		},
		ExclusiveStartKey: st.next,
		Limit:             aws.Int32(int32(st.page)), //nolint:gosec // a few thousand
	}
	if st.after != "" {
		in.KeyConditionExpression = aws.String("#pk = :pk AND #sk > :after")
		in.ExpressionAttributeNames["#sk"] = attrSK
		in.ExpressionAttributeValues[":after"] = &types.AttributeValueMemberS{Value: st.after}
	}
	return in
}
