package dynamostore

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/musketry/musketry/internal/batch"
)

// The attributes of a counter shard.
const (
	attrCompleted = "c"
	attrFailed    = "f"
	attrExpired   = "x"
	attrCanceled  = "k"
)

// counterTries bounds how often a counter shard is merged with what others
// write meanwhile: the one process that owns it, and finalizers that recount.
const counterTries = 20

// PutCounter raises a counter shard's absolute counts to c's, component by
// component: none ever falls. An update expression knows no maximum, so the
// write is conditional on no stored component being larger, and where one is the
// item comes back with the refusal and both are merged. It returns an error
// wrapping batch.ErrBusy if the counter shard grows again and again meanwhile.
func (s *Store) PutCounter(ctx context.Context, batchID string, c batch.CounterShard) error {
	for try := range counterTries {
		err := s.put(ctx, s.encodeCounter(batchID, c), countsAtMost(c.Counts))
		var lost *lostError
		if !errors.As(err, &lost) {
			return err
		}
		stored, err := decodeCounter(lost.stored)
		if err != nil {
			return err
		}
		merged := c.Counts.Most(stored.Counts)
		if merged == stored.Counts {
			return nil // all of it is there
		}
		c.Counts = merged
		if err := s.pause(ctx, try, updatePause, updatePauseMax); err != nil {
			return err
		}
	}
	return fmt.Errorf("dynamostore: counter %.64q: lost %d races: %w", c.ID, counterTries, batch.ErrBusy)
}

func (s *Store) encodeCounter(batchID string, c batch.CounterShard) item {
	it := counterKey(batchID, c.ID).item()
	it.setInt(attrCompleted, int64(c.Counts.Completed))
	it.setInt(attrFailed, int64(c.Counts.Failed))
	it.setInt(attrExpired, int64(c.Counts.Expired))
	it.setInt(attrCanceled, int64(c.Counts.Canceled))
	if s.retention > 0 {
		it.setExpiry(s.now().Add(counterLife + s.retention))
	}
	return it
}

// decodeCounter reads what encodeCounter wrote.
func decodeCounter(it item) (batch.CounterShard, error) {
	r := &reader{item: it}
	return batch.CounterShard{ID: r.string(attrSK), Counts: batch.Counts{
		Completed: r.int(attrCompleted), Failed: r.int(attrFailed),
		Expired: r.int(attrExpired), Canceled: r.int(attrCanceled),
	}}, r.err
}

// Counters returns a batch's counter shards in the order of their ids, read
// consistently.
func (s *Store) Counters(ctx context.Context, batchID string) ([]batch.CounterShard, error) {
	var counters []batch.CounterShard
	in := &dynamodb.QueryInput{
		KeyConditionExpression:   aws.String("#pk = :pk"),
		ExpressionAttributeNames: map[string]string{"#pk": attrPK},
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":pk": &types.AttributeValueMemberS{Value: countersOf(batchID)},
		},
	}
	for {
		items, more, err := s.query(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, it := range items {
			c, err := decodeCounter(it)
			if err != nil {
				return nil, err
			}
			counters = append(counters, c)
		}
		if more == nil {
			return counters, nil
		}
		in.ExclusiveStartKey = more
	}
}

// Progress returns the sum of a batch's counter shards. Its Total is 0.
func (s *Store) Progress(ctx context.Context, batchID string) (batch.Counts, error) {
	counters, err := s.Counters(ctx, batchID)
	return batch.Sum(counters), err
}
