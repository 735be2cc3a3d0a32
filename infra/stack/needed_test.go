package stack_test

import (
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A grant is the least that can be taken from a role: one action on one resource, and of a table one pattern of partition keys.
type grant struct{ role, action, on, keys string }

func (g grant) String() string {
	return strings.TrimSpace(strings.Join([]string{g.role, g.action, g.on, g.keys}, " "))
}

// allows reports whether the grant alone allows a call.
func (g grant) allows(c grant) bool {
	return g.role == c.role && g.action == c.action && like(g.on, c.on) && (g.keys == "" || c.keys != "" && like(g.keys, c.keys))
}

// like reports whether a text matches a pattern of IAM's, whose stars match slashes too.
func like(pattern, text string) bool {
	flat := strings.NewReplacer("/", "\x00", "[", `\[`)
	matched, err := path.Match(flat.Replace(pattern), flat.Replace(text))
	return err == nil && matched
}

// functionRoles are the roles of the functions, whose calls are recorded.
func functionRoles() []string { return []string{"Submit", "Execute", "Finalize"} }

// grantsOf gives all that a role is granted, piece by piece.
func (s *synth) grantsOf(t *testing.T, role string) []grant {
	t.Helper()
	var found []grant
	document, _ := s.only(t, "AWS::IAM::Policy", "^"+role+"Role").Properties["PolicyDocument"].(map[string]any)
	for _, each := range list(document["Statement"]) {
		statement, _ := each.(map[string]any)
		condition, _ := statement["Condition"].(map[string]any)
		patterns := []any{""}
		if condition != nil {
			keys, _ := condition["ForAllValues:StringLike"].(map[string]any)
			patterns = list(keys["dynamodb:LeadingKeys"])
		}
		for _, resource := range list(statement["Resource"]) {
			for _, action := range list(statement["Action"]) {
				for _, pattern := range patterns {
					found = append(found, grant{role, fmt.Sprint(action), onWhat(resource), fmt.Sprint(pattern)})
				}
			}
		}
	}
	return found
}

// recordedCalls are the calls that the functions made in the end-to-end tests, which keep the file.
func recordedCalls(t *testing.T) []grant {
	t.Helper()
	text, err := os.ReadFile("testdata/calls.txt")
	if err != nil {
		t.Fatal(err)
	}
	var calls []grant
	for line := range strings.Lines(string(text)) {
		fields := append(strings.Fields(line), "")
		calls = append(calls, grant{fields[0], fields[1], fields[2], fields[3]})
	}
	return calls
}

// TestRecordedCallsAreAllowed evaluates each call that the functions made against their policies.
func TestRecordedCallsAreAllowed(t *testing.T) {
	t.Parallel()
	var all []grant
	for _, role := range functionRoles() {
		all = append(all, sharedSynth(t).grantsOf(t, role)...)
	}
	calls := recordedCalls(t)
	if len(calls) < 50 {
		t.Errorf("%d calls are recorded: the file has lost its own", len(calls))
	}
	for _, c := range calls {
		if !slices.ContainsFunc(all, func(g grant) bool { return g.allows(c) }) {
			t.Errorf("%s: no policy allows it", c)
		}
	}
}

// TestNoGrantIsLeftOver takes each grant away: then a call that was recorded fails, or it stands in the table of
// docs/security.md, which says what needs it, with AWS's page. No row of the table is of a grant that a call shows, or that
// there is not.
func TestNoGrantIsLeftOver(t *testing.T) {
	t.Parallel()
	var unused []string
	calls := recordedCalls(t)
	for _, role := range functionRoles() {
		all := sharedSynth(t).grantsOf(t, role)
		for i, taken := range all {
			rest := slices.Concat(all[:i], all[i+1:])
			fails := slices.ContainsFunc(calls, func(c grant) bool {
				return c.role == role && !slices.ContainsFunc(rest, func(g grant) bool { return g.allows(c) })
			})
			if !fails {
				unused = append(unused, taken.String())
			}
		}
	}
	slices.Sort(unused)
	if diff := cmp.Diff(unseenGrants(t), unused); diff != "" {
		t.Errorf("grants that no call shows (-in docs/security.md +granted):\n%s", diff)
	}
}

// TestFlowMayCallWhatItNames holds the flow's role against its definition: Step Functions calls functions in the role's name.
// https://docs.aws.amazon.com/step-functions/latest/dg/lambda-iam.html
func TestFlowMayCallWhatItNames(t *testing.T) {
	t.Parallel()
	definition, err := os.ReadFile("flow.asl.json")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, match := range regexp.MustCompile(`\$\{(\w+)Arn\}`).FindAllStringSubmatch(string(definition), -1) {
		named = append(named, match[1])
	}
	var granted []string
	for _, g := range sharedSynth(t).grantsOf(t, "Flow") {
		if g.action == "lambda:InvokeFunction" {
			granted = append(granted, g.on)
		}
	}
	slices.Sort(named)
	slices.Sort(granted)
	if diff := cmp.Diff(slices.Compact(named), granted); diff != "" {
		t.Errorf("functions (-named by the definition +granted):\n%s", diff)
	}
}

// unseenGrants reads the table of docs/security.md.
func unseenGrants(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "| role | may | on | since |\n|---|---|---|---|\n")
	if !found {
		t.Fatal("docs/security.md has no table of what no call shows")
	}
	var rows []string
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 6 {
			break
		}
		for i, cell := range cells {
			cells[i] = strings.TrimSpace(strings.ReplaceAll(cell, "`", ""))
		}
		if !strings.Contains(cells[4], "](https://docs.aws.amazon.com/") && !strings.Contains(cells[4], "Test") {
			t.Errorf("%s: neither a page of AWS nor a test says so", cells[1:4])
		}
		for action := range strings.FieldsSeq(cells[2]) {
			rows = append(rows, strings.Join([]string{cells[1], action, cells[3]}, " "))
		}
	}
	slices.Sort(rows)
	return rows
}

// TestForAllValuesDemandsAValue demands of each condition with ForAllValues, in every policy, that the key be there: of a
// request without it all values, which are none, are like the pattern.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
func TestForAllValuesDemandsAValue(t *testing.T) {
	t.Parallel()
	seen := 0
	for id, r := range sharedSynth(t).resources {
		eachCondition(r.Properties, func(condition map[string]any) {
			for operator, keys := range condition {
				if !strings.HasPrefix(operator, "ForAllValues:") {
					continue
				}
				null, _ := condition["Null"].(map[string]any)
				for key := range keys.(map[string]any) {
					seen++
					if fmt.Sprint(null[key]) != "false" {
						t.Errorf("%s: %s of %s holds for what has no such key", id, operator, key)
					}
				}
			}
		})
	}
	if seen == 0 {
		t.Error("no condition was found")
	}
}

// eachCondition calls f with every condition below a value.
func eachCondition(value any, f func(map[string]any)) {
	switch v := value.(type) {
	case []any:
		for _, each := range v {
			eachCondition(each, f)
		}
	case map[string]any:
		if condition, ok := v["Condition"].(map[string]any); ok {
			f(condition)
		}
		for _, each := range v {
			eachCondition(each, f)
		}
	}
}
