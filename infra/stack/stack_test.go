package stack_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/jsii-runtime-go"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/infra/outputs"
	"github.com/musketry/musketry/infra/stack"
	"github.com/musketry/musketry/internal/boot"
)

// kernel guards the Node process behind CDK's classes, which serves one caller at a time. It ends when its input closes,
// with the tests; jsii.Close would end it sooner, but races with itself under the race detector.
var kernel sync.Mutex

// A synth is a template made from the app.
type synth struct {
	template  assertions.Template
	resources map[string]resource
	outputs   map[string]any
	whole     map[string]any
}

type resource struct {
	Type           string
	Properties     map[string]any
	DependsOn      any
	DeletionPolicy string
}

// shared is the one synthesis with the defaults that most tests read.
var shared = sync.OnceValues(func() (*synth, error) { return newSynth(nil) })

// newStack makes the stack with the context given on top of the defaults, with its output in a folder. The Lambdas' code is a
// script, since a template only names it.
func newStack(folder string, context map[string]any) (awscdk.App, awscdk.Stack, error) {
	for _, name := range []string{"submit", "execute", "finalize"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			return nil, nil, err
		}
		if err := os.WriteFile(filepath.Join(folder, name, "bootstrap"), []byte("#!"+name), 0o600); err != nil {
			return nil, nil, err
		}
	}
	all := map[string]any{"assets": folder}
	maps.Copy(all, context)
	app := awscdk.NewApp(&awscdk.AppProps{Context: &all, Outdir: jsii.String(filepath.Join(folder, "out"))})
	props, err := stack.PropsFromContext(app.Node())
	if err != nil {
		return nil, nil, err
	}
	return app, stack.NewMusketry(app, props.Name, props), nil
}

// newSynth makes the template of that stack.
func newSynth(context map[string]any) (*synth, error) {
	kernel.Lock()
	defer kernel.Unlock()
	folder, err := os.MkdirTemp("", "musketry-assets-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	_, made, err := newStack(folder, context)
	if err != nil {
		return nil, err
	}
	template := assertions.Template_FromStack(made, nil)
	text, err := json.Marshal(template.ToJSON())
	if err != nil {
		return nil, err
	}
	var parsed struct {
		Resources map[string]resource
		Outputs   map[string]any
	}
	if err := json.Unmarshal(text, &parsed); err != nil {
		return nil, err
	}
	return &synth{template: template, resources: parsed.Resources, outputs: parsed.Outputs, whole: *template.ToJSON()}, nil
}

func sharedSynth(t *testing.T) *synth {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// has fails the test unless a resource of the type has these properties, among others.
func (s *synth) has(t *testing.T, kind string, properties map[string]any) {
	t.Helper()
	kernel.Lock()
	defer kernel.Unlock()
	defer func() {
		if failure := recover(); failure != nil {
			t.Errorf("%s: %v", kind, failure)
		}
	}()
	s.template.HasResourceProperties(&kind, properties)
}

// ofType gives the resources of a type by logical id.
func (s *synth) ofType(kind string) map[string]resource {
	found := map[string]resource{}
	for id, r := range s.resources {
		if r.Type == kind {
			found[id] = r
		}
	}
	return found
}

// only gives the one resource of a type whose logical id matches.
func (s *synth) only(t *testing.T, kind, pattern string) resource {
	t.Helper()
	var ids []string
	for id := range s.ofType(kind) {
		if regexp.MustCompile(pattern).MatchString(id) {
			ids = append(ids, id)
		}
	}
	if len(ids) != 1 {
		t.Fatalf("%s %s: got %v, want one", kind, pattern, ids)
	}
	return s.resources[ids[0]]
}

func TestTable(t *testing.T) {
	t.Parallel()
	s := sharedSynth(t)
	s.has(t, "AWS::DynamoDB::Table", map[string]any{
		"KeySchema": []any{
			map[string]any{"AttributeName": "pk", "KeyType": "HASH"},
			map[string]any{"AttributeName": "sk", "KeyType": "RANGE"},
		},
		"BillingMode":                      "PAY_PER_REQUEST",
		"TimeToLiveSpecification":          map[string]any{"AttributeName": "ttl", "Enabled": true},
		"PointInTimeRecoverySpecification": map[string]any{"PointInTimeRecoveryEnabled": true},
	})
}

func TestBucketIsClosedEncryptedAndTidy(t *testing.T) {
	t.Parallel()
	s := sharedSynth(t)
	s.has(t, "AWS::S3::Bucket", map[string]any{
		"BucketEncryption": map[string]any{"ServerSideEncryptionConfiguration": []any{
			map[string]any{"ServerSideEncryptionByDefault": map[string]any{"SSEAlgorithm": "AES256"}},
		}},
		"PublicAccessBlockConfiguration": map[string]any{
			"BlockPublicAcls": true, "BlockPublicPolicy": true, "IgnorePublicAcls": true, "RestrictPublicBuckets": true,
		},
		"LifecycleConfiguration": map[string]any{"Rules": []any{
			map[string]any{
				"Id": "abort-uploads", "Status": "Enabled",
				"AbortIncompleteMultipartUpload": map[string]any{"DaysAfterInitiation": 7},
			},
			map[string]any{"Id": "expire-files", "Status": "Enabled", "Prefix": "tenants/", "ExpirationInDays": 40},
			map[string]any{"Id": "expire-segments", "Status": "Enabled", "Prefix": "batches/", "ExpirationInDays": 40},
			map[string]any{"Id": "expire-upload-parts", "Status": "Enabled", "Prefix": "uploads/", "ExpirationInDays": 2},
		}},
	})
	encrypted := map[string]any{
		"Effect":    "Deny",
		"Condition": map[string]any{"Bool": map[string]any{"aws:SecureTransport": "false"}},
	}
	for kind, statements := range map[string][]any{
		"AWS::SQS::QueuePolicy": {encrypted},
		"AWS::S3::BucketPolicy": {encrypted, map[string]any{"Effect": "Deny", "Action": "s3:DeleteBucket"}},
	} {
		s.has(t, kind, map[string]any{"PolicyDocument": map[string]any{"Statement": statements}})
	}
}

func TestRemovalKeepsDataUnlessTold(t *testing.T) {
	t.Parallel()
	want := map[string]string{"": "Retain", "retain": "Retain", "destroy": "Delete"}
	for removal, policy := range want {
		s := synthWith(t, map[string]any{"removal": removal})
		kept := policy == "Retain"
		for id, table := range s.ofType("AWS::DynamoDB::Table") {
			if got := table.Properties["DeletionProtectionEnabled"]; got != kept {
				t.Errorf("removal %s: the protection of %s is %v, want %t", removal, id, got, kept)
			}
		}
		rules := s.only(t, "AWS::S3::BucketPolicy", "")
		if got := strings.Contains(fmt.Sprint(rules.Properties), "s3:DeleteBucket"); got != kept || rules.DeletionPolicy == "Retain" != kept {
			t.Errorf("removal %s: the bucket's policy forbids its deletion: %t, and is kept: %q", removal, got, rules.DeletionPolicy)
		}
		for id, pattern := range map[string]string{"Table": "AWS::DynamoDB::Table", "AdminTable": "AWS::DynamoDB::Table", "Bucket": "AWS::S3::Bucket"} {
			if got := s.only(t, pattern, "^"+id).DeletionPolicy; got != policy {
				t.Errorf("removal %s: %s has DeletionPolicy %q, want %q", removal, id, got, policy)
			}
		}
	}
}

// TestDataOfAnotherStack takes over the table and the bucket that another stack left: neither is made, all of the functions
// have them, with the permissions that they would have otherwise.
func TestDataOfAnotherStack(t *testing.T) {
	t.Parallel()
	s := synthWith(t, map[string]any{
		"existingTable": "Musketry-Table-1ABC", "existingAdminTable": "Musketry-AdminTable-1ABC", "existingBucket": "musketry-bucket-1abc",
	})
	made := sharedSynth(t)
	for _, kind := range []string{"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::S3::BucketPolicy"} {
		if n := len(s.ofType(kind)); n != 0 {
			t.Errorf("%d resources are a %s", n, kind)
		}
	}
	for _, name := range []string{"Submit", "Execute", "Finalize"} {
		fn := s.only(t, "AWS::Lambda::Function", "^"+name)
		environment, _ := fn.Properties["Environment"].(map[string]any)
		variables, _ := environment["Variables"].(map[string]any)
		if variables[boot.EnvTable] != "Musketry-Table-1ABC" || variables[boot.EnvBucket] != "musketry-bucket-1abc" {
			t.Errorf("%s works on %v and %v", name, variables[boot.EnvTable], variables[boot.EnvBucket])
		}
		if got, want := len(s.grants(t, name)), len(made.grants(t, name)); got != want {
			t.Errorf("%s has %d grants, want %d:\n%v", name, got, want, s.grants(t, name))
		}
	}
	told := fmt.Sprint(s.outputs[outputs.Table], s.outputs[outputs.Bucket])
	if told != "map[Value:Musketry-Table-1ABC] map[Value:musketry-bucket-1abc]" {
		t.Errorf("outputs are %s", told)
	}
}

func synthWith(t *testing.T, context map[string]any) *synth {
	t.Helper()
	s, err := newSynth(context)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestQueueOutlastsItsConsumer(t *testing.T) {
	t.Parallel()
	s := sharedSynth(t)
	queue := s.only(t, "AWS::SQS::Queue", "^Queue[^D]")
	visibility, _ := queue.Properties["VisibilityTimeout"].(float64)
	timeout, _ := s.only(t, "AWS::Lambda::Function", "^Execute").Properties["Timeout"].(float64)
	if timeout == 0 || visibility < timeout {
		t.Errorf("visibility timeout %v s is below the function's %v s: AWS refuses the event source", visibility, timeout)
	}
	redrive, _ := queue.Properties["RedrivePolicy"].(map[string]any)
	if got := redrive["maxReceiveCount"]; got != float64(1000) {
		t.Errorf("maxReceiveCount is %v, want 1000: every backoff is a receive", got)
	}
	for id, r := range s.ofType("AWS::SQS::Queue") {
		if got := r.Properties["MessageRetentionPeriod"]; got != float64(14*24*60*60) {
			t.Errorf("%s keeps messages for %v s, want 14 days", id, got)
		}
		if got := r.Properties["SqsManagedSseEnabled"]; got != true {
			t.Errorf("%s is not encrypted", id)
		}
	}
}

func TestEventSourceReportsPartialBatches(t *testing.T) {
	t.Parallel()
	sharedSynth(t).has(t, "AWS::Lambda::EventSourceMapping", map[string]any{
		"BatchSize":             10,
		"FunctionResponseTypes": []any{"ReportBatchItemFailures"},
		"ScalingConfig":         map[string]any{"MaximumConcurrency": 10},
	})
}

func TestFunctions(t *testing.T) {
	t.Parallel()
	s := sharedSynth(t)
	tests := map[string]struct {
		memory float64
		env    []string
	}{
		"Submit": {512, []string{
			boot.EnvAdminTable, boot.EnvBucket, boot.EnvFlowARN, boot.EnvLogLevel, boot.EnvStack, boot.EnvTable, boot.EnvUpstreamAllowPrivate,
			boot.EnvUpstreamBaseURL,
		}},
		"Execute": {1024, []string{
			boot.EnvAdminTable, boot.EnvBucket, boot.EnvKeyPrefix, boot.EnvLogLevel, boot.EnvQueueURL, boot.EnvStack, boot.EnvTable,
			boot.EnvUpstreamAllowPrivate, boot.EnvUpstreamBaseURL, boot.EnvUpstreamKeyParameter,
		}},
		"Finalize": {512, []string{
			boot.EnvBucket, boot.EnvDeadLettersURL, boot.EnvFlowARN, boot.EnvLogLevel, boot.EnvMessageGroups,
			boot.EnvQueueURL, boot.EnvStack, boot.EnvTable,
		}},
	}
	for id, tt := range tests {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			p := s.only(t, "AWS::Lambda::Function", "^"+id).Properties
			got := map[string]any{
				"Runtime": p["Runtime"], "Architectures": p["Architectures"], "MemorySize": p["MemorySize"],
				"Timeout": p["Timeout"], "Handler": p["Handler"],
			}
			want := map[string]any{
				"Runtime": "provided.al2023", "Architectures": []any{"arm64"}, "MemorySize": tt.memory,
				"Timeout": float64(900), "Handler": "bootstrap",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			environment, _ := p["Environment"].(map[string]any)
			variables, _ := environment["Variables"].(map[string]any)
			var names []string
			for name := range variables {
				names = append(names, name)
			}
			slices.Sort(names)
			if diff := cmp.Diff(tt.env, names); diff != "" {
				t.Error(diff)
			}
			if p["LoggingConfig"] == nil {
				t.Error("has no log group of its own")
			}
		})
	}
}

func TestLogsForget(t *testing.T) {
	t.Parallel()
	groups := sharedSynth(t).ofType("AWS::Logs::LogGroup")
	if len(groups) != 4 {
		t.Errorf("got %d log groups, want one for each Lambda and one for the flow", len(groups))
	}
	for id, r := range groups {
		if got := r.Properties["RetentionInDays"]; got != float64(30) {
			t.Errorf("%s keeps its lines for %v days, want 30", id, got)
		}
	}
	sharedSynth(t).has(t, "AWS::StepFunctions::StateMachine", map[string]any{
		"LoggingConfiguration": map[string]any{"IncludeExecutionData": false, "Level": "ERROR"},
	})
}

// allowedEverywhere are the actions that AWS lets nobody limit to a resource: the flow's log delivery.
// https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html#cloudwatch-iam-policy
var allowedEverywhere = []string{
	"logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies",
	"logs:GetLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
}

func TestRolesAreNarrow(t *testing.T) {
	t.Parallel()
	s := sharedSynth(t)
	for id, r := range s.ofType("AWS::IAM::Role") {
		if r.Properties["ManagedPolicyArns"] != nil {
			t.Errorf("%s has a managed policy: %v", id, r.Properties["ManagedPolicyArns"])
		}
	}
	policies := s.ofType("AWS::IAM::Policy")
	if len(policies) != 4 {
		t.Errorf("got %d policies, want one for each Lambda and one for the flow", len(policies))
	}
	for id, r := range policies {
		document, _ := r.Properties["PolicyDocument"].(map[string]any)
		for _, statement := range list(document["Statement"]) {
			checkStatement(t, id, statement)
		}
	}
}

func checkStatement(t *testing.T, id string, statement any) {
	t.Helper()
	s, _ := statement.(map[string]any)
	actions := list(s["Action"])
	if len(actions) == 0 || len(list(s["Resource"])) == 0 {
		t.Errorf("%s: a statement without actions or resources: %v", id, s)
	}
	everywhere := slices.Contains(list(s["Resource"]), any("*"))
	for _, action := range actions {
		name := fmt.Sprint(action)
		if strings.Contains(name, "*") {
			t.Errorf("%s allows %s", id, name)
		}
		if everywhere && !slices.Contains(allowedEverywhere, name) {
			t.Errorf("%s allows %s on every resource", id, name)
		}
	}
}

// list makes a list of what IAM lets be one value or many.
func list(value any) []any {
	switch v := value.(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		return []any{v}
	}
}

func TestGatewaySpeaksOpenAIErrors(t *testing.T) {
	t.Parallel()
	s := sharedSynth(t)
	want := map[string]string{
		"REQUEST_TOO_LARGE": "413", "MISSING_AUTHENTICATION_TOKEN": "404", "THROTTLED": "429", "ACCESS_DENIED": "403",
		"INTEGRATION_TIMEOUT": "504", "DEFAULT_4XX": "<nil>", "DEFAULT_5XX": "<nil>",
	}
	got := map[string]string{}
	for _, r := range s.ofType("AWS::ApiGateway::GatewayResponse") {
		kind := fmt.Sprint(r.Properties["ResponseType"])
		got[kind] = fmt.Sprint(r.Properties["StatusCode"])
		templates, _ := r.Properties["ResponseTemplates"].(map[string]any)
		body := strings.ReplaceAll(fmt.Sprint(templates["application/json"]), "$context.error.messageString", `"told"`)
		var envelope struct {
			Error map[string]any `json:"error"`
		}
		if err := json.Unmarshal([]byte(body), &envelope); err != nil {
			t.Errorf("%s: %v in %s", kind, err, body)
		}
		for _, key := range []string{"message", "type", "param", "code"} {
			if _, there := envelope.Error[key]; !there {
				t.Errorf("%s: the envelope lacks %s", kind, key)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	s.has(t, "AWS::ApiGateway::RestApi", map[string]any{"BinaryMediaTypes": []any{
		"multipart/form-data", "application/binary", "application/octet-stream",
	}})
	s.has(t, "AWS::ApiGateway::Stage", map[string]any{"StageName": "v1"})
}

// TestAzuresClientsHaveAStage demands that the address without a stage is one that Azure's clients, who add openai to it, can
// be given: the same deployment, and let to ask the function.
func TestAzuresClientsHaveAStage(t *testing.T) {
	t.Parallel()
	s := sharedSynth(t)
	stages := map[string]any{}
	for _, r := range s.ofType("AWS::ApiGateway::Stage") {
		stages[fmt.Sprint(r.Properties["StageName"])] = r.Properties["DeploymentId"]
	}
	if len(stages) != 2 || stages["v1"] == nil || !cmp.Equal(stages["openai"], stages["v1"]) {
		t.Errorf("the stages' deployments are %v", stages)
	}
	permitted := false
	for _, p := range s.ofType("AWS::Lambda::Permission") {
		source := fmt.Sprint(p.Properties["SourceArn"])
		permitted = permitted || strings.Contains(source, "/openai/*/*]") && p.Properties["Action"] == "lambda:InvokeFunction" &&
			p.Properties["Principal"] == "apigateway.amazonaws.com"
	}
	if !permitted {
		t.Error("the stage may not ask the function")
	}
	if got := fmt.Sprint(s.outputs[outputs.AzureEndpoint]); !strings.Contains(got, "https://") || strings.Contains(got, "/v1") {
		t.Errorf("the endpoint told is %s", got)
	}
}

// TestStageIsThrottled demands that a flood of requests is refused by the gateway, in OpenAI's shape, before it costs an
// invocation; and that a client is told to come back.
func TestStageIsThrottled(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		context     map[string]any
		rate, burst int
	}{
		{nil, 100, 200},
		{map[string]any{"apiRate": "7", "apiBurst": "9"}, 7, 9},
	} {
		for _, stage := range []string{"v1", "openai"} {
			synthWith(t, tt.context).has(t, "AWS::ApiGateway::Stage", map[string]any{"StageName": stage, "MethodSettings": []any{
				map[string]any{
					"HttpMethod": "*", "ResourcePath": "/*", "ThrottlingRateLimit": tt.rate, "ThrottlingBurstLimit": tt.burst,
				},
			}})
		}
	}
	sharedSynth(t).has(t, "AWS::ApiGateway::GatewayResponse", map[string]any{
		"ResponseType": "THROTTLED", "StatusCode": "429",
		"ResponseParameters": map[string]any{
			"gatewayresponse.header.Retry-After": "'1'", "gatewayresponse.header.X-Should-Retry": "'true'",
		},
	})
}

// TestConcurrencyIsReservedOnDemand: a reservation is taken from the whole account, so it is nobody's default.
func TestConcurrencyIsReservedOnDemand(t *testing.T) {
	t.Parallel()
	for context, want := range map[string]any{"": nil, "20": 20.0} {
		s := synthWith(t, map[string]any{"submitConcurrency": context})
		for id, r := range s.ofType("AWS::Lambda::Function") {
			reserved := r.Properties["ReservedConcurrentExecutions"]
			if strings.HasPrefix(id, "Submit") && reserved != want || !strings.HasPrefix(id, "Submit") && reserved != nil {
				t.Errorf("submitConcurrency %q: %s reserves %v, want %v for submit", context, id, reserved, want)
			}
		}
	}
}

func TestWarmThroughputOnDemand(t *testing.T) {
	t.Parallel()
	for context, want := range map[string]string{"": "<nil>", "10000": "map[WriteUnitsPerSecond:10000]"} {
		table := synthWith(t, map[string]any{"warmWrites": context}).only(t, "AWS::DynamoDB::Table", "^Table")
		if got := fmt.Sprint(table.Properties["WarmThroughput"]); got != want {
			t.Errorf("warmWrites %q: the table is prepared for %s, want %s", context, got, want)
		}
	}
}

// TestStreamedRoutes demands of each streamed route what API Gateway needs for a stream, and of the ways to it that no
// path lacks a method.
func TestStreamedRoutes(t *testing.T) {
	t.Parallel()
	s := sharedSynth(t)
	methods := s.methods()
	for _, route := range boot.StreamedRoutes() {
		integration, _ := methods[route].Properties["Integration"].(map[string]any)
		uri := fmt.Sprint(integration["Uri"])
		if integration["Type"] != "AWS_PROXY" || integration["IntegrationHttpMethod"] != "POST" ||
			integration["ResponseTransferMode"] != "STREAM" || integration["TimeoutInMillis"] != 900000.0 ||
			!strings.Contains(uri, ":lambda:path/2021-11-15/functions/ map[Fn::GetAtt:[Submit") ||
			!strings.Contains(uri, "/response-streaming-invocations]") {
			t.Errorf("%s: %v", route, integration)
		}
		if !s.mayInvoke(strings.Replace(route, " ", "", 1)) {
			t.Errorf("%s: the gateway may not invoke the function", route)
		}
	}
	want := []string{
		"ANY /", "ANY /files", "ANY /files/{id}", "ANY /files/{id}/content", "ANY /files/{id}/{proxy+}", "ANY /{proxy+}",
		"GET /files/{id}/content",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(methods))); diff != "" {
		t.Error(diff)
	}
	streams := 0
	for _, m := range methods {
		if integration, _ := m.Properties["Integration"].(map[string]any); integration["ResponseTransferMode"] != nil {
			streams++
		}
	}
	if streams != len(boot.StreamedRoutes()) {
		t.Errorf("%d methods stream, want %d", streams, len(boot.StreamedRoutes()))
	}
}

func TestStreamingCanBeOff(t *testing.T) {
	t.Parallel()
	got := slices.Sorted(maps.Keys(synthWith(t, map[string]any{"streaming": "off"}).methods()))
	if diff := cmp.Diff([]string{"ANY /", "ANY /{proxy+}"}, got); diff != "" {
		t.Error(diff)
	}
}

// methods gives the API's methods by verb and path.
func (s *synth) methods() map[string]resource {
	found := map[string]resource{}
	for _, m := range s.ofType("AWS::ApiGateway::Method") {
		found[fmt.Sprint(m.Properties["HttpMethod"])+" /"+s.pathOf(m.Properties["ResourceId"])] = m
	}
	return found
}

// pathOf gives the path of the API's resource that a value refers to; empty for the root.
func (s *synth) pathOf(ref any) string {
	object, _ := ref.(map[string]any)
	r, known := s.resources[fmt.Sprint(object["Ref"])]
	if !known {
		return ""
	}
	return path.Join(s.pathOf(r.Properties["ParentId"]), fmt.Sprint(r.Properties["PathPart"]))
}

// mayInvoke reports whether a permission names a verb and path, variables as stars.
func (s *synth) mayInvoke(route string) bool {
	source := regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(route, "*")
	for _, p := range s.ofType("AWS::Lambda::Permission") {
		if strings.Contains(fmt.Sprint(p.Properties["SourceArn"]), "/"+source+"]") {
			return p.Properties["Action"] == "lambda:InvokeFunction"
		}
	}
	return false
}

func TestOutputs(t *testing.T) {
	t.Parallel()
	var got []string
	for name := range sharedSynth(t).outputs {
		got = append(got, name)
	}
	slices.Sort(got)
	want := []string{
		outputs.AdminTable, outputs.APIID, outputs.APIURL, outputs.AzureEndpoint, outputs.Bucket, outputs.DeadLetters, outputs.FlowARN,
		outputs.QueueURL, outputs.Table, outputs.UpstreamKey, outputs.KeyPrefix,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestContextIsChecked(t *testing.T) {
	t.Parallel()
	tests := map[string]map[string]any{
		"name":                 {"name": "has space"},
		"architecture":         {"architecture": "mips"},
		"removal":              {"removal": "maybe"},
		"apiRate":              {"apiRate": "0"},
		"apiBurst":             {"apiBurst": "5001"},
		"apiStage":             {"apiStage": "openai"},
		"invocations":          {"invocations": "1"},
		"submitConcurrency":    {"submitConcurrency": "-1"},
		"executeMemory":        {"executeMemory": "64"},
		"messageGroups":        {"messageGroups": "yes"},
		"streaming":            {"streaming": "maybe"},
		"upstreamKeyParameter": {"upstreamKeyParameter": "no-slash"},
		"maxRequests":          {"maxRequests": "1000001"},
		"backoffFactor":        {"backoffFactor": "0"},
		"tenantRequests":       {"tenantRequests": "1"},
		"allowance":            {"allowance": "200000"},
		"corsOrigins":          {"corsOrigins": "example.com"},
		"extraEndpoints":       {"extraEndpoints": "/v1/../files"},
		"tenantByte":           {"tenantByte": "1000000"}, // a limit that nobody would have
		"upstreamBaseUrl":      {"upstreamBaseUrl": "file:///etc"},
		"http":                 {"upstreamBaseUrl": "http://example.com/v1"},
		"upstreamAllowPrivate": {"upstreamAllowPrivate": "yes"},
		"upstreamCa":           {"upstreamCa": "ca.pem"},
		"bedrock":              {"bedrock": "yes"},
		"accessLogs":           {"accessLogs": "yes"},
		"firewall":             {"firewall": "yes"},
		"firewallRate":         {"firewallRate": "9"},
		"allowedNetworks":      {"allowedNetworks": "192.0.2.0/24,192.0.2.1"},
		"leaveOut":             {"leaveOut": "AWS::WAFv2::WebACL,"},
		"existingTable":        {"existingBucket": "musketry-bucket"},
		"existingAdminTable":   {"existingTable": "Musketry-Table", "existingBucket": "musketry-bucket"},
		"existingBucket":       {"existingTable": "Musketry-Table", "existingAdminTable": "Musketry-Admin", "existingBucket": "No Bucket"},
	}
	for key, context := range tests {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			if _, err := newSynth(context); err == nil || !strings.Contains(err.Error(), key) {
				t.Errorf("got %v, want an error that names %s", err, key)
			}
		})
	}
}

// TestContextKeepsPasswords demands that a base URL with a password is refused, and not quoted.
func TestContextKeepsPasswords(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"https://user:hunter2@example.com/v1", "https://example.com/v1?key=hunter2"} {
		_, err := newSynth(map[string]any{"upstreamBaseUrl": url})
		if err == nil || !strings.Contains(err.Error(), "upstreamBaseUrl") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want an error that names upstreamBaseUrl and quotes no password", err)
		}
	}
}

// certificate is an authority's, made for this test, in base64.
const certificate = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJkakNDQVJ1Z0F3SUJBZ0lVQXdhcEtuOEZIM25jeFoxd3paOXZaNDZUUjlvd0NnWUlLb1pJemowRUF3SXcKRHpFTk1Bc0dBMVVFQXd3RWRHVnpkREFnRncweU5qRXhNall4TmpRMk1qaGFHQTh5TVRJMk1URXdNakUyTkRZeQpPRm93RHpFTk1Bc0dBMVVFQXd3RWRHVnpkREJaTUJNR0J5cUdTTTQ5QWdFR0NDcUdTTTQ5QXdFSEEwSUFCQnJ5CmY4L2pGa3dMWWZTcDlkamYvd0RqZWdiQ29WcGswK0pIOE02WDRGM1ExbE5EV0I1Q3pzeW5lT3Z0STZJYjNXUDMKSEgwU3R2amZablV5YkRGdHkvT2pVekJSTUIwR0ExVWREZ1FXQkJUbEZhOHhOMjNXMWt4ZFpoRjkvaXRJbDNVaQozREFmQmdOVkhTTUVHREFXZ0JUbEZhOHhOMjNXMWt4ZFpoRjkvaXRJbDNVaTNEQVBCZ05WSFJNQkFmOEVCVEFECkFRSC9NQW9HQ0NxR1NNNDlCQU1DQTBrQU1FWUNJUUNjcUZRVndwb1NmNU5xallyd3hKaXhXMTl6OURQRVlBdHIKd1c4eFhPN2hVUUloQUpPdk0wdDQ1ZGFvUGVWTVkxRVdoYm4zMmJTOTVZaGhMbjRSMUNQb2xqWHoKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo="

// TestBedrockIsGrantedOnDemand holds what the role may call where it may, beside the usual, which TestRoles has.
func TestBedrockIsGrantedOnDemand(t *testing.T) {
	t.Parallel()
	got := synthWith(t, map[string]any{"bedrock": "on"}).grants(t, "Execute")
	own := func(service, resource string) string {
		return "arn:AWS::Partition:" + service + ":*:AWS::AccountId:" + resource
	}
	const invoke = "bedrock:InvokeModel bedrock:InvokeModelWithResponseStream"
	for resource, want := range map[string]string{
		"arn:AWS::Partition:bedrock:*::foundation-model/*": invoke, own("bedrock", "inference-profile/*"): invoke, own("bedrock", "application-inference-profile/*"): invoke,
		own("bedrock", "provisioned-model/*"): invoke, own("bedrock", "imported-model/*"): invoke,
		own("bedrock-mantle", "project/*"): "bedrock-mantle:CreateInference",
	} {
		if got[resource] != want {
			t.Errorf("on %s it may %q, want %q; all: %v", resource, got[resource], want, got)
		}
	}
}

func TestContextShapesTheStack(t *testing.T) {
	t.Parallel()
	s := synthWith(t, map[string]any{
		"name": "Other", "architecture": "x86_64", "invocations": "10", "upstreamBaseUrl": "http://127.0.0.1:1/v1",
		"upstreamAllowPrivate": "on", "upstreamCa": certificate, "bedrock": "on",
		"apiStage": "v2", "messageGroups": "off", "executeMemory": "2048", "maxRequests": "1000000", "models": "a,b", "allowance": "5000",
	})
	variables, _ := s.only(t, "AWS::Lambda::Function", "^Submit").Properties["Environment"].(map[string]any)["Variables"].(map[string]any)
	if variables[boot.EnvMaxRequests] != "1000000" || variables[boot.EnvModels] != "a,b" || variables[boot.EnvTenantBatches] != nil {
		t.Errorf("submit's environment is %v", variables)
	}
	s.has(t, "AWS::StepFunctions::StateMachine", map[string]any{"StateMachineName": "Other-batch"})
	s.has(t, "AWS::Lambda::EventSourceMapping", map[string]any{
		"ScalingConfig": map[string]any{"MaximumConcurrency": 10},
	})
	s.has(t, "AWS::ApiGateway::Stage", map[string]any{"StageName": "v2"})
	s.has(t, "AWS::Lambda::Function", map[string]any{
		"Architectures": []any{"x86_64"}, "MemorySize": 2048,
		"Environment": map[string]any{"Variables": map[string]any{
			boot.EnvUpstreamBaseURL: "http://127.0.0.1:1/v1", boot.EnvUpstreamAllowPrivate: "on", boot.EnvUpstreamCA: certificate, boot.EnvUpstreamKeyParameter: "/other/upstream-key",
			boot.EnvModels: "a,b",
		}},
	})
	s.has(t, "AWS::Lambda::Function", map[string]any{
		"Environment": map[string]any{"Variables": map[string]any{boot.EnvMessageGroups: "off", boot.EnvAllowance: "5000"}},
	})
}
