package dynamostore

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/musketry/musketry/internal/batch"
)

// filteredPage is how many records are read at once where some may not be
// wanted.
const filteredPage = 200

// errPage reports a page of no lines, which could never end a listing.
var errPage = errors.New("dynamostore: a page has at least one entry")

// Batches returns at most limit (at least 1) of a tenant's batches, newest
// first, that come after the batch named after (from the newest, if empty),
// and whether there are more.
func (s *Store) Batches(
	ctx context.Context, tenantName, after string, limit int,
) ([]batch.Batch, bool, error) {
	items, more, err := s.list(ctx, listing{
		pk: ownedBy(tenantName), prefix: prefixBatch, after: after, limit: limit,
	})
	if err != nil {
		return nil, false, err
	}
	page, err := decodeAll(items, decodeBatch)
	return page, more, err
}

// Files returns the page of a tenant's files that q asks for, and whether
// there are more after it.
func (s *Store) Files(
	ctx context.Context, tenantName string, q batch.FileQuery,
) ([]batch.File, bool, error) {
	items, more, err := s.list(ctx, listing{
		pk: ownedBy(tenantName), prefix: prefixFile, after: q.After, limit: q.Limit,
		forward: q.Oldest, purpose: q.Purpose,
	})
	if err != nil {
		return nil, false, err
	}
	page, err := decodeAll(items, decodeFile)
	return page, more, err
}

// A listing is a page of a tenant's records of one sort.
type listing struct {
	pk, prefix, after string
	limit             int
	forward           bool
	purpose           batch.Purpose // of files; empty: any
}

// input returns l's query. Its range includes the record named after, which
// need not be there any more.
func (l listing) input() *dynamodb.QueryInput {
	after := strings.ToValidUTF8(l.after[:min(len(l.after), maxName)], "")
	low, high := l.prefix, past(l.prefix)
	switch {
	case l.after == "":
	case l.forward:
		low = l.prefix + after
	default:
		high = l.prefix + after
	}
	in := &dynamodb.QueryInput{
		KeyConditionExpression:   aws.String("#pk = :pk AND #sk BETWEEN :low AND :high"),
		ExpressionAttributeNames: map[string]string{"#pk": attrPK, "#sk": attrSK},
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":pk":   &types.AttributeValueMemberS{Value: l.pk},
			":low":  &types.AttributeValueMemberS{Value: low},
			":high": &types.AttributeValueMemberS{Value: high},
		},
		ScanIndexForward: &l.forward,
		Limit:            aws.Int32(int32(min(l.limit, filteredPage) + 2)), //nolint:gosec // at most 202
	}
	if l.purpose != "" {
		in.FilterExpression = aws.String("#p = :p")
		in.ExpressionAttributeNames["#p"] = attrPurpose
		in.ExpressionAttributeValues[":p"] = &types.AttributeValueMemberS{Value: string(l.purpose)}
		in.Limit = aws.Int32(filteredPage)
	}
	return in
}

// list returns the items of l, and whether there are more.
func (s *Store) list(ctx context.Context, l listing) ([]item, bool, error) {
	if l.limit < 1 {
		return nil, false, errPage
	}
	var page []item
	for in := l.input(); ; {
		items, more, err := s.query(ctx, in)
		if err != nil {
			return nil, false, err
		}
		for _, it := range items {
			if item(it).has(attrSK, l.prefix+l.after) {
				continue
			}
			if len(page) == l.limit {
				return page, true, nil
			}
			page = append(page, it)
		}
		if more == nil {
			return page, false, nil
		}
		in.ExclusiveStartKey = more
	}
}

func decodeAll[T any](items []item, decode func(item) (T, error)) ([]T, error) {
	all := make([]T, 0, len(items))
	for _, it := range items {
		v, err := decode(it)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}
