package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A definition is a state machine in Amazon's States Language, as far as our
// flow uses it (https://states-language.net/spec.html). A form that it does not
// know is an error: what is not understood is not simulated.
type definition struct {
	Comment        string
	StartAt        string
	TimeoutSeconds int
	States         map[string]*step
}

// A step is a state of a definition.
type step struct {
	Comment        string
	Type           string
	Resource       string
	Parameters     any
	ResultSelector any
	ResultPath     json.RawMessage // absent: the result replaces all; null: it is dropped
	Result         any
	TimeoutSeconds int
	Seconds        float64 // of a Wait
	Retry          []retrier
	Catch          []catcher
	Choices        []choice
	Default        string
	Next           string
}

type retrier struct {
	ErrorEquals     []string
	IntervalSeconds float64
	BackoffRate     float64
	MaxDelaySeconds float64
	MaxAttempts     int
	JitterStrategy  string
}

type catcher struct {
	ErrorEquals []string
	ResultPath  json.RawMessage
	Next        string
}

type choice struct {
	Variable     string
	StringEquals string
	Next         string
}

// The resources of tasks, whose ARNs the deployment substitutes.
const (
	invoke      = "${Invoke}"
	invokeToken = "${InvokeForToken}"
)

// parse reads a definition and checks that it knows all of it.
func parse(text []byte) (*definition, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var d definition
	if err := decoder.Decode(&d); err != nil {
		return nil, fmt.Errorf("sim: the flow's definition: %w", err)
	}
	for name, s := range d.States {
		if err := s.check(d.States); err != nil {
			return nil, fmt.Errorf("sim: state %s: %w", name, err)
		}
	}
	if d.States[d.StartAt] == nil {
		return nil, fmt.Errorf("sim: the flow starts at an unknown state, %q", d.StartAt)
	}
	return &d, nil
}

func (s *step) check(all map[string]*step) error {
	switch {
	case s.Type == "Task" && (s.Resource == invoke || s.Resource == invokeToken):
	case s.Type == "Pass", s.Type == "Choice", s.Type == "Succeed":
	case s.Type == "Wait" && s.Seconds > 0:
	default:
		return fmt.Errorf("unknown form: type %q, resource %q", s.Type, s.Resource)
	}
	for _, r := range s.Retry {
		if r.JitterStrategy != "FULL" && r.JitterStrategy != "NONE" && r.JitterStrategy != "" {
			return fmt.Errorf("unknown jitter %q", r.JitterStrategy)
		}
		if r.MaxAttempts > mostAttempts {
			return fmt.Errorf("%d attempts are more than %d", r.MaxAttempts, mostAttempts)
		}
	}
	for _, name := range s.nexts() {
		if all[name] == nil {
			return fmt.Errorf("unknown state %q", name)
		}
	}
	return s.catches()
}

// nexts returns the states that may follow s.
func (s *step) nexts() []string {
	var next []string
	switch s.Type {
	case "Task", "Pass", "Wait":
		next = append(next, s.Next)
	case "Choice":
		next = append(next, s.Default)
	}
	for _, c := range s.Choices {
		next = append(next, c.Next)
	}
	for _, c := range s.Catch {
		next = append(next, c.Next)
	}
	return next
}

// catches checks that the errors that s names are known.
func (s *step) catches() error {
	for _, c := range s.Catch {
		if err := known(c.ErrorEquals); err != nil {
			return err
		}
	}
	for i, r := range s.Retry {
		if err := known(r.ErrorEquals); err != nil {
			return err
		}
		if slices.Contains(r.ErrorEquals, "States.ALL") && i < len(s.Retry)-1 {
			return errors.New("States.ALL must be the last retrier's")
		}
	}
	return nil
}

// throttledTask is how a task fails whose function cannot be invoked for want of
// concurrency
// (https://docs.aws.amazon.com/step-functions/latest/dg/bp-lambda-serviceexception.html).
const throttledTask = "Lambda.TooManyRequestsException"

// mostAttempts is the largest MaxAttempts of a retrier
// (https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html).
const mostAttempts = 99_999_999

func known(names []string) error {
	for _, name := range names {
		if !slices.Contains([]string{"States.ALL", "States.TaskFailed", "States.Timeout", throttledTask}, name) {
			return fmt.Errorf("unknown error name %q", name)
		}
	}
	return nil
}

// matches reports whether names name an error of this name
// (https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html).
func matches(names []string, name string) bool {
	for _, n := range names {
		switch {
		case n == "States.ALL", n == name, n == "States.TaskFailed" && name != "States.Timeout":
			return true
		}
	}
	return false
}

// fill returns template with its paths and functions replaced by what they
// mean: of data where they begin with $, of context where with $$.
func fill(template, data, context any) (any, error) {
	t, ok := template.(map[string]any)
	if !ok {
		return template, nil
	}
	filled := make(map[string]any, len(t))
	for key, value := range t {
		plain, dynamic := strings.CutSuffix(key, ".$")
		var err error
		if dynamic {
			expression, _ := value.(string)
			filled[plain], err = evaluate(expression, data, context)
		} else {
			filled[key], err = fill(value, data, context)
		}
		if err != nil {
			return nil, err
		}
	}
	return filled, nil
}

func evaluate(expression string, data, context any) (any, error) {
	if inner, ok := strings.CutPrefix(expression, "States.JsonToString("); ok {
		path, closed := strings.CutSuffix(inner, ")")
		if !closed {
			return nil, fmt.Errorf("sim: cannot read %q", expression)
		}
		value, err := evaluate(path, data, context)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(value)
		return string(text), err
	}
	if path, ok := strings.CutPrefix(expression, "$$"); ok {
		return follow(path, context)
	}
	if path, ok := strings.CutPrefix(expression, "$"); ok {
		return follow(path, data)
	}
	return nil, fmt.Errorf("sim: unknown expression %q", expression)
}

// follow returns what lies at a path of plain names.
func follow(path string, data any) (any, error) {
	for _, name := range strings.Split(path, ".")[1:] {
		fields, ok := data.(map[string]any)
		value, there := fields[name]
		if !ok || !there {
			return nil, fmt.Errorf("sim: there is nothing at %q", "$"+path)
		}
		data = value
	}
	return data, nil
}

// place puts result into input where path says.
func place(path json.RawMessage, input, result any) (any, error) {
	if path == nil {
		return result, nil
	}
	var at *string
	if err := json.Unmarshal(path, &at); err != nil {
		return nil, fmt.Errorf("sim: result path: %w", err)
	}
	if at == nil {
		return input, nil
	}
	name, ok := strings.CutPrefix(*at, "$.")
	fields, isObject := input.(map[string]any)
	if !ok || strings.Contains(name, ".") || !isObject {
		return nil, fmt.Errorf("sim: unknown result path %q", *at)
	}
	placed := map[string]any{}
	for key, value := range fields {
		placed[key] = value
	}
	placed[name] = result
	return placed, nil
}
