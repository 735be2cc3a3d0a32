package cloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// tools installs and runs what the checkout needs; everything lands in the checkout or in the state folder.
type tools struct {
	root    string
	state   string
	lambdas string
	standIn bool // Whether the stand-in is needed.
	environ []string
}

// artifacts are what a deployment is made of.
type artifacts struct {
	app     string // The CDK app.
	standIn string
	lambdas string // Folder of the Lambdas' folders.
}

// functions are the Lambdas, as their folders are called.
func functions() []string { return []string{"submit", "execute", "finalize"} }

func newTools(cfg Config) tools {
	return tools{
		root: cfg.Root, state: cfg.State, lambdas: cfg.Lambdas, standIn: cfg.UpstreamBaseURL == "",
		environ: cleanEnviron(cfg.Environ),
	}
}

// cleanEnviron is the caller's environment without what would lead to a real account, and without secrets that no tool
// has use for.
func cleanEnviron(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "OPENAI_") || strings.HasPrefix(name, "UPSTREAM_")
	})
}

// run runs a program to its end, with its output in a log file of the state folder, and shows the end of that if it
// fails.
func (t tools) run(ctx context.Context, log, dir string, env []string, program string, args ...string) error {
	path := filepath.Join(t.state, log+".log")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, slices.Concat(t.environ, env)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopPatience
	if err := cmd.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return fmt.Errorf("%w: %s", ErrTool, program)
		}
		return fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, tail(path))
	}
	return nil
}

// build makes the binaries; Go's cache makes it quick when nothing has changed, and certain when something has.
func (t tools) build(ctx context.Context) (artifacts, error) {
	built := artifacts{
		app:     filepath.Join(t.state, "bin", "infra"),
		standIn: filepath.Join(t.state, "bin", "standin"),
		lambdas: filepath.Join(t.state, "lambda"),
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if t.standIn {
			if err := t.goBuild(ctx, "build-standin", built.standIn, "./localstack/standin"); err != nil {
				return err
			}
		}
		return t.goBuild(ctx, "build-infra", built.app, "./infra")
	})
	if t.lambdas != "" {
		built.lambdas = t.lambdas
		return built, group.Wait()
	}
	group.Go(func() error {
		for _, name := range functions() {
			target := filepath.Join(built.lambdas, name, "bootstrap")
			// lambda.norpc leaves out what only the retired go1.x runtime used.
			err := t.goBuild(ctx, "build-"+name, target, "./lambdas/"+name, "-tags", "lambda.norpc", "-ldflags", "-s -w")
			if err != nil {
				return err
			}
		}
		return nil
	})
	return built, group.Wait()
}

// goBuild builds one command without cgo and without paths or revisions of the checkout, so that equal code gives equal
// bytes, and all commands share what the compiler has cached.
func (t tools) goBuild(ctx context.Context, log, target, pkg string, flags ...string) error {
	args := slices.Concat([]string{"build", "-trimpath", "-buildvcs=false", "-o", target}, flags, []string{pkg})
	return t.run(ctx, log, t.root, []string{"CGO_ENABLED=0", "GOFLAGS="}, "go", args...)
}

// cdkFolder is where the CDK's command line lies: not beside its lock file, since it brings Go files that are none of this
// module's, and Go looks into every folder that does not start with a dot.
func (t tools) cdkFolder() string { return filepath.Join(t.root, ".tools", "cdk") }

// cdk installs the CDK's command line as its lock file says.
func (t tools) cdk(ctx context.Context) error {
	folder := t.cdkFolder()
	pins := filepath.Join(t.root, "infra", "package-lock.json")
	return t.once(ctx, folder, pins, func() error {
		if err := makeEmpty(folder); err != nil {
			return err
		}
		for _, name := range []string{"package.json", "package-lock.json", ".npmrc"} {
			data, err := os.ReadFile(filepath.Join(t.root, "infra", name))
			if err != nil {
				return err
			}
			if err := writeFile(filepath.Join(folder, name), data); err != nil {
				return err
			}
		}
		return t.run(ctx, "npm", folder, nil, "npm", "ci", "--no-audit", "--no-fund")
	})
}

// venv makes a Python environment with the packages that a file pins, and gives its interpreter.
func (t tools) venv(ctx context.Context, name, requirements string) (string, error) {
	folder := filepath.Join(t.root, ".tools", name)
	python := filepath.Join(folder, "bin", "python")
	return python, t.once(ctx, folder, requirements, func() error {
		if err := t.run(ctx, "venv", t.root, nil, "python3", "-m", "venv", "--clear", folder); err != nil {
			return fmt.Errorf("%w: Python 3.10 or newer with venv: %w", ErrTool, err)
		}
		return t.run(ctx, "pip", t.root, nil, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
			"--require-hashes", "--requirement", requirements)
	})
}

// once installs into a folder unless it holds what the file pins already. The mark is written last, so a broken
// installation is made again.
func (t tools) once(ctx context.Context, folder, pins string, install func() error) error {
	unlock, err := lock(ctx, filepath.Join(t.root, ".tools", filepath.Base(folder)+".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	want, err := hashFiles(pins)
	if err != nil {
		return err
	}
	mark := filepath.Join(folder, ".installed")
	if got, err := readText(mark); err == nil && got == want {
		return nil
	}
	if err := install(); err != nil {
		return err
	}
	return writeFile(mark, []byte(want))
}

// hostArchitecture is this machine's, as Lambda calls it.
func hostArchitecture() string {
	if runtime.GOARCH == "arm64" {
		return "arm64"
	}
	return "x86_64"
}

// hashFiles gives a hash over the contents of files, in the order given.
func hashFiles(paths ...string) (string, error) {
	sum := sha256.New()
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(sum, file)
		if err := errors.Join(err, file.Close()); err != nil {
			return "", err
		}
		sum.Write([]byte{0})
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func readText(path string) (string, error) {
	data, err := os.ReadFile(path)
	return strings.TrimSpace(string(data)), err
}

// makeEmpty makes a folder that holds nothing.
func makeEmpty(path string) error {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return os.MkdirAll(path, 0o700)
}
