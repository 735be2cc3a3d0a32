package checkout

import (
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// pythonPatience bounds the question which Python a program is.
const pythonPatience = 20 * time.Second

// A PythonVersion is a version of the Python language.
type PythonVersion struct{ Major, Minor int }

func (v PythonVersion) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// Python finds an interpreter that is at least as new as asked for, with venv and pip, by running it: a name on PATH may be
// a shim that fails. It tries the version itself first, then the names that systems use, then what pyenv has installed. Returns ErrTool if there is none.
func (c Checkout) Python(ctx context.Context, oldest PythonVersion) (string, error) {
	names := []string{"python" + oldest.String(), "python3"}
	for newer := 1; newer <= 4; newer++ {
		names = append(names, "python"+PythonVersion{oldest.Major, oldest.Minor + newer}.String())
	}
	for _, name := range append(names, c.pyenv()...) {
		if c.runsPython(ctx, name, oldest) {
			return name, nil
		}
	}
	return "", fmt.Errorf("%w: Python %s or newer with venv (https://www.python.org/downloads, or pyenv install %s)",
		ErrTool, oldest, oldest)
}

func (c Checkout) runsPython(ctx context.Context, program string, oldest PythonVersion) bool {
	ctx, cancel := context.WithTimeout(ctx, pythonPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-c", fmt.Sprintf(
		"import sys, venv, ensurepip; sys.exit(sys.version_info < (%d, %d))", oldest.Major, oldest.Minor))
	cmd.Env = c.Environ
	return cmd.Run() == nil
}

// pyenv lists the interpreters that pyenv has installed, the newest name last.
func (c Checkout) pyenv() []string {
	root := cmp.Or(c.variable("PYENV_ROOT"), filepath.Join(c.variable("HOME"), ".pyenv"))
	found, _ := filepath.Glob(filepath.Join(root, "versions", "*", "bin", "python3")) // None where the root is no pattern.
	slices.Sort(found)
	return found
}

// variable gives a variable of the programs' environment, or nothing.
func (c Checkout) variable(name string) string {
	for _, entry := range slices.Backward(c.Environ) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}
