//go:build e2e

package e2e_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/openai/openai-go/v3"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/localstack/cloud"
)

// A release is code and a definition that go together.
type release struct {
	tags       string            // of the functions' build
	functions  map[string][]byte // code by the function's folder
	definition string
}

// TestUpgrade takes the stack to another version and back, while calls are in flight and flows are parked. The other
// version's definition has a state more, which its finalize leads to. Each flow goes on by the definition that it was
// started with; no batch fails, and no call is made twice. The stack is its own: it changes the functions of all who use it.
//
//nolint:paralleltest // it leads the environment to its cloud
func TestUpgrade(t *testing.T) {
	_, _, env := upCloud(t, cloud.Config{})
	for name, value := range env {
		t.Setenv(name, value)
	}
	c := newClient(t, "OPENAI_API_KEY")
	cfg, err := boot.AWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	flows := sfn.NewFromConfig(cfg)
	now := release{tags: "lambda.norpc", definition: definitionOf(t, flows)}
	next := release{tags: "lambda.norpc,upgrade", definition: withLook(t, now.definition)}
	now.build(t)
	next.build(t)

	var all []openai.Batch
	markers := map[string]string{}
	run := func() {
		t.Helper()
		m := marker(t)
		lines := make([]any, 0, 12)
		for i := range cap(lines) {
			lines = append(lines, chat(fmt.Sprintf("line-%02d", i), "standin:latency=40s", m))
		}
		b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, lines...)), "1h")
		awaitCalls(t, m, len(lines))
		all, markers[b.ID] = append(all, *b), m
	}
	store, err := dynamostore.New(dynamostore.NewClient(cfg), dynamostore.Config{Table: variable(t, boot.EnvTable), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	// turn wakes a batch's flow, which asks what is next while its calls go on.
	turn := func(b openai.Batch) {
		t.Helper()
		before := statesOf(t, flows, b.ID)["Advanced"]
		record, err := store.Batch(t.Context(), batch.Ref{Tenant: "first", ID: b.ID})
		if err == nil {
			_, err = flows.SendTaskSuccess(t.Context(), &sfn.SendTaskSuccessInput{TaskToken: &record.Token, Output: aws.String("{}")})
		}
		if err != nil {
			t.Fatal(err)
		}
		until(t.Context(), t, 10*time.Second, "the flow turns", func() bool { return statesOf(t, flows, b.ID)["Advanced"] > before })
		if got, err := c.Batches.Get(t.Context(), b.ID); err != nil || got.Status != openai.BatchStatusInProgress {
			t.Errorf("the flow turned too late to park again: %v, %v", got.Status, err)
		}
	}
	run() // of this version
	next.deploy(t.Context(), t, flows)
	turn(all[0])
	run() // of the next
	now.deploy(t.Context(), t, flows)
	turn(all[1])
	run() // of this one again
	turn(all[2])

	for i, b := range all {
		got := await(t.Context(), t, c, b.ID, patience, ended)
		if got.Status != openai.BatchStatusCompleted || got.RequestCounts.Completed != 12 {
			t.Errorf("batch %d ended %s", i, describe(got))
		}
		for id, n := range calls(t.Context(), t, markers[b.ID]) {
			if n != 1 {
				t.Errorf("batch %d: %s was called %d times: its invocation was not left alone", i, id, n)
			}
		}
		states := statesOf(t, flows, b.ID)
		if looked := states["Look"] > 0; looked != (i == 1) || states["Unknown"] > 0 || states["Abandon"] > 0 {
			t.Errorf("batch %d went through %v", i, states)
		}
	}
	if err := checkPermissions(t.Context()); err != nil {
		t.Error(err)
	}
}

// build makes the functions' code, zipped.
func (r *release) build(t *testing.T) {
	t.Helper()
	r.functions = map[string][]byte{}
	for _, name := range []string{"submit", "execute", "finalize"} {
		target := filepath.Join(t.TempDir(), "bootstrap")
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", target,
			"-tags", r.tags, "-ldflags", "-s -w", "./lambdas/"+name)
		build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		program, err := os.ReadFile(target)
		if err != nil {
			t.Fatal(err)
		}
		var packed bytes.Buffer
		w := zip.NewWriter(&packed)
		header := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate}
		header.SetMode(0o755)
		f, err := w.CreateHeader(header)
		if err == nil {
			_, err = f.Write(program)
		}
		if err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		r.functions[name] = packed.Bytes()
	}
}

// deploy updates the functions, and then the state machine, as CloudFormation does, and waits until that is what new
// invocations run.
func (r *release) deploy(ctx context.Context, t *testing.T, flows *sfn.Client) {
	t.Helper()
	for folder, code := range r.functions {
		name := functionName(ctx, t, folder)
		var updated struct{}
		askLambda(ctx, t, http.MethodPut, "/"+name+"/code", map[string]any{"ZipFile": code}, &updated)
		until(ctx, t, time.Minute, name+" is updated", func() bool {
			var config struct{ LastUpdateStatus string }
			askLambda(ctx, t, http.MethodGet, "/"+name+"/configuration", nil, &config)
			return config.LastUpdateStatus == "Successful"
		})
	}
	_, err := flows.UpdateStateMachine(ctx, &sfn.UpdateStateMachineInput{
		StateMachineArn: aws.String(variable(t, boot.EnvFlowARN)), Definition: &r.definition,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func functionName(ctx context.Context, t *testing.T, folder string) string {
	t.Helper()
	var list struct {
		Functions []struct{ FunctionName string }
	}
	askLambda(ctx, t, http.MethodGet, "/", nil, &list)
	mark := "-" + strings.ToUpper(folder[:1]) + folder[1:]
	for _, f := range list.Functions {
		if strings.Contains(f.FunctionName, mark) {
			return f.FunctionName
		}
	}
	t.Fatalf("no function %s among %v", mark, list)
	return ""
}

// askLambda calls Lambda (https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html).
func askLambda(ctx context.Context, t *testing.T, method, path string, in, out any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if in == nil {
		body = nil
	}
	req, err := http.NewRequestWithContext(ctx, method, variable(t, "AWS_ENDPOINT_URL")+"/2015-03-31/functions"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode < 300 {
		err = json.Unmarshal(answer, out)
	}
	if err != nil || res.StatusCode >= 300 {
		t.Fatalf("%s %s: %d, %v\n%.300s", method, path, res.StatusCode, err, answer)
	}
}

// definitionOf returns the state machine's definition.
func definitionOf(t *testing.T, flows *sfn.Client) string {
	t.Helper()
	out, err := flows.DescribeStateMachine(t.Context(), &sfn.DescribeStateMachineInput{
		StateMachineArn: aws.String(variable(t, boot.EnvFlowARN)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return *out.Definition
}

// withLook returns a definition's next version, with the state Look.
func withLook(t *testing.T, text string) string {
	t.Helper()
	var definition map[string]any
	if err := json.Unmarshal([]byte(text), &definition); err != nil {
		t.Fatal(err)
	}
	states, _ := definition["States"].(map[string]any)
	for _, s := range states {
		s, _ := s.(map[string]any)
		parameters, _ := s["Parameters"].(map[string]any)
		if payload, ok := parameters["Payload"].(map[string]any); ok {
			payload["version"] = batch.FlowVersion + 1
		}
	}
	advanced, _ := states["Advanced"].(map[string]any)
	choices, _ := advanced["Choices"].([]any)
	advanced["Choices"] = append(choices, map[string]any{"Variable": "$.next", "StringEquals": "look", "Next": "Look"})
	states["Look"] = map[string]any{"Type": "Wait", "Seconds": 1, "Next": "ParkMedium"}
	out, err := json.Marshal(definition)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// statesOf returns how often a batch's first flow entered each state.
func statesOf(t *testing.T, flows *sfn.Client, batchID string) map[string]int {
	t.Helper()
	entered := map[string]int{}
	pages := sfn.NewGetExecutionHistoryPaginator(flows, &sfn.GetExecutionHistoryInput{ExecutionArn: flowARN(t, batchID, 1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			if e.StateEnteredEventDetails != nil {
				entered[aws.ToString(e.StateEnteredEventDetails.Name)]++
			}
		}
	}
	return entered
}
