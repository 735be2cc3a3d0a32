package execute

import (
	"strings"
	"testing"
	"time"
)

// TestDurations demands how long a call may take: three times as long as the longest of
// its model's last hundred answers, once there are twenty, and no longer than its limit.
func TestDurations(t *testing.T) {
	t.Parallel()
	const limit = 10 * time.Minute
	d := newDurations()
	took := func(model string, n int, each time.Duration) {
		for range n {
			d.add(model, each)
		}
	}
	want := func(model string, want time.Duration) {
		t.Helper()
		if got := d.of(model, limit); got != want {
			t.Errorf("a call of %.20q may take %v, want %v", model, got, want)
		}
	}
	want("m", limit)
	took("m", 19, time.Second)
	want("m", limit)
	took("m", 1, 2*time.Second)
	want("m", 6*time.Second)
	took("m", 99, time.Second)
	want("m", 6*time.Second)
	took("m", 1, time.Second) // the hundredth after the long one
	want("m", 3*time.Second)
	took("slow", 20, 4*time.Minute)
	want("slow", limit)
	if got := d.least(limit); got != 3*time.Second {
		t.Errorf("a call of the fastest model may take %v", got)
	}
	long := strings.Repeat("m", longestModel)
	took(long, 20, time.Second)
	want(long, 3*time.Second)
	took(long+"m", 20, time.Second)
	want(long+"m", limit)
}

// TestDurationsOfManyModels has a tenant name more models than are known at a time.
func TestDurationsOfManyModels(t *testing.T) {
	t.Parallel()
	d := newDurations()
	name := func(n int) string { return strings.Repeat("m", n) }
	for n := range knownModels {
		for range fewAnswers {
			d.add(name(n), time.Second)
		}
	}
	if got := d.of(name(0), time.Minute); got != 3*time.Second {
		t.Errorf("with %d models the first one's calls may take %v", knownModels, got)
	}
	d.add(name(knownModels), time.Second)
	if got := d.of(name(0), time.Minute); got != time.Minute || len(d.models) != 1 {
		t.Errorf("with one more they may take %v, and %d are known", got, len(d.models))
	}
}
