package stack_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/batch"
)

// The limit of one execution's history, and the longest that a batch may take:
// https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
const (
	historyEvents   = 25_000
	longestBatch    = 7 * 24 * 60 * 60 // Seconds.
	roomForWakes    = 900              // Rounds that wakes and short waits may add.
	eventsOfChoice  = 2                // Entered, exited.
	eventsOfTask    = 5                // Entered, scheduled, started, succeeded or timed out, exited.
	eventsOfParking = eventsOfTask + 1 // Besides, submitted.
	functionTimeout = 900              // Seconds.
)

type machine struct {
	StartAt        string
	TimeoutSeconds int
	States         map[string]state
}

type state struct {
	Type           string
	Resource       string
	Parameters     map[string]any
	ResultPath     any
	TimeoutSeconds int
	Seconds        int
	Retry          []map[string]any
	Catch          []map[string]any
	Choices        []map[string]any
	Default        string
	Next           string
}

func readFlow(t *testing.T) machine {
	t.Helper()
	properties := sharedSynth(t).only(t, "AWS::StepFunctions::StateMachine", "").Properties
	var m machine
	if err := json.Unmarshal([]byte(fmt.Sprint(properties["DefinitionString"])), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestFlowsParksTick(t *testing.T) {
	t.Parallel()
	flow := readFlow(t)
	for name, seconds := range map[string]int{"ParkLong": 600, "ParkMedium": 30, "ParkShort": 5} {
		park := flow.States[name]
		if park.TimeoutSeconds != seconds {
			t.Errorf("%s ticks after %d s, want %d", name, park.TimeoutSeconds, seconds)
		}
		if park.Resource != "${InvokeForToken}" {
			t.Errorf("%s does not wait for a token: %s", name, park.Resource)
		}
		rest := strings.Replace(name, "Park", "Rest", 1)
		want := fmt.Sprintf("[map[ErrorEquals:[States.Timeout] Next:Advance ResultPath:<nil>] "+
			"map[ErrorEquals:[States.ALL] Next:%s ResultPath:<nil>]]", rest)
		if park.Next != "Advance" || fmt.Sprint(park.Catch) != want {
			t.Errorf("%s: next %s, catch %v", name, park.Next, park.Catch)
		}
		if r := flow.States[rest]; r.Type != "Wait" || r.Seconds != seconds || r.Next != "Advance" {
			t.Errorf("%s is %+v", rest, r)
		}
	}
}

// A lost or failed task must be noticed (timeout), tried again (retry) and, at last, end the batch (catch).
func TestFlowsTasksAreBounded(t *testing.T) {
	t.Parallel()
	flow := readFlow(t)
	for name, s := range flow.States {
		if s.Type != "Task" {
			continue
		}
		if s.TimeoutSeconds == 0 || len(s.Retry) == 0 {
			t.Errorf("%s has no timeout or no retry", name)
		}
		if s.Resource == "${Invoke}" && s.TimeoutSeconds < functionTimeout {
			t.Errorf("%s gives up after %d s, before its function does", name, s.TimeoutSeconds)
		}
		if name != "Abandon" && len(s.Catch) == 0 {
			t.Errorf("%s catches nothing", name)
		}
	}
	if flow.TimeoutSeconds <= longestBatch {
		t.Errorf("the flow ends after %d s, before its longest batch", flow.TimeoutSeconds)
	}
}

func TestFlowsRoutes(t *testing.T) {
	t.Parallel()
	flow := readFlow(t)
	want := map[string]map[string]string{
		"Loaded": {"load": "Load"},
		"Advanced": {
			"advance": "Advance", "park_long": "ParkLong", "park_medium": "ParkMedium", "park_short": "ParkShort",
			"end": "Done",
		},
	}
	for name, routes := range want {
		got := flow.States[name].Choices
		if len(got) != len(routes) {
			t.Errorf("%s has %d choices, want %d", name, len(got), len(routes))
		}
		for _, choice := range got {
			answer := fmt.Sprint(choice["StringEquals"])
			if choice["Next"] != routes[answer] {
				t.Errorf("%s: %s leads to %v, want %s", name, answer, choice["Next"], routes[answer])
			}
		}
	}
	if got := flow.States["Loaded"].Default; got != "Advance" {
		t.Errorf("a loaded batch goes to %s, want Advance", got)
	}
	unknown := flow.States[flow.States["Advanced"].Default]
	if unknown.Next != "Abandon" {
		t.Error("an unknown answer does not end the batch")
	}
	for name, s := range flow.States {
		for _, next := range targets(s) {
			if _, there := flow.States[next]; !there {
				t.Errorf("%s leads to %s, which does not exist", name, next)
			}
		}
	}
}

// TestFlowSaysItsVersion holds the definition against the code that it comes with: it says its version with each task, and
// knows each answer that this version may be told.
func TestFlowSaysItsVersion(t *testing.T) {
	t.Parallel()
	flow := readFlow(t)
	for name, s := range flow.States {
		payload, _ := s.Parameters["Payload"].(map[string]any)
		if s.Type == "Task" && payload["version"] != float64(batch.FlowVersion) {
			t.Errorf("%s says version %v, want %d", name, payload["version"], batch.FlowVersion)
		}
	}
	known := map[string]bool{}
	for _, name := range []string{"Loaded", "Advanced"} {
		for _, choice := range flow.States[name].Choices {
			known[fmt.Sprint(choice["StringEquals"])] = true
		}
	}
	for answer, since := range batch.FlowAnswers() {
		if since.Since <= batch.FlowVersion && !known[answer] {
			t.Errorf("the definition does not know the answer %q", answer)
		}
	}
}

func targets(s state) []string {
	var all []string
	for _, c := range slices.Concat(s.Choices, s.Catch) {
		all = append(all, fmt.Sprint(c["Next"]))
	}
	for _, next := range []string{s.Next, s.Default} {
		if next != "" {
			all = append(all, next)
		}
	}
	return all
}

// Nothing comes after Abandon: once its repeats are used up, its batch never ends. With full jitter a pause is half as
// long as it may be, on the average.
func TestFlowsAbandonOutlastsAnOutage(t *testing.T) {
	t.Parallel()
	const (
		patience = 30 * 60      // Seconds for which finalize insists on the results of a batch that was given up.
		outage   = 24 * 60 * 60 // Seconds.
		events   = 3            // Failed, scheduled, started.
		most     = 2_000        // Events: what a batch of 7 days leaves of its history.
	)
	retries := readFlow(t).States["Abandon"].Retry
	retry := retries[len(retries)-1]
	number := func(name string) float64 { f, _ := retry[name].(float64); return f }
	total, pause := 0.0, number("IntervalSeconds")
	for range int(number("MaxAttempts")) {
		total += pause / 2
		pause = min(pause*number("BackoffRate"), number("MaxDelaySeconds"))
	}
	if total < patience+outage {
		t.Errorf("Abandon is repeated for %.0f s, want %d at least", total, patience+outage)
	}
	if n := int(number("MaxAttempts")) * events; n > most {
		t.Errorf("Abandon's repeats make up to %d events, want %d at most", n, most)
	}
}

func TestFlowsHistoryFits(t *testing.T) {
	t.Parallel()
	flow := readFlow(t)
	const round = eventsOfParking + eventsOfTask + eventsOfChoice
	ticks := longestBatch / flow.States["ParkLong"].TimeoutSeconds
	if events := (ticks + roomForWakes) * round; events >= historyEvents {
		t.Errorf("a batch of 7 days makes %d events, AWS allows %d", events, historyEvents)
	}
}

// TestFlowsFailedParksAreBounded has each park fail for a batch's whole life: its history lasts.
func TestFlowsFailedParksAreBounded(t *testing.T) {
	t.Parallel()
	flow := readFlow(t)
	retry := flow.States["ParkLong"].Retry[0]
	attempts, _ := retry["MaxAttempts"].(float64)
	const (
		eventsOfAttempt = 3 // Scheduled, started, failed.
		eventsOfRest    = 2 // Entered, exited.
	)
	round := eventsOfTask + eventsOfChoice + 2 + (1+int(attempts))*eventsOfAttempt + eventsOfRest
	if rounds := longestBatch / flow.States["RestLong"].Seconds; rounds*round >= historyEvents {
		t.Errorf("a batch of 7 days whose parks fail makes %d events, AWS allows %d", rounds*round, historyEvents)
	}
}

// TestFlowsThrottledTasksAreTriedWithoutEnd tells want of concurrency from what fails: no number of refusals ends a batch, and
// a whole batch's life of them leaves room in the history. With full jitter a pause is half as long as it may be, on the
// average. A park that is refused is a tick (see TestFlowsParksTick).
func TestFlowsThrottledTasksAreTriedWithoutEnd(t *testing.T) {
	t.Parallel()
	const (
		// https://docs.aws.amazon.com/step-functions/latest/dg/bp-lambda-serviceexception.html
		throttled = "[Lambda.TooManyRequestsException]"
		// https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
		mostAttempts    = 99_999_999
		eventsOfAttempt = 3 // Scheduled, started, failed.
	)
	for _, name := range []string{"Load", "Advance", "Abandon"} {
		retries := readFlow(t).States[name].Retry
		if len(retries) != 2 || fmt.Sprint(retries[0]["ErrorEquals"]) != throttled || fmt.Sprint(retries[1]["ErrorEquals"]) != "[States.ALL]" {
			t.Fatalf("%s tries again after %v", name, retries)
		}
		number := func(name string) float64 { f, _ := retries[0][name].(float64); return f }
		if number("MaxAttempts") != mostAttempts || retries[0]["JitterStrategy"] != "FULL" {
			t.Errorf("%s is tried %v times when it is throttled, with jitter %v", name, number("MaxAttempts"), retries[0]["JitterStrategy"])
		}
		if events := longestBatch / (number("MaxDelaySeconds") / 2) * eventsOfAttempt; events >= historyEvents/2 {
			t.Errorf("%s makes %.0f events when it is throttled for 7 days, AWS allows %d", name, events, historyEvents)
		}
	}
}

// TestNoPartitionIsNamed in any property of the template: an ARN that names it is refused in China and GovCloud.
func TestNoPartitionIsNamed(t *testing.T) {
	t.Parallel()
	for id, r := range sharedSynth(t).resources {
		text, err := json.Marshal(r.Properties)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(text, []byte("arn:aws:")); at >= 0 {
			t.Errorf("%s (%s) names a partition: …%.80s…", id, r.Type, text[at:])
		}
	}
}

// TestFlowsTasksAreOfThePartition holds what stands for the tasks' resources.
func TestFlowsTasksAreOfThePartition(t *testing.T) {
	t.Parallel()
	properties := sharedSynth(t).only(t, "AWS::StepFunctions::StateMachine", "").Properties
	substituted, _ := properties["DefinitionSubstitutions"].(map[string]any)
	for name, want := range map[string]string{
		"Invoke":         "map[Fn::Sub:arn:${AWS::Partition}:states:::lambda:invoke]",
		"InvokeForToken": "map[Fn::Sub:arn:${AWS::Partition}:states:::lambda:invoke.waitForTaskToken]",
	} {
		if got := fmt.Sprint(substituted[name]); got != want {
			t.Errorf("%s stands for %s, want %s", name, got, want)
		}
	}
}
