package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A fate is what becomes of a mutant.
type fate string

const (
	killed    fate = "killed by the package's own tests"
	simulated fate = "by the simulation"
	lives     fate = "live"
	same      fate = "equivalent"
	hangs     fate = "did not end in time"
	broken    fate = "did not compile"
)

const (
	// leastTime is the CPU time that a run of tests has at least; slower is how much more it may take than without a mutant.
	// By the clock it may take starved times as long as that: so little of a busy machine it may get.
	leastTime = 8 * time.Second
	slower    = 4
	starved   = 40
)

// A suite is a package's tests.
type suite struct {
	*trial

	pkg    string   // From the checkout's root.
	args   []string // For the tests' program.
	skip   []string // Tests that are not run.
	slow   []string // Tests that are run last, alone: most mutants fail another one.
	env    []string
	binary string        // With all the mutants that go together.
	quick  time.Duration // The limit of CPU time of all tests but the slow ones, in whole seconds.
	long   time.Duration // That of these.
}

// own returns a package's own tests, with what they draw by chance the same each time.
func (t *trial) own(ctx context.Context, pkg string) (suite, error) {
	s := suite{trial: t, pkg: pkg, args: []string{"-test.failfast", "-test.short"}, env: t.env}
	imports, err := s.command(ctx, "list", "-f", "{{.TestImports}}{{.XTestImports}}", "./"+pkg).Output()
	if err != nil {
		return suite{}, fmt.Errorf("list what the tests of %s import: %w", pkg, err)
	}
	if strings.Contains(string(imports), "pgregory.net/rapid") {
		s.args = append(s.args, "-rapid.seed=1", "-rapid.nofailfile", "-rapid.shrinktime=0s")
	}
	return s, nil
}

// simulation returns the simulation's seeds and directed runs.
func (t *trial) simulation() suite {
	return suite{
		trial: t, pkg: "internal/sim",
		args: []string{"-test.failfast", "-test.short"}, skip: []string{"TestSeedsReplayExactly", "TestPlantedBugs"},
		env: append(slices.Clone(t.env), "MUSKETRY_SIM_STOP=1", "MUSKETRY_SIM_SEEDS="+strconv.Itoa(t.seeds)),
	}
}

// prepare builds the program with these files, and runs it with no mutant in place: the tests must pass, and the CPU time
// that they take bounds all further runs.
func (s *suite) prepare(ctx context.Context, files map[string][]byte) error {
	var err error
	if s.binary, err = s.build(ctx, strings.ReplaceAll(s.pkg, "/", "-"), files); err != nil {
		return err
	}
	took := func(which string) (said []byte, limit time.Duration) {
		if err != nil {
			return nil, 0
		}
		var what fate
		var cpu time.Duration
		what, said, cpu, err = s.run(ctx, s.binary, 0, which, 10*time.Minute)
		if err == nil && what != lives {
			err = fmt.Errorf("the tests of %s fail as they are", s.pkg)
		}
		return said, max(leastTime, (slower * cpu).Truncate(time.Second))
	}
	said, _ := took("-test.skip=" + pattern(s.skip))
	s.slow = slowTests(said)
	_, s.quick = took("-test.skip=" + pattern(slices.Concat(s.skip, s.slow)))
	_, s.long = took("-test.run=" + pattern(s.slow))
	return err
}

// slowTests returns which tests took a second or more, by what all of them said.
func slowTests(said []byte) []string {
	var slow []string
	for _, m := range regexp.MustCompile(`--- PASS: (\w+)\S* \(([\d.]+)s\)`).FindAllSubmatch(said, -1) {
		if took, err := strconv.ParseFloat(string(m[2]), 64); err == nil && took >= 1 && !slices.Contains(slow, string(m[1])) {
			slow = append(slow, string(m[1]))
		}
	}
	return slow
}

// pattern matches these tests alone.
func pattern(tests []string) string { return "^(" + strings.Join(tests, "|") + ")$" }

// with says what becomes of m.
func (s *suite) with(ctx context.Context, m mutant) (fate, error) {
	if m.number > 0 {
		return s.test(ctx, s.binary, m.number)
	}
	binary, err := s.build(ctx, "alone", map[string][]byte{m.file: m.text})
	if _, ok := errors.AsType[*exec.ExitError](err); ok && ctx.Err() == nil {
		return broken, nil
	}
	if err != nil {
		return "", err
	}
	return s.test(ctx, binary, 0)
}

// build compiles the tests, with these files as they are said to be, into a program of this name.
func (s *suite) build(ctx context.Context, name string, files map[string][]byte) (string, error) {
	folder, err := os.MkdirTemp(s.temp, "overlay-")
	if err != nil {
		return "", fmt.Errorf("make a folder: %w", err)
	}
	replaced := map[string]string{}
	for file, text := range files {
		planted := filepath.Join(folder, filepath.Base(file))
		if err := os.WriteFile(planted, text, 0o600); err != nil {
			return "", fmt.Errorf("write the mutant: %w", err)
		}
		replaced[filepath.Join(s.checkout, file)] = planted
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": replaced})
	if err != nil {
		return "", fmt.Errorf("encode the overlay: %w", err)
	}
	overlay, binary := filepath.Join(folder, "overlay.json"), filepath.Join(s.temp, name+".test")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	build := s.command(ctx, "test", "-c", "-trimpath", "-ldflags=-s -w", "-overlay", overlay, "-o", binary, "./"+s.pkg)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile the tests of %s: %w\n%s", s.pkg, err, out)
	}
	return binary, nil
}

func (s *suite) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = s.checkout
	return cmd
}

// test runs the tests with the mutant of this number in place.
func (s *suite) test(ctx context.Context, binary string, number int) (fate, error) {
	what, _, _, err := s.run(ctx, binary, number, "-test.skip="+pattern(slices.Concat(s.skip, s.slow)), s.quick)
	if err == nil && what == lives && len(s.slow) > 0 {
		what, _, _, err = s.run(ctx, binary, number, "-test.run="+pattern(s.slow), s.long)
	}
	return what, err
}

// run runs tests until the first that fails: what runs in parallel would go on for long. It returns what they said too,
// and the CPU time that they took, which limit bounds. A mutant that takes more than 8 GB fails as well.
func (s *suite) run(ctx context.Context, binary string, number int, which string, limit time.Duration) (fate, []byte, time.Duration, error) {
	limited, cancel := context.WithTimeout(ctx, starved*limit)
	defer cancel()
	failing, stop := context.WithCancel(limited)
	defer stop()
	script := fmt.Sprintf(`ulimit -v 8388608; ulimit -t %d; exec "$0" "$@"`, limit/time.Second)
	args := slices.Concat([]string{"-c", script, binary, "-test.v", which}, s.args)
	cmd := exec.CommandContext(failing, "sh", args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = filepath.Join(s.checkout, s.pkg), append(slices.Clone(s.env), active+"="+strconv.Itoa(number)), time.Second
	out := &alarm{ring: stop}
	cmd.Stdout = out
	err := cmd.Run()
	if ctx.Err() != nil {
		return "", nil, 0, ctx.Err()
	}
	_, failed := errors.AsType[*exec.ExitError](err)
	if err != nil && !failed && failing.Err() == nil {
		return "", nil, 0, fmt.Errorf("run the tests of %s: %w", s.pkg, err)
	}
	took := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	by, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case limited.Err() != nil, failing.Err() == nil && by.Signaled() && by.Signal() == syscall.SIGKILL: // for its CPU time
		return hangs, nil, took, nil
	case err != nil:
		return killed, nil, took, nil
	}
	return lives, out.kept.Bytes(), took, nil
}

// An alarm keeps what is written, and rings when a test is said to have failed. The buffer is not embedded: by its
// ReadFrom what is written would pass by Write.
type alarm struct {
	kept bytes.Buffer
	ring func()
}

func (a *alarm) Write(p []byte) (int, error) {
	const mark = "--- FAIL:"
	from := max(a.kept.Len()-len(mark), 0)
	n, err := a.kept.Write(p)
	if bytes.Contains(a.kept.Bytes()[from:], []byte(mark)) {
		a.ring()
	}
	return n, err
}
