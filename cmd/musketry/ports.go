package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"

	"github.com/musketry/musketry/infra/outputs"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/doctor"
	"github.com/musketry/musketry/internal/dynamostore"
	limits "github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/s3file"
	"github.com/musketry/musketry/internal/sfnflow"
	"github.com/musketry/musketry/internal/upstream"
)

// providerTime bounds the question for a provider's models.
const providerTime = 15 * time.Second

// An accountOf is the account as doctor sees it.
type accountOf struct {
	lambda *lambda.Client
	tables *dynamodb.Client
}

func (a accountOf) Concurrency(ctx context.Context) (doctor.Concurrency, error) {
	out, err := a.lambda.GetAccountSettings(ctx, &lambda.GetAccountSettingsInput{})
	if err != nil {
		return doctor.Concurrency{}, permitted(err, "lambda:GetAccountSettings")
	}
	if out.AccountLimit == nil {
		return doctor.Concurrency{}, errors.New("lambda:GetAccountSettings: AWS told no limits")
	}
	return doctor.Concurrency{
		Limit: int(out.AccountLimit.ConcurrentExecutions), Unreserved: int(aws.ToInt32(out.AccountLimit.UnreservedConcurrentExecutions)),
	}, nil
}

func (a accountOf) Quotas(ctx context.Context) (doctor.Quotas, error) {
	out, err := a.tables.DescribeLimits(ctx, &dynamodb.DescribeLimitsInput{})
	if err != nil {
		return doctor.Quotas{}, permitted(err, "dynamodb:DescribeLimits")
	}
	return doctor.Quotas{
		TableReads: int(aws.ToInt64(out.TableMaxReadCapacityUnits)), TableWrites: int(aws.ToInt64(out.TableMaxWriteCapacityUnits)),
	}, nil
}

// A stackOf is the deployment's parts as doctor sees them.
type stackOf struct {
	*deployed

	lambda *lambda.Client
	queues *sqs.Client
}

func (s *stackOf) Functions(context.Context) ([]doctor.Function, error) {
	return s.functions, s.problem
}

func (s *stackOf) Sources(ctx context.Context) ([]doctor.Source, error) {
	arn, err := queueARN(s.outputs[outputs.QueueURL], s.outputs[outputs.FlowARN])
	if err != nil {
		return nil, err
	}
	out, err := s.lambda.ListEventSourceMappings(ctx, &lambda.ListEventSourceMappingsInput{EventSourceArn: &arn})
	if err != nil {
		return nil, permitted(err, "lambda:ListEventSourceMappings")
	}
	var sources []doctor.Source
	for i := range out.EventSourceMappings {
		m := &out.EventSourceMappings[i]
		source := doctor.Source{ID: aws.ToString(m.UUID), State: aws.ToString(m.State)}
		if m.ScalingConfig != nil {
			source.Invocations = int(aws.ToInt32(m.ScalingConfig.MaximumConcurrency))
		}
		sources = append(sources, source)
	}
	return sources, nil
}

func (s *stackOf) Queue(ctx context.Context) (doctor.Depths, error) {
	return s.depths(ctx, s.outputs[outputs.QueueURL])
}

func (s *stackOf) DeadLetters(ctx context.Context) (doctor.Depths, error) {
	return s.depths(ctx, s.outputs[outputs.DeadLetters])
}

// depths reads how many messages a queue has. Those that are delayed are hidden too.
func (s *stackOf) depths(ctx context.Context, queueURL string) (doctor.Depths, error) {
	visible, hidden := types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible
	out, err := s.queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &queueURL, AttributeNames: []types.QueueAttributeName{visible, hidden},
	})
	if err != nil {
		return doctor.Depths{}, permitted(err, "sqs:GetQueueAttributes")
	}
	v, err1 := strconv.Atoi(out.Attributes[string(visible)])
	h, err2 := strconv.Atoi(out.Attributes[string(hidden)])
	if err := errors.Join(err1, err2); err != nil {
		return doctor.Depths{}, fmt.Errorf("sqs:GetQueueAttributes: %w", err)
	}
	return doctor.Depths{Visible: v, InFlight: h}, nil
}

func (s *stackOf) Bucket(ctx context.Context) error {
	_, err := s3file.NewClient(s.aws).HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(s.outputs[outputs.Bucket])})
	return permitted(err, "s3:ListBucket")
}

// A storeOf is the table as doctor sees it.
type storeOf struct{ store *dynamostore.Store }

func (s storeOf) Models(ctx context.Context) ([]route.Model, error) {
	models, err := s.store.Models(ctx)
	return models, permitted(err, "dynamodb:Query")
}

func (s storeOf) Limit(ctx context.Context, routeID string) (limits.Record, error) {
	record, err := s.store.Limit(ctx, routeID)
	return record, permitted(err, "dynamodb:GetItem")
}

func (s storeOf) Runnings(ctx context.Context, after string, most int) ([]batch.Running, bool, error) {
	page, more, err := s.store.Runnings(ctx, after, most)
	return page, more, permitted(err, "dynamodb:Query")
}

// A flowsOf is the flows as doctor sees them.
type flowsOf struct{ flows *sfnflow.Flow }

func (f flowsOf) Running(ctx context.Context) (map[string]bool, error) {
	names, err := f.flows.Running(ctx)
	return names, permitted(err, "states:ListExecutions")
}

func (f flowsOf) State(ctx context.Context, batchID string, n int) (batch.FlowState, error) {
	state, err := f.flows.State(ctx, batchID, n)
	return state, permitted(err, "states:DescribeExecution")
}

// A providerOf is the providers as doctor sees them, from where it runs.
type providerOf struct {
	keys   *boot.Keys
	own    string // where the deployment's own key lies
	client *upstream.Client
}

func newProviderOf(d *deployed, now func() time.Time) *providerOf {
	keys := boot.NewKeys(d.execute, ssm.NewFromConfig(d.aws), secretsmanager.NewFromConfig(d.aws), now)
	return &providerOf{
		keys: keys, own: cmp.Or(d.execute.UpstreamKeyParameter, d.outputs[outputs.UpstreamKey]),
		client: upstream.New(upstream.Config{Key: keys.Key, Now: now, RootCAs: d.execute.UpstreamCA}),
	}
}

func (p *providerOf) Key(ctx context.Context, auth route.Auth) error {
	key, err := p.keys.Key(ctx, auth.Key)
	_, called := errors.AsType[*smithy.OperationError](err)
	switch {
	case err != nil && called:
		return permitted(err, "ssm:GetParameter, or secretsmanager:GetSecretValue, on it")
	case err != nil:
		return fmt.Errorf("%w: %w", doctor.ErrNoKey, err)
	case key == "":
		return fmt.Errorf("%w in the parameter %s", doctor.ErrNoKey, p.own)
	}
	return nil
}

func (p *providerOf) Models(ctx context.Context, r route.Route) (int, error) {
	if r.Auth.Kind == route.SigV4 {
		return 0, fmt.Errorf("%w: calls are signed by execute's own role", doctor.ErrElsewhere)
	}
	r.Model = ""
	r.Total = providerTime
	res, err := p.client.Call(ctx, upstream.Request{Route: r, Method: "GET", URL: "/v1/models"})
	return res.Status, err
}
