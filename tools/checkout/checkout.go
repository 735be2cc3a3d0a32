// Package checkout builds what a checkout holds and installs what it needs: Go programs, the CDK's command line, Python
// environments. Everything lands in the checkout; versions come from its own files. It must not know what is run with it.
package checkout

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
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/musketry/musketry/tools/wait"
)

// ErrTool reports a program that the machine lacks.
var ErrTool = errors.New("missing")

const (
	// endPatience is how long a program may take to end after it was told to.
	endPatience = 15 * time.Second
	// lockPatience bounds the wait for another command: as long as the longest of them may take.
	lockPatience = 15 * time.Minute
)

// A Checkout is a folder with the module in it.
type Checkout struct {
	Root    string
	Logs    string   // Folder of the programs' logs.
	Environ []string // Environment of the programs.
}

// Functions lists the Lambdas, as their folders are called.
func Functions() []string { return []string{"submit", "execute", "finalize"} }

// Run runs a program to its end, with its output in a log file of the state folder, and shows the end of that if it
// fails.
func (c Checkout) Run(ctx context.Context, log, dir string, env []string, program string, args ...string) error {
	path := filepath.Join(c.Logs, log+".log")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, slices.Concat(c.Environ, env)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = endPatience
	if err := cmd.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return fmt.Errorf("%w: %s", ErrTool, program)
		}
		return fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, Tail(path))
	}
	return nil
}

// GoBuild builds one command without cgo and without paths or revisions of the checkout, so that equal code gives equal
// bytes, and all commands share what the compiler has cached.
func (c Checkout) GoBuild(ctx context.Context, log, target, pkg string, flags ...string) error {
	args := slices.Concat([]string{"build", "-trimpath", "-buildvcs=false", "-o", target}, flags, []string{pkg})
	return c.Run(ctx, log, c.Root, []string{"CGO_ENABLED=0", "GOFLAGS="}, "go", args...)
}

// cdkFolder is where the CDK's command line lies: not beside its lock file, since it brings Go files that are none of this
// module's, and Go looks into every folder that does not start with a dot.
func (c Checkout) cdkFolder() string { return filepath.Join(c.Root, ".tools", "cdk") }

// CDK installs the CDK's command line as its lock file says, and gives the program.
func (c Checkout) CDK(ctx context.Context) (string, error) {
	folder := c.cdkFolder()
	pins := filepath.Join(c.Root, "infra", "package-lock.json")
	return filepath.Join(folder, "node_modules", ".bin", "cdk"), c.once(ctx, folder, pins, func() error {
		if err := MakeEmpty(folder); err != nil {
			return err
		}
		for _, name := range []string{"package.json", "package-lock.json", ".npmrc"} {
			data, err := os.ReadFile(filepath.Join(c.Root, "infra", name))
			if err != nil {
				return err
			}
			if err := WriteFile(filepath.Join(folder, name), data); err != nil {
				return err
			}
		}
		return c.Run(ctx, "npm", folder, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	})
}

// Venv makes a Python environment with the packages that a file pins, of a Python that is at least as new as asked for, and
// gives its interpreter. The file lists every package, also those that others need, so none is looked for; nothing is
// compiled that may never be imported. Returns ErrTool if the machine has no such Python.
func (c Checkout) Venv(ctx context.Context, name, requirements string, oldest PythonVersion) (string, error) {
	folder := filepath.Join(c.Root, ".tools", name)
	python := filepath.Join(folder, "bin", "python")
	return python, c.once(ctx, folder, requirements, func() error {
		base, err := c.Python(ctx, oldest)
		if err != nil {
			return err
		}
		if err := c.Run(ctx, "venv-"+name, c.Root, nil, base, "-m", "venv", "--clear", folder); err != nil {
			return err
		}
		return c.Run(ctx, "pip-"+name, c.Root, nil, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
			"--require-hashes", "--no-deps", "--no-compile", "--requirement", requirements)
	})
}

// once installs into a folder unless it holds what the file pins already. The mark is written last, so a broken
// installation is made again.
func (c Checkout) once(ctx context.Context, folder, pins string, install func() error) error {
	unlock, err := Lock(ctx, filepath.Join(c.Root, ".tools", filepath.Base(folder)+".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	want, err := Hash(pins)
	if err != nil {
		return err
	}
	mark := filepath.Join(folder, ".installed")
	if got, err := ReadText(mark); err == nil && got == want {
		return nil
	}
	if err := install(); err != nil {
		return err
	}
	return WriteFile(mark, []byte(want))
}

// Lock takes a file's lock, so that two commands on one folder follow each other, and gives what releases it. The
// system releases it too when this process ends.
func Lock(ctx context.Context, path string) (func(), error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	taken := func() (bool, error) {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return false, nil
		}
		return err == nil, err
	}
	if err := wait.Until(ctx, lockPatience, taken); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// Hash gives a hash over the contents of files, in the order given.
func Hash(paths ...string) (string, error) {
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

// ReadText gives a file's text without the space around it.
func ReadText(path string) (string, error) {
	data, err := os.ReadFile(path)
	return strings.TrimSpace(string(data)), err
}

// MakeEmpty makes a folder that holds nothing.
func MakeEmpty(path string) error {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return os.MkdirAll(path, 0o700)
}

// WriteFile replaces a file at once, so that no reader sees half of it; only the user may read it.
func WriteFile(path string, data []byte) error {
	temporary := path + ".new"
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// Tail gives the last lines of a file, for an error; nothing if it cannot be read.
func Tail(path string) string {
	const lines = 30
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
