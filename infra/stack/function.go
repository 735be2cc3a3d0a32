package stack

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// functionTimeoutMinutes is Lambda's own maximum: execute waits for models, load and write-out stream large files.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const functionTimeoutMinutes = 15

// FunctionProps are a Lambda's code and size.
type FunctionProps struct {
	Code         string  // Folder that holds the executable "bootstrap".
	Architecture string  // "arm64" or "x86_64".
	Memory       float64 // MB.
	Reserved     float64 // Invocations of the account's that are its own, and all it has; 0 reserves none.
}

// A Function is a Go Lambda whose role may write its own log and, beyond that, what a Grant gave it.
type Function struct {
	awslambda.Function
}

// NewFunction adds a Lambda with a role and a log group of its own. CDK's default role is not used, since its managed
// policy may write every log of the account.
func NewFunction(scope constructs.Construct, id string, props *FunctionProps) *Function {
	logs := newLogGroup(scope, id+"Log", "")
	var reserved *float64
	if props.Reserved > 0 {
		reserved = &props.Reserved
	}
	role := awsiam.NewRole(scope, jsii.String(id+"Role"), &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("lambda.amazonaws.com"), nil),
	})
	fn := &Function{awslambda.NewFunction(scope, &id, &awslambda.FunctionProps{
		Runtime:      awslambda.Runtime_PROVIDED_AL2023(),
		Handler:      jsii.String("bootstrap"),
		Code:         awslambda.Code_FromAsset(&props.Code, nil),
		Architecture: architecture(props.Architecture),
		MemorySize:   &props.Memory,
		Timeout:      awscdk.Duration_Minutes(jsii.Number(functionTimeoutMinutes)),
		Role:         role,
		LogGroup:     logs,

		ReservedConcurrentExecutions: reserved,
	})}
	// LogGroupArn ends in ":*", the group's streams, which is what these two actions are allowed on.
	fn.Allow(logs.LogGroupArn(), "logs:CreateLogStream", "logs:PutLogEvents")
	return fn
}

// Allow adds actions on one resource to the function's role.
func (f *Function) Allow(resource *string, actions ...string) { f.AllowIf(nil, resource, actions...) }

// AllowIf adds actions on one resource to the function's role, under IAM's conditions if there are any.
func (f *Function) AllowIf(conditions map[string]any, resource *string, actions ...string) {
	props := &awsiam.PolicyStatementProps{Actions: jsii.Strings(actions...), Resources: &[]*string{resource}}
	if conditions != nil {
		props.Conditions = &conditions
	}
	f.AddToRolePolicy(awsiam.NewPolicyStatement(props))
}

// Setenv sets an environment variable of the function.
func (f *Function) Setenv(name string, value *string) {
	f.AddEnvironment(&name, value, nil)
}

// setting sets an environment variable of the function if the deployment chooses its value.
func (f *Function) setting(chosen map[string]string, name string) {
	if value, ok := chosen[name]; ok {
		f.Setenv(name, &value)
	}
}

func architecture(name string) awslambda.Architecture {
	if name == "x86_64" {
		return awslambda.Architecture_X86_64()
	}
	return awslambda.Architecture_ARM_64()
}

// newLogGroup adds a log group that forgets after a month. It goes with the stack, since no batch depends on it.
func newLogGroup(scope constructs.Construct, id, name string) awslogs.LogGroup {
	props := &awslogs.LogGroupProps{
		Retention:     awslogs.RetentionDays_ONE_MONTH,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	}
	if name != "" {
		props.LogGroupName = &name
	}
	return awslogs.NewLogGroup(scope, &id, props)
}
