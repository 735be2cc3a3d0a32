package cost

import (
	"context"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"
)

// A Call is a call of AWS, its repeats by the SDK included.
type Call struct {
	Service   string // as the SDK names it, such as DynamoDB
	Operation string
	Attempts  int // 1 at least
	Units     Units
}

// Middleware has count told of every call that a client makes, for the API options
// of its configuration; count may be called by many goroutines at once. It asks
// DynamoDB what a call consumed, since only DynamoDB knows of the item that was
// there before.
func Middleware(count func(Call)) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("CountUnits", func(
			ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
		) (middleware.InitializeOutput, middleware.Metadata, error) {
			in.Parameters = asking(in.Parameters)
			out, metadata, err := next.HandleInitialize(ctx, in)
			if _, presigned := out.Result.(*v4.PresignedHTTPRequest); presigned {
				return out, metadata, err // nothing was called
			}
			attempts := 1
			if results, ok := retry.GetAttemptResults(metadata); ok {
				attempts = max(len(results.Results), 1)
			}
			count(Call{
				Service: awsmiddleware.GetServiceID(ctx), Operation: awsmiddleware.GetOperationName(ctx),
				Attempts: attempts, Units: Of(in.Parameters, out.Result, err),
			})
			return out, metadata, err
		}), middleware.After)
	}
}

// asking returns in, or of a call of DynamoDB one that asks what it consumed.
func asking(in any) any {
	switch in := in.(type) {
	case *dynamodb.GetItemInput:
		asks := *in
		asks.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
		return &asks
	case *dynamodb.QueryInput:
		asks := *in
		asks.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
		return &asks
	case *dynamodb.PutItemInput:
		asks := *in
		asks.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
		return &asks
	case *dynamodb.UpdateItemInput:
		asks := *in
		asks.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
		return &asks
	case *dynamodb.DeleteItemInput:
		asks := *in
		asks.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
		return &asks
	case *dynamodb.BatchExecuteStatementInput:
		asks := *in
		asks.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
		return &asks
	}
	return in
}
