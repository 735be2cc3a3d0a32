package cost

import (
	"errors"
	"math"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

const (
	// writeUnit and readUnit are the bytes of an item in a unit; a read that need
	// not be consistent is half a unit
	// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html).
	writeUnit, readUnit = 1 << 10, 4 << 10
	// messageUnit are the bytes of messages in one billed request of SQS
	// (https://aws.amazon.com/sqs/pricing/).
	messageUnit = 64 << 10
)

// Units are what AWS bills.
type Units struct {
	Writes      float64 // of DynamoDB: 1 KB of an item each
	Reads       float64 // of DynamoDB: 4 KB of an item each, read consistently
	Messages    float64 // requests of SQS: 64 KB each
	Puts        float64 // requests of S3 that write or list
	Gets        float64 // other requests of S3 that are not free
	Transitions float64 // of Step Functions
	Invocations float64 // of Lambda
	GBSeconds   float64 // of Lambda, on arm64
	LogBytes    float64 // written to CloudWatch Logs
}

// Plus returns the sum of u and o.
func (u Units) Plus(o Units) Units {
	return Units{
		Writes: u.Writes + o.Writes, Reads: u.Reads + o.Reads, Messages: u.Messages + o.Messages,
		Puts: u.Puts + o.Puts, Gets: u.Gets + o.Gets, Transitions: u.Transitions + o.Transitions,
		Invocations: u.Invocations + o.Invocations, GBSeconds: u.GBSeconds + o.GBSeconds, LogBytes: u.LogBytes + o.LogBytes,
	}
}

// Of returns what a call used whose input, output and error these are, as far as
// they tell: a write of DynamoDB costs by the larger of the item before and after
// it, of which a call knows one at most. Where the answer has what the call
// consumed, that is what counts, unless the engine says less than what was sent.
// Calls that are free use nothing, nor do those that failed, but for a write whose
// condition did not hold.
func Of(in, out any, err error) Units {
	if err != nil && !refused(err) {
		return Units{}
	}
	switch in := in.(type) {
	case *sqs.SendMessageBatchInput:
		bytes := 0
		for i := range in.Entries {
			bytes += len(aws.ToString(in.Entries[i].MessageBody))
		}
		return Units{Messages: up(bytes, messageUnit)}
	case *sqs.ReceiveMessageInput:
		bytes := 0
		if out, ok := out.(*sqs.ReceiveMessageOutput); ok {
			for i := range out.Messages {
				bytes += len(aws.ToString(out.Messages[i].Body))
			}
		}
		return Units{Messages: up(bytes, messageUnit)}
	case *sqs.SendMessageInput:
		return Units{Messages: up(len(aws.ToString(in.MessageBody)), messageUnit)}
	case *sqs.DeleteMessageInput, *sqs.DeleteMessageBatchInput, *sqs.ChangeMessageVisibilityInput,
		*sqs.ChangeMessageVisibilityBatchInput, *sqs.GetQueueAttributesInput:
		return Units{Messages: 1}
	case *s3.PutObjectInput, *s3.CopyObjectInput, *s3.CreateMultipartUploadInput, *s3.UploadPartInput,
		*s3.CompleteMultipartUploadInput, *s3.ListObjectsV2Input, *s3.ListPartsInput:
		return Units{Puts: 1}
	case *s3.GetObjectInput, *s3.HeadObjectInput:
		return Units{Gets: 1}
	}
	return ofTable(in, out)
}

// ofTable returns what a call of DynamoDB used.
func ofTable(in, out any) Units {
	switch in := in.(type) {
	case *dynamodb.GetItemInput:
		o, _ := out.(*dynamodb.GetItemOutput)
		if o == nil {
			return Units{}
		}
		return Units{Reads: max(reads(Size(o.Item), in.ConsistentRead), consumed(o.ConsumedCapacity))}
	case *dynamodb.QueryInput:
		o, _ := out.(*dynamodb.QueryOutput)
		if o == nil {
			return Units{}
		}
		bytes := 0
		for _, item := range o.Items {
			bytes += Size(item)
		}
		return Units{Reads: max(reads(bytes, in.ConsistentRead), consumed(o.ConsumedCapacity))}
	case *dynamodb.PutItemInput:
		o, _ := out.(*dynamodb.PutItemOutput)
		if o == nil {
			o = &dynamodb.PutItemOutput{}
		}
		return Units{Writes: max(up(Size(in.Item), writeUnit), consumed(o.ConsumedCapacity))}
	case *dynamodb.UpdateItemInput:
		o, _ := out.(*dynamodb.UpdateItemOutput)
		if o == nil {
			o = &dynamodb.UpdateItemOutput{}
		}
		return Units{Writes: max(1, consumed(o.ConsumedCapacity))}
	case *dynamodb.DeleteItemInput:
		o, _ := out.(*dynamodb.DeleteItemOutput)
		if o == nil {
			o = &dynamodb.DeleteItemOutput{}
		}
		return Units{Writes: max(1, consumed(o.ConsumedCapacity))}
	case *dynamodb.BatchExecuteStatementInput:
		o, _ := out.(*dynamodb.BatchExecuteStatementOutput)
		return ofStatements(in, o)
	}
	return Units{}
}

// ofStatements returns what a group of statements used: each by itself, those that
// were throttled nothing.
func ofStatements(in *dynamodb.BatchExecuteStatementInput, out *dynamodb.BatchExecuteStatementOutput) Units {
	if out == nil || len(out.Responses) != len(in.Statements) {
		return Units{}
	}
	var u Units
	for i, s := range in.Statements {
		verb, _, _ := strings.Cut(strings.TrimSpace(aws.ToString(s.Statement)), " ")
		answer := out.Responses[i]
		switch {
		case answer.Error != nil && !evaluated(answer.Error.Code):
		case strings.EqualFold(verb, "SELECT"):
			u.Reads += reads(Size(answer.Item), s.ConsistentRead)
		default:
			u.Writes += up(parameters(s.Parameters), writeUnit)
		}
	}
	var all float64
	for i := range out.ConsumedCapacity {
		all += consumed(&out.ConsumedCapacity[i])
	}
	if u.Reads == 0 { // a group reads or writes, never both
		u.Writes = max(u.Writes, all)
	} else {
		u.Reads = max(u.Reads, all)
	}
	return u
}

// evaluated reports whether a statement that failed so has looked at its item.
func evaluated(code types.BatchStatementErrorCodeEnum) bool {
	return code == types.BatchStatementErrorCodeEnumConditionalCheckFailed ||
		code == types.BatchStatementErrorCodeEnumDuplicateItem
}

// refused reports whether err says that a condition did not hold, which costs what
// the write would
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithItems.html#WorkingWithItems.ConditionalUpdate).
func refused(err error) bool {
	var failed *types.ConditionalCheckFailedException
	return errors.As(err, &failed)
}

func consumed(c *types.ConsumedCapacity) float64 {
	if c == nil {
		return 0
	}
	return aws.ToFloat64(c.CapacityUnits)
}

// up returns how many units bytes are: one at least.
func up(bytes, unit int) float64 { return float64(max((bytes+unit-1)/unit, 1)) }

func reads(bytes int, consistent *bool) float64 {
	if aws.ToBool(consistent) {
		return up(bytes, readUnit)
	}
	return up(bytes, readUnit) / 2
}

// Size returns the bytes of an item as DynamoDB counts them
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html).
func Size(item map[string]types.AttributeValue) int {
	n := 0
	for name, value := range item {
		n += len(name) + sizeOf(value)
	}
	return n
}

// parameters returns the bytes of a statement's values, of which those of its
// condition do not count; it is too much by them, and too little by the names.
func parameters(values []types.AttributeValue) int {
	n := 0
	for _, v := range values {
		n += sizeOf(v)
	}
	return n
}

func sizeOf(value types.AttributeValue) int {
	const overhead = 3 // of a list or a map; each element has a byte of its own
	switch v := value.(type) {
	case *types.AttributeValueMemberS:
		return len(v.Value)
	case *types.AttributeValueMemberN:
		return digits(v.Value)
	case *types.AttributeValueMemberB:
		return len(v.Value)
	case *types.AttributeValueMemberSS:
		n := 0
		for _, s := range v.Value {
			n += len(s)
		}
		return n
	case *types.AttributeValueMemberL:
		n := overhead
		for _, e := range v.Value {
			n += 1 + sizeOf(e)
		}
		return n
	case *types.AttributeValueMemberM:
		n := overhead + Size(v.Value)
		return n + len(v.Value)
	}
	return 1 // a boolean, or null
}

// digits returns the bytes of a number: one, and one for every two significant
// digits, and one for a sign.
func digits(number string) int {
	text, negative := strings.CutPrefix(number, "-")
	significant := strings.Trim(strings.ReplaceAll(text, ".", ""), "0")
	n := 1 + int(math.Ceil(float64(len(significant))/2))
	if negative {
		n++
	}
	return n
}
