package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// A bench is what a name stands for: tests or benchmarks of a package.
type bench struct {
	pkg    string
	args   []string // of go test
	env    []string
	engine string // what it runs on
	cloud  bool   // it starts a local cloud
}

// benches are all of them.
func benches() map[string]bench {
	inMemory := func(pkg, name, times string) bench {
		return bench{pkg: pkg, args: []string{"-run", "^$", "-bench", "^" + name + "$", "-benchtime", times}, engine: "memory"}
	}
	onCloud := func(name string) bench {
		return bench{
			pkg: "./localstack/e2e", args: []string{"-tags", "e2e,bench", "-run", "^TestMeasure" + name + "$", "-v"},
			engine: "ministack", cloud: true,
		}
	}
	return map[string]bench{
		"ingest":   inMemory("./internal/submit", "BenchmarkLoad", "1x"),
		"worker":   inMemory("./internal/execute", "BenchmarkRun", "10000x"),
		"finalize": inMemory("./internal/finalize", "BenchmarkFinalize", "1x"),
		"budget": {
			pkg: "./tools/bench/budget", args: []string{"-run", "^TestMeasure$", "-v"},
			env: []string{"MUSKETRY_BENCH_BUDGET="}, engine: "virtual time",
		},
		"budget-local": onCloud("Budget"),
		"cpu":          onCloud("CPU"),
		"kill":         onCloud("Kill"),
		"kills":        onCloud("Kills"),
		"backpressure": onCloud("Backpressure"),
		"whole":        onCloud("Whole"),
		"limits":       onCloud("Limits"),
		"dead":         onCloud("Dead"),
		"inflight":     onCloud("Inflight"),
	}
}

// A figure is a line of the output.
type figure struct {
	Bench   string             `json:"bench"`
	Package string             `json:"package"`
	Engine  string             `json:"engine"`
	Commit  string             `json:"commit"`
	CPU     string             `json:"cpu"`
	Cores   int                `json:"cores"`
	Go      string             `json:"go"`
	Runs    int                `json:"runs"`
	Values  map[string]float64 `json:"values"` // By unit, such as sec/op.
}

// run measures what names name, one after another; without names, all that need no local cloud.
func run(ctx context.Context, out io.Writer, names []string) error {
	all := benches()
	if len(names) == 0 {
		names = slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool { return all[name].cloud })
	}
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return fmt.Errorf("ask git for the commit: %w", err)
	}
	for _, name := range names {
		b, ok := all[name]
		if !ok {
			return fmt.Errorf("there is no %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
		}
		blank := figure{
			Package: b.pkg, Engine: b.engine, Commit: strings.TrimSpace(string(commit)), CPU: processor(),
			Cores: runtime.NumCPU(), Go: runtime.Version(),
		}
		if err := b.measure(ctx, out, blank); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// measure runs b, each benchmark once: they are long enough.
func (b bench) measure(ctx context.Context, out io.Writer, blank figure) error {
	args := append([]string{"test", "-count", "1", "-timeout", "60m"}, b.args...)
	cmd := exec.CommandContext(ctx, "go", append(args, b.pkg)...)
	cmd.Env, cmd.Stderr = append(os.Environ(), b.env...), os.Stderr //nolint:forbidigo // what it inherits, and one more
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("read the figures: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	n, err := convert(pipe, out, blank)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if n == 0 {
		return errors.New("there was no figure")
	}
	return nil
}

// convert writes what go test prints of benchmarks as JSON lines that are like blank, and returns how many.
func convert(in io.Reader, out io.Writer, blank figure) (int, error) {
	results, encoder, n := benchfmt.NewReader(in, "go test"), json.NewEncoder(out), 0
	for results.Scan() {
		r, ok := results.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		f := blank
		f.Bench, f.Runs, f.Values = r.Name.String(), r.Iters, map[string]float64{}
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

// processor returns the processor's name, "" if it cannot be told.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), "model name\t: ")
	name, _, _ := strings.Cut(rest, "\n")
	return name
}
