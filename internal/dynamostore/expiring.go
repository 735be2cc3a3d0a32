package dynamostore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/musketry/musketry/internal/batch"
)

// expiringLife is how long an entry outlives what it names, should nobody come.
const expiringLife = 60 * 24 * time.Hour

// expires enters what will expire. It comes before what it names: an entry of
// nothing is found and forgotten, and nothing is without its entry.
func (s *Store) expires(ctx context.Context, e batch.Expiring) error {
	it := expiringKey(e).item()
	it.setExpiry(e.At.Add(expiringLife))
	return s.put(ctx, it, condition{})
}

// Expiring returns at most limit (at least 1) of those whose end has come by now,
// the first first, that come after the one given, and whether there are more.
func (s *Store) Expiring(
	ctx context.Context, now time.Time, after batch.Expiring, limit int,
) ([]batch.Expiring, bool, error) {
	switch {
	case limit < 1:
		return nil, false, errPage
	case after.ID != "" && after.At.After(now): // a key beyond a query's range is refused
		return nil, false, wrap("expiring", ctx.Err())
	}
	in := expiringInput(now, after, limit)
	var page []batch.Expiring
	for {
		items, more, err := s.query(ctx, in)
		if err != nil {
			return nil, false, err
		}
		for _, it := range items {
			if len(page) == limit {
				return page, true, nil
			}
			e, err := decodeExpiring(it)
			if err != nil {
				return nil, false, err
			}
			page = append(page, e)
		}
		if more == nil {
			return page, false, nil
		}
		in.ExclusiveStartKey = more
	}
}

// expiringInput is the query of what ends by now, after the one given.
func expiringInput(now time.Time, after batch.Expiring, limit int) *dynamodb.QueryInput {
	in := &dynamodb.QueryInput{
		KeyConditionExpression:   aws.String("#pk = :pk AND #sk BETWEEN :low AND :high"),
		ExpressionAttributeNames: map[string]string{"#pk": attrPK, "#sk": attrSK},
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":pk":   &types.AttributeValueMemberS{Value: pkExpiring},
			":low":  &types.AttributeValueMemberS{Value: prefixExpiring},
			":high": &types.AttributeValueMemberS{Value: expiringSecond(now.Add(time.Second))},
		},
		Limit: aws.Int32(int32(min(limit, filteredPage) + 1)), //nolint:gosec // at most 201
	}
	if after.ID != "" {
		in.ExclusiveStartKey = expiringKey(after).item()
	}
	return in
}

// Postpone has e end at another instant. A crash between its two writes leaves
// both, of which the first finds nothing to do.
func (s *Store) Postpone(ctx context.Context, e batch.Expiring, at time.Time) error {
	later := batch.NewExpiring(e.Tenant, e.ID, at)
	if later == e {
		return wrap("postpone", ctx.Err())
	}
	if err := s.expires(ctx, later); err != nil {
		return err
	}
	return s.RemoveExpiring(ctx, e)
}

// RemoveExpiring forgets e. One that is not there is no error.
func (s *Store) RemoveExpiring(ctx context.Context, e batch.Expiring) error {
	return s.remove(ctx, expiringKey(e), condition{})
}

// expiringSecond is how the sort keys begin of what ends in that second; no time
// that can be written down has more than 12 digits.
func expiringSecond(at time.Time) string {
	return fmt.Sprintf("%s%012d", prefixExpiring, max(at.Unix(), 0))
}

func expiringKey(e batch.Expiring) key {
	return key{pkExpiring, expiringSecond(e.At) + "#" + e.Tenant + "#" + e.ID}
}

// decodeExpiring reads what expiringKey wrote. No tenant's name has a '#'.
func decodeExpiring(it item) (batch.Expiring, error) {
	r := &reader{item: it}
	parts := strings.SplitN(r.string(attrSK), "#", 4)
	if r.err != nil || len(parts) != 4 {
		return batch.Expiring{}, fmt.Errorf("dynamostore: %q is no key of what expires", strings.Join(parts, "#"))
	}
	var second int64
	if _, err := fmt.Sscanf(parts[1], "%d", &second); err != nil {
		return batch.Expiring{}, fmt.Errorf("dynamostore: %q is no second: %w", parts[1], err)
	}
	return batch.Expiring{Tenant: parts[2], ID: parts[3], At: time.Unix(second, 0).UTC()}, nil
}
