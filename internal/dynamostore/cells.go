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

// The attributes of a cell.
const (
	attrCompleted = "c"
	attrFailed    = "f"
	attrExpired   = "x"
	attrCanceled  = "k"
)

// cellTries bounds how often a cell is merged with what others write meanwhile:
// the one process that owns it, and finalizers that recount.
const cellTries = 20

// PutCell raises a cell's absolute counts to c's, component by component: none
// ever falls. An update expression knows no maximum, so the write is conditional
// on no stored component being larger, and where one is the item comes back with
// the refusal and both are merged. It returns an error wrapping batch.ErrBusy if
// the cell grows again and again meanwhile.
func (s *Store) PutCell(ctx context.Context, batchID string, c batch.Cell) error {
	for try := range cellTries {
		err := s.put(ctx, s.encodeCell(batchID, c), countsAtMost(c.Counts))
		var lost *lostError
		if !errors.As(err, &lost) {
			return err
		}
		stored, err := decodeCell(lost.stored)
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
	return fmt.Errorf("dynamostore: cell %.64q: lost %d races: %w", c.ID, cellTries, batch.ErrBusy)
}

func (s *Store) encodeCell(batchID string, c batch.Cell) item {
	it := cellKey(batchID, c.ID).item()
	it.setInt(attrCompleted, int64(c.Counts.Completed))
	it.setInt(attrFailed, int64(c.Counts.Failed))
	it.setInt(attrExpired, int64(c.Counts.Expired))
	it.setInt(attrCanceled, int64(c.Counts.Canceled))
	if s.retention > 0 {
		it.setExpiry(s.now().Add(cellLife + s.retention))
	}
	return it
}

// decodeCell reads what encodeCell wrote.
func decodeCell(it item) (batch.Cell, error) {
	r := &reader{item: it}
	return batch.Cell{ID: r.string(attrSK), Counts: batch.Counts{
		Completed: r.int(attrCompleted), Failed: r.int(attrFailed),
		Expired: r.int(attrExpired), Canceled: r.int(attrCanceled),
	}}, r.err
}

// Cells returns a batch's cells in the order of their ids, read consistently.
func (s *Store) Cells(ctx context.Context, batchID string) ([]batch.Cell, error) {
	var cells []batch.Cell
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
			return nil, err
		}
		for _, it := range items {
			c, err := decodeCell(it)
			if err != nil {
				return nil, err
			}
			cells = append(cells, c)
		}
		if more == nil {
			return cells, nil
		}
		in.ExclusiveStartKey = more
	}
}

// Progress returns the sum of a batch's cells. Its Total is 0.
func (s *Store) Progress(ctx context.Context, batchID string) (batch.Counts, error) {
	cells, err := s.Cells(ctx, batchID)
	return batch.Sum(cells), err
}
