// Package suite runs the parts of `make test` and counts what they say. It knows programs, their exit codes and the
// events of `go test -json`; it must not know what is tested.
package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/musketry/musketry/tools/wait"
)

// endPatience is how long a part may take to end after it was told to.
const endPatience = 30 * time.Second

// A Config names the programs of the parts.
type Config struct {
	Cloud   string // Starts and ends the local cloud.
	Lint    string
	CFNLint string
	Vuln    string // govulncheck.
	HTTP    *http.Client
	State   string // Folder of the test cloud, of its own beside the developer's.
	Environ []string
	Out     io.Writer
}

// A Sum counts what passed, failed and was skipped.
type Sum struct{ Passed, Failed, Skipped int }

// String is the line that ends `make test`.
func (s Sum) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", s.Passed, s.Failed, s.Skipped)
}

func (s *Sum) add(other Sum) {
	s.Passed += other.Passed
	s.Failed += other.Failed
	s.Skipped += other.Skipped
}

// Run runs every part, also after one has failed, and ends what it started.
func Run(ctx context.Context, cfg Config) Sum {
	r := newRunner(cfg)
	r.command(ctx, "lint", cfg.Lint, "run", "./...")
	r.command(ctx, "go vet", "go", "vet", "-tags", "e2e,faults,soak", "./...")
	// -e: the CDK's runtime names, for its own tools, a package that no longer exists.
	r.command(ctx, "go mod tidy", "go", "mod", "tidy", "-e", "-diff")
	r.vulnerabilities(ctx)
	packages, err := r.packages(ctx)
	if err != nil {
		r.fail("go list", err.Error())
		return r.sum
	}
	r.onCloud(ctx, func() {
		r.command(ctx, "cfn-lint", cfg.CFNLint, "--config-file", "infra/.cfnlintrc.yaml", "--template",
			filepath.Join(cfg.State, "cdk.out", "Musketry.template.json"))
		r.goTest(ctx, "unit, property, contract and template tests", packages.others, "-short")
		r.tests(ctx, "long runs, and measures of memory", append([]string{"-count=1", "-timeout", "20m"}, packages.long...)...)
		r.goTest(ctx, "faults of AWS", []string{"./internal/boot"}, "-tags", "e2e,faults", "-run", "Faults")
		r.endToEnd(ctx, packages.endToEnd)
	})
	r.shortLocalStack(ctx)
	fmt.Fprintln(cfg.Out)
	return r.sum
}

type runner struct {
	cfg     Config
	base    []string // The environment of a cloud's start.
	environ []string // That, and what leads to the cloud that is up.
	strict  bool     // A test that is skipped has failed.
	quiet   bool     // Of tests only those that fail are told.
	sum     Sum
	heard   func(event) // See countEvents.
}

func newRunner(cfg Config) *runner {
	// Limits that a test reaches soon, and all others together do not.
	environ := append(slices.Clone(cfg.Environ), "CDK_CONTEXT=tenantBatches=40 tenantBytes=5000000000",
		"MUSKETRY_E2E_TENANT_BATCHES=40", "MUSKETRY_E2E_TENANT_BYTES=5000000000")
	if path, err := filepath.Abs(cfg.CFNLint); cfg.CFNLint != "" && err == nil {
		environ = append(environ, "MUSKETRY_CFN_LINT="+path)
	}
	return &runner{cfg: cfg, base: environ, environ: environ}
}

// onCloud starts a cloud, runs parts on it, and ends it whatever happens, also when the context has ended.
func (r *runner) onCloud(ctx context.Context, parts func()) {
	if !r.command(ctx, "cloud", r.cfg.Cloud, "up", "-state", r.cfg.State) {
		r.showLogs()
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		r.command(ctx, "cloud down", r.cfg.Cloud, "down", "-state", r.cfg.State)
		r.environ = r.base
	}()
	r.exportCloud(ctx)
	parts()
}

// command runs a part that passes or fails as a whole, and shows what it said if it failed.
func (r *runner) command(ctx context.Context, name, program string, args ...string) bool {
	var output bytes.Buffer
	cmd := r.prepare(ctx, program, args)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		r.fail(name, output.String()+err.Error())
		return false
	}
	r.pass(name)
	return true
}

func (r *runner) pass(name string) {
	r.sum.Passed++
	fmt.Fprintf(r.cfg.Out, "ok    %s\n", name)
}

// skip says what was not tried, and why.
func (r *runner) skip(name, why string) {
	r.sum.Skipped++
	fmt.Fprintf(r.cfg.Out, "SKIP  %s: %s\n", name, why)
}

func (r *runner) fail(name, output string) {
	r.sum.Failed++
	fmt.Fprintf(r.cfg.Out, "FAIL  %s\n%s\n", name, strings.TrimSpace(output))
}

func (r *runner) prepare(ctx context.Context, program string, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = r.environ
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return endGroup(context.WithoutCancel(ctx), cmd.Process.Pid) }
	cmd.WaitDelay = endPatience
	return cmd
}

// endGroup ends a process and all that it has started, first in good order: `go test` that is ended alone leaves its
// tests running.
func endGroup(ctx context.Context, leader int) error {
	switch err := syscall.Kill(-leader, syscall.SIGTERM); {
	case errors.Is(err, syscall.ESRCH):
		return os.ErrProcessDone
	case err != nil:
		return err
	}
	gone := func() (bool, error) { return errors.Is(syscall.Kill(-leader, 0), syscall.ESRCH), nil }
	if wait.Until(ctx, endPatience, gone) == nil {
		return nil
	}
	return syscall.Kill(-leader, syscall.SIGKILL)
}

// exportCloud puts the variables that lead to the cloud into the environment of all later parts.
func (r *runner) exportCloud(ctx context.Context) {
	cmd := r.prepare(ctx, r.cfg.Cloud, []string{"env", "-state", r.cfg.State})
	out, err := cmd.Output()
	if err != nil {
		r.fail("cloud env", err.Error())
		return
	}
	form := regexp.MustCompile(`(?m)^export ([A-Z_0-9]+)='([^']*)'$`)
	for _, match := range form.FindAllStringSubmatch(string(out), -1) {
		r.environ = append(slices.Clip(r.environ), match[1]+"="+match[2])
	}
}

// showLogs shows the end of the engine's log, which tells what a failed deployment does not.
func (r *runner) showLogs() {
	data, err := os.ReadFile(filepath.Join(r.cfg.State, "engine.log"))
	if err != nil {
		return
	}
	const most = 4096 // Bytes.
	fmt.Fprintf(r.cfg.Out, "the end of the engine's log:\n%s\n", data[max(0, len(data)-most):])
}

// longRuns are the packages with tests whose long form, hours of virtual time, the race detector makes several times as
// long, or which measure a process's memory, that the race detector multiplies: it sees their short form alone.
func longRuns() []string {
	return []string{"/internal/sim", "/internal/finalize", "/internal/limit", "/lambdas/execute", "/tools/bench/budget"}
}

type packageLists struct {
	others, endToEnd []string
	long             []string // Of the others.
}

// packages lists all packages, those that share the deployed cloud apart: they need the machine for themselves.
func (r *runner) packages(ctx context.Context) (packageLists, error) {
	out, err := r.prepare(ctx, "go", []string{"list", "-tags", "e2e", "./..."}).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w\n%s", err, exit.Stderr)
		}
		return packageLists{}, err
	}
	var lists packageLists
	for path := range strings.FieldsSeq(string(out)) {
		if strings.Contains(path, "/localstack/e2e") {
			lists.endToEnd = append(lists.endToEnd, path)
		} else {
			lists.others = append(lists.others, path)
		}
		if slices.ContainsFunc(longRuns(), func(name string) bool { return strings.HasSuffix(path, name) }) {
			lists.long = append(lists.long, path)
		}
	}
	return lists, nil
}

// goTest runs the tests of packages, or of them those that flags choose, with the race detector, counts each, and reports
// whether all passed.
func (r *runner) goTest(ctx context.Context, name string, packages []string, flags ...string) bool {
	if len(packages) == 0 {
		r.fail(name, "there are no packages")
		return false
	}
	return r.tests(ctx, name, slices.Concat([]string{"-race", "-tags", "e2e", "-count=1", "-timeout", "20m"}, flags, packages)...)
}

// tests runs go test with these arguments, counts each test, and reports whether all passed.
func (r *runner) tests(ctx context.Context, name string, args ...string) bool {
	cmd := r.prepare(ctx, "go", slices.Concat([]string{"test", "-json"}, args))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		r.fail(name, err.Error())
		return false
	}
	sum, readErr := r.countEvents(pipe)
	err = errors.Join(readErr, cmd.Wait())
	if r.strict {
		sum = Sum{Passed: sum.Passed, Failed: sum.Failed + sum.Skipped}
	}
	r.sum.add(sum)
	switch {
	case sum.Failed == 0 && err != nil:
		r.fail(name, stderr.String()+err.Error())
	case sum.Failed == 0:
		fmt.Fprintf(r.cfg.Out, "ok    %s: %s\n", name, sum)
	default:
		fmt.Fprintf(r.cfg.Out, "FAIL  %s: %s\n%s", name, sum, stderr.String())
	}
	return sum.Failed == 0 && err == nil
}
