package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/musketry/musketry/infra/outputs"
	"github.com/musketry/musketry/internal/dynamostore"
)

// clients speak to the engine.
type clients struct {
	formation *cloudformation.Client
	lambda    *lambda.Client
	dynamo    *dynamodb.Client
	s3        *s3.Client
	ssm       *ssm.Client
}

func newClients(_ context.Context, endpoint string, keys credentials) (*clients, error) {
	if endpoint == "" {
		return nil, errors.New("an engine without an address")
	}
	cfg := aws.Config{
		Region:       region,
		BaseEndpoint: &endpoint,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: keys.id, SecretAccessKey: keys.secret}, nil
		}),
	}
	return &clients{
		formation: cloudformation.NewFromConfig(cfg),
		lambda:    lambda.NewFromConfig(cfg),
		dynamo:    dynamodb.NewFromConfig(cfg),
		s3:        s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }),
		ssm:       ssm.NewFromConfig(cfg),
	}, nil
}

// refuseFallbacks fails if the engine says of any resource that it stands there in name only.
func (c *clients) refuseFallbacks(ctx context.Context) error {
	pages := cloudformation.NewDescribeStackEventsPaginator(c.formation,
		&cloudformation.DescribeStackEventsInput{StackName: aws.String(stackName)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("read the stack's events: %w", err)
		}
		for _, event := range page.StackEvents {
			if strings.Contains(strings.ToLower(aws.ToString(event.ResourceStatusReason)), "fallback") {
				return fmt.Errorf("the engine has not really made %s (%s): %s", aws.ToString(event.LogicalResourceId),
					aws.ToString(event.ResourceType), aws.ToString(event.ResourceStatusReason))
			}
		}
	}
	return nil
}

// A template is the part of a CloudFormation template that engines are known to drop.
type template struct {
	Resources map[string]struct {
		Type       string
		Properties struct {
			TimeToLiveSpecification *struct {
				AttributeName string
				Enabled       bool
			}
			PointInTimeRecoverySpecification *struct{ PointInTimeRecoveryEnabled bool }
			LifecycleConfiguration           *struct{ Rules []lifecycleRule }
			ReservedConcurrentExecutions     *int32
		}
	}
}

type lifecycleRule struct {
	ID                             string `json:"Id"`
	Status                         string
	Prefix                         string
	ExpirationInDays               int32
	AbortIncompleteMultipartUpload *struct{ DaysAfterInitiation int32 }
}

// restore gives the deployed resources the properties that the engine's CloudFormation drops: the table's expiry and
// point-in-time recovery, the bucket's lifecycle. It refuses a template with one that it cannot restore.
func (c *clients) restore(ctx context.Context, path string, out map[string]string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var t template
	if err := json.Unmarshal(data, &t); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	for id, resource := range t.Resources {
		p, table := resource.Properties, out[outputs.Table]
		if strings.HasPrefix(id, "AdminTable") {
			table = out[outputs.AdminTable]
		}
		if p.ReservedConcurrentExecutions != nil {
			return fmt.Errorf("%s reserves concurrency, which the engine would drop unseen", id)
		}
		if p.TimeToLiveSpecification != nil {
			err = errors.Join(err, c.restoreTTL(ctx, table, p.TimeToLiveSpecification.AttributeName))
		}
		if p.PointInTimeRecoverySpecification != nil {
			err = errors.Join(err, c.restoreRecovery(ctx, table))
		}
		if p.LifecycleConfiguration != nil {
			err = errors.Join(err, c.restoreLifecycle(ctx, out[outputs.Bucket], p.LifecycleConfiguration.Rules))
		}
	}
	return err
}

func (c *clients) restoreTTL(ctx context.Context, table, attribute string) error {
	got, err := c.dynamo.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &table})
	if err != nil {
		return fmt.Errorf("read the table's expiry: %w", err)
	}
	if d := got.TimeToLiveDescription; d != nil && d.TimeToLiveStatus == dynamotypes.TimeToLiveStatusEnabled {
		return nil
	}
	_, err = c.dynamo.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName: &table,
		TimeToLiveSpecification: &dynamotypes.TimeToLiveSpecification{
			AttributeName: &attribute, Enabled: aws.Bool(true),
		},
	})
	if err != nil {
		return fmt.Errorf("set the table's expiry: %w", err)
	}
	return nil
}

func (c *clients) restoreRecovery(ctx context.Context, table string) error {
	_, err := c.dynamo.UpdateContinuousBackups(ctx, &dynamodb.UpdateContinuousBackupsInput{
		TableName: &table,
		PointInTimeRecoverySpecification: &dynamotypes.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: aws.Bool(true),
		},
	})
	if err != nil {
		return fmt.Errorf("set the table's point-in-time recovery: %w", err)
	}
	return nil
}

func (c *clients) restoreLifecycle(ctx context.Context, bucket string, rules []lifecycleRule) error {
	var all []s3types.LifecycleRule
	for _, rule := range rules {
		one := s3types.LifecycleRule{
			ID: aws.String(rule.ID), Status: s3types.ExpirationStatus(rule.Status),
			Filter: &s3types.LifecycleRuleFilter{Prefix: aws.String(rule.Prefix)},
		}
		if rule.ExpirationInDays > 0 {
			one.Expiration = &s3types.LifecycleExpiration{Days: aws.Int32(rule.ExpirationInDays)}
		}
		if abort := rule.AbortIncompleteMultipartUpload; abort != nil {
			one.AbortIncompleteMultipartUpload = &s3types.AbortIncompleteMultipartUpload{
				DaysAfterInitiation: aws.Int32(abort.DaysAfterInitiation),
			}
		}
		all = append(all, one)
	}
	_, err := c.s3.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{
		Bucket: &bucket, LifecycleConfiguration: &s3types.BucketLifecycleConfiguration{Rules: all},
	})
	if err != nil {
		return fmt.Errorf("set the bucket's lifecycle: %w", err)
	}
	return nil
}

// putKey keeps the provider's key where execute reads it.
func (c *clients) putKey(ctx context.Context, out map[string]string, key string) error {
	_, err := c.ssm.PutParameter(ctx, &ssm.PutParameterInput{
		Name: aws.String(out[outputs.UpstreamKey]), Value: &key,
		Type: ssmtypes.ParameterTypeSecureString, Overwrite: aws.Bool(true),
	})
	if err != nil {
		return fmt.Errorf("keep the provider's key: %w", err)
	}
	return nil
}

// putTenants makes the tenants' keys known to the API: only their hashes are kept there.
func (c *clients) putTenants(ctx context.Context, out map[string]string, tenants []tenantKey, now func() time.Time) error {
	store, err := dynamostore.New(c.dynamo, dynamostore.Config{Table: out[outputs.AdminTable], Now: now})
	if err != nil {
		return err
	}
	for _, t := range tenants {
		if err := store.PutKey(ctx, t.Key); err != nil {
			return fmt.Errorf("keep tenant %s's key: %w", t.Key.Tenant, err)
		}
	}
	return nil
}
