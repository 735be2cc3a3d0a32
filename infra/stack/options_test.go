package stack_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/localstack/cloud"
)

// everyOption is a context with every option on that adds something to the template.
func everyOption() map[string]any {
	return map[string]any{
		"accessLogs": "on", "firewall": "on", "allowedNetworks": "192.0.2.0/24,2001:db8::/32", "bedrock": "on", "submitConcurrency": "20",
	}
}

// TestEveryOptionLints has cfn-lint read the template with every option on; make test has it read the one that is deployed.
func TestEveryOptionLints(t *testing.T) {
	t.Parallel()
	program := os.Getenv("MUSKETRY_CFN_LINT")
	if program == "" {
		t.Skip("MUSKETRY_CFN_LINT does not name cfn-lint: make test installs it")
	}
	text, err := json.Marshal(synthWith(t, everyOption()).whole)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "template.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	//nolint:gosec // whoever runs the tests names the program
	out, err := exec.CommandContext(t.Context(), program, "--config-file", "../.cfnlintrc.yaml", "--template", path).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestWhatEnginesLackIsLeftOut holds the list that make up leaves out against the template: it has what options bring and a
// deployment as it comes does not have, since only that is tried on every engine; and what is left out is gone, and no more.
func TestWhatEnginesLackIsLeftOut(t *testing.T) {
	t.Parallel()
	all, plain := synthWith(t, everyOption()), sharedSynth(t)
	var options []string
	for kind := range all.types() {
		if plain.types()[kind] == 0 {
			options = append(options, kind)
		}
	}
	slices.Sort(options)
	if diff := cmp.Diff(slices.Sorted(slices.Values(cloud.Lacks())), options); diff != "" {
		t.Errorf("types (-cloud.Lacks +brought by options):\n%s", diff)
	}
	context := everyOption()
	context["leaveOut"] = strings.Join(cloud.Lacks(), ",")
	want := all.types()
	for _, kind := range cloud.Lacks() {
		delete(want, kind)
	}
	if diff := cmp.Diff(want, synthWith(t, context).types()); diff != "" {
		t.Errorf("the template without them (-want +got):\n%s", diff)
	}
}

// types counts the resources of each type.
func (s *synth) types() map[string]int {
	counts := map[string]int{}
	for _, r := range s.resources {
		counts[r.Type]++
	}
	return counts
}

// TestAccessLogsTellNoSecrets demands a log of both stages, of a few known facts, and none of the gateway's own with data.
func TestAccessLogsTellNoSecrets(t *testing.T) {
	t.Parallel()
	stages := synthWith(t, map[string]any{"accessLogs": "on"}).ofType("AWS::ApiGateway::Stage")
	for id, stage := range stages {
		setting, _ := stage.Properties["AccessLogSetting"].(map[string]any)
		var line map[string]string
		if err := json.Unmarshal([]byte(fmt.Sprint(setting["Format"])), &line); err != nil || setting["DestinationArn"] == nil {
			t.Errorf("%s has the access log %v: %v", id, setting, err)
		}
		want := []string{"bytes", "ip", "method", "milliseconds", "path", "refusal", "request_id", "status", "time"}
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(line))); diff != "" {
			t.Errorf("%s tells (-want +got):\n%s", id, diff)
		}
		methods, _ := list(stage.Properties["MethodSettings"])[0].(map[string]any)
		if methods["DataTraceEnabled"] != false || methods["LoggingLevel"] != "ERROR" {
			t.Errorf("%s logs %v", id, methods)
		}
	}
	for id, stage := range sharedSynth(t).ofType("AWS::ApiGateway::Stage") {
		if len(stages) != 2 || stage.Properties["AccessLogSetting"] != nil {
			t.Errorf("%s logs unasked", id)
		}
	}
}

// TestOnlySomeNetworksMayCall demands that the API's own policy refuses what comes from elsewhere, and that there is none unasked.
func TestOnlySomeNetworksMayCall(t *testing.T) {
	t.Parallel()
	networks := map[string]any{"allowedNetworks": "192.0.2.0/24,2001:db8::/32"}
	policy, _ := synthWith(t, networks).only(t, "AWS::ApiGateway::RestApi", "").Properties["Policy"].(map[string]any)
	want := []any{
		map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": "*"}, "Action": "execute-api:Invoke", "Resource": "execute-api:/*"},
		map[string]any{
			"Effect": "Deny", "Principal": map[string]any{"AWS": "*"}, "Action": "execute-api:Invoke", "Resource": "execute-api:/*",
			"Condition": map[string]any{"NotIpAddress": map[string]any{"aws:SourceIp": []any{"192.0.2.0/24", "2001:db8::/32"}}},
		},
	}
	if diff := cmp.Diff(want, policy["Statement"]); diff != "" {
		t.Error(diff)
	}
	if unasked := sharedSynth(t).only(t, "AWS::ApiGateway::RestApi", "").Properties["Policy"]; unasked != nil {
		t.Errorf("the API has the policy %v", unasked)
	}
}

// TestLinksAreBoundToNetworks demands that the bucket refuses a signed address to whoever follows it from elsewhere, and what
// functions call themselves to nobody.
func TestLinksAreBoundToNetworks(t *testing.T) {
	t.Parallel()
	bound := func(s *synth) (found []any) {
		policy, _ := s.only(t, "AWS::S3::BucketPolicy", "").Properties["PolicyDocument"].(map[string]any)
		for _, each := range list(policy["Statement"]) {
			if statement, _ := each.(map[string]any); statement["Action"] == "s3:GetObject" {
				found = append(found, []any{statement["Effect"], statement["Condition"]})
			}
		}
		return found
	}
	want := []any{[]any{"Deny", map[string]any{
		"StringEquals": map[string]any{"s3:authType": "REST-QUERY-STRING"},
		"NotIpAddress": map[string]any{"aws:SourceIp": []any{"192.0.2.0/24", "2001:db8::/32"}},
	}}}
	if diff := cmp.Diff(want, bound(synthWith(t, map[string]any{"allowedNetworks": "192.0.2.0/24,2001:db8::/32"}))); diff != "" {
		t.Error(diff)
	}
	if unasked := bound(sharedSynth(t)); unasked != nil {
		t.Errorf("the bucket refuses %v unasked", unasked)
	}
}

// TestFirewallStandsBeforeBothStages demands an association of each stage, a bound of an address, and no rule that reads bodies.
func TestFirewallStandsBeforeBothStages(t *testing.T) {
	t.Parallel()
	s := synthWith(t, map[string]any{"firewall": "on", "firewallRate": "77"})
	text := fmt.Sprint(s.only(t, "AWS::WAFv2::WebACL", "").Properties["Rules"])
	if !strings.Contains(text, "Limit:77") || !strings.Contains(text, "IpReputationList") || strings.Contains(text, "CommonRuleSet") {
		t.Errorf("the rules are %s", text)
	}
	var stages []string
	for _, r := range s.ofType("AWS::WAFv2::WebACLAssociation") {
		stages = append(stages, fmt.Sprint(r.Properties["ResourceArn"]))
	}
	if slices.Sort(stages); len(slices.Compact(stages)) != 2 {
		t.Errorf("it stands before %v", stages)
	}
}
