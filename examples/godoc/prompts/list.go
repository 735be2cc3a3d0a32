package prompts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
)

// Options say which requests are made.
type Options struct {
	// Model is the name of the model that is asked.
	Model string
	// Limit is how many packages there are at most; 0 means all.
	Limit int
	// Internal takes in the packages that only Go itself may import.
	Internal bool
}

// A Package is a package or command of the Go installation.
type Package struct {
	ImportPath string
	Name       string // "main": a command
	Dir        string
	GoFiles    []string
	CgoFiles   []string
}

// List returns the packages of the standard library, the pseudo-package
// builtin and Go's own commands, ordered by import path, as goCommand lists
// them. Vendored packages are left out, for they have homes of their own, and
// those that are nothing but tests.
func List(ctx context.Context, goCommand string, o Options) ([]Package, error) {
	cmd := exec.CommandContext(ctx, goCommand, "list", "-json=ImportPath,Name,Dir,GoFiles,CgoFiles", "std", "cmd", "builtin")
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, bytes.TrimSpace(problems.Bytes()))
	}
	packages, err := decode(bytes.NewReader(out))
	if err != nil {
		return nil, err
	}
	packages = slices.DeleteFunc(packages, func(p Package) bool {
		return len(p.GoFiles)+len(p.CgoFiles) == 0 || within(p.ImportPath, "vendor") ||
			(!o.Internal && within(p.ImportPath, "internal"))
	})
	slices.SortFunc(packages, func(a, b Package) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	if o.Limit > 0 {
		packages = packages[:min(o.Limit, len(packages))]
	}
	return packages, nil
}

func decode(r io.Reader) ([]Package, error) {
	var packages []Package
	for d := json.NewDecoder(r); ; {
		var p Package
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages, nil
		}
		if err != nil {
			return nil, fmt.Errorf("go list's answer: %w", err)
		}
		packages = append(packages, p)
	}
}

// within reports whether a path lies below a directory of this name.
func within(importPath, directory string) bool {
	return slices.Contains(strings.Split(importPath, "/"), directory)
}
