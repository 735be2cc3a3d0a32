package sfnflow_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/sfnflow"
)

var errCall = errors.New("no connection")

// A cloud keeps what it is asked, and answers with err.
type cloud struct {
	err    error
	dead   bool // calls get no answer
	starts []*sfn.StartExecutionInput
	wakes  []*sfn.SendTaskSuccessInput
	asked  []*sfn.DescribeExecutionInput
	status types.ExecutionStatus
	lists  []sfn.ListExecutionsInput
	pages  int
}

func (c *cloud) DescribeExecution(
	ctx context.Context, in *sfn.DescribeExecutionInput, _ ...func(*sfn.Options),
) (*sfn.DescribeExecutionOutput, error) {
	if c.dead {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c.asked = append(c.asked, in)
	return &sfn.DescribeExecutionOutput{Status: c.status}, c.err
}

func (c *cloud) ListExecutions(
	ctx context.Context, in *sfn.ListExecutionsInput, _ ...func(*sfn.Options),
) (*sfn.ListExecutionsOutput, error) {
	if c.dead {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c.lists = append(c.lists, *in)
	out := &sfn.ListExecutionsOutput{
		Executions: []types.ExecutionListItem{{Name: aws.String(fmt.Sprint("batch_", len(c.lists)))}},
	}
	if len(c.lists) < c.pages {
		out.NextToken = aws.String(fmt.Sprint("page ", len(c.lists)))
	}
	return out, c.err
}

func (c *cloud) StartExecution(
	ctx context.Context, in *sfn.StartExecutionInput, _ ...func(*sfn.Options),
) (*sfn.StartExecutionOutput, error) {
	if c.dead {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c.starts = append(c.starts, in)
	return &sfn.StartExecutionOutput{}, c.err
}

func (c *cloud) SendTaskSuccess(
	ctx context.Context, in *sfn.SendTaskSuccessInput, _ ...func(*sfn.Options),
) (*sfn.SendTaskSuccessOutput, error) {
	if c.dead {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c.wakes = append(c.wakes, in)
	return &sfn.SendTaskSuccessOutput{}, c.err
}

func record() batch.Batch {
	return batch.Batch{
		Ref: batch.Ref{Tenant: "acme", ID: "batch_1"}, InputFileID: "file-1", Status: batch.StatusValidating,
		Metadata: map[string]string{"a": "b"}, Deadline: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

// TestStart starts an execution with ids alone: what Step Functions keeps for 90 days has nothing of a batch's user's.
func TestStart(t *testing.T) {
	t.Parallel()
	c := &cloud{}
	if err := sfnflow.New(c, "arn").Start(t.Context(), record()); err != nil {
		t.Fatal(err)
	}
	in := c.starts[0]
	if *in.StateMachineArn != "arn" || *in.Name != "batch_1" {
		t.Errorf("started %s of %s", *in.Name, *in.StateMachineArn)
	}
	if want := `{"tenant":"acme","batch":"batch_1","record":null}`; *in.Input != want {
		t.Errorf("started with %s, want %s", *in.Input, want)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	name := aws.String("because")
	for _, tt := range []struct {
		err                   error
		startFails, wakeFails bool
	}{
		{&types.ExecutionAlreadyExists{Message: name}, false, true},
		{&types.TaskDoesNotExist{Message: name}, true, false},
		{&types.TaskTimedOut{Message: name}, true, false},
		{&types.InvalidToken{Message: name}, true, false},
		{errCall, true, true},
	} {
		f := sfnflow.New(&cloud{err: fmt.Errorf("sdk: %w", tt.err)}, "arn")
		if err := f.Start(t.Context(), record()); errors.Is(err, tt.err) != tt.startFails || (err != nil) != tt.startFails {
			t.Errorf("%v: start gives %v", tt.err, err)
		}
		if err := f.Wake(t.Context(), "token"); errors.Is(err, tt.err) != tt.wakeFails || (err != nil) != tt.wakeFails {
			t.Errorf("%v: wake gives %v", tt.err, err)
		}
	}
}

func TestStartAgain(t *testing.T) {
	t.Parallel()
	c := &cloud{}
	for n := range 3 {
		if err := sfnflow.New(c, "arn").StartAgain(t.Context(), record(), n+1); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []string{"batch_1", "batch_1-2", "batch_1-3"} {
		if *c.starts[i].Name != want || *c.starts[i].Input != *c.starts[0].Input {
			t.Errorf("started %s with %s", *c.starts[i].Name, *c.starts[i].Input)
		}
	}
}

func TestState(t *testing.T) {
	t.Parallel()
	const machine = "arn:aws:states:eu-west-1:123456789012:stateMachine:Musketry-batch"
	for status, want := range map[types.ExecutionStatus]batch.FlowState{
		types.ExecutionStatusRunning: batch.FlowRunning, types.ExecutionStatusPendingRedrive: batch.FlowRunning,
		types.ExecutionStatusSucceeded: batch.FlowEnded, types.ExecutionStatusFailed: batch.FlowEnded,
		types.ExecutionStatusTimedOut: batch.FlowEnded, types.ExecutionStatusAborted: batch.FlowEnded,
		"NEW_AT_AWS": batch.FlowRunning,
	} {
		c := &cloud{status: status}
		got, err := sfnflow.New(c, machine).State(t.Context(), "batch_1", 2)
		if got != want || err != nil {
			t.Errorf("%s is %q, %v", status, got, err)
		}
		const arn = "arn:aws:states:eu-west-1:123456789012:execution:Musketry-batch:batch_1-2"
		if *c.asked[0].ExecutionArn != arn || c.asked[0].IncludedData != types.IncludedDataMetadataOnly {
			t.Errorf("asked for %s with %s", *c.asked[0].ExecutionArn, c.asked[0].IncludedData)
		}
	}
	absent := &types.ExecutionDoesNotExist{Message: aws.String("because")}
	got, err := sfnflow.New(&cloud{err: fmt.Errorf("sdk: %w", absent)}, machine).State(t.Context(), "batch_1", 1)
	if got != batch.FlowAbsent || err != nil {
		t.Errorf("an execution that does not exist is %q, %v", got, err)
	}
	if got, err := sfnflow.New(&cloud{err: errCall}, machine).State(t.Context(), "batch_1", 1); !errors.Is(err, errCall) {
		t.Errorf("without an answer it is %q, %v", got, err)
	}
}

func TestRunning(t *testing.T) {
	t.Parallel()
	c := &cloud{pages: 3}
	got, err := sfnflow.New(c, "arn").Running(t.Context())
	if diff := cmp.Diff(map[string]bool{"batch_1": true, "batch_2": true, "batch_3": true}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for i, in := range c.lists {
		want := ""
		if i > 0 {
			want = fmt.Sprint("page ", i)
		}
		if *in.StateMachineArn != "arn" || in.StatusFilter != types.ExecutionStatusRunning || in.MaxResults != 1000 ||
			aws.ToString(in.NextToken) != want {
			t.Errorf("call %d lists %+v", i, in)
		}
	}
	endless := &cloud{pages: 1 << 30}
	if _, err := sfnflow.New(endless, "arn").Running(t.Context()); !errors.Is(err, sfnflow.ErrTooMany) || len(endless.lists) != 100 {
		t.Errorf("%d calls, %v", len(endless.lists), err)
	}
	if _, err := sfnflow.New(&cloud{err: errCall}, "arn").Running(t.Context()); !errors.Is(err, errCall) {
		t.Error(err)
	}
}

func TestWake(t *testing.T) {
	t.Parallel()
	c := &cloud{}
	for _, token := range []string{"", "token"} {
		if err := sfnflow.New(c, "arn").Wake(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.wakes) != 1 || *c.wakes[0].TaskToken != "token" || *c.wakes[0].Output != "{}" {
		t.Errorf("woke %+v", c.wakes)
	}
}

func TestDeadConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := sfnflow.New(&cloud{dead: true}, "arn")
		for name, call := range map[string]func() error{
			"start": func() error { return f.Start(t.Context(), record()) },
			"wake":  func() error { return f.Wake(t.Context(), "token") },
			"state": func() error {
				_, err := f.State(t.Context(), "batch_1", 1)
				return err
			},
			"list": func() error {
				_, err := f.Running(t.Context())
				return err
			},
		} {
			start := time.Now()
			if err := call(); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 20*time.Second {
				t.Errorf("%s: error after %v is %v", name, time.Since(start), err)
			}
		}
	})
}
