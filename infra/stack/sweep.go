package stack

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

const (
	// sweepMinutes is how long a batch is without a flow at most.
	sweepMinutes = 15
	// unreadQuarters is how many quarters of an hour in a row a dead letter must be there to alarm: the sweep receives
	// each within one, and only what it cannot read stays.
	unreadQuarters = 4
)

// SweepProps name what is swept, and the function that does it.
type SweepProps struct {
	Flow     *FlowName
	Queue    *Queue
	Finalize *Function
	Submit   *Function
}

// NewSweep has finalize look every quarter of an hour for batches that have lost their flow and for dead letters, and at
// once for the batch whose flow ended badly, and submit, which may delete files, erase what has expired. EventBridge calls a function at least once, and Step Functions' events are best
// effort: https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
func NewSweep(scope constructs.Construct, id string, props *SweepProps) {
	props.Flow.GrantRestart(props.Finalize)
	props.Queue.GrantReturn(props.Finalize)

	target := func(fn *Function, task map[string]any) *[]awsevents.IRuleTarget {
		return &[]awsevents.IRuleTarget{awseventstargets.NewLambdaFunction(fn.Function,
			&awseventstargets.LambdaFunctionProps{
				Event:         awsevents.RuleTargetInput_FromObject(task),
				MaxEventAge:   awscdk.Duration_Minutes(jsii.Number(sweepMinutes)), // the schedule does it by then
				RetryAttempts: jsii.Number(2),
			})}
	}
	awsevents.NewRule(scope, jsii.String(id+"Schedule"), &awsevents.RuleProps{
		Description: jsii.String("Musketry: look for batches without a flow and for dead letters"),
		Schedule:    awsevents.Schedule_Rate(awscdk.Duration_Minutes(jsii.Number(sweepMinutes))),
		Targets:     target(props.Finalize, map[string]any{"task": "sweep"}),
	})
	awsevents.NewRule(scope, jsii.String(id+"Erase"), &awsevents.RuleProps{
		Description: jsii.String("Musketry: erase files and uploads whose life is over"),
		Schedule:    awsevents.Schedule_Rate(awscdk.Duration_Minutes(jsii.Number(sweepMinutes))),
		Targets:     target(props.Submit, map[string]any{"task": "erase"}),
	})
	awsevents.NewRule(scope, jsii.String(id+"Ended"), &awsevents.RuleProps{
		Description: jsii.String("Musketry: start the next flow of a batch whose flow ended badly"),
		EventPattern: &awsevents.EventPattern{
			Source:     jsii.Strings("aws.states"),
			DetailType: jsii.Strings("Step Functions Execution Status Change"),
			Detail: &map[string]any{
				"status":          jsii.Strings("FAILED", "ABORTED", "TIMED_OUT"),
				"stateMachineArn": &[]*string{props.Flow.ARN()},
			},
		},
		Targets: target(props.Finalize, map[string]any{"task": "ended", "flow": awsevents.EventField_FromPath(jsii.String("$.detail.name"))}),
	})

	quarter := awscdk.Duration_Minutes(jsii.Number(15))
	awscloudwatch.NewAlarm(scope, jsii.String(id+"Unread"), &awscloudwatch.AlarmProps{
		AlarmDescription: jsii.String("Musketry: a message among the dead letters names no request, and stays until it is deleted"),
		Metric: props.Queue.DeadLetters.MetricApproximateNumberOfMessagesVisible(&awscloudwatch.MetricOptions{
			Period: quarter, Statistic: jsii.String("Maximum"),
		}),
		Threshold:          jsii.Number(1),
		ComparisonOperator: awscloudwatch.ComparisonOperator_GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
		EvaluationPeriods:  jsii.Number(unreadQuarters),
		TreatMissingData:   awscloudwatch.TreatMissingData_NOT_BREACHING,
	})
}
