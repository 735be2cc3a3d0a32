//go:build e2e

package e2e_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/openai/openai-go/v3"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/dynamostore"
)

// TestStoppedFlow stops a batch's flow from outside, twice: an event has the next
// one started, and the batch ends as if nothing had been.
func TestStoppedFlow(t *testing.T) {
	t.Parallel()
	c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
	var lines []any
	for i := range 20 {
		lines = append(lines, chat(fmt.Sprintf("slow-%d", i), "standin:latency=15s", m))
	}
	b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, lines...)), "1h")
	awaitCalls(t, m, 1)
	cfg, err := boot.AWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	flows := sfn.NewFromConfig(cfg)
	for n := 1; n <= 2; n++ {
		stopped := time.Now()
		if _, err := flows.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: flowARN(t, b.ID, n)}); err != nil {
			t.Fatal(err)
		}
		until(t.Context(), t, time.Minute, "the next flow runs", func() bool {
			return flowStatus(t, flows, b.ID, n+1) == types.ExecutionStatusRunning
		})
		t.Logf("flow %d was started %v after flow %d was stopped", n+1, time.Since(stopped).Round(time.Millisecond), n)
	}
	b = await(t.Context(), t, c, b.ID, patience, ended)
	if b.Status != openai.BatchStatusCompleted || b.RequestCounts.Completed != int64(len(lines)) {
		t.Fatalf("batch ended %s", describe(b))
	}
	until(t.Context(), t, time.Minute, "the last flow ends", func() bool {
		return flowStatus(t, flows, b.ID, 3) == types.ExecutionStatusSucceeded
	})
	for id, n := range calls(t.Context(), t, m) {
		if n != 1 {
			t.Errorf("%s was called %d times", id, n)
		}
	}
}

func flowARN(t *testing.T, batchID string, n int) *string {
	t.Helper()
	return aws.String(strings.Replace(variable(t, boot.EnvFlowARN), ":stateMachine:", ":execution:", 1) + ":" + batch.FlowName(batchID, n))
}

// flowStatus returns how a batch's n-th flow stands; nothing if it was not
// started.
func flowStatus(t *testing.T, flows *sfn.Client, batchID string, n int) types.ExecutionStatus {
	t.Helper()
	out, err := flows.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: flowARN(t, batchID, n)})
	if err != nil {
		return ""
	}
	return out.Status
}

// TestScheduledSweep makes the calls that the schedules make, as their rules have it:
// a dead letter of a batch leaves its queue, and what is none stays; of what has
// expired no entry is left.
func TestScheduledSweep(t *testing.T) {
	t.Parallel()
	c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
	b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, chat("a", "standin", m))), "1h")
	await(t.Context(), t, c, b.ID, patience, ended)
	cfg, err := boot.AWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	queues, url := sqs.NewFromConfig(cfg), variable(t, boot.EnvDeadLettersURL)
	body, err := batch.Message{Tenant: "tenant-1", Batch: b.ID, Line: 1, Length: 1}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{body, "no request of " + m} {
		if _, err := queues.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &text}); err != nil {
			t.Fatal(err)
		}
	}
	store, err := dynamostore.New(dynamostore.NewClient(cfg), dynamostore.Config{Table: variable(t, boot.EnvTable), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	id, err := batch.NewID(batch.PrefixFile, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	expired := batch.NewExpiring("tenant-1", id, time.Now().Add(-time.Hour)) // of a file that was never put
	if err := store.Postpone(t.Context(), batch.NewExpiring("tenant-1", id, time.Now().Add(time.Hour)), expired.At); err != nil {
		t.Fatal(err)
	}
	sweepAsScheduled(t.Context(), t)
	due, _, err := store.Expiring(t.Context(), time.Now(), batch.Expiring{}, 1000)
	if err != nil || slices.Contains(due, expired) {
		t.Errorf("the entry of what has expired stays: %v, %v", due, err)
	}
	var left []string
	until(t.Context(), t, patience, "what stays is shown again", func() bool {
		out, err := queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, VisibilityTimeout: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, message := range out.Messages {
			left = append(left, *message.Body)
			if *message.Body == "no request of "+m {
				_, err := queues.DeleteMessage(t.Context(),
					&sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: message.ReceiptHandle})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		return slices.Contains(left, "no request of "+m)
	})
	if slices.Contains(left, body) {
		t.Error("the dead letter of a request stays")
	}
}

// sweepAsScheduled calls what the schedules' rules call, with what they hand over.
func sweepAsScheduled(ctx context.Context, t *testing.T) {
	t.Helper()
	var rules struct {
		Rules []struct{ Name, ScheduleExpression, State string }
	}
	askAWS(ctx, t, "events", "", "AWSEvents.ListRules", map[string]any{}, &rules)
	tasks := 0
	for _, rule := range rules.Rules {
		if rule.ScheduleExpression != "rate(15 minutes)" || rule.State != "ENABLED" {
			continue
		}
		var targets struct {
			Targets []struct{ Arn, Input string }
		}
		askAWS(ctx, t, "events", "", "AWSEvents.ListTargetsByRule", map[string]any{"Rule": rule.Name}, &targets)
		for _, target := range targets.Targets {
			var answer map[string]any
			askAWS(ctx, t, "lambda", "/2015-03-31/functions/"+target.Arn+"/invocations", "", json.RawMessage(target.Input), &answer)
			if answer["errorMessage"] != nil {
				t.Fatalf("the call with %s fails: %v", target.Input, answer)
			}
			tasks++
		}
	}
	if tasks != 2 { // to sweep, and to erase
		t.Fatalf("%d calls are scheduled: %+v", tasks, rules)
	}
}
