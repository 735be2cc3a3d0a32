package stack_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSweep holds the rules that call the sweep against what finalize's handler reads, and against the flow that they name.
func TestSweep(t *testing.T) {
	t.Parallel()
	s := sharedSynth(t)
	for rule, want := range map[string]struct {
		on     map[string]any // the rule's own
		input  string
		called string
	}{
		"^SweepSchedule": {map[string]any{"ScheduleExpression": "rate(15 minutes)"}, `{"task":"sweep"}`, "Finalize"},
		"^SweepErase":    {map[string]any{"ScheduleExpression": "rate(15 minutes)"}, `{"task":"erase"}`, "Submit"},
		"^SweepEnded": {map[string]any{"EventPattern": map[string]any{
			"source": []any{"aws.states"}, "detail-type": []any{"Step Functions Execution Status Change"},
			"detail": map[string]any{"status": []any{"FAILED", "ABORTED", "TIMED_OUT"}, "stateMachineArn": []any{"the flow's"}},
		}}, `{"flow":<detail-name>,"task":"ended"}`, "Finalize"},
	} {
		p := s.only(t, "AWS::Events::Rule", rule).Properties
		if pattern, ok := p["EventPattern"].(map[string]any); ok {
			detail, _ := pattern["detail"].(map[string]any)
			arns := list(detail["stateMachineArn"])
			if got := onWhat(arns[0]); len(arns) != 1 || got != "states:stateMachine:Musketry-batch" {
				t.Errorf("%s watches %v", rule, got)
			}
			detail["stateMachineArn"] = []any{"the flow's"}
		}
		for key, value := range want.on {
			if diff := cmp.Diff(value, p[key]); diff != "" || p["State"] != "ENABLED" {
				t.Errorf("%s (-want +got):\n%s", rule, diff)
			}
		}
		targets := list(p["Targets"])
		target, _ := targets[0].(map[string]any)
		if len(targets) != 1 || onWhat(target["Arn"]) != want.called {
			t.Errorf("%s calls %v", rule, targets)
		}
		input := target["Input"]
		if transformer, ok := target["InputTransformer"].(map[string]any); ok {
			input = transformer["InputTemplate"]
			if paths, _ := transformer["InputPathsMap"].(map[string]any); paths["detail-name"] != "$.detail.name" {
				t.Errorf("%s takes %v", rule, paths)
			}
		}
		if input != want.input {
			t.Errorf("%s hands over %v, want %s", rule, input, want.input)
		}
	}
	var callers []string
	for _, r := range s.ofType("AWS::Lambda::Permission") {
		if r.Properties["Principal"] == "events.amazonaws.com" {
			callers = append(callers, fmt.Sprint(onWhat(r.Properties["FunctionName"])))
		}
	}
	slices.Sort(callers)
	if diff := cmp.Diff([]string{"Finalize", "Finalize", "Submit"}, callers); diff != "" {
		t.Errorf("EventBridge may call (-want +got):\n%s", diff)
	}
}

// TestUnreadDeadLettersAlarm looks at the queue of dead letters for longer than the sweep leaves one there.
func TestUnreadDeadLettersAlarm(t *testing.T) {
	t.Parallel()
	p := sharedSynth(t).only(t, "AWS::CloudWatch::Alarm", "^SweepUnread").Properties
	period, _ := p["Period"].(float64)
	periods, _ := p["EvaluationPeriods"].(float64)
	if p["MetricName"] != "ApproximateNumberOfMessagesVisible" || p["Statistic"] != "Maximum" || period*periods < 3600 {
		t.Errorf("the alarm is %v", p)
	}
	dimensions := list(p["Dimensions"])
	dimension, _ := dimensions[0].(map[string]any)
	if name := onWhat(dimension["Value"]); name != "QueueDeadLetters" {
		t.Errorf("the alarm watches %v", name)
	}
}
