package concurrency

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/smithy-go"
)

// Functions returns the names of the functions of a stack that is deployed, none if there is no such stack.
func Functions(ctx context.Context, api cloudformation.ListStackResourcesAPIClient, stack string) ([]string, error) {
	var names []string
	pages := cloudformation.NewListStackResourcesPaginator(api, &cloudformation.ListStackResourcesInput{StackName: &stack})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if NoStack(err) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the stack's resources (cloudformation:ListStackResources): %w", err)
		}
		for _, resource := range page.StackResourceSummaries {
			if aws.ToString(resource.ResourceType) == "AWS::Lambda::Function" && aws.ToString(resource.PhysicalResourceId) != "" {
				names = append(names, *resource.PhysicalResourceId)
			}
		}
	}
	return names, nil
}

// NoStack reports whether err says that there is no such stack:
// https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
func NoStack(err error) bool {
	known, ok := errors.AsType[smithy.APIError](err)
	return ok && known.ErrorCode() == "ValidationError" && strings.Contains(known.ErrorMessage(), "does not exist")
}
