//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/musketry/musketry/localstack/cloud"
)

// faultRates has one in ten calls of AWS fail, and one in twenty of these at each attempt that the SDK makes.
const faultRates = "seed=1 error=0.03 throttle=0.03 timeout=0.04 lasting=0.05"

// faultyPatience bounds a batch under faults: some of its flow's steps fail, and are repeated after half a minute or so.
const faultyPatience = 2 * patience

// downFor is how long the provider is away as it restarts.
const downFor = 5 * time.Second

// TestFaults runs batches on a cloud of its own, whose Lambdas are built with faults in their calls of AWS.
// There the provider restarts too.
//
//nolint:paralleltest // it leads the environment to its cloud
func TestFaults(t *testing.T) {
	begun := time.Now()
	_, state, env := upCloud(t, cloud.Config{Faults: faultRates})
	for name, value := range env {
		t.Setenv(name, value)
	}
	t.Run("calls of AWS fail", func(t *testing.T) {
		runFaultyBatch(t, []string{
			"standin", "standin:latency=1s", "standin:status=400", "standin:status=429x1+retry-after=2", "standin",
			"standin:size=100000", "standin:reset=1", "standin", "standin:odd=error-400", "standin",
		}, func(string) {})
		var stats struct {
			Early int `json:"early_calls"`
		}
		if standin(t.Context(), t, "/standin/stats", &stats); stats.Early > 0 {
			t.Errorf("%d calls came before the Retry-After that they were told", stats.Early)
		}
	})
	t.Run("the provider restarts", func(t *testing.T) {
		runFaultyBatch(t, []string{"standin:latency=2s"}, func(m string) {
			awaitCalls(t, m, 20)
			restartStandIn(t, state)
		})
	})
	awaitFaults(t, begun)
}

// runFaultyBatch runs a batch of 300 lines that ask these models in turn, lets something happen while it runs, and demands
// that each line has its one outcome, in the order of the input.
func runFaultyBatch(t *testing.T, models []string, meanwhile func(marker string)) {
	t.Helper()
	m := marker(t)
	c := openai.NewClient(option.WithBaseURL(variable(t, "OPENAI_BASE_URL")), option.WithAPIKey(variable(t, "OPENAI_API_KEY")),
		option.WithMaxRetries(10)) // the API's calls of AWS fail too
	var lines []any
	var output, errs []string
	for i := range 300 {
		id, model := fmt.Sprintf("line-%03d", i), models[i%len(models)]
		lines = append(lines, chat(id, model, m))
		if slices.Contains([]string{"standin:status=400", "standin:odd=error-400"}, model) {
			errs = append(errs, id)
		} else {
			output = append(output, id)
		}
	}
	begun := time.Now()
	b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, lines...)), "1h")
	meanwhile(m)
	b = await(t.Context(), t, c, b.ID, faultyPatience, ended)
	t.Logf("%d lines took %v", len(lines), time.Since(begun).Round(time.Second))
	counts := b.RequestCounts
	if b.Status != openai.BatchStatusCompleted || counts.Total != int64(len(lines)) ||
		counts.Completed != int64(len(output)) || counts.Failed != int64(len(errs)) {
		t.Errorf("batch ended %s, want %d completed and %d failed", describe(b), len(output), len(errs))
	}
	if diff := cmp.Diff(output, customIDs(results(t.Context(), t, c, b.OutputFileID))); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(errs, customIDs(results(t.Context(), t, c, b.ErrorFileID))); len(errs) > 0 && diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

// awaitFaults demands that the Lambdas' logs count each kind of fault at the database, which is called most, and some at
// each service that a batch needs besides.
func awaitFaults(t *testing.T, begun time.Time) {
	t.Helper()
	var got map[string]float64
	wanted := []string{"DynamoDB error", "DynamoDB throttle", "DynamoDB timeout", "S3", "SQS"}
	until(t.Context(), t, time.Minute, "every fault is there", func() bool {
		got = map[string]float64{}
		for _, message := range logs(t.Context(), t, begun) {
			var fault struct {
				Service string  `json:"service"`
				Kind    string  `json:"kind"`
				Total   float64 `json:"faults_injected_total"`
			}
			if json.Unmarshal([]byte(message), &fault) == nil && fault.Total > 0 {
				got[fault.Service] += fault.Total
				got[fault.Service+" "+fault.Kind] += fault.Total
			}
		}
		return !slices.ContainsFunc(wanted, func(name string) bool { return got[name] == 0 })
	})
	t.Logf("faults: %v", got)
}

// restartStandIn kills the cloud's stand-in and starts another at its address, which knows of no earlier call.
func restartStandIn(t *testing.T, state string) {
	t.Helper()
	base, err := url.Parse(variable(t, "STANDIN_URL"))
	if err != nil {
		t.Fatal(err)
	}
	var stats struct {
		InFlight int `json:"in_flight"`
	}
	standin(t.Context(), t, "/standin/stats", &stats)
	if stats.InFlight == 0 {
		t.Fatal("there is no call to break")
	}
	if err := syscall.Kill(recordedProcesses(t, state)["standin"], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	pause(t, downFor)
	again := exec.CommandContext(t.Context(), filepath.Join(state, "bin", "standin"), "-listen", base.Host,
		"-ready-file", filepath.Join(t.TempDir(), "ready"))
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Wait() }) // The test's context ends it.
	t.Logf("%d calls were broken, and the stand-in was down for %v", stats.InFlight, downFor)
}
