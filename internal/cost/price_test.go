package cost_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/musketry/musketry/internal/cost"
)

// TestBill holds each price against the page's own unit of it.
func TestBill(t *testing.T) {
	t.Parallel()
	b := cost.USEast1().Bill(cost.Units{
		Writes: 1e6, Reads: 2e6, Messages: 1e6, Puts: 1000, Gets: 1000, Transitions: 1000, Invocations: 1e6, GBSeconds: 1e6,
		LogBytes: 1 << 30,
	})
	for what, pair := range map[string][2]float64{
		"DynamoDB":       {b.DynamoDB, 0.875},
		"SQS":            {b.SQS, 0.5},
		"S3":             {b.S3, 0.0054},
		"Step Functions": {b.StepFunctions, 0.025},
		"Lambda":         {b.Lambda, 13.5334},
		"logs":           {b.Logs, 0.5},
		"all":            {b.Total(), 15.4388},
	} {
		if math.Abs(pair[0]-pair[1]) > 1e-9 {
			t.Errorf("%s costs %v, want %v", what, pair[0], pair[1])
		}
	}
}

// What a million requests cost of which each uses three write units and a hundredth of a GB-second.
func Example() {
	used := cost.Units{Writes: 3, GBSeconds: 0.01}
	var all cost.Units
	for range 1_000_000 {
		all = all.Plus(used)
	}
	fmt.Printf("%.2f dollars", cost.USEast1().Bill(all).Total())
	// Output: 2.01 dollars
}
