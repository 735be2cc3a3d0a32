package stack_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"
)

// A suppression is why a rule of cdk-nag's pack AwsSolutions is not followed on some resources.
// https://github.com/cdklabs/cdk-nag/blob/main/RULES.md
type suppression struct {
	finding string // How what cdk-nag says begins, less the pack's name: a rule, and what of it.
	where   string // A pattern of the resource's path below the stack.
	without string // The context that has the rule followed, if there is one.
	with    string // The context that brings the finding, if it is not always there.
	reason  string
}

var suppressions = []suppression{
	{"S1", "Bucket", "", "", "server access logs need a second bucket, and are best effort; CloudTrail's data events tell of the bucket, where the account wants it"},
	{"SF1", "Flow", "", "", "an event's data are a batch's record, which has a tenant's metadata: errors are logged alone, and without data"},
	{"SF2", "Flow", "", "", "a request's attempts are one trace already, by traceparent to its provider; the flow's own steps are in its history"},
	{"APIG2", "Api", "", "", "the function validates: bodies are files, or JSON whose refusals have OpenAI's shape"},
	{"APIG1", "Api/(DeploymentStage.v1|Azure)", "accessLogs", "", "needs a role that is a setting of the whole account"},
	{"APIG6", "Api/(DeploymentStage.v1|Azure)", "accessLogs", "", "needs a role that is a setting of the whole account"},
	{"APIG3", "Api/(DeploymentStage.v1|Azure)", "firewall", "", "costs 7 dollars a month and more, and the stages are throttled"},
	{"APIG4", "Api/Default/.*", "", "", "the function authorizes: OpenAI's clients send a bearer key, and SHA-256 of it is looked up"},
	{"COG4", "Api/Default/.*", "", "", "the same: OpenAI's clients know no user pool"},
	{"IAM5[Resource::<Bucket.Arn>/", "(Submit|Execute|Finalize)Role/DefaultPolicy", "", "", "objects have their ids in their names; each role has the prefixes that it needs"},
	{"IAM5[Resource::arn:<AWS::Partition>:ssm:<AWS::Region>:<AWS::AccountId>:parameter/musketry/keys/*]", "ExecuteRole/DefaultPolicy", "", "", "routes name their keys below this prefix without a deploy"},
	{"IAM5[Resource::arn:<AWS::Partition>:secretsmanager:<AWS::Region>:<AWS::AccountId>:secret:musketry/keys/*]", "ExecuteRole/DefaultPolicy", "", "", "routes name their keys below this prefix without a deploy"},
	{"IAM5[Resource::arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:execution:Musketry-batch:*]", "FinalizeRole/DefaultPolicy", "", "", "an execution has its batch's id for its name"},
	{"IAM5[Resource::arn:<AWS::Partition>:bedrock", "ExecuteRole/DefaultPolicy", "", "bedrock", "models are named by their routes, without a deploy"},
	{"IAM5[Resource::*]", "FlowRole/DefaultPolicy", "", "", "log deliveries cannot be limited to a resource: https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html"},
}

func (s suppression) holds(context map[string]any) bool {
	return (s.without == "" || context[s.without] == nil) && (s.with == "" || context[s.with] != nil)
}

// TestNag holds the template, as it comes and with every option on, to cdk-nag's AwsSolutions: what it finds is suppressed, with
// a reason, and nothing is suppressed that it does not find.
func TestNag(t *testing.T) {
	t.Parallel()
	for name, context := range map[string]map[string]any{"as it comes": {}, "every option": everyOption()} {
		var left []string
		used := map[string]bool{}
		for _, found := range findings(t, context) {
			i := slices.IndexFunc(suppressions, func(s suppression) bool {
				return s.holds(context) && strings.HasPrefix(found.text, s.finding) &&
					regexp.MustCompile("^"+s.where+"/Resource$").MatchString(found.path)
			})
			if i < 0 {
				left = append(left, fmt.Sprint(found))
				continue
			}
			used[suppressions[i].finding] = true
		}
		if len(left) > 0 {
			t.Errorf("%s: follow these, or say in suppressions why not:\n%s", name, strings.Join(left, "\n"))
		}
		for _, s := range suppressions {
			if !used[s.finding] && s.holds(context) {
				t.Errorf("%s: nothing has %s at %s any more", name, s.finding, s.where)
			}
		}
	}
}

type finding struct{ path, text string }

// findings gives what cdk-nag says of a template, without the pack's name and CDK's hashes.
func findings(t *testing.T, context map[string]any) []finding {
	t.Helper()
	kernel.Lock()
	defer kernel.Unlock()
	app, made, err := newStack(t.TempDir(), context)
	if err != nil {
		t.Fatal(err)
	}
	awscdk.Aspects_Of(app).Add(cdknag.NewAwsSolutionsChecks(&cdknag.NagPackProps{Reports: jsii.Bool(false)}), nil)
	told := assertions.Annotations_FromStack(made)
	var found []finding
	hash := regexp.MustCompile(`<(\w+)[0-9A-F]{8}\.Arn>`)
	every, anything := jsii.String("*"), assertions.Match_AnyValue()
	for _, message := range slices.Concat(*told.FindError(every, anything), *told.FindWarning(every, anything), *told.FindInfo(every, anything)) {
		where, said := *message.Id, fmt.Sprint(message.Entry.Data) //nolint:staticcheck // its type moved, and what finds it still gives it
		text, isNag := strings.CutPrefix(said, "AwsSolutions-")
		if !isNag {
			t.Errorf("%s: %s", where, text)
		}
		found = append(found, finding{strings.TrimPrefix(where, "/Musketry/"), strings.TrimSpace(hash.ReplaceAllString(text, "<$1.Arn>"))})
	}
	return found
}
