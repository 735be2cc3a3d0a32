package sfnflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/musketry/musketry/internal/batch"
)

// maxInput is the largest input of an execution in bytes. Not every engine
// refuses more, as Step Functions does
// (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html).
const maxInput = 256 << 10

// ErrTooLarge reports a batch whose record does not fit in an execution's input.
var ErrTooLarge = errors.New("sfnflow: the batch's record is too large")

// An API is what a Flow uses of Step Functions.
type API interface {
	StartExecution(context.Context, *sfn.StartExecutionInput, ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error)
	SendTaskSuccess(
		context.Context, *sfn.SendTaskSuccessInput, ...func(*sfn.Options),
	) (*sfn.SendTaskSuccessOutput, error)
}

var _ API = (*sfn.Client)(nil)

// A Flow starts and wakes executions of one state machine.
type Flow struct {
	api     API
	machine string
}

// New returns a Flow of the state machine of that ARN.
func New(api API, machineARN string) *Flow { return &Flow{api: api, machine: machineARN} }

// An input is an execution's.
type input struct {
	Tenant string          `json:"tenant"`
	Batch  string          `json:"batch"`
	Record json.RawMessage `json:"record"`
}

// Start starts b's execution, which has b's id as its name and b as its
// record. One of that name, running or ended in the last 90 days, is no error.
// It returns ErrTooLarge if b does not fit in its input.
func (f *Flow) Start(ctx context.Context, b batch.Batch) error {
	record, err := batch.EncodeRecord(b)
	if err != nil {
		return fmt.Errorf("sfnflow: start: %w", err)
	}
	in, err := json.Marshal(input{Tenant: b.Tenant, Batch: b.ID, Record: record})
	if err != nil {
		return fmt.Errorf("sfnflow: start: encode input: %w", err)
	}
	if len(in) > maxInput {
		return fmt.Errorf("%w: %d bytes, of at most %d", ErrTooLarge, len(in), maxInput)
	}
	_, err = f.api.StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: &f.machine, Name: &b.ID, Input: aws.String(string(in)),
	})
	var exists *types.ExecutionAlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("sfnflow: start %s: %w", b.ID, err)
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
