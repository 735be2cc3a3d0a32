//go:build e2e

package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/localstack/cloud"
)

// TestAccountOfTen deploys to an account whose functions have ten invocations at once, as a new one has, and runs a batch
// there: workers take five of them, so that whoever asks the API is never refused for want of one, and the flow goes on.
//
//nolint:paralleltest // it leads the environment to its cloud
func TestAccountOfTen(t *testing.T) {
	if engine := os.Getenv("MUSKETRY_E2E_ENGINE"); engine != "" && engine != "ministack" {
		t.Skipf("%s has no such limit", engine)
	}
	_, _, env := upCloud(t, cloud.Config{Concurrency: 10})
	for name, value := range env {
		t.Setenv(name, value)
	}
	cfg, err := boot.AWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sources, err := lambda.NewFromConfig(cfg).ListEventSourceMappings(t.Context(), &lambda.ListEventSourceMappingsInput{})
	if err != nil || len(sources.EventSourceMappings) != 1 {
		t.Fatalf("the event source: %v, %v", sources, err)
	}
	if scaling := sources.EventSourceMappings[0].ScalingConfig; scaling == nil || aws.ToInt32(scaling.MaximumConcurrency) != 5 {
		t.Errorf("the event source has %+v, want 5 invocations", scaling)
	}

	const lines = 200
	m := marker(t)
	c := openai.NewClient(option.WithBaseURL(env["OPENAI_BASE_URL"]), option.WithAPIKey(env["OPENAI_API_KEY"]))
	var all []any
	for range lines {
		all = append(all, chat(fmt.Sprintf("line-%03d", len(all)), "standin:latency=3s", m))
	}
	b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, all...)), "1h")
	awaitCalls(t, m, lines/2) // the workers are all there
	for range 20 {
		if status, body := ask(t, env["OPENAI_BASE_URL"]+"/batches/"+b.ID, env["OPENAI_API_KEY"]); status != http.StatusOK {
			t.Errorf("beside the workers the API answers %d: %s", status, body)
		}
		pause(t, 100*time.Millisecond)
	}
	b = await(t.Context(), t, c, b.ID, patience, ended)
	if b.Status != openai.BatchStatusCompleted || b.RequestCounts.Completed != lines {
		t.Errorf("it ended as %s", describe(b))
	}
}
