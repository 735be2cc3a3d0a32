package dynamostore

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// The attributes of a worker and of a cell.
const (
	attrBeatAt = "beat"
	attrEnded  = "ended"

	attrDone      = "n" // the sum of the four, for the condition of a write
	attrCompleted = "c"
	attrFailed    = "f"
	attrExpired   = "x"
	attrCanceled  = "k"
)

// Beat records w's heartbeat. It is forgotten a day later.
func (s *Store) Beat(ctx context.Context, w state.Worker) error {
	it := workerKey(w.ID).item()
	it.setTime(attrBeatAt, w.BeatAt)
	it.setBool(attrEnded, w.Ended)
	it.setExpiry(w.BeatAt.Add(workerLife))

	return s.put(ctx, it, condition{})
}

// Worker returns a worker's last heartbeat; its BeatAt is zero if there never
// was one.
func (s *Store) Worker(ctx context.Context, id string) (state.Worker, error) {
	it, err := s.get(ctx, workerKey(id))
	if err != nil {
		return state.Worker{}, err
	}
	r := &reader{item: it}

	return state.Worker{ID: id, BeatAt: r.time(attrBeatAt), Ended: r.bool(attrEnded)}, r.err
}

// PutCell writes a cell's absolute counts, unless those stored count more.
func (s *Store) PutCell(ctx context.Context, batchID string, c batch.Cell) error {
	it := cellKey(batchID, c.ID).item()
	it.setInt(attrDone, int64(c.Counts.Done()))
	it.setInt(attrCompleted, int64(c.Counts.Completed))
	it.setInt(attrFailed, int64(c.Counts.Failed))
	it.setInt(attrExpired, int64(c.Counts.Expired))
	it.setInt(attrCanceled, int64(c.Counts.Canceled))
	if s.retention > 0 {
		it.setExpiry(s.now().Add(cellLife + s.retention))
	}
	err := s.put(ctx, it, countsAtMost(c.Counts.Done()))
	var lost *lostError
	if errors.As(err, &lost) {
		return nil // a later count of the same writer is there
	}

	return err
}

// Progress returns the sum of a batch's cells. Its Total is 0.
func (s *Store) Progress(ctx context.Context, batchID string) (batch.Counts, error) {
	var sum batch.Counts
	in := &dynamodb.QueryInput{
		KeyConditionExpression:   aws.String("#pk = :pk"),
		ExpressionAttributeNames: map[string]string{"#pk": attrPK},
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":pk": &types.AttributeValueMemberS{Value: cellsOf(batchID)},
		},
	}
	for {
		items, more, err := s.query(ctx, in)
		if err != nil {
			return batch.Counts{}, err
		}
		for _, it := range items {
			r := &reader{item: it}
			sum = sum.Plus(batch.Counts{
				Completed: r.int(attrCompleted), Failed: r.int(attrFailed),
				Expired: r.int(attrExpired), Canceled: r.int(attrCanceled),
			})
			if r.err != nil {
				return batch.Counts{}, r.err
			}
		}
		if more == nil {
			return sum, nil
		}
		in.ExclusiveStartKey = more
	}
}
