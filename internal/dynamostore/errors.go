package dynamostore

import (
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A lostError reports a write whose condition did not hold.
type lostError struct{ stored item } // what was there; nil if nothing was

func (*lostError) Error() string { return "dynamostore: the condition of the write does not hold" }

// wrap turns an error of the SDK into one of ours. Only a condition that failed
// is more than an error with a name.
func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		return &lostError{stored: failed.Item}
	}
	return fmt.Errorf("dynamostore: %s: %w", op, err)
}

// retryable reports whether a statement that failed with code may succeed later
// (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchStatementError.html).
func retryable(code types.BatchStatementErrorCodeEnum) bool {
	switch code {
	case types.BatchStatementErrorCodeEnumRequestLimitExceeded,
		types.BatchStatementErrorCodeEnumProvisionedThroughputExceeded,
		types.BatchStatementErrorCodeEnumTransactionConflict,
		types.BatchStatementErrorCodeEnumThrottlingError,
		types.BatchStatementErrorCodeEnumInternalServerError:
		return true
	case types.BatchStatementErrorCodeEnumConditionalCheckFailed,
		types.BatchStatementErrorCodeEnumItemCollectionSizeLimitExceeded,
		types.BatchStatementErrorCodeEnumValidationError,
		types.BatchStatementErrorCodeEnumResourceNotFound,
		types.BatchStatementErrorCodeEnumAccessDenied,
		types.BatchStatementErrorCodeEnumDuplicateItem:
	}
	return false
}
