//go:build e2e && linux

package e2e_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
)

// TestKilledFleet kills all workers in the middle of a batch of 2,000 lines of 200 ms, MUSKETRY_E2E_KILLS times in a row,
// each in a batch of its own. From the kill to the batch's end it must take no more than a minute: messages come back 45
// seconds after they were last hidden, and whoever finds what a killed worker recorded and did not count says so.
//
//nolint:paralleltest // it kills the workers of every test
func TestKilledFleet(t *testing.T) {
	kills, _ := strconv.Atoi(os.Getenv("MUSKETRY_E2E_KILLS"))
	if kills == 0 {
		t.Skip("MUSKETRY_E2E_KILLS=20 kills the fleet so often, a minute each")
	}
	c := newClient(t, "OPENAI_API_KEY")
	for n := range kills {
		m := marker(t)
		const total = 2_000
		lines := make([]any, total)
		for i := range lines {
			lines[i] = chat(fmt.Sprintf("line-%04d", i), "standin:latency=200ms", m)
		}
		b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, lines...)), "1h")
		b = await(t.Context(), t, c, b.ID, patience, func(b *openai.Batch) bool { return b.RequestCounts.Completed >= total*4/10 })
		killed, atKill := time.Now(), b.RequestCounts.Completed
		if killWorkers(t) == 0 {
			t.Fatal("there is no worker to kill")
		}
		b = await(t.Context(), t, c, b.ID, patience, ended)
		took := time.Since(killed)
		again := 0
		for _, n := range calls(t.Context(), t, m) {
			again += n - 1
		}
		t.Logf("kill %d, at %d of %d: %.1f s to the end, %d calls repeated", n+1, atKill, total, took.Seconds(), again)
		if b.Status != openai.BatchStatusCompleted || b.RequestCounts.Completed != total || took > time.Minute {
			t.Errorf("batch ended %s, %v after the kill", describe(b), took)
		}
	}
}
