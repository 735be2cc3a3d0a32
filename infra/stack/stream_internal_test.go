package stack

import (
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigateway"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"
)

// TestAStreamsOptionsAreDeployed demands another deployment where only the mode or the time of a streamed route differ: a
// stage serves its deployment, so without another one a change of them would stay undone, and nobody would be told.
func TestAStreamsOptionsAreDeployed(t *testing.T) { //nolint:paralleltest // CDK's process serves one caller at a time
	buffered, shorter := streamOptions(), streamOptions()
	buffered.ResponseTransferMode, buffered.Timeout = "", nil
	shorter.Timeout = awscdk.Duration_Minutes(jsii.Number(streamMinutes - 1))
	first := deploymentOf(t, streamOptions())
	if again := deploymentOf(t, streamOptions()); again != first {
		t.Errorf("the same options are deployed as %s, and then as %s", first, again)
	}
	for name, options := range map[string]*awsapigateway.LambdaIntegrationOptions{"mode": buffered, "time": shorter} {
		if got := deploymentOf(t, options); got == first {
			t.Errorf("another %s is deployed as %s, as before", name, got)
		}
	}
}

// deploymentOf gives the logical id of the deployment of an API that streams with some options.
func deploymentOf(t *testing.T, options *awsapigateway.LambdaIntegrationOptions) string {
	t.Helper()
	stack := awscdk.NewStack(awscdk.NewApp(nil), jsii.String("Stack"), nil)
	fn := awslambda.Function_FromFunctionName(stack, jsii.String("Fn"), jsii.String("fn"))
	rest := awsapigateway.NewLambdaIntegration(fn, nil)
	api := awsapigateway.NewRestApi(stack, jsii.String("Api"), nil)
	addStream(api, "GET /files/{id}/content", rest, awsapigateway.NewLambdaIntegration(fn, options))
	found := assertions.Template_FromStack(stack, nil).FindResources(jsii.String("AWS::ApiGateway::Deployment"), nil)
	if len(*found) != 1 {
		t.Fatalf("there are %d deployments", len(*found))
	}
	for id := range *found {
		return id
	}
	return ""
}
