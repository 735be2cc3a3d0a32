//go:build e2e

package sfnflow_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/sfnflow"
)

// A rig is a state machine on the local cloud that goes with its test.
type rig struct {
	states  *sfn.Client
	queues  *sqs.Client
	queue   string
	machine string
}

// newRig returns one with a queue, to which define's definition may send.
func newRig(t *testing.T, define func(queue, function string) string) rig {
	t.Helper()
	if os.Getenv("AWS_ENDPOINT_URL") == "" {
		t.Fatal("AWS_ENDPOINT_URL names no local cloud")
	}
	cfg, err := boot.AWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Region, cfg.Credentials = "us-east-1", credentials.NewStaticCredentialsProvider("test", "test", "")
	r := rig{states: sfn.NewFromConfig(cfg), queues: sqs.NewFromConfig(cfg)}
	name, ctx := "flowtest-"+strings.ToLower(rand.Text()), context.WithoutCancel(t.Context())
	queue, err := r.queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		t.Fatal(err)
	}
	r.queue = *queue.QueueUrl
	t.Cleanup(func() { _, _ = r.queues.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &r.queue}) })
	deployed, err := r.states.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: aws.String(os.Getenv(boot.EnvFlowARN))})
	if err != nil {
		t.Fatal(err)
	}
	var flow struct {
		States struct {
			Advance struct{ Parameters struct{ FunctionName string } }
		}
	}
	if err := json.Unmarshal([]byte(*deployed.Definition), &flow); err != nil {
		t.Fatal(err)
	}
	machine, err := r.states.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{
		Name: &name, RoleArn: deployed.RoleArn, // one that exists
		Definition: aws.String(define(r.queue, flow.States.Advance.Parameters.FunctionName)),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.machine = *machine.StateMachineArn
	t.Cleanup(func() {
		_, _ = r.states.DeleteStateMachine(ctx, &sfn.DeleteStateMachineInput{StateMachineArn: &r.machine})
	})
	return r
}

// parks sends a token to the queue, waits to be woken by it, and ends with its input.
func parks(queue, _ string) string {
	return fmt.Sprintf(`{
		"StartAt": "Park",
		"States": {"Park": {
			"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
			"Parameters": {"QueueUrl": %q, "MessageBody": {"token.$": "$$.Task.Token"}},
			"TimeoutSeconds": 60, "ResultPath": "$.woken", "End": true
		}}
	}`, queue)
}

// failsToPark asks for what its function does not know, and ends with the error.
func failsToPark(_, function string) string {
	return fmt.Sprintf(`{
		"StartAt": "Park",
		"States": {
			"Park": {
				"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
				"Parameters": {"FunctionName": %q, "Payload": {"version": 1, "task": "rest", "token.$": "$$.Task.Token"}},
				"TimeoutSeconds": 60, "End": true,
				"Retry": [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 1}],
				"Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.failed", "Next": "Failed"}]
			},
			"Failed": {"Type": "Pass", "Parameters": {"error.$": "$.failed.Error"}, "End": true}
		}
	}`, function)
}

// token returns the token with which the execution waits.
func (r rig) token(t *testing.T) string {
	t.Helper()
	for range 10 {
		out, err := r.queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &r.queue, WaitTimeSeconds: 2})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			continue
		}
		var m struct{ Token string }
		if err := json.Unmarshal([]byte(*out.Messages[0].Body), &m); err != nil {
			t.Fatal(err)
		}
		return m.Token
	}
	t.Fatal("the execution does not wait")
	return ""
}

func (r rig) executions(t *testing.T) []types.ExecutionListItem {
	t.Helper()
	out, err := r.states.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: &r.machine})
	if err != nil {
		t.Fatal(err)
	}
	return out.Executions
}

// end returns what the only execution ended with.
func (r rig) end(t *testing.T) string {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 100 {
		out, err := r.states.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{
			ExecutionArn: r.executions(t)[0].ExecutionArn,
		})
		if err != nil {
			t.Fatal(err)
		}
		if out.Status == types.ExecutionStatusSucceeded {
			return *out.Output
		}
		<-tick.C
	}
	t.Fatal("the execution does not end")
	return ""
}

func TestOnTheCloud(t *testing.T) {
	t.Parallel()
	r := newRig(t, parks)
	f := sfnflow.New(r.states, r.machine)
	for range 2 { // the second time it is running already
		if err := f.Start(t.Context(), record()); err != nil {
			t.Fatal(err)
		}
	}
	if all := r.executions(t); len(all) != 1 || *all[0].Name != record().ID {
		t.Fatalf("executions: %+v", all)
	}
	token := r.token(t)
	for range 2 { // the second time nobody waits
		if err := f.Wake(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	var out struct {
		Tenant, Batch string
		Woken         map[string]any
	}
	if err := json.Unmarshal([]byte(r.end(t)), &out); err != nil {
		t.Fatal(err)
	}
	if out.Tenant != "acme" || out.Batch != "batch_1" || out.Woken == nil {
		t.Errorf("it ended with %+v", out)
	}
	if err := f.Wake(t.Context(), token); err != nil { // its execution is over
		t.Error(err)
	}
	if err := f.Wake(t.Context(), "no token at all"); err != nil {
		t.Error(err)
	}
	if err := f.Start(t.Context(), record()); err != nil { // it has ended
		t.Error(err)
	}
	if all := r.executions(t); len(all) != 1 {
		t.Errorf("executions: %+v", all)
	}
}

// A park whose function fails is over at once, so that it can be repeated: nobody else has its token.
func TestAFailedParkFailsItsTask(t *testing.T) {
	t.Parallel()
	r := newRig(t, failsToPark)
	if err := sfnflow.New(r.states, r.machine).Start(t.Context(), record()); err != nil {
		t.Fatal(err)
	}
	if got := r.end(t); strings.Contains(got, "Timeout") || !strings.Contains(got, `"error"`) {
		t.Errorf("it ended with %s", got)
	}
}
