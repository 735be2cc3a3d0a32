package sfnflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
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
	starts []*sfn.StartExecutionInput
	wakes  []*sfn.SendTaskSuccessInput
}

func (c *cloud) StartExecution(
	_ context.Context, in *sfn.StartExecutionInput, _ ...func(*sfn.Options),
) (*sfn.StartExecutionOutput, error) {
	c.starts = append(c.starts, in)

	return &sfn.StartExecutionOutput{}, c.err
}

func (c *cloud) SendTaskSuccess(
	_ context.Context, in *sfn.SendTaskSuccessInput, _ ...func(*sfn.Options),
) (*sfn.SendTaskSuccessOutput, error) {
	c.wakes = append(c.wakes, in)

	return &sfn.SendTaskSuccessOutput{}, c.err
}

func record() batch.Batch {
	return batch.Batch{
		Ref: batch.Ref{Tenant: "acme", ID: "batch_1"}, InputFileID: "file-1", Status: batch.StatusValidating,
		Metadata: map[string]string{"a": "b"}, Deadline: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func TestStart(t *testing.T) {
	t.Parallel()
	c := &cloud{}
	if err := sfnflow.New(c, "arn").Start(t.Context(), record()); err != nil {
		t.Fatal(err)
	}
	in := c.starts[0]
	var got struct {
		Tenant, Batch string
		Record        json.RawMessage
	}
	if err := json.Unmarshal([]byte(*in.Input), &got); err != nil {
		t.Fatal(err)
	}
	b, err := batch.DecodeRecord(got.Record)
	if err != nil {
		t.Fatal(err)
	}
	if *in.StateMachineArn != "arn" || *in.Name != "batch_1" || got.Tenant != "acme" || got.Batch != "batch_1" {
		t.Errorf("started %s of %s with %s", *in.Name, *in.StateMachineArn, *in.Input)
	}
	if diff := cmp.Diff(record(), b); diff != "" {
		t.Error(diff)
	}
}

func TestStartTooLarge(t *testing.T) {
	t.Parallel()
	c := &cloud{}
	b := record()
	for size, want := range map[int]error{250 << 10: nil, 256 << 10: sfnflow.ErrTooLarge} {
		b.Metadata = map[string]string{"a": strings.Repeat("x", size)}
		if err := sfnflow.New(c, "arn").Start(t.Context(), b); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if len(c.starts) != 1 {
		t.Errorf("%d calls", len(c.starts))
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
