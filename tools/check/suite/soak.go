package suite

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// soakTests are what is repeated, each list on a cloud of its own beside the other: workers are killed, an execution is
// stopped, messages are deleted; calls of AWS fail, and the provider restarts. What TestMissedMessages waits for takes
// minutes: its last run waits for all.
func soakTests() [][]string {
	return [][]string{{"TestKilledFleet", "TestStoppedFlow", "TestLostMessages", "TestMissedMessages"}, {"TestFaults"}}
}

// soakTimeout bounds a run, and soakEnd what the last one waits for besides.
const (
	soakTimeout = 15 * time.Minute
	soakEnd     = 20 * time.Minute
)

// RunSoak repeats the end-to-end tests of faults until one fails, and tells of each run.
func RunSoak(ctx context.Context, cfg Config, runs int) Sum {
	cfg.State += "-soak"
	r := newRunner(cfg)
	s := &soak{out: cfg.Out, tests: slices.Concat(soakTests()...), times: map[string][]float64{}}
	r.onCloud(ctx, func() {
		r.environ = append(r.environ, "MUSKETRY_E2E_RUNS="+strconv.Itoa(runs))
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		lists := soakTests()
		parts := make([]runner, len(lists))
		var group sync.WaitGroup
		for i, tests := range lists {
			parts[i] = runner{cfg: cfg, environ: slices.Clip(r.environ), strict: true, heard: s.hear}
			group.Go(func() {
				passed := parts[i].goTest(ctx, strings.Join(tests, ", "), []string{"./localstack/e2e"}, "-tags", "e2e,soak", "-race=false",
					"-failfast", "-run", "^("+strings.Join(tests, "|")+")$", "-count", strconv.Itoa(runs),
					"-timeout", (soakEnd + time.Duration(runs)*soakTimeout).String())
				if !passed {
					cancel()
				}
			})
		}
		group.Wait()
		for _, part := range parts {
			r.sum.add(part.sum)
		}
	})
	fmt.Fprintln(cfg.Out)
	return r.sum
}

// A soak counts runs.
type soak struct {
	out   io.Writer
	tests []string

	mu    sync.Mutex
	runs  int
	times map[string][]float64 // Seconds, by test.
	notes string               // Attributes of the run's tests.
}

// hear tells of a run when its last test has passed.
func (s *soak) hear(e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Action == "attr" {
		s.notes += "  " + e.Value
		return
	}
	s.times[e.Test] = append(s.times[e.Test], e.Elapsed)
	line := ""
	for _, name := range s.tests {
		if len(s.times[name]) <= s.runs {
			return
		}
		line += fmt.Sprintf("  %s %.0fs", name, s.times[name][s.runs])
	}
	s.runs++
	fmt.Fprintf(s.out, "%s  run %d %s%s\n", e.Time.Format(time.TimeOnly), s.runs, line, s.notes)
	s.notes = ""
}
