package budget_test

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/cost"
)

// envBench has the measurements made whose names begin so, and their figures printed as a benchmark's are.
const envBench = "MUSKETRY_BENCH_BUDGET"

// measurements are what docs/performance.md tells of.
func measurements() []plan {
	plans := []plan{{lines: 10_000, mean: 10 * time.Second, spread: 0.5, invocations: 10, places: 250}}
	for _, mean := range []time.Duration{10 * time.Second, time.Second, 60 * time.Second} {
		plans = append(plans, plan{lines: 50_000, mean: mean, spread: 0.5, invocations: 10, places: 250})
	}
	// How far one deployment goes whose invocations are raised.
	return append(plans, plan{lines: 50_000, batches: 4, mean: 10 * time.Second, spread: 0.5, invocations: 100, places: 250})
}

// TestBudget holds a batch of 10,000 against what AWS may bill for it, and demands that all of it was counted.
func TestBudget(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a batch takes seconds")
	}
	const lines = 10_000
	r := run(t, plan{lines: lines, mean: 10 * time.Second, spread: 0.5, invocations: 10, places: 250})
	u := r.meter.units
	for _, f := range []struct {
		what        string
		got, budget float64
	}{
		{"write units a request", u.Writes / lines, 3.3},
		{"read units a request", u.Reads / lines, 0.3},
		{"calls of DynamoDB a request", float64(r.callsOf("DynamoDB")) / lines, 0.33}, // some 0.29, and more where a last call takes long
		{"requests of SQS a request", u.Messages / lines, 0.5},
		{"calls of S3 a request", (u.Puts + u.Gets) / lines, 0.15},
		{"transitions", u.Transitions, 60},
		{"invocations", u.Invocations, 100},
		{"GB-seconds a request", u.GBSeconds / lines, 0.12},
		{"bytes of logs a request", u.LogBytes / lines, 20},
		{"places not taken while messages wait", 1 - r.taken/r.possible, 0.15},
	} {
		if f.got <= 0 || f.got > f.budget {
			t.Errorf("%s: %.4g, of a budget of %.4g", f.what, f.got, f.budget)
		}
	}
	if calls := r.model.calls.Load(); calls != lines {
		t.Errorf("%d calls of %d lines", calls, lines)
	}
}

// TestMeasure makes the measurements that the environment names.
func TestMeasure(t *testing.T) { //nolint:paralleltest // one after another
	named, ok := os.LookupEnv(envBench)
	if !ok {
		t.Skip("make bench BENCH=budget measures")
	}
	for _, p := range measurements() {
		if strings.HasPrefix(p.String(), named) {
			run(t, p).print(os.Stdout)
		}
	}
}

// String names p.
func (p plan) String() string {
	return fmt.Sprintf("call=%.0fs/batches=%d/lines=%d/invocations=%d/places=%d", p.mean.Seconds(), max(p.batches, 1), p.lines, p.invocations, p.places)
}

// A result is what a batch took.
type result struct {
	*world
	took time.Duration // virtual
	real time.Duration
}

func run(t *testing.T, p plan) (r result) {
	t.Helper()
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		w, err := newWorld(p)
		if err != nil {
			t.Fatal(err)
		}
		took, err := w.run(t.Context())
		if err != nil {
			t.Fatalf("%v: %v", p, err)
		}
		r = result{world: w, took: took}
	})
	r.real = time.Since(began)
	return r
}

// callsOf returns the calls of a service.
func (r result) callsOf(service string) (n int) {
	for name, calls := range r.meter.calls {
		if strings.HasPrefix(name, service+".") {
			n += calls
		}
	}
	return n
}

// print writes r as go test prints a benchmark.
func (r result) print(out io.Writer) {
	lines := float64(r.plan.lines * max(r.plan.batches, 1))
	u, million := r.meter.units, 1e6/lines
	bill := cost.USEast1().Bill(u)
	flying := 0
	for _, n := range r.inFlight {
		flying += n
	}
	fmt.Fprintf(out, "BenchmarkBudget/%v 1 %d ns/op", r.plan, r.real.Nanoseconds())
	for _, f := range []struct {
		value float64
		unit  string
	}{
		{bill.Total() * million, "USD/M"},
		{bill.Lambda * million, "lambda-USD/M"},
		{bill.DynamoDB * million, "dynamodb-USD/M"},
		{bill.SQS * million, "sqs-USD/M"},
		{bill.S3 * million, "s3-USD/M"},
		{bill.StepFunctions * million, "flow-USD/M"},
		{bill.Logs * million, "logs-USD/M"},
		{u.Writes / lines, "write-units/req"},
		{u.Reads / lines, "read-units/req"},
		{float64(r.callsOf("DynamoDB")) / lines, "dynamodb-calls/req"},
		{u.Messages / lines, "sqs-calls/req"},
		{u.Puts / lines, "s3-puts/req"},
		{u.Gets / lines, "s3-gets/req"},
		{u.Transitions, "transitions/batch"},
		{float64(r.execute.billed.Milliseconds()) / lines, "execute-billed-ms/req"},
		{float64(r.finalize.billed.Milliseconds()) / lines, "finalize-billed-ms/req"},
		{float64(r.submit.billed.Milliseconds()) / lines, "submit-billed-ms/req"},
		{u.Invocations, "invocations/batch"},
		{u.LogBytes / lines, "log-bytes/req"},
		{100 * r.taken / max(r.possible, 1), "places-taken-%"},
		{float64(flying) / float64(max(len(r.inFlight), 1)), "calls-in-flight"},
		{u.Writes / r.took.Seconds(), "write-units/sec"},
		{lines / r.took.Seconds(), "requests/sec"},
		{r.table.throttled.Seconds(), "throttled-sec"},
		{r.took.Seconds(), "virtual-sec"},
	} {
		fmt.Fprintf(out, " %.6g %s", f.value, f.unit)
	}
	fmt.Fprintln(out)
	for _, name := range slices.Sorted(maps.Keys(r.meter.calls)) {
		fmt.Fprintf(out, "# %-50s %.4f a request\n", name, float64(r.meter.calls[name])/lines)
	}
}
