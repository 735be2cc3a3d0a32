package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"github.com/musketry/musketry/infra/outputs"
	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/doctor"
	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/sfnflow"
)

// openPatience bounds the reading of a stack.
const openPatience = time.Minute

// A deployed is what CloudFormation and Lambda say of a deployment.
type deployed struct {
	name      string
	aws       aws.Config
	outputs   map[string]string
	functions []doctor.Function
	problem   error        // of reading the functions
	execute   boot.Config  // what execute was given; zero if it could not be read
	submit    *boot.Config // what submit was given; nil if it could not be read
	store     *dynamostore.Store
}

// openDeployed reads the deployment of a stack with the environment's AWS
// credentials.
func openDeployed(now func() time.Time) func(ctx context.Context, stack string) (*deployed, error) {
	return func(ctx context.Context, stack string) (*deployed, error) {
		ctx, cancel := context.WithTimeout(ctx, openPatience)
		defer cancel()
		cfg, err := operator(ctx)
		if err != nil {
			return nil, err
		}
		d := &deployed{name: stack, aws: cfg}
		formation := cloudformation.NewFromConfig(cfg)
		if d.outputs, err = stackOutputs(ctx, formation, stack); err != nil {
			return nil, err
		}
		d.problem = d.readFunctions(ctx, formation)
		d.store, err = dynamostore.New(dynamostore.NewClient(cfg), dynamostore.Config{Table: d.outputs[outputs.Table], Admin: d.outputs[outputs.AdminTable], Now: now})
		if err != nil {
			return nil, fmt.Errorf("the stack %s is no deployment of Musketry: %w", stack, err)
		}
		return d, nil
	}
}

// stackOutputs returns what a stack told when it was deployed.
func stackOutputs(ctx context.Context, formation *cloudformation.Client, stack string) (map[string]string, error) {
	out, err := formation.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &stack})
	// https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
	if answer, ok := errors.AsType[smithy.APIError](err); ok && answer.ErrorCode() == "ValidationError" {
		return nil, fmt.Errorf("there is no stack %s in this account and region: name it with --stack; AWS_PROFILE and AWS_REGION say where: %w", stack, err)
	}
	if err == nil && len(out.Stacks) == 0 {
		err = errors.New("CloudFormation told of no stack")
	}
	if err != nil {
		return nil, explain(fmt.Errorf("read the stack %s (cloudformation:DescribeStacks): %w", stack, err), stack)
	}
	values := map[string]string{}
	for _, o := range out.Stacks[0].Outputs {
		values[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	return values, nil
}

// readFunctions reads the stack's functions, and what execute was given.
func (d *deployed) readFunctions(ctx context.Context, formation *cloudformation.Client) error {
	api := lambda.NewFromConfig(d.aws)
	pages := cloudformation.NewListStackResourcesPaginator(formation, &cloudformation.ListStackResourcesInput{StackName: &d.name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return permitted(err, "cloudformation:ListStackResources")
		}
		for _, r := range page.StackResourceSummaries {
			if aws.ToString(r.ResourceType) != "AWS::Lambda::Function" {
				continue
			}
			if err := d.readFunction(ctx, api, aws.ToString(r.PhysicalResourceId)); err != nil {
				return err
			}
		}
	}
	return nil
}

// readFunction reads one function.
func (d *deployed) readFunction(ctx context.Context, api *lambda.Client, name string) error {
	out, err := api.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: &name})
	if err != nil {
		return permitted(err, "lambda:GetFunction")
	}
	f := doctor.Function{Name: name, Reserved: -1}
	if out.Concurrency != nil && out.Concurrency.ReservedConcurrentExecutions != nil {
		f.Reserved = int(*out.Concurrency.ReservedConcurrentExecutions)
	}
	if c := out.Configuration; c != nil {
		f.State, f.Update = string(c.State), string(c.LastUpdateStatus)
		if c.Environment != nil {
			if err := d.readGiven(c.Environment.Variables); err != nil {
				return fmt.Errorf("what %s was given: %w", name, err)
			}
		}
	}
	d.functions = append(d.functions, f)
	return nil
}

// readGiven reads what a function was given. Execute is the one that was told where
// keys lie; submit starts flows, and sends no messages.
func (d *deployed) readGiven(given map[string]string) error {
	read := func() (boot.Config, error) {
		return boot.Read(func(name string) (string, bool) { v, ok := given[name]; return v, ok })
	}
	switch {
	case given[boot.EnvKeyPrefix] != "":
		var err error
		d.execute, err = read()
		return err
	case given[boot.EnvFlowARN] != "" && given[boot.EnvQueueURL] == "":
		cfg, err := read()
		if err != nil {
			return err
		}
		d.submit = &cfg
	}
	return nil
}

// config returns what the deployment was given.
func (d *deployed) config() doctor.Config {
	if d.problem != nil {
		return doctor.Config{Name: d.name, Unknown: d.problem}
	}
	defaults, err := d.execute.DefaultModels()
	return doctor.Config{Name: d.name, Defaults: defaults, Unknown: err}
}

// deps returns what the doctor looks at.
func (d *deployed) deps(now func() time.Time) doctor.Deps {
	return doctor.Deps{
		Account: accountOf{lambda: lambda.NewFromConfig(d.aws), tables: dynamodb.NewFromConfig(d.aws)},
		Stack:   &stackOf{deployed: d, lambda: lambda.NewFromConfig(d.aws), queues: sqs.NewFromConfig(d.aws)},
		Store:   storeOf{d.store}, Flows: flowsOf{sfnflow.New(sfn.NewFromConfig(d.aws), d.outputs[outputs.FlowARN])},
		Provider: newProviderOf(d, now), Clock: now,
	}
}

// permitted returns err, wrapping doctor.ErrDenied with the permission's name if
// that is what it lacks.
func permitted(err error, permission string) error {
	answer, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return err
	}
	switch answer.ErrorCode() {
	case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden":
		return fmt.Errorf("%w: it takes %s", doctor.ErrDenied, permission)
	}
	return fmt.Errorf("%s: %w", permission, err)
}

// queueARN returns the ARN of a queue by its URL, whose last two parts are account
// and name, in the region and partition of another ARN of the deployment.
func queueARN(queueURL, other string) (string, error) {
	u, err := url.Parse(queueURL)
	if err != nil {
		return "", fmt.Errorf("the queue's URL: %w", err)
	}
	parts, in := strings.Split(strings.Trim(u.Path, "/"), "/"), strings.Split(other, ":")
	if len(parts) < 2 || len(in) < 5 {
		return "", fmt.Errorf("%.100q is no queue's URL", queueURL)
	}
	return strings.Join([]string{in[0], in[1], "sqs", in[3], parts[len(parts)-2], parts[len(parts)-1]}, ":"), nil
}
