package stack

import (
	"maps"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/musketry/musketry/infra/outputs"
	"github.com/musketry/musketry/internal/boot"
)

// NewMusketry adds the whole deployment to an app as one stack.
func NewMusketry(scope constructs.Construct, id string, props *Props) awscdk.Stack {
	stack := awscdk.NewStack(scope, &id, &awscdk.StackProps{
		StackName:   &props.Name,
		Description: jsii.String("Musketry: serverless batches of LLM requests behind the OpenAI Batch API"),
	})
	removal := removalPolicy(props.Removal)
	table := NewTable(stack, "Table", &TableProps{Removal: removal, Existing: props.ExistingTable, WarmWrites: props.WarmWrites})
	operators := NewAdminTable(stack, "AdminTable", &TableProps{Removal: removal, Existing: props.ExistingAdminTable})
	bucket := NewBucket(stack, "Bucket", &BucketProps{Removal: removal, Existing: props.ExistingBucket, Networks: props.AllowedNetworks})
	queue := NewQueue(stack, "Queue", &QueueProps{})
	keys := NewUpstreamKeys(stack, props)
	flowName := NewFlowName(stack, props.Name+"-batch")

	submit := newFunction(stack, "Submit", "submit", props, props.SubmitMemory, props.SubmitConcurrency)
	execute := newFunction(stack, "Execute", "execute", props, props.ExecuteMemory, 0)
	finalize := newFunction(stack, "Finalize", "finalize", props, props.FinalizeMemory, 0)

	table.GrantLoad(submit)
	operators.GrantReads(submit, execute)
	bucket.GrantFiles(submit)
	flowName.GrantStart(submit)
	flowName.GrantWake(submit)
	nameDefaultRoute(submit, props)

	table.GrantWork(execute)
	bucket.GrantAnswers(execute)
	queue.GrantConsume(execute, props.Invocations)
	flowName.GrantWake(execute)
	keys.GrantRead(execute)
	leadToUpstreams(stack, execute, props)

	table.GrantSeal(finalize)
	bucket.GrantWriteOut(finalize)
	queue.GrantSend(finalize)
	flowName.GrantWake(finalize)
	finalize.Setenv(boot.EnvMessageGroups, &props.MessageGroups)

	choose(map[string]*Function{"submit": submit, "execute": execute, "finalize": finalize}, props.Settings)
	NewSweep(stack, "Sweep", &SweepProps{Flow: flowName, Queue: queue, Finalize: finalize, Submit: submit})

	flow := NewFlow(stack, "Flow", &FlowProps{Name: flowName, Submit: submit, Finalize: finalize})
	api := NewAPI(stack, "Api", &APIProps{
		Name: props.Name, Stage: props.APIStage, Streaming: props.Streaming == "on",
		Rate: props.APIRate, Burst: props.APIBurst, Handler: submit, Gate: gateProps(props),
	})

	values := map[string]*string{
		outputs.APIID: api.RestApiId(), outputs.APIURL: api.UrlForPath(jsii.String("/")),
		outputs.Table: table.TableName(), outputs.AdminTable: operators.TableName(), outputs.Bucket: bucket.BucketName(),
		outputs.QueueURL: queue.QueueUrl(), outputs.DeadLetters: queue.DeadLetters.QueueUrl(),
		outputs.FlowARN: flow.StateMachineArn(), outputs.UpstreamKey: &props.UpstreamKeyParameter,
		outputs.KeyPrefix: &keys.prefix, outputs.AzureEndpoint: azureEndpoint(api),
	}
	addOutputs(stack, values)
	leaveOut(stack, props.LeaveOut)
	return stack
}

// choose sets what the deployment chooses of each function's limits and retries.
func choose(functions map[string]*Function, settings map[string]string) {
	for _, choice := range boot.Choices() {
		for _, name := range choice.Functions {
			functions[name].setting(settings, choice.Env)
		}
	}
}

func gateProps(props *Props) *GateProps {
	return &GateProps{
		Log: props.AccessLogs == "on", Networks: props.AllowedNetworks, Firewall: props.Firewall == "on", Rate: props.FirewallRate,
	}
}

func newFunction(scope constructs.Construct, id, folder string, props *Props, memory, reserved float64) *Function {
	fn := NewFunction(scope, id, &FunctionProps{
		Code:         props.Assets + "/" + folder,
		Architecture: props.Architecture,
		Memory:       memory,
		Reserved:     reserved,
	})
	fn.Setenv(boot.EnvLogLevel, &props.LogLevel)
	fn.Setenv(boot.EnvStack, &props.Name)
	return fn
}

func removalPolicy(name string) awscdk.RemovalPolicy {
	if name == "destroy" {
		return awscdk.RemovalPolicy_DESTROY
	}
	return awscdk.RemovalPolicy_RETAIN
}

func addOutputs(scope constructs.Construct, values map[string]*string) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		awscdk.NewCfnOutput(scope, &name, &awscdk.CfnOutputProps{Value: values[name]})
	}
}

// leadToUpstreams says whom a function calls, and lets it.
func leadToUpstreams(stack awscdk.Stack, fn *Function, props *Props) {
	nameDefaultRoute(fn, props)
	if props.UpstreamCA != "" {
		fn.Setenv(boot.EnvUpstreamCA, &props.UpstreamCA)
	}
	if props.Bedrock == "on" {
		grantBedrock(stack, fn)
	}
}

// nameDefaultRoute says where requests go whose model nobody has said anything of, if there is such a place.
func nameDefaultRoute(fn *Function, props *Props) {
	if props.UpstreamBaseURL == "" {
		return
	}
	fn.Setenv(boot.EnvUpstreamBaseURL, &props.UpstreamBaseURL)
	fn.Setenv(boot.EnvUpstreamAllowPrivate, &props.UpstreamAllowPrivate)
}
