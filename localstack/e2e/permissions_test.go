//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	formationtypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// narrowRole is a role that whoever has the account may take, with few permissions.
const narrowRole = `{"Resources":{"Role":{"Type":"AWS::IAM::Role","Properties":{
	"AssumeRolePolicyDocument":{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",
		"Principal":{"AWS":{"Fn::Sub":"arn:aws:iam::${AWS::AccountId}:root"}}}]},
	"Policies":[{"PolicyName":"few","PolicyDocument":{"Statement":[
		{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query","dynamodb:Scan","dynamodb:PartiQLUpdate"],
			"Resource":{"Fn::Sub":"arn:aws:dynamodb:${AWS::Region}:${AWS::AccountId}:table/TABLE"},"Condition":{
			"ForAllValues:StringLike":{"dynamodb:LeadingKeys":["mine#*"]},"Null":{"dynamodb:LeadingKeys":"false"}}},
		{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::BUCKET/*"},
		{"Effect":"Allow","Action":"sqs:SendMessage","Resource":{"Fn::Sub":"arn:aws:sqs:${AWS::Region}:${AWS::AccountId}:QUEUE"}}
	]}}]}}},"Outputs":{"Role":{"Value":{"Fn::GetAtt":["Role","Arn"]}}}}`

// TestRolesAreHeldToTheirPolicies holds the engine to what AWS does with a role's policies: what the end-to-end tests do is
// worth something for permissions only as long as it does so.
func TestRolesAreHeldToTheirPolicies(t *testing.T) {
	t.Parallel()
	if _, enforced := recordedPermissions(t.Context(), variable(t, "AWS_ENDPOINT_URL")); !enforced {
		t.Log("this engine holds nobody to a policy: docs/aws.md")
		return
	}
	cfg := asRole(t)
	database, queue := dynamodb.NewFromConfig(cfg), sqs.NewFromConfig(cfg)
	objects := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	table, bucket, url := variable(t, "MUSKETRY_TABLE"), variable(t, "MUSKETRY_BUCKET"), variable(t, "MUSKETRY_QUEUE_URL")
	text := func(s string) dynamotypes.AttributeValue { return &dynamotypes.AttributeValueMemberS{Value: s} }
	get := func(pk string) error {
		_, err := database.GetItem(t.Context(), &dynamodb.GetItemInput{
			TableName: &table, Key: map[string]dynamotypes.AttributeValue{"pk": text(pk), "sk": text("s")},
		})
		return err
	}
	query := func(pk string) error {
		_, err := database.Query(t.Context(), &dynamodb.QueryInput{
			TableName: &table, KeyConditionExpression: aws.String("pk = :pk"),
			ExpressionAttributeValues: map[string]dynamotypes.AttributeValue{":pk": text(pk)},
		})
		return err
	}
	statement := func(form, pk string) error {
		_, err := database.BatchExecuteStatement(t.Context(), &dynamodb.BatchExecuteStatementInput{
			Statements: []dynamotypes.BatchStatementRequest{{
				Statement: aws.String(fmt.Sprintf(form, table)), Parameters: []dynamotypes.AttributeValue{text(pk), text("s")},
			}},
		})
		return err
	}
	const update, insert = `UPDATE "%s" SET a = 1 WHERE pk = ? AND sk = ?`, `INSERT INTO "%s" VALUE {'pk': ?, 'sk': ?}`
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"its own item":              {get("mine#1"), ""},
		"another's item":            {get("req#1"), "AccessDeniedException"},
		"its own partition":         {query("mine#1"), ""},
		"another's partition":       {query("req#1"), "AccessDeniedException"},
		"an update of its own":      {statement(update, "mine#1"), ""},
		"an update of another's":    {statement(update, "req#1"), "AccessDeniedException"},
		"an insert, not granted":    {statement(insert, "mine#1"), "AccessDeniedException"},
		"a scan, which has no keys": {errorOf(database.Scan(t.Context(), &dynamodb.ScanInput{TableName: &table})), "AccessDeniedException"},
		"an absent object, without leave to list": {errorOf(objects.GetObject(t.Context(), &s3.GetObjectInput{
			Bucket: &bucket, Key: aws.String("tenants/none"),
		})), "AccessDenied"},
		"an object's writing": {errorOf(objects.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: &bucket, Key: aws.String("tenants/none"), Body: strings.NewReader("x"),
		})), "AccessDenied"},
		"messages' sending": {errorOf(queue.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{
			QueueUrl: &url, Entries: []sqstypes.SendMessageBatchRequestEntry{{Id: aws.String("1"), MessageBody: aws.String(`{"note":"of a test"}`)}},
		})), ""},
		"messages' receiving": {errorOf(queue.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})), "AccessDenied"},
	} {
		code := ""
		var refusal smithy.APIError
		if errors.As(tt.err, &refusal) {
			code = refusal.ErrorCode()
		} else if tt.err != nil {
			code = tt.err.Error()
		}
		if !strings.HasPrefix(code, tt.want) || tt.want == "" && code != "" {
			t.Errorf("%s: got %q, want %q", name, code, tt.want)
		}
	}
}

func errorOf[T any](_ T, err error) error { return err }

// asRole makes the narrow role, and gives what calls AWS as it.
func asRole(t *testing.T) aws.Config {
	t.Helper()
	// The engine refuses before it has read a request, and may close the connection under its writing.
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRetryer(func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
				if errors.Is(err, net.ErrClosed) {
					return aws.TrueTernary
				}
				return aws.UnknownTernary
			}))
		})
	}))
	if err != nil {
		t.Fatal(err)
	}
	url := variable(t, "MUSKETRY_QUEUE_URL")
	template := strings.NewReplacer("TABLE", variable(t, "MUSKETRY_TABLE"), "BUCKET", variable(t, "MUSKETRY_BUCKET"),
		"QUEUE", url[strings.LastIndexByte(url, '/')+1:]).Replace(narrowRole)
	formation := cloudformation.NewFromConfig(cfg)
	name := aws.String("NarrowRole" + fmt.Sprint(time.Now().UnixNano()))
	_, err = formation.CreateStack(t.Context(), &cloudformation.CreateStackInput{
		StackName: name, TemplateBody: &template, Capabilities: []formationtypes.Capability{formationtypes.CapabilityCapabilityIam},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = formation.DeleteStack(context.WithoutCancel(t.Context()), &cloudformation.DeleteStackInput{StackName: name})
	})
	made := cloudformation.NewStackCreateCompleteWaiter(formation, func(o *cloudformation.StackCreateCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = 100*time.Millisecond, time.Second
	})
	stacks, err := made.WaitForOutput(t.Context(), &cloudformation.DescribeStacksInput{StackName: name}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	session, err := sts.NewFromConfig(cfg).AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: stacks.Stacks[0].Outputs[0].OutputValue, RoleSessionName: aws.String("test"),
	})
	if err != nil {
		t.Fatal(err)
	}
	c := session.Credentials
	cfg.Credentials = credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	return cfg
}

// An asking is an action that a role asked for, on what, with which partition keys, and whether it may.
type asking struct{ role, action, on, key, verdict string }

// recordedPermissions gives what the functions' roles asked for since the engine's start, and false of an engine that holds
// nobody to a policy.
func recordedPermissions(ctx context.Context, endpoint string) ([]asking, bool) {
	//nolint:gosec // the tests' own engine
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/_musketry/permissions", http.NoBody)
	if err != nil {
		return nil, false
	}
	response, err := http.DefaultClient.Do(request) //nolint:gosec // the same
	if err != nil {
		return nil, false
	}
	defer response.Body.Close()
	var rows [][6]any
	if response.StatusCode != http.StatusOK || json.NewDecoder(response.Body).Decode(&rows) != nil {
		return nil, false
	}
	role := regexp.MustCompile(`^Musketry-(Submit|Execute|Finalize)Role`)
	var found []asking
	for _, row := range rows {
		if match := role.FindStringSubmatch(fmt.Sprint(row[0])); match != nil {
			found = append(found, asking{match[1], fmt.Sprint(row[1]), onWhat(fmt.Sprint(row[2])), fmt.Sprint(row[3]), fmt.Sprint(row[4])})
		}
	}
	return found, true
}

// onWhat spells a resource as infra/stack/testdata/calls.txt does: without what differs from stack to stack and from call to call.
func onWhat(arn string) string {
	base := func(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }
	for name, text := range map[string]string{
		"AdminTable": ":table/" + os.Getenv("MUSKETRY_ADMIN_TABLE"), "Table": ":table/" + os.Getenv("MUSKETRY_TABLE"), "Bucket": ":s3:::" + os.Getenv("MUSKETRY_BUCKET"),
		"Queue": ":" + base(os.Getenv("MUSKETRY_QUEUE_URL")), "QueueDeadLetters": ":" + base(os.Getenv("MUSKETRY_DEAD_LETTERS_URL")),
	} {
		if _, rest, found := strings.Cut(arn, text); found && (rest == "" || rest[0] == '/') {
			return name + rest
		}
	}
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return arn
	}
	on := parts[2] + ":" + parts[5]
	for _, prefix := range []string{"states:execution:Musketry-batch:", "ssm:parameter/musketry/keys/", "secretsmanager:secret:musketry/keys/"} {
		if strings.HasPrefix(on, prefix) {
			return prefix + "*"
		}
	}
	return on
}

// callsFile has calls that the functions make in these tests, each once; a test of infra/stack holds it against their policies.
const callsFile = "../../infra/stack/testdata/calls.txt"

// checkPermissions returns an error that names what the functions' roles were refused. With MUSKETRY_E2E_CALLS=write it adds what
// they may and did to callsFile. What the file lacks is no error: some calls are seldom made, as after a crash.
func checkPermissions(ctx context.Context) error {
	asked, enforced := recordedPermissions(ctx, os.Getenv("AWS_ENDPOINT_URL"))
	if !enforced {
		return nil
	}
	text, err := os.ReadFile(callsFile)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		known[strings.TrimSpace(line)] = true
	}
	var refused []string
	for _, a := range asked {
		line := strings.TrimSpace(strings.Join([]string{a.role, a.action, a.on, a.key}, " "))
		if a.verdict == "allowed" {
			known[line] = true
		} else {
			refused = append(refused, line)
		}
	}
	if len(refused) > 0 {
		return fmt.Errorf("the functions' roles lack permissions:\n%s", strings.Join(refused, "\n"))
	}
	if os.Getenv("MUSKETRY_E2E_CALLS") == "write" {
		lines := slices.Sorted(maps.Keys(known))
		return os.WriteFile(callsFile, []byte(strings.Join(lines, "\n")+"\n"), 0o600)
	}
	return nil
}
