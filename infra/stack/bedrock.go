package stack

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

// grantBedrock lets a function call models by the OpenAI-compatible endpoints of Amazon Bedrock, in every region:
// bedrock-runtime, whose calls are signed for bedrock, and bedrock-mantle.
// https://docs.aws.amazon.com/bedrock/latest/userguide/inference.html
func grantBedrock(stack awscdk.Stack, fn *Function) {
	all := jsii.String("*")
	arn := func(service string, account *string, resource string) *string {
		return stack.FormatArn(&awscdk.ArnComponents{
			Service: &service, Region: all, Account: account, Resource: &resource, ResourceName: all,
		})
	}
	invoke := []string{"bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"}
	fn.Allow(arn("bedrock", jsii.String(""), "foundation-model"), invoke...)
	for _, kind := range []string{"inference-profile", "application-inference-profile", "provisioned-model", "imported-model"} {
		fn.Allow(arn("bedrock", nil, kind), invoke...)
	}
	fn.Allow(arn("bedrock-mantle", nil, "project"), "bedrock-mantle:CreateInference")
}
