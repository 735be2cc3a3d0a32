//go:build e2e && linux

package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
)

// TestKilledWorker kills every worker while calls are under way, and demands that each line has its answer all the same,
// and those that had one before are not called again.
//
//nolint:paralleltest // it kills the workers of every test
func TestKilledWorker(t *testing.T) {
	c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
	var lines []any
	var order []string
	for i := range 12 {
		model := "standin"
		if i%2 == 1 {
			model = "standin:latency=8s"
		}
		order = append(order, fmt.Sprintf("line-%02d", i))
		lines = append(lines, chat(order[i], model, m))
	}
	b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, lines...)), "1h")
	awaitCalls(t, m, len(lines))
	await(t.Context(), t, c, b.ID, patience, func(b *openai.Batch) bool { return b.RequestCounts.Completed >= 6 })
	if n := killWorkers(t); n == 0 {
		t.Fatal("there is no worker to kill")
	}
	b = await(t.Context(), t, c, b.ID, patience, ended)
	if b.Status != openai.BatchStatusCompleted || b.RequestCounts.Completed != int64(len(lines)) {
		t.Fatalf("batch ended %s", describe(b))
	}
	if diff := cmp.Diff(order, customIDs(results(t.Context(), t, c, b.OutputFileID))); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	called := calls(t.Context(), t, m)
	again := 0
	for i, id := range order {
		if i%2 == 0 && called[id] != 1 {
			t.Errorf("%s had its answer, and was called %d times", id, called[id])
		}
		if called[id] > 1 {
			again++
		}
	}
	if again == 0 {
		t.Error("no line was called again: nothing was killed")
	}
}

// killWorkers kills this stack's processes of execute, and returns how many there were.
func killWorkers(t *testing.T) int {
	t.Helper()
	killed := 0
	for _, folder := range functionProcesses(variable(t, "AWS_ENDPOINT_URL"), "Execute") {
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err == nil && syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	return killed
}

// functionProcesses returns the folders below /proc of the processes of a stack's function.
func functionProcesses(endpoint, function string) []string {
	marks := [][]byte{
		[]byte("AWS_ENDPOINT_URL=" + endpoint + "\x00"), []byte("AWS_LAMBDA_FUNCTION_NAME="), []byte("-" + function),
	}
	folders, _ := filepath.Glob("/proc/[0-9]*") // The pattern is good.
	var ours []string
	for _, folder := range folders {
		environ, err := os.ReadFile(filepath.Join(folder, "environ"))
		if err != nil { // It has ended, or is another user's.
			continue
		}
		all := true
		for _, mark := range marks {
			all = all && bytes.Contains(environ, mark)
		}
		if all {
			ours = append(ours, folder)
		}
	}
	return ours
}
