package budget_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/musketry/musketry/internal/cost"
	"github.com/musketry/musketry/internal/dynamostore"
)

const (
	// readTime and writeTime are what a call takes, and statementTime each statement of a group besides.
	readTime, writeTime, statementTime = 4 * time.Millisecond, 5 * time.Millisecond, 400 * time.Microsecond
	// pageBytes are the most that a query reads at once
	// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html).
	pageBytes = 1 << 20
	// partitionWrites are the write units that one partition key takes a second
	// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html).
	partitionWrites = 1000
)

// A table is DynamoDB's, with string keys pk and sk. Its answers say what was consumed, by AWS's rules.
type table struct {
	meter *meter

	mu         sync.Mutex
	partitions map[string]*partition
	throttled  time.Duration // that writes waited for their partitions
}

type partition struct {
	items map[string]item
	order []string  // sort keys
	free  time.Time // when what was written is used up
}

var _ dynamostore.API = (*table)(nil)

func newTable(m *meter) *table { return &table{meter: m, partitions: map[string]*partition{}} }

func text(v types.AttributeValue) string {
	s, _ := v.(*types.AttributeValueMemberS)
	return s.Value
}

// nameOf names a call by its operation and by what lies at key: the first word of its partition key, or of its sort key
// where a partition has several kinds of items.
func nameOf(operation string, key item) string {
	kind, _, _ := strings.Cut(text(key["pk"]), "#")
	if kind == "tenant" || kind == "running" {
		kind, _, _ = strings.Cut(text(key["sk"]), "#")
	}
	return "DynamoDB." + operation + " " + kind
}

func (t *table) partition(pk string) *partition {
	p := t.partitions[pk]
	if p == nil {
		p = &partition{items: map[string]item{}}
		t.partitions[pk] = p
	}
	return p
}

// put stores it, removes what is there if it is nil, and returns the write units.
func (t *table) put(key, it item) float64 {
	p := t.partition(text(key["pk"]))
	sk := text(key["sk"])
	old := p.items[sk]
	i, found := slices.BinarySearch(p.order, sk)
	switch {
	case it == nil && found:
		p.order = slices.Delete(p.order, i, i+1)
		delete(p.items, sk)
	case it != nil:
		if !found {
			p.order = slices.Insert(p.order, i, sk)
		}
		p.items[sk] = maps.Clone(it)
	}
	return t.wrote(p, max(cost.Size(old), cost.Size(it)))
}

// wrote returns the units of a write of so many bytes, and counts them against the partition's.
func (t *table) wrote(p *partition, bytes int) float64 {
	units := float64(max((bytes+1023)/1024, 1))
	if now := time.Now(); p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(units * float64(time.Second) / partitionWrites))
	return units
}

func (t *table) get(key item) item {
	return t.partition(text(key["pk"])).items[text(key["sk"])]
}

// throttle has a write wait until its partition has room, as the SDK's repeats do: a second's worth may come at once.
func (t *table) throttle(ctx context.Context, pk string) error {
	t.mu.Lock()
	wait := max(time.Until(t.partition(pk).free), time.Second) - time.Second
	t.throttled += wait
	t.mu.Unlock()
	return sleep(ctx, wait)
}

func consumed(units float64) *types.ConsumedCapacity {
	return &types.ConsumedCapacity{CapacityUnits: &units}
}

func readUnits(bytes int, consistent *bool) float64 {
	units := float64(max((bytes+4095)/4096, 1))
	if !aws.ToBool(consistent) {
		units /= 2
	}
	return units
}

func (t *table) GetItem(
	ctx context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options),
) (*dynamodb.GetItemOutput, error) {
	if err := sleep(ctx, spread(readTime)); err != nil {
		return nil, err
	}
	t.mu.Lock()
	it := maps.Clone(t.get(in.Key))
	t.mu.Unlock()
	out := &dynamodb.GetItemOutput{Item: it, ConsumedCapacity: consumed(readUnits(cost.Size(it), in.ConsistentRead))}
	t.meter.called(ctx, nameOf("GetItem", in.Key), in, out, nil)
	return out, nil
}

func (t *table) PutItem(
	ctx context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options),
) (*dynamodb.PutItemOutput, error) {
	units, err := t.write(ctx, in.Item, in.Item, aws.ToString(in.ConditionExpression), in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	out := &dynamodb.PutItemOutput{ConsumedCapacity: consumed(units)}
	t.meter.called(ctx, nameOf("PutItem", in.Item), in, out, err)
	return out, err
}

func (t *table) UpdateItem(
	ctx context.Context, in *dynamodb.UpdateItemInput, _ ...func(*dynamodb.Options),
) (*dynamodb.UpdateItemOutput, error) {
	if err := t.throttle(ctx, text(in.Key["pk"])); err != nil {
		return nil, err
	}
	if err := sleep(ctx, spread(writeTime)); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.get(in.Key)
	expression := aws.ToString(in.ConditionExpression)
	ok, err := holds(expression, in.ExpressionAttributeNames, in.ExpressionAttributeValues, old)
	if err != nil {
		return nil, fmt.Errorf("budget: %q: %w", expression, err)
	}
	out := &dynamodb.UpdateItemOutput{}
	if !ok {
		out.ConsumedCapacity = consumed(t.wrote(t.partition(text(in.Key["pk"])), cost.Size(old)))
		err = &types.ConditionalCheckFailedException{Item: maps.Clone(old)}
		t.meter.called(ctx, nameOf("UpdateItem", in.Key), in, out, err)
		return nil, err
	}
	if out.Attributes, err = updated(*in.UpdateExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues, old); err != nil {
		return nil, err
	}
	after := maps.Clone(in.Key)
	maps.Copy(after, old)
	maps.Copy(after, out.Attributes)
	out.ConsumedCapacity = consumed(t.put(in.Key, after))
	t.meter.called(ctx, nameOf("UpdateItem", in.Key), in, out, nil)
	return out, nil
}

func (t *table) DeleteItem(
	ctx context.Context, in *dynamodb.DeleteItemInput, _ ...func(*dynamodb.Options),
) (*dynamodb.DeleteItemOutput, error) {
	units, err := t.write(ctx, in.Key, nil, aws.ToString(in.ConditionExpression), in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	out := &dynamodb.DeleteItemOutput{ConsumedCapacity: consumed(units)}
	t.meter.called(ctx, nameOf("DeleteItem", in.Key), in, out, err)
	return out, err
}

func (t *table) write(
	ctx context.Context, key, it item, expression string, names map[string]string, values item,
) (float64, error) {
	if err := t.throttle(ctx, text(key["pk"])); err != nil {
		return 0, err
	}
	if err := sleep(ctx, spread(writeTime)); err != nil {
		return 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.get(key)
	switch ok, err := holds(expression, names, values, old); {
	case err != nil:
		return 0, fmt.Errorf("budget: %q: %w", expression, err)
	case !ok:
		return t.wrote(t.partition(text(key["pk"])), cost.Size(old)),
			&types.ConditionalCheckFailedException{Item: maps.Clone(old)}
	}
	return t.put(key, it), nil
}

func (t *table) Query(
	ctx context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options),
) (*dynamodb.QueryOutput, error) {
	if err := sleep(ctx, spread(readTime)); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	pk := text(in.ExpressionAttributeValues[":pk"])
	p := t.partition(pk)
	sorted := p.order
	if in.ScanIndexForward != nil && !*in.ScanIndexForward {
		sorted = slices.Clone(sorted)
		slices.Reverse(sorted)
	}
	from := 0
	if in.ExclusiveStartKey != nil {
		from = slices.Index(sorted, text(in.ExclusiveStartKey["sk"])) + 1
	} else if after, ok := in.ExpressionAttributeValues[":after"]; ok {
		from, _ = slices.BinarySearch(sorted, text(after))
	}
	out, bytes := &dynamodb.QueryOutput{}, 0
	for i := from; i < len(sorted); i++ {
		it := p.items[sorted[i]]
		inRange, err := holds(aws.ToString(in.KeyConditionExpression), in.ExpressionAttributeNames, in.ExpressionAttributeValues, it)
		if err != nil {
			return nil, fmt.Errorf("budget: %q: %w", *in.KeyConditionExpression, err)
		}
		if !inRange {
			continue
		}
		if bytes >= pageBytes || in.Limit != nil && out.ScannedCount == *in.Limit {
			last := p.items[sorted[i-1]]
			out.LastEvaluatedKey = item{"pk": last["pk"], "sk": last["sk"]}
			break
		}
		bytes += cost.Size(it)
		out.ScannedCount++
		if ok, err := holds(aws.ToString(in.FilterExpression), in.ExpressionAttributeNames, in.ExpressionAttributeValues, it); err != nil {
			return nil, err
		} else if ok {
			out.Items = append(out.Items, maps.Clone(it))
			out.Count++
		}
	}
	out.ConsumedCapacity = consumed(readUnits(bytes, in.ConsistentRead))
	t.meter.called(ctx, nameOf("Query", item{"pk": in.ExpressionAttributeValues[":pk"]}), in, out, nil)
	return out, nil
}

func (t *table) BatchExecuteStatement(
	ctx context.Context, in *dynamodb.BatchExecuteStatementInput, _ ...func(*dynamodb.Options),
) (*dynamodb.BatchExecuteStatementOutput, error) {
	changes := make([]change, len(in.Statements))
	for i, s := range in.Statements {
		var err error
		if changes[i], err = parse(aws.ToString(s.Statement), s.Parameters); err != nil {
			return nil, fmt.Errorf("budget: %q: %w", aws.ToString(s.Statement), err)
		}
	}
	for _, c := range changes {
		if err := t.throttle(ctx, text(c.key["pk"])); err != nil {
			return nil, err
		}
	}
	if err := sleep(ctx, spread(writeTime+time.Duration(len(changes))*statementTime)); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	out, units := &dynamodb.BatchExecuteStatementOutput{}, 0.0
	for i, c := range changes {
		old := t.get(c.key)
		after, ok := c.apply(old)
		if ok {
			units += t.put(c.key, after)
			out.Responses = append(out.Responses, types.BatchStatementResponse{})
			continue
		}
		units += t.wrote(t.partition(text(c.key["pk"])), cost.Size(old))
		failed := &types.BatchStatementError{Code: types.BatchStatementErrorCodeEnumConditionalCheckFailed}
		if c.insert != nil {
			failed.Code = types.BatchStatementErrorCodeEnumDuplicateItem
		}
		if in.Statements[i].ReturnValuesOnConditionCheckFailure == types.ReturnValuesOnConditionCheckFailureAllOld {
			failed.Item = maps.Clone(old)
		}
		out.Responses = append(out.Responses, types.BatchStatementResponse{Error: failed})
	}
	out.ConsumedCapacity = []types.ConsumedCapacity{*consumed(units)}
	t.meter.called(ctx, nameOf("BatchExecuteStatement", changes[0].key), in, out, nil)
	return out, nil
}
