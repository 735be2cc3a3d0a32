package cost_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/cost"
)

type item = map[string]types.AttributeValue

func str(n int) types.AttributeValue {
	return &types.AttributeValueMemberS{Value: strings.Repeat("x", n)}
}

func num(n string) types.AttributeValue { return &types.AttributeValueMemberN{Value: n} }

// TestSize holds items against what
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html says.
func TestSize(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		item item
		want int
	}{
		"none":         {nil, 0},
		"text":         {item{"pk": str(3)}, 5},
		"UTF-8":        {item{"ä": &types.AttributeValueMemberS{Value: "€"}}, 5},
		"digits":       {item{"n": num("1234567")}, 1 + 5},
		"zeros":        {item{"n": num("1200000")}, 1 + 2},
		"negative":     {item{"n": num("-12")}, 1 + 3},
		"a boolean":    {item{"b": &types.AttributeValueMemberBOOL{Value: true}}, 2},
		"binary":       {item{"b": &types.AttributeValueMemberB{Value: make([]byte, 9)}}, 10},
		"a set":        {item{"s": &types.AttributeValueMemberSS{Value: []string{"ab", "c"}}}, 4},
		"a list":       {item{"l": &types.AttributeValueMemberL{Value: []types.AttributeValue{str(2), str(3)}}}, 1 + 3 + 2 + 5},
		"a map":        {item{"m": &types.AttributeValueMemberM{Value: item{"k": str(2)}}}, 1 + 3 + 1 + 3},
		"two of these": {item{"a": str(1), "b": str(2)}, 5},
	} {
		if got := cost.Size(tc.item); got != tc.want {
			t.Errorf("%s has %d bytes, want %d", name, got, tc.want)
		}
	}
}

func TestOf(t *testing.T) {
	t.Parallel()
	failed := func(code types.BatchStatementErrorCodeEnum) types.BatchStatementResponse {
		return types.BatchStatementResponse{Error: &types.BatchStatementError{Code: code}}
	}
	statements := func(texts ...string) *dynamodb.BatchExecuteStatementInput {
		in := &dynamodb.BatchExecuteStatementInput{}
		for _, text := range texts {
			in.Statements = append(in.Statements, types.BatchStatementRequest{
				Statement: aws.String(text), Parameters: []types.AttributeValue{str(1000), str(100)}, ConsistentRead: aws.Bool(true),
			})
		}
		return in
	}
	consumed := &types.ConsumedCapacity{CapacityUnits: aws.Float64(7)}
	condition := &types.ConditionalCheckFailedException{}
	for name, tc := range map[string]struct {
		in, out any
		err     error
		want    cost.Units
	}{
		"get": {
			in: &dynamodb.GetItemInput{ConsistentRead: aws.Bool(true)}, out: &dynamodb.GetItemOutput{Item: item{"a": str(4096)}},
			want: cost.Units{Reads: 2},
		},
		"get of nothing": {in: &dynamodb.GetItemInput{}, out: &dynamodb.GetItemOutput{}, want: cost.Units{Reads: 0.5}},
		"query adds items up": {
			in:   &dynamodb.QueryInput{ConsistentRead: aws.Bool(true)},
			out:  &dynamodb.QueryOutput{Items: []item{{"a": str(3000)}, {"a": str(3000)}}},
			want: cost.Units{Reads: 2},
		},
		"query that reads more than it returns": {
			in: &dynamodb.QueryInput{}, out: &dynamodb.QueryOutput{ConsumedCapacity: consumed}, want: cost.Units{Reads: 7},
		},
		"put": {
			in: &dynamodb.PutItemInput{Item: item{"a": str(1024)}}, out: &dynamodb.PutItemOutput{}, want: cost.Units{Writes: 2},
		},
		"put over a large one": {
			in: &dynamodb.PutItemInput{Item: item{"a": str(1)}}, out: &dynamodb.PutItemOutput{ConsumedCapacity: consumed},
			want: cost.Units{Writes: 7},
		},
		"put that is refused":   {in: &dynamodb.PutItemInput{Item: item{"a": str(1)}}, err: condition, want: cost.Units{Writes: 1}},
		"put that is throttled": {in: &dynamodb.PutItemInput{Item: item{"a": str(1)}}, err: errors.New("throttled")},
		"update":                {in: &dynamodb.UpdateItemInput{}, out: &dynamodb.UpdateItemOutput{}, want: cost.Units{Writes: 1}},
		"delete":                {in: &dynamodb.DeleteItemInput{}, out: &dynamodb.DeleteItemOutput{}, want: cost.Units{Writes: 1}},
		"statements": {
			in: statements(`UPDATE "t"`, `INSERT INTO "t"`, `UPDATE "t"`, `UPDATE "t"`),
			out: &dynamodb.BatchExecuteStatementOutput{Responses: []types.BatchStatementResponse{
				{},
				failed(types.BatchStatementErrorCodeEnumDuplicateItem),
				failed(types.BatchStatementErrorCodeEnumConditionalCheckFailed), failed(types.BatchStatementErrorCodeEnumThrottlingError),
			}},
			want: cost.Units{Writes: 6},
		},
		"statements that read": {
			in: statements(`SELECT * FROM "t"`),
			out: &dynamodb.BatchExecuteStatementOutput{
				Responses: []types.BatchStatementResponse{{Item: item{"a": str(5000)}}},
			},
			want: cost.Units{Reads: 2},
		},
		"send": {
			in: &sqs.SendMessageBatchInput{Entries: []sqstypes.SendMessageBatchRequestEntry{
				{MessageBody: aws.String(strings.Repeat("x", 60<<10))}, {MessageBody: aws.String(strings.Repeat("x", 5<<10))},
			}},
			want: cost.Units{Messages: 2},
		},
		"empty receive":    {in: &sqs.ReceiveMessageInput{}, out: &sqs.ReceiveMessageOutput{}, want: cost.Units{Messages: 1}},
		"delete messages":  {in: &sqs.DeleteMessageBatchInput{}, want: cost.Units{Messages: 1}},
		"hide messages":    {in: &sqs.ChangeMessageVisibilityBatchInput{}, want: cost.Units{Messages: 1}},
		"put an object":    {in: &s3.PutObjectInput{}, want: cost.Units{Puts: 1}},
		"list objects":     {in: &s3.ListObjectsV2Input{}, want: cost.Units{Puts: 1}},
		"get an object":    {in: &s3.GetObjectInput{}, want: cost.Units{Gets: 1}},
		"delete an object": {in: &s3.DeleteObjectInput{}},
		"wake a flow":      {in: &sfn.SendTaskSuccessInput{}},
	} {
		if diff := cmp.Diff(tc.want, cost.Of(tc.in, tc.out, tc.err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
