package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"

	"github.com/musketry/musketry/infra/outputs"
	"github.com/musketry/musketry/tools/concurrency"
)

// A stackReader is what of CloudFormation tells what a stack has.
type stackReader interface {
	cloudformation.DescribeStacksAPIClient
	cloudformation.ListStackResourcesAPIClient
}

// takenOver returns the parameters by which the stack that is deployed took over tables and a bucket, none if it made its
// own, if there is no such stack, or if the parameters say it themselves. Without them the next deployment would make new
// tables, and leave keys, files and batches in the others.
func (a account) takenOver(ctx context.Context, formation stackReader) ([]string, error) {
	parameters := map[string]string{outputs.Table: "existingTable", outputs.AdminTable: "existingAdminTable", outputs.Bucket: "existingBucket"}
	for _, name := range parameters {
		if a.parameter(name, "") != "" {
			return nil, nil
		}
	}
	name := a.stack()
	described, err := formation.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	if concurrency.NoStack(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the stack %s (cloudformation:DescribeStacks): %w", name, err)
	}
	own, err := resources(ctx, formation, name)
	if err != nil {
		return nil, err
	}
	var contexts []string
	for _, s := range described.Stacks {
		for _, o := range s.Outputs {
			parameter, value := parameters[aws.ToString(o.OutputKey)], aws.ToString(o.OutputValue)
			if parameter != "" && value != "" && !own[value] {
				contexts = append(contexts, parameter+"="+value)
			}
		}
	}
	if len(contexts) > 0 && len(contexts) < len(parameters) {
		return nil, fmt.Errorf("the stack %s has only %s of others: name existingTable, existingAdminTable and existingBucket in CDK_CONTEXT, or none",
			name, strings.Join(contexts, ", "))
	}
	return contexts, nil
}

// resources returns the physical ids of what a stack has made.
func resources(ctx context.Context, formation stackReader, stack string) (map[string]bool, error) {
	own := map[string]bool{}
	pages := cloudformation.NewListStackResourcesPaginator(formation, &cloudformation.ListStackResourcesInput{StackName: &stack})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the stack's resources (cloudformation:ListStackResources): %w", err)
		}
		for _, r := range page.StackResourceSummaries {
			own[aws.ToString(r.PhysicalResourceId)] = true
		}
	}
	return own, nil
}
