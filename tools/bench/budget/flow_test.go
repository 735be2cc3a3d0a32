package budget_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/musketry/musketry/internal/sfnflow"
)

// stepTime is what Step Functions takes from state to state.
const stepTime = 25 * time.Millisecond

// A machine runs executions of the flow's definition, as far as those go that meet no error.
type machine struct {
	meter   *meter
	states  map[string]step
	startAt string
	// invoke has a function do a task.
	invoke func(ctx context.Context, task string, p payload) (next string, err error)

	mu     sync.Mutex
	tokens map[string]chan struct{}
	ended  sync.WaitGroup
	failed error
	wakes  int
}

// A step is a state of the definition.
type step struct {
	Type           string
	Resource       string
	Parameters     struct{ Payload struct{ Task string } }
	TimeoutSeconds int
	Seconds        int
	Choices        []struct{ StringEquals, Next string }
	Default, Next  string
}

// A payload is what the flow hands to a function.
type payload struct {
	Tenant string `json:"tenant"`
	Batch  string `json:"batch"`
	Token  string `json:"-"`
}

var _ sfnflow.API = (*machine)(nil)

func newMachine(m *meter) (*machine, error) {
	text, err := os.ReadFile("../../../infra/stack/flow.asl.json")
	if err != nil {
		return nil, err
	}
	var definition struct {
		StartAt string
		States  map[string]step
	}
	err = json.Unmarshal(text, &definition)
	return &machine{meter: m, states: definition.States, startAt: definition.StartAt, tokens: map[string]chan struct{}{}}, err
}

func (m *machine) StartExecution(
	ctx context.Context, in *sfn.StartExecutionInput, _ ...func(*sfn.Options),
) (*sfn.StartExecutionOutput, error) {
	var p payload
	if err := json.Unmarshal([]byte(*in.Input), &p); err != nil {
		return nil, err
	}
	m.ended.Go(func() { m.run(context.WithoutCancel(ctx), p) })
	return &sfn.StartExecutionOutput{}, sleep(ctx, spread(queueTime))
}

// run takes an execution to its end.
func (m *machine) run(ctx context.Context, p payload) {
	next := "" // what the last task says
	for at, n := m.startAt, 0; at != ""; n++ {
		m.meter.uses(unitsOfTransition())
		_ = sleep(ctx, spread(stepTime))
		s, ok := m.states[at]
		if !ok {
			m.fail(fmt.Errorf("budget: no state %q", at))
			return
		}
		switch s.Type {
		case "Task":
			p.Token = p.Batch + "." + strconv.Itoa(n)
			var err error
			if next, err = m.task(ctx, s, p, next); err != nil {
				m.fail(fmt.Errorf("%s: %w", at, err))
				return
			}
			at = s.Next
		case "Choice":
			at = s.Default
			for _, c := range s.Choices {
				if c.StringEquals == next {
					at = c.Next
					break
				}
			}
		case "Succeed":
			return
		default:
			m.fail(fmt.Errorf("budget: the flow came to %s, of type %s", at, s.Type))
			return
		}
	}
}

// task has a function do s, and waits for its token if it is a park.
func (m *machine) task(ctx context.Context, s step, p payload, before string) (string, error) {
	if s.Resource != "${InvokeForToken}" {
		return m.invoke(ctx, s.Parameters.Payload.Task, p)
	}
	woken := make(chan struct{})
	m.mu.Lock()
	m.tokens[p.Token] = woken
	m.mu.Unlock()
	timeout := time.NewTimer(time.Duration(s.TimeoutSeconds) * time.Second)
	defer timeout.Stop()
	if _, err := m.invoke(ctx, s.Parameters.Payload.Task, p); err != nil {
		return "", err
	}
	select {
	case <-woken:
	case <-timeout.C:
	}
	m.mu.Lock()
	delete(m.tokens, p.Token)
	m.mu.Unlock()
	return before, nil
}

func (m *machine) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failed = errors.Join(m.failed, err)
}

func (m *machine) SendTaskSuccess(
	ctx context.Context, in *sfn.SendTaskSuccessInput, _ ...func(*sfn.Options),
) (*sfn.SendTaskSuccessOutput, error) {
	if err := sleep(ctx, spread(queueTime)); err != nil {
		return nil, err
	}
	m.meter.called(ctx, "SFN.SendTaskSuccess", in, nil, nil)
	m.mu.Lock()
	defer m.mu.Unlock()
	woken, ok := m.tokens[*in.TaskToken]
	if !ok {
		return nil, &types.TaskTimedOut{}
	}
	delete(m.tokens, *in.TaskToken)
	m.wakes++
	close(woken)
	return &sfn.SendTaskSuccessOutput{}, nil
}

func (m *machine) DescribeExecution(
	context.Context, *sfn.DescribeExecutionInput, ...func(*sfn.Options),
) (*sfn.DescribeExecutionOutput, error) {
	return nil, errors.New("budget: nobody sweeps")
}

func (m *machine) ListExecutions(
	context.Context, *sfn.ListExecutionsInput, ...func(*sfn.Options),
) (*sfn.ListExecutionsOutput, error) {
	return nil, errors.New("budget: nobody sweeps")
}
