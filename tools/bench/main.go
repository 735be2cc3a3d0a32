// Command bench runs the benchmarks of the use cases and prints one JSON object a line: what was run, on which machine
// and commit, and each figure under its unit.
//
// Figures of a shared machine are for comparison within one run.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/perf/benchfmt"
)

// A figure is a line of the output.
type figure struct {
	Bench   string             `json:"bench"`
	Package string             `json:"package"`
	Commit  string             `json:"commit"`
	CPU     string             `json:"cpu"`
	Cores   int                `json:"cores"`
	Go      string             `json:"go"`
	Runs    int                `json:"runs"`
	Values  map[string]float64 `json:"values"` // By unit, such as sec/op.
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // the context ends with the process
	}
}

// run benchmarks packages, each benchmark once: they are long enough.
func run(ctx context.Context, out io.Writer, packages []string) error {
	commit, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return fmt.Errorf("ask git for the commit: %w", err)
	}
	args := append([]string{"test", "-run", "^$", "-bench", ".", "-benchtime", "1x", "-timeout", "20m"}, packages...)
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the packages come from our own Makefile
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("read the benchmarks: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the benchmarks: %w", err)
	}
	n, err := convert(pipe, out, strings.TrimSpace(string(commit)))
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return fmt.Errorf("run the benchmarks: %w", err)
	}
	if n == 0 {
		return errors.New("there was no benchmark")
	}
	return nil
}

// convert writes what go test prints as JSON lines, and returns how many.
func convert(in io.Reader, out io.Writer, commit string) (int, error) {
	results, encoder, n := benchfmt.NewReader(in, "go test"), json.NewEncoder(out), 0
	for results.Scan() {
		r, ok := results.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		f := figure{
			Bench: r.Name.String(), Package: r.GetConfig("pkg"), Commit: commit, CPU: r.GetConfig("cpu"),
			Cores: runtime.NumCPU(), Go: runtime.Version(), Runs: r.Iters, Values: map[string]float64{},
		}
		for _, v := range r.Values {
			f.Values[v.Unit] = v.Value
		}
		if err := encoder.Encode(f); err != nil {
			return n, fmt.Errorf("write a figure: %w", err)
		}
		n++
	}
	if err := results.Err(); err != nil {
		return n, fmt.Errorf("read a figure: %w", err)
	}
	return n, nil
}
