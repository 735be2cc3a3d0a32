package stack_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/tools/reach"
)

// TestRoles lists what each role may do, in full: a permission more is meant, or it is not there.
func TestRoles(t *testing.T) {
	t.Parallel()
	s := sharedSynth(t)
	const (
		flow = "states:stateMachine:Musketry-batch"
		each = "states:execution:Musketry-batch:*"
		keys = "Table where dynamodb:LeadingKeys like "
	)
	for role, want := range map[string]map[string]string{
		"Submit": {
			"SubmitLog": "logs:CreateLogStream logs:PutLogEvents",
			"Table":     "dynamodb:GetItem dynamodb:Query",
			keys + "[tenant#* running expiring req#* counters#* journal#*]": "dynamodb:PutItem",
			keys + "[tenant#* expiring]":                                    "dynamodb:DeleteItem",
			keys + "[req#*]":                                                "dynamodb:PartiQLInsert",
			"Admin" + keys + "[key#*]":                                      "dynamodb:GetItem",
			"Admin" + keys + "[models]":                                     "dynamodb:Query",
			"Bucket":                                                        "s3:ListBucket",
			"Bucket/tenants/*":                                              "s3:AbortMultipartUpload s3:DeleteObject s3:GetObject s3:ListMultipartUploadParts s3:PutObject",
			"Bucket/batches/*":                                              "s3:DeleteObject s3:GetObject s3:PutObject",
			"Bucket/uploads/*":                                              "s3:DeleteObject s3:GetObject s3:PutObject",
			flow:                                                            "states:SendTaskSuccess states:StartExecution",
		},
		"Execute": {
			"ExecuteLog": "logs:CreateLogStream logs:PutLogEvents",
			keys + "[tenant#* req#* worker#* limit#*]":                      "dynamodb:GetItem",
			keys + "[counters#* journal#*]":                                 "dynamodb:Query",
			"Admin" + keys + "[models]":                                     "dynamodb:Query",
			keys + "[tenant#* req#* counters#* journal#* worker#* limit#*]": "dynamodb:PutItem",
			keys + "[journal#*]":                                            "dynamodb:UpdateItem",
			keys + "[req#*]":                                                "dynamodb:PartiQLUpdate",
			"Bucket":                                                        "s3:ListBucket",
			"Bucket/tenants/*":                                              "s3:GetObject",
			"Bucket/batches/*":                                              "s3:PutObject",
			"Queue":                                                         "sqs:ChangeMessageVisibility sqs:DeleteMessage sqs:GetQueueAttributes sqs:ReceiveMessage",
			flow:                                                            "states:SendTaskSuccess",
			"ssm:parameter/musketry/upstream-key":                           "ssm:GetParameter",
			"ssm:parameter/musketry/keys/*":                                 "ssm:GetParameter",
			"secretsmanager:secret:musketry/keys/*":                         "secretsmanager:GetSecretValue",
		},
		"Finalize": {
			"FinalizeLog": "logs:CreateLogStream logs:PutLogEvents",
			keys + "[tenant#* running req#* journal#* worker#*]":            "dynamodb:GetItem",
			keys + "[running req#* counters#* journal#*]":                   "dynamodb:Query",
			keys + "[tenant#* running expiring req#* counters#* journal#*]": "dynamodb:PutItem",
			keys + "[journal#*]": "dynamodb:UpdateItem",
			keys + "[req#*]":     "dynamodb:PartiQLUpdate",
			keys + "[running]":   "dynamodb:DeleteItem",
			"Bucket":             "s3:ListBucket",
			"Bucket/tenants/*":   "s3:AbortMultipartUpload s3:GetObject s3:ListMultipartUploadParts s3:PutObject",
			"Bucket/batches/*":   "s3:GetObject s3:PutObject",
			"Queue":              "sqs:SendMessage",
			"QueueDeadLetters":   "sqs:DeleteMessage sqs:ReceiveMessage",
			flow:                 "states:ListExecutions states:SendTaskSuccess states:StartExecution",
			each:                 "states:DescribeExecution",
		},
		"Flow": {
			"Submit":   "lambda:InvokeFunction",
			"Finalize": "lambda:InvokeFunction",
			"*":        strings.Join(allowedEverywhere, " "),
		},
	} {
		if diff := cmp.Diff(want, s.grants(t, role)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", role, diff)
		}
	}
}

// permissions are what AWS wants for the calls that the code makes, by the SDK's name:
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_dynamodb.html
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsqs.html
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html
var permissions = map[string]string{
	"dynamodb.GetItem":                 "dynamodb:GetItem",
	"dynamodb.PutItem":                 "dynamodb:PutItem",
	"dynamodb.UpdateItem":              "dynamodb:UpdateItem",
	"dynamodb.DeleteItem":              "dynamodb:DeleteItem",
	"dynamodb.Query":                   "dynamodb:Query",
	"dynamodb.BatchExecuteStatement":   "", // by its statements
	"s3.GetObject":                     "s3:GetObject",
	"s3.HeadObject":                    "s3:GetObject",
	"s3.PresignGetObject":              "s3:GetObject",
	"s3.ListObjectsV2":                 "s3:ListBucket",
	"s3.PutObject":                     "s3:PutObject",
	"s3.CreateMultipartUpload":         "s3:PutObject",
	"s3.UploadPart":                    "s3:PutObject",
	"s3.CompleteMultipartUpload":       "s3:PutObject",
	"s3.ListParts":                     "s3:ListMultipartUploadParts",
	"s3.AbortMultipartUpload":          "s3:AbortMultipartUpload",
	"s3.DeleteObject":                  "s3:DeleteObject",
	"s3.DeleteObjects":                 "s3:DeleteObject",
	"sqs.SendMessageBatch":             "sqs:SendMessage",
	"sqs.ReceiveMessage":               "sqs:ReceiveMessage",
	"sqs.DeleteMessageBatch":           "sqs:DeleteMessage",
	"sqs.ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
	"sfn.StartExecution":               "states:StartExecution",
	"sfn.DescribeExecution":            "states:DescribeExecution",
	"sfn.ListExecutions":               "states:ListExecutions",
	"sfn.SendTaskSuccess":              "states:SendTaskSuccess",
	"ssm.GetParameter":                 "ssm:GetParameter",
	"secretsmanager.GetSecretValue":    "secretsmanager:GetSecretValue",
}

// statements are the permissions of a BatchExecuteStatement, by how its statements begin:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html
var statements = map[string]string{
	"INSERT INTO ": "dynamodb:PartiQLInsert", "UPDATE ": "dynamodb:PartiQLUpdate",
	"DELETE FROM ": "dynamodb:PartiQLDelete", "SELECT ": "dynamodb:PartiQLSelect",
}

// TestRolesGrantWhatTheCodeCalls holds each function's permissions against every call of AWS that its program can reach:
// none is missing, which a local cloud would not show, and none is left over.
func TestRolesGrantWhatTheCodeCalls(t *testing.T) {
	t.Parallel()
	const module = "github.com/musketry/musketry"
	// What Lambda itself does in a function's name, and what S3 wants before it says that an object is absent.
	lambda := []string{"logs:CreateLogStream", "logs:PutLogEvents", "s3:ListBucket"}
	source := []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
	extra := map[string][]string{"Submit": lambda, "Execute": slices.Concat(lambda, source), "Finalize": lambda}
	var paths []string
	for role := range extra {
		paths = append(paths, module+"/lambdas/"+strings.ToLower(role))
	}
	uses, err := reach.Mains(t.Context(), module, paths...)
	if err != nil {
		t.Fatal(err)
	}
	for role, more := range extra {
		want := map[string]bool{}
		for _, action := range more {
			want[action] = true
		}
		for _, action := range needed(t, uses[module+"/lambdas/"+strings.ToLower(role)]) {
			want[action] = true
		}
		var got []string
		for _, actions := range sharedSynth(t).grants(t, role) {
			got = append(got, strings.Fields(actions)...)
		}
		slices.Sort(got)
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Compact(got)); diff != "" {
			t.Errorf("%s (-called +granted):\n%s", role, diff)
		}
	}
}

// needed gives the actions that a program's calls need.
func needed(t *testing.T, uses reach.Uses) []string {
	t.Helper()
	var actions []string
	call := regexp.MustCompile(`^\(\*github\.com/aws/aws-sdk-go-v2/service/(\w+)\.(?:Presign)?Client\)\.(\w+)$`)
	for name := range uses.Calls {
		match := call.FindStringSubmatch(name)
		if match == nil {
			continue
		}
		action, known := permissions[match[1]+"."+match[2]]
		if !known {
			t.Errorf("%s: say in permissions what it needs", name)
		}
		if action != "" {
			actions = append(actions, action)
		}
	}
	for text := range uses.Texts {
		for begin, action := range statements {
			if strings.HasPrefix(text, begin) {
				actions = append(actions, action)
			}
		}
	}
	return actions
}

// grants gives a role's actions, sorted, by what they are allowed on.
func (s *synth) grants(t *testing.T, role string) map[string]string {
	t.Helper()
	found := map[string]string{}
	document, _ := s.only(t, "AWS::IAM::Policy", "^"+role+"Role").Properties["PolicyDocument"].(map[string]any)
	for _, each := range list(document["Statement"]) {
		statement, _ := each.(map[string]any)
		if statement["Effect"] != "Allow" {
			t.Errorf("%s: %v", role, statement)
		}
		var condition string
		if statement["Condition"] != nil {
			like, _ := statement["Condition"].(map[string]any)["ForAllValues:StringLike"].(map[string]any)
			condition = fmt.Sprintf(" where dynamodb:LeadingKeys like %v", like["dynamodb:LeadingKeys"])
		}
		for _, r := range list(statement["Resource"]) {
			on := onWhat(r) + condition
			for _, action := range list(statement["Action"]) {
				found[on] += " " + fmt.Sprint(action)
			}
		}
	}
	for on, actions := range found {
		each := strings.Fields(actions)
		slices.Sort(each)
		found[on] = strings.Join(each, " ")
	}
	return found
}

var (
	ownHash = regexp.MustCompile(`[0-9A-F]{8}$`)
	arnHead = regexp.MustCompile(`^arn:AWS::Partition:(\w+):AWS::Region:AWS::AccountId:`)
)

// onWhat spells a resource of a statement: a logical id without CDK's hash, or the end of an ARN.
func onWhat(value any) string {
	object, ok := value.(map[string]any)
	if !ok {
		return fmt.Sprint(value)
	}
	if id, ok := object["Ref"]; ok {
		return fmt.Sprint(id)
	}
	if parts := list(object["Fn::GetAtt"]); len(parts) == 2 {
		return ownHash.ReplaceAllString(fmt.Sprint(parts[0]), "")
	}
	var text strings.Builder
	join := list(object["Fn::Join"])
	for _, part := range list(join[len(join)-1]) {
		text.WriteString(onWhat(part))
	}
	return arnHead.ReplaceAllString(text.String(), "$1:")
}

// TestFunctionsWriteNoKeys holds the partitions that functions may write against all that the store has: a new one, which
// the local cloud would let pass, is granted or left out on purpose.
func TestFunctionsWriteNoKeys(t *testing.T) {
	t.Parallel()
	want := strings.Fields("audit key# keys models") // what only musketry admin writes, with the credentials of whoever runs it
	for _, role := range functionRoles() {
		for _, g := range sharedSynth(t).grantsOf(t, role) {
			if strings.HasSuffix(g.on, "Table") && g.action != "dynamodb:GetItem" && g.action != "dynamodb:Query" {
				want = append(want, strings.TrimSuffix(g.keys, "*"))
			}
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(slices.Compact(want), partitions(t)); diff != "" {
		t.Errorf("partitions (-granted and keys +in the store):\n%s", diff)
	}
}

// partitions gives how the partition keys of the store begin: the texts in the first field of each key that it makes.
func partitions(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../internal/dynamostore/*.go")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string][]string{} // of functions and constants, by name
	var made []ast.Expr
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				texts[n.Name.Name] = literals(n.Body, nil)
			case *ast.ValueSpec:
				for i, value := range n.Values {
					texts[n.Names[i].Name] = literals(value, nil)
				}
			case *ast.CompositeLit:
				if kind, ok := n.Type.(*ast.Ident); ok && kind.Name == "key" && len(n.Elts) > 0 {
					made = append(made, n.Elts[0])
				}
			}
			return true
		})
	}
	found := map[string]bool{}
	for _, first := range made {
		for _, text := range literals(first, texts) {
			if before, _, ok := strings.Cut(text, "#"); ok {
				text = before + "#"
			}
			found[text] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// literals gives the texts in a piece of syntax, those of the functions and constants that it names too.
func literals(n ast.Node, named map[string][]string) []string {
	var found []string
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
				found = append(found, text)
			}
		case *ast.Ident:
			found = append(found, named[n.Name]...)
		}
		return true
	})
	return found
}
