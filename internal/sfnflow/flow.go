package sfnflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// callTime bounds a call, its repeats included.
	callTime = 20 * time.Second
	// listPage is how many executions a call lists at most
	// (https://docs.aws.amazon.com/step-functions/latest/apireference/API_ListExecutions.html).
	listPage = 1000
	// listPages is how many calls are made for one list.
	listPages = 100
)

// ErrTooMany reports more running executions than are listed.
var ErrTooMany = errors.New("sfnflow: more executions run")

// An API is what a Flow uses of Step Functions.
type API interface {
	StartExecution(context.Context, *sfn.StartExecutionInput, ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error)
	SendTaskSuccess(
		context.Context, *sfn.SendTaskSuccessInput, ...func(*sfn.Options),
	) (*sfn.SendTaskSuccessOutput, error)
	DescribeExecution(
		context.Context, *sfn.DescribeExecutionInput, ...func(*sfn.Options),
	) (*sfn.DescribeExecutionOutput, error)
	ListExecutions(context.Context, *sfn.ListExecutionsInput, ...func(*sfn.Options)) (*sfn.ListExecutionsOutput, error)
}

var _ API = (*sfn.Client)(nil)

// A Flow starts and wakes executions of one state machine.
type Flow struct {
	api     API
	machine string
}

// New returns a Flow of the state machine of that ARN.
func New(api API, machineARN string) *Flow { return &Flow{api: api, machine: machineARN} }

// An input is an execution's: ids only, since Step Functions keeps it for 90 days
// (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html) and
// shows it to whoever may look at executions.
type input struct {
	Tenant string `json:"tenant"`
	Batch  string `json:"batch"`

	// Record is for a definition of before 0.2, which wants to pass it on: it is
	// still there for seconds after the code is new.
	Record *struct{} `json:"record"`
}

// Start starts b's first execution, which has b's id as its name. b must be
// stored. One of that name, running or ended in the last 90 days, is no error.
func (f *Flow) Start(ctx context.Context, b batch.Batch) error { return f.StartAgain(ctx, b, 1) }

// StartAgain starts b's n-th execution, counted from 1, as Start does the first.
func (f *Flow) StartAgain(ctx context.Context, b batch.Batch, n int) error {
	name := batch.FlowName(b.ID, n)
	in, err := json.Marshal(input{Tenant: b.Tenant, Batch: b.ID})
	if err != nil {
		return fmt.Errorf("sfnflow: start: encode input: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	_, err = f.api.StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: &f.machine, Name: &name, Input: aws.String(string(in)),
	})
	var exists *types.ExecutionAlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("sfnflow: start %s: %w", name, err)
	}
	return nil
}

// Wake ends the wait that token stands for. A token that nobody waits with, no
// more or never, is no error: the flow is awake, or will be at its next tick.
// Engines call it by three names: a second wake is a timed-out task on AWS, a
// task that does not exist on one local cloud and an invalid token on another.
func (f *Flow) Wake(ctx context.Context, token string) error {
	if token == "" {
		return nil // nobody waits, and Step Functions wants at least one character
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	_, err := f.api.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: &token, Output: aws.String("{}")})
	var (
		absent  *types.TaskDoesNotExist
		late    *types.TaskTimedOut
		invalid *types.InvalidToken
	)
	if err != nil && !errors.As(err, &absent) && !errors.As(err, &late) && !errors.As(err, &invalid) {
		return fmt.Errorf("sfnflow: wake: %w", err)
	}
	return nil
}

// State returns how a batch's n-th execution stands. Step Functions may not know
// of what happened a moment ago
// (https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html):
// one that was just started may be absent, one that just ended running. A status
// that is not known counts as running, since two flows of a batch are worse than
// none.
func (f *Flow) State(ctx context.Context, batchID string, n int) (batch.FlowState, error) {
	arn := strings.Replace(f.machine, ":stateMachine:", ":execution:", 1) + ":" + batch.FlowName(batchID, n)
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	out, err := f.api.DescribeExecution(ctx, &sfn.DescribeExecutionInput{
		ExecutionArn: &arn, IncludedData: types.IncludedDataMetadataOnly,
	})
	var absent *types.ExecutionDoesNotExist
	switch {
	case errors.As(err, &absent):
		return batch.FlowAbsent, nil
	case err != nil:
		return "", fmt.Errorf("sfnflow: state of %s: %w", batch.FlowName(batchID, n), err)
	}
	switch out.Status {
	case types.ExecutionStatusSucceeded, types.ExecutionStatusFailed, types.ExecutionStatusTimedOut,
		types.ExecutionStatusAborted:
		return batch.FlowEnded, nil
	case types.ExecutionStatusRunning, types.ExecutionStatusPendingRedrive:
	}
	return batch.FlowRunning, nil
}

// Running returns the names of the executions that run, as Step Functions has
// them: one that was started a moment ago may be missing, one that just ended may
// be there. A call gives 1,000 of them, and 5 calls a second are allowed, of
// which a deployment makes a few every quarter of an hour
// (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html). It
// returns ErrTooMany beyond 100,000.
func (f *Flow) Running(ctx context.Context) (map[string]bool, error) {
	names := map[string]bool{}
	in := &sfn.ListExecutionsInput{
		StateMachineArn: &f.machine, StatusFilter: types.ExecutionStatusRunning, MaxResults: listPage,
	}
	for range listPages {
		out, err := f.list(ctx, in)
		if err != nil {
			return nil, err
		}
		for i := range out.Executions {
			names[aws.ToString(out.Executions[i].Name)] = true
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return names, nil
		}
	}
	return nil, fmt.Errorf("%w than %d", ErrTooMany, listPage*listPages)
}

func (f *Flow) list(ctx context.Context, in *sfn.ListExecutionsInput) (*sfn.ListExecutionsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	out, err := f.api.ListExecutions(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("sfnflow: list running executions: %w", err)
	}
	return out, nil
}
