//go:build e2e && bench && linux

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
)

// These measure, one after another, and print their figures as benchmarks do, for tools/bench. Calls are those that the
// engine counts, the event source's among them; units are those that the functions log.

// measured is how long a measurement may take.
const measured = 30 * time.Minute

// figures prints values by their units, in pairs, under a benchmark's name.
func figures(name string, took time.Duration, values ...any) {
	var b strings.Builder
	fmt.Fprintf(&b, "Benchmark%s 1 %d ns/op", name, took.Nanoseconds())
	for pair := range slices.Chunk(values, 2) {
		fmt.Fprintf(&b, " %v %s", pair...)
	}
	fmt.Fprintln(os.Stdout, b.String())
}

// same returns n requests of a model.
func same(t *testing.T, n int, model, m string) string {
	t.Helper()
	lines := make([]any, n)
	for i := range lines {
		lines[i] = chat(fmt.Sprintf("line-%05d", i), model, m)
	}
	return jsonl(t, lines...)
}

// A batchRun is what came of a batch.
type batchRun struct {
	*openai.Batch
	m                         string
	created, loaded, answered time.Time // as far as polling tells
	ended                     time.Time
}

// runBatch takes n requests of a model from their upload to their files; at the moment that half of them have an answer
// it calls halfway, if there is one.
func runBatch(t *testing.T, n int, model string, halfway func()) batchRun {
	t.Helper()
	c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
	file := uploadParts(t.Context(), t, c, openai.FilePurposeBatch, []byte(same(t, n, model, m)))
	r := batchRun{m: m, created: time.Now()}
	b := create(t.Context(), t, c, file, "24h")
	r.Batch = await(t.Context(), t, c, b.ID, measured, func(b *openai.Batch) bool {
		done := b.RequestCounts.Completed
		if r.loaded.IsZero() && b.Status != openai.BatchStatusValidating {
			r.loaded = time.Now()
		}
		if halfway != nil && done >= int64(n)*4/10 {
			halfway()
			halfway = nil
		}
		if r.answered.IsZero() && done == int64(n) {
			r.answered = time.Now()
		}
		return ended(b)
	})
	r.ended = time.Now()
	if r.Status != openai.BatchStatusCompleted || r.RequestCounts.Completed != int64(n) {
		t.Fatalf("batch ended %s", describe(r.Batch))
	}
	return r
}

// TestMeasureBudget runs 10,000 requests of 50 ms.
func TestMeasureBudget(t *testing.T) { //nolint:paralleltest // alone
	const n = 10_000 // The design's budget is of so many.
	before, begun := engineCalls(t), time.Now()
	r := runBatch(t, n, "standin:latency=50ms", nil)
	after := engineCalls(t)
	units := map[string]float64{}
	var logged int
	for _, message := range logs(t.Context(), t, begun) {
		logged += len(message)
		var line struct {
			Unit  string  `json:"unit"`
			Units float64 `json:"aws_units_total"`
		}
		if json.Unmarshal([]byte(message), &line) == nil {
			units[line.Unit] += line.Units
		}
	}
	calls := map[string]float64{}
	for name, count := range after {
		service, _, _ := strings.Cut(name, ".")
		calls[strings.ToLower(service)] += float64(count - before[name])
		if since := count - before[name]; since > 0 {
			fmt.Fprintf(os.Stdout, "# %-45s %.4f a request\n", name, float64(since)/n)
		}
	}
	values := []any{units["write"] / n, "write-units/req", units["read"] / n, "read-units/req", float64(logged) / n, "log-bytes/req"}
	for _, service := range slices.Sorted(maps.Keys(calls)) {
		values = append(values, calls[service]/n, service+"-calls/req")
	}
	figures("Local/budget/call=50ms/lines=10000", r.ended.Sub(r.created), values...)
}

// engineCalls returns how often each operation was called, as the engine counted it.
func engineCalls(t *testing.T) map[string]int {
	t.Helper()
	status, answer := send(t, http.MethodGet, variable(t, "AWS_ENDPOINT_URL")+"/_musketry/calls", "", "", nil)
	counted := map[string]int{}
	if err := json.Unmarshal(answer, &counted); err != nil || status != http.StatusOK {
		t.Fatalf("the engine does not count: %d, %v", status, err)
	}
	return counted
}

// TestMeasureCPU runs 10,000 requests of 50 ms, and then as many of 10 s with a spread of 50 %, and asks the system what the
// functions' processes took.
func TestMeasureCPU(t *testing.T) { //nolint:paralleltest // alone
	runBatch(t, 200, "standin", nil) // what is cold is warm
	for _, latency := range []string{"50ms", "10s~0.5"} {
		measureCPU(t, latency)
	}
}

func measureCPU(t *testing.T, latency string) {
	t.Helper()
	const n = 10_000
	functions := []string{"Submit", "Execute", "Finalize"}
	stop := watch(t, functions)
	r := runBatch(t, n, "standin:latency="+latency, nil)
	used := stop()
	var values []any
	var all time.Duration
	for _, function := range functions {
		u := used[function]
		all += u.cpu
		name := strings.ToLower(function)
		values = append(values, float64(u.cpu.Microseconds())/1000/n, name+"-cpu-ms/req", u.peak>>20, name+"-peak-MiB", u.processes, name+"-processes")
	}
	values = append([]any{float64(all.Microseconds()) / 1000 / n, "cpu-ms/req"}, values...)
	figures("Local/cpu/call="+latency+"/lines=10000", r.ended.Sub(r.created), values...)
}

// A use is what a function's processes took.
type use struct {
	cpu       time.Duration
	peak      int64 // of the largest, in bytes
	processes int
}

// watch looks at functions' processes until the returned function is called, which returns what they took since.
func watch(t *testing.T, functions []string) func() map[string]use {
	t.Helper()
	endpoint := variable(t, "AWS_ENDPOINT_URL")
	type process struct{ function, folder string }
	first, last, peaks := map[process]time.Duration{}, map[process]time.Duration{}, map[process]int64{}
	look := func(fresh bool) {
		for _, function := range functions {
			for _, folder := range functionProcesses(endpoint, function) {
				p := process{function, folder}
				cpu, err := processorTime(folder)
				if err != nil {
					continue
				}
				if fresh {
					first[p] = cpu
				}
				last[p] = cpu
				if peak, err := residentPeak(folder); err == nil {
					peaks[p] = max(peaks[p], peak)
				}
			}
		}
	}
	look(true)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		ticks := time.NewTicker(250 * time.Millisecond)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
				look(false)
			}
		}
	})
	return func() map[string]use {
		cancel()
		group.Wait()
		look(false)
		used := map[string]use{}
		for p, cpu := range last {
			u := used[p.function]
			u.cpu += cpu - first[p]
			u.peak = max(u.peak, peaks[p])
			u.processes++
			used[p.function] = u
		}
		return used
	}
}

// processorTime reads a process's user and system time
// (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html), of which a second has 100 ticks.
func processorTime(folder string) (time.Duration, error) {
	stat, err := os.ReadFile(filepath.Join(folder, "stat"))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // From the third field on.
	if len(fields) < 13 {
		return 0, errors.New("too few fields")
	}
	user, err := strconv.Atoi(string(fields[11]))
	system, err2 := strconv.Atoi(string(fields[12]))
	return time.Duration(user+system) * time.Second / 100, errors.Join(err, err2)
}

// TestMeasureKill kills all workers in the middle of 8,000 requests of a second, of which each makes 250 at once.
func TestMeasureKill(t *testing.T) { //nolint:paralleltest // it kills the workers
	var killed time.Time
	workers := 0
	r := runBatch(t, 8_000, "standin:latency=1s", func() { killed, workers = time.Now(), killWorkers(t) })
	again := 0
	for _, n := range calls(t.Context(), t, r.m) {
		again += n - 1
	}
	figures("Local/kill/call=1s/lines=8000", r.ended.Sub(r.created), r.ended.Sub(killed).Seconds(), "kill-to-end-sec", again, "repeated-calls", workers, "killed-workers")
}

// TestMeasureKills kills all workers three times in the middle of 6,000 requests of two seconds: once a third has an answer, and twice
// more five seconds after others have come to life, of which some then hold what two have died of.
func TestMeasureKills(t *testing.T) { //nolint:paralleltest // it kills the workers
	const n, kills = 6_000, 3
	m := marker(t)
	c := newClient(t, "OPENAI_API_KEY")
	file := uploadParts(t.Context(), t, c, openai.FilePurposeBatch, []byte(same(t, n, "standin:latency=2s", m)))
	begun := time.Now()
	b := create(t.Context(), t, c, file, "24h")
	await(t.Context(), t, c, b.ID, measured, func(b *openai.Batch) bool { return b.RequestCounts.Completed >= n/3 })
	var killed time.Time
	workers := 0
	for kill := range kills {
		if kill > 0 {
			awaitWorkers(t)
			time.Sleep(5 * time.Second) // so late the next kill comes
		}
		killed = time.Now()
		workers += killWorkers(t)
	}
	r := await(t.Context(), t, c, b.ID, measured, ended)
	end := time.Now()
	if r.Status != openai.BatchStatusCompleted || r.RequestCounts.Completed != n {
		t.Fatalf("batch ended %s", describe(r))
	}
	again, most := 0, 0
	for _, called := range calls(t.Context(), t, m) {
		again, most = again+called-1, max(most, called)
	}
	figures("Local/kills/call=2s/lines=6000", end.Sub(begun), end.Sub(killed).Seconds(), "last-kill-to-end-sec",
		again, "repeated-calls", most, "most-calls-of-a-request", workers, "killed-workers")
}

// awaitWorkers waits until there are workers.
func awaitWorkers(t *testing.T) {
	t.Helper()
	until(t.Context(), t, patience, "workers live", func() bool {
		return len(functionProcesses(variable(t, "AWS_ENDPOINT_URL"), "Execute")) > 0
	})
}

// TestMeasureBackpressure runs 900 requests of a model that takes 600 a minute and says when the next one fits.
func TestMeasureBackpressure(t *testing.T) { //nolint:paralleltest // alone
	const n, allowed = 900, 600
	base, _, _ := strings.Cut(variable(t, "STANDIN_URL"), "/v1")
	limit := []byte(fmt.Sprintf(`{"standin-busy":{"rpm":%d,"retry_after":"fits"}}`, allowed))
	if status, answer := send(t, http.MethodPut, base+"/standin/limits", "", "application/json", limit); status != http.StatusOK {
		t.Fatalf("the stand-in takes no limits: %d %s", status, answer)
	}
	r := runBatch(t, n, "standin-busy:latency=50ms", nil)
	var counted struct {
		Limits map[string]struct {
			Accepted    int `json:"accepted"`
			Refused     int `json:"refused"`
			MaxRequests int `json:"max_requests"`
			Early       int `json:"early"`
		} `json:"limits"`
	}
	standin(t.Context(), t, "/standin/stats", &counted)
	s := counted.Limits["standin-busy"]
	took := r.ended.Sub(r.created)
	figures("Local/backpressure/rpm=600/lines=900", took, float64(s.Accepted+s.Refused)/n, "calls/answer",
		float64(s.Accepted)/n, "accepted/answer", s.MaxRequests, "most-a-minute", s.Early, "early-calls")
}

// TestMeasureWhole takes 50,000 requests from their order to their last answer and their files.
func TestMeasureWhole(t *testing.T) { //nolint:paralleltest // alone
	const n = 50_000
	r := runBatch(t, n, "standin", nil)
	figures("Local/ingest/lines=50000", r.loaded.Sub(r.created), n/r.loaded.Sub(r.created).Seconds(), "lines/sec")
	figures("Local/finalize/lines=50000", r.ended.Sub(r.answered), n/r.ended.Sub(r.answered).Seconds(), "lines/sec")
	figures("Local/whole/lines=50000", r.ended.Sub(r.created), n/r.ended.Sub(r.created).Seconds(), "lines/sec")
}
