package suite

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// An event is a line of `go test -json`: https://pkg.go.dev/cmd/test2json
type event struct {
	Time       time.Time
	Action     string
	Package    string
	ImportPath string // Of a build's output and failure.
	Test       string
	Output     string
	Elapsed    float64 // Seconds.
	Key, Value string  // Of a test's attribute.
}

// A tally keeps what a test or package has written, to show it should it fail.
type tally struct {
	quiet      bool // What passes, or is skipped, is not told.
	sum        Sum
	output     map[string][]string
	failedTest map[string]bool // Packages with a failed test.
	slow       []event         // Tests that took long.
	heard      func(event)     // Hears of each test that passes, and of each test's attributes; may be nil.
	out        io.Writer
}

// countEvents reads events to their end, tells each package's result, shows what failed tests wrote, and counts tests
// and subtests. What passes, and attributes, are also told to heard, which may be nil. A package that fails without a
// failed test (it does not build, or its process died) counts as one.
func (r *runner) countEvents(events io.Reader) (Sum, error) {
	out := r.cfg.Out
	t := &tally{quiet: r.quiet, output: map[string][]string{}, failedTest: map[string]bool{}, out: out, heard: r.heard}
	reader := bufio.NewReader(events)
	for {
		line, err := reader.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				fmt.Fprintf(out, "%s", line) // Not from a test: told as it is.
			} else {
				t.take(e)
			}
		}
		if errors.Is(err, io.EOF) {
			return t.sum, nil
		}
		if err != nil {
			return t.sum, err
		}
	}
}

func (t *tally) take(e event) {
	name := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		t.output[name] = append(t.output[name], e.Output)
	case "build-output":
		t.output["build "+e.ImportPath] = append(t.output["build "+e.ImportPath], e.Output)
	case "build-fail":
		t.show("build " + e.ImportPath)
	case "attr":
		t.tell(e)
	case "pass", "fail", "skip":
		if e.Test == "" {
			t.endPackage(e)
		} else {
			t.endTest(e, name)
			t.time(e)
		}
		delete(t.output, name)
	}
}

// What is told of the tests that took longest, so that whoever wants them shorter knows where to begin.
const (
	slowTest  = 20.0 // Seconds.
	slowTests = 10   // Of a package.
)

// time keeps how long a test took, its subtests included, if that is long.
func (t *tally) time(e event) {
	if e.Elapsed >= slowTest && !strings.Contains(e.Test, "/") {
		t.slow = append(t.slow, e)
	}
}

// slowest tells which tests of a package took longest.
func (t *tally) slowest(pkg string) {
	mine := slices.DeleteFunc(slices.Clone(t.slow), func(e event) bool { return e.Package != pkg })
	slices.SortStableFunc(mine, func(a, b event) int { return cmp.Compare(b.Elapsed, a.Elapsed) })
	for _, e := range mine[:min(len(mine), slowTests)] {
		fmt.Fprintf(t.out, "          %s %.0fs\n", e.Test, e.Elapsed)
	}
}

func (t *tally) endTest(e event, name string) {
	switch e.Action {
	case "pass":
		t.sum.Passed++
		t.tell(e)
	case "skip":
		t.sum.Skipped++
		if !t.quiet {
			t.show(name)
		}
	default:
		t.sum.Failed++
		t.failedTest[e.Package] = true
		t.show(name)
	}
}

func (t *tally) endPackage(e event) {
	switch e.Action {
	case "skip": // It has no tests.
	case "pass":
		if !t.quiet {
			fmt.Fprintf(t.out, "  ok    %s %.1fs\n", e.Package, e.Elapsed)
			t.slowest(e.Package)
		}
	default:
		if !t.failedTest[e.Package] {
			t.sum.Failed++
			t.show(e.Package + " ")
		}
		fmt.Fprintf(t.out, "  FAIL  %s %.1fs\n", e.Package, e.Elapsed)
		t.slowest(e.Package)
	}
}

func (t *tally) tell(e event) {
	if t.heard != nil {
		t.heard(e)
	}
}

func (t *tally) show(name string) {
	fmt.Fprint(t.out, strings.Join(t.output[name], ""))
	delete(t.output, name)
}
