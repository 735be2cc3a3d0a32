//go:build e2e && soak && linux

package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
)

// TestKilledFleet kills all workers in the middle of a batch of 2,000 lines of 200 ms. From the kill to the batch's end it
// must take no more than a minute: messages come back 45 seconds after they were last hidden, and whoever finds what a
// killed worker recorded and did not count says so.
//
//nolint:paralleltest // it kills the workers of every test
func TestKilledFleet(t *testing.T) {
	c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
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
	t.Attr("kill", fmt.Sprintf("killed at %d of %d: %.1f s to the end, %d calls repeated", atKill, total, took.Seconds(), again))
	if b.Status != openai.BatchStatusCompleted || b.RequestCounts.Completed != total || took > time.Minute {
		t.Errorf("batch ended %s, %v after the kill", describe(b), took)
	}
}
