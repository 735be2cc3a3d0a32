package dynamostore

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

const (
	// attempts of a call before its error is returned, with pauses of at most
	// maxPause between them.
	attempts = 12
	maxPause = 2 * time.Second
	// attemptTime bounds one attempt, from connecting to the answer's last
	// byte. DynamoDB answers in milliseconds: a silence so long is a dead
	// connection.
	attemptTime = 10 * time.Second
	// connections that stay open: as many as a worker has calls in flight, and
	// some. The SDK's 10 would have most calls connect anew.
	connections = 256
)

// API is what a Store uses of DynamoDB.
type API interface {
	Items

	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	BatchExecuteStatement(
		context.Context, *dynamodb.BatchExecuteStatementInput, ...func(*dynamodb.Options),
	) (*dynamodb.BatchExecuteStatementOutput, error)
}

// Items is what of it takes one item.
type Items interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	UpdateItem(
		context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options),
	) (*dynamodb.UpdateItemOutput, error)
	DeleteItem(
		context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options),
	) (*dynamodb.DeleteItemOutput, error)
}

var _ API = (*dynamodb.Client)(nil)

// NewClient returns a client of DynamoDB that suits a Store: it tries again up
// to 12 times with jitter, each attempt at most 10 s, without the SDK's budget
// of retries, since a throttled write of an outcome must not be given up while
// its caller still has time. optFns come last and may change all of it.
func NewClient(cfg aws.Config, optFns ...func(*dynamodb.Options)) *dynamodb.Client {
	tune := func(o *dynamodb.Options) {
		o.Retryer = retry.NewStandard(func(so *retry.StandardOptions) {
			so.MaxAttempts, so.MaxBackoff, so.RateLimiter = attempts, maxPause, ratelimit.None
		})
		if client, ok := buildable(cfg.HTTPClient); ok {
			o.HTTPClient = client.WithTimeout(attemptTime).
				WithTransportOptions(func(t *http.Transport) {
					t.MaxIdleConns, t.MaxIdleConnsPerHost = connections, connections
				})
		}
	}
	return dynamodb.NewFromConfig(cfg, append([]func(*dynamodb.Options){tune}, optFns...)...)
}

// buildable returns the SDK's own client, with what the environment makes of it
// (AWS_CA_BUNDLE), and false if the caller chose another.
func buildable(client aws.HTTPClient) (*awshttp.BuildableClient, bool) {
	if client == nil {
		return awshttp.NewBuildableClient(), true
	}
	b, ok := client.(*awshttp.BuildableClient)
	return b, ok
}
