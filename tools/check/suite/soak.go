package suite

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// soakTests are what is repeated: workers are killed, calls of AWS fail, the provider restarts, an execution is stopped,
// messages are deleted. What a run's TestMissedMessages waits for takes minutes: the last run waits for all.
func soakTests() []string {
	return []string{"TestKilledFleet", "TestFaults", "TestStoppedFlow", "TestLostMessages", "TestMissedMessages"}
}

// soakTimeout bounds a run, and soakEnd what the last one waits for besides.
const (
	soakTimeout = 15 * time.Minute
	soakEnd     = 20 * time.Minute
)

// RunSoak repeats the end-to-end tests of faults on one cloud until one fails, and tells of each run.
func RunSoak(ctx context.Context, cfg Config, runs int) Sum {
	cfg.State += "-soak"
	r := newRunner(cfg)
	r.strict = true
	r.onCloud(ctx, func() {
		r.environ = append(r.environ, "MUSKETRY_E2E_RUNS="+strconv.Itoa(runs))
		s := &soak{runner: r, times: map[string][]float64{}, begun: time.Now()} //nolint:forbidigo // how long a run takes is what it tells
		r.heard = s.hear
		r.goTest(ctx, "fault tests", []string{"./localstack/e2e"}, "-tags", "e2e,soak", "-race=false", "-failfast",
			"-run", "^("+strings.Join(soakTests(), "|")+")$", "-count", strconv.Itoa(runs),
			"-timeout", (soakEnd + time.Duration(runs)*soakTimeout).String())
	})
	fmt.Fprintln(cfg.Out)
	return r.sum
}

// A soak counts runs.
type soak struct {
	*runner
	begun time.Time // Of the run.
	runs  int
	times map[string][]float64 // Seconds, by test.
	notes string               // Attributes of the run's tests.
}

// hear tells of a run when its last test has passed.
func (s *soak) hear(e event) {
	if e.Action == "attr" {
		s.notes += "  " + e.Value
		return
	}
	s.times[e.Test] = append(s.times[e.Test], e.Elapsed)
	line := ""
	for _, name := range soakTests() {
		if len(s.times[name]) <= s.runs {
			return
		}
		line += fmt.Sprintf("  %s %.0fs", name, s.times[name][s.runs])
	}
	s.runs++
	fmt.Fprintf(s.cfg.Out, "run %2d  %4.0fs %s%s\n", s.runs, e.Time.Sub(s.begun).Seconds(), line, s.notes)
	s.begun, s.notes = e.Time, ""
}
