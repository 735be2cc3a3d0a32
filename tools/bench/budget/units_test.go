package budget_test

import (
	"testing"
	"time"
)

// TestTableUnits has one worker take a batch to its end, 25 requests a second, and holds what its table was asked
// against the budget of a request that succeeds at its first attempt: its creation, its claim, its outcome, and its
// share of counters, journal, heartbeats and all the rest.
func TestTableUnits(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a batch takes seconds")
	}
	const lines = 3_000
	r := run(t, plan{lines: lines, mean: 10 * time.Second, spread: 0.5, invocations: 1, places: 250})
	r.print(t.Output())
	writes := 0
	for _, op := range []string{"PutItem", "UpdateItem", "DeleteItem", "BatchExecuteStatement"} {
		writes += r.meter.calls["DynamoDB."+op]
	}
	for what, got := range map[string]struct{ is, most float64 }{
		"write units": {r.meter.units.Writes / lines, 3.3},
		"writes":      {float64(writes) / lines, 0.3},
		"read units":  {r.meter.units.Reads / lines, 0.3},
	} {
		if got.is > got.most {
			t.Errorf("%.3f %s a request, want %v at most", got.is, what, got.most)
		}
	}
}
