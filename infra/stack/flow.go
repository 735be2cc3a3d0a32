package stack

import (
	_ "embed"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/musketry/musketry/internal/boot"
)

// flowDefinition is the Amazon States Language text, the same on every cloud. It keeps to forms that all of them run:
// literal timeouts, no heartbeats.
//
//go:embed flow.asl.json
var flowDefinition string

// A FlowName is the state machine's name, fixed before the machine exists: submit starts executions of a machine that
// invokes submit, which would otherwise be a circle of references.
type FlowName struct {
	stack awscdk.Stack
	name  string
}

// NewFlowName fixes the name of a stack's state machine.
func NewFlowName(stack awscdk.Stack, name string) *FlowName {
	return &FlowName{stack: stack, name: name}
}

// GrantStart lets a function start a batch's execution.
func (f *FlowName) GrantStart(fn *Function) {
	fn.Allow(f.ARN(), "states:StartExecution")
	fn.Setenv(boot.EnvFlowARN, f.ARN())
}

// GrantRestart lets a function start a batch's next execution, after a look at how the last one stands.
func (f *FlowName) GrantRestart(fn *Function) {
	f.GrantStart(fn)
	fn.Allow(f.ARN(), "states:ListExecutions")
	fn.Allow(f.arn("execution", f.name+":*"), "states:DescribeExecution")
}

// ARN is the state machine's.
func (f *FlowName) ARN() *string { return f.arn("stateMachine", f.name) }

// GrantWake lets a function answer a task token, which wakes a parked execution.
func (f *FlowName) GrantWake(fn *Function) {
	fn.Allow(f.ARN(), "states:SendTaskSuccess")
}

func (f *FlowName) arn(resource, name string) *string {
	return f.stack.FormatArn(&awscdk.ArnComponents{
		Service:      jsii.String("states"),
		Resource:     &resource,
		ResourceName: &name,
		ArnFormat:    awscdk.ArnFormat_COLON_RESOURCE_NAME,
	})
}

// FlowProps name the machine and the two functions that its tasks invoke.
type FlowProps struct {
	Name     *FlowName
	Submit   *Function
	Finalize *Function
}

// NewFlow adds the state machine of a batch, which logs its errors without the data that caused them.
func NewFlow(scope constructs.Construct, id string, props *FlowProps) awsstepfunctions.StateMachine {
	role := awsiam.NewRole(scope, jsii.String(id+"Role"), &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("states.amazonaws.com"), nil),
	})
	role.AddToPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions:   jsii.Strings("lambda:InvokeFunction"),
		Resources: &[]*string{props.Submit.FunctionArn(), props.Finalize.FunctionArn()},
	}))
	return awsstepfunctions.NewStateMachine(scope, &id, &awsstepfunctions.StateMachineProps{
		StateMachineName: &props.Name.name,
		StateMachineType: awsstepfunctions.StateMachineType_STANDARD,
		DefinitionBody:   awsstepfunctions.DefinitionBody_FromString(&flowDefinition),
		DefinitionSubstitutions: &map[string]*string{
			"SubmitArn":   props.Submit.FunctionArn(),
			"FinalizeArn": props.Finalize.FunctionArn(),
			// China and GovCloud have partitions of their own, and refuse a definition that names another. The whole ARN is
			// substituted: cfn-lint takes no other variable in a definition.
			"Invoke":         integration(""),
			"InvokeForToken": integration(".waitForTaskToken"),
		},
		Role: role,
		Logs: &awsstepfunctions.LogOptions{
			// The prefix keeps the account's resource policy for logs from growing past its limit:
			// https://docs.aws.amazon.com/step-functions/latest/dg/bp-cwl.html
			Destination:          newLogGroup(scope, id+"Log", "/aws/vendedlogs/states/"+props.Name.name),
			Level:                awsstepfunctions.LogLevel_ERROR,
			IncludeExecutionData: jsii.Bool(false),
		},
	})
}

// integration is the ARN of Step Functions' own integration of Lambda:
// https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html
func integration(pattern string) *string {
	return awscdk.Fn_Sub(jsii.String("arn:${AWS::Partition}:states:::lambda:invoke"+pattern), nil)
}
