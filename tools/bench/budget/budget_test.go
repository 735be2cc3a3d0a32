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

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/cost"
)

// envBench has the measurements made whose names begin so, and their figures printed as a benchmark's are.
const envBench = "MUSKETRY_BENCH_BUDGET"

// measurements are what docs/performance.md tells of.
func measurements() []plan {
	var plans []plan
	for _, mean := range []time.Duration{10 * time.Second, time.Second, 60 * time.Second} {
		plans = append(plans, plan{lines: 50_000, mean: mean, spread: 0.5, invocations: 10, places: 250})
	}
	return plans
}

// TestBudget takes a small batch to its end and demands that it was all counted.
func TestBudget(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a batch takes seconds")
	}
	r := run(t, plan{lines: 1_000, mean: 10 * time.Second, spread: 0.5, invocations: 10, places: 250})
	u := r.meter.units
	for what, n := range map[string]float64{
		"write units": u.Writes, "read units": u.Reads, "messages": u.Messages, "puts": u.Puts, "gets": u.Gets,
		"transitions": u.Transitions, "invocations": u.Invocations, "GB-seconds": u.GBSeconds, "bytes of logs": u.LogBytes,
	} {
		if n < 1 {
			t.Errorf("%v %s were counted", n, what)
		}
	}
	if calls := r.model.calls.Load(); calls != 1_000 {
		t.Errorf("%d calls of 1,000 lines", calls)
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
	return fmt.Sprintf("call=%s/lines=%d/invocations=%d", p.mean, p.lines, p.invocations)
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
		b, took, err := w.run(t.Context())
		if err != nil || b.Status != batch.StatusCompleted || b.Counts.Completed != p.lines {
			t.Fatalf("%v: %v, the batch is %s, %+v", p, err, b.Status, b.Counts)
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
	lines := float64(r.plan.lines)
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
		{r.table.throttled.Seconds(), "throttled-sec"},
		{r.took.Seconds(), "virtual-sec"},
	} {
		fmt.Fprintf(out, " %.6g %s", f.value, f.unit)
	}
	fmt.Fprintln(out)
	for _, name := range slices.Sorted(maps.Keys(r.meter.calls)) {
		fmt.Fprintf(out, "# %-45s %.4f a request\n", name, float64(r.meter.calls[name])/lines)
	}
}
