package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A mutant is one token of one file, and what is there instead.
type mutant struct {
	file      string // From the checkout's root.
	line, col int    // From 1, in bytes.
	at        int    // The same in the file, from 0.
	kind      string // As gremlins names it.
	was, is   string // The line, without and with the mutant, trimmed.
	text      []byte // The file with the mutant.
	number    int    // In the program that holds many; 0 if it is none of them.
}

func (m mutant) String() string {
	return fmt.Sprintf("%s:%d\n-\t%s\n+\t%s", m.file, m.line, m.was, m.is)
}

// tokens are what each kind of mutant makes of a token, as in gremlins' internal/engine/mappings.go.
func tokens(kind string) [][2]string {
	return map[string][][2]string{
		"ARITHMETIC_BASE":       {{"+", "-"}, {"-", "+"}, {"*", "/"}, {"/", "*"}, {"%", "*"}},
		"CONDITIONALS_BOUNDARY": {{"<=", "<"}, {">=", ">"}, {"<", "<="}, {">", ">="}},
		"CONDITIONALS_NEGATION": {{"==", "!="}, {"!=", "=="}, {"<=", ">"}, {">=", "<"}, {"<", ">="}, {">", "<="}},
		"INCREMENT_DECREMENT":   {{"++", "--"}, {"--", "++"}},
		"INVERT_NEGATIVES":      {{"-", "+"}},
	}[kind]
}

// plant fills in what m makes of its file's text.
func (m *mutant) plant(text []byte) error {
	lines := bytes.SplitAfter(text, []byte("\n"))
	if m.line > len(lines) || m.col > len(lines[m.line-1]) {
		return fmt.Errorf("%s has no place %d:%d", m.file, m.line, m.col)
	}
	line := lines[m.line-1]
	before, at := line[:m.col-1], line[m.col-1:]
	for _, t := range tokens(m.kind) {
		if after, ok := bytes.CutPrefix(at, []byte(t[0])); ok {
			mutated := slices.Concat(before, []byte(t[1]), after)
			m.was, m.is = string(bytes.TrimSpace(line)), string(bytes.TrimSpace(mutated))
			lines[m.line-1], m.at = mutated, len(bytes.Join(lines[:m.line-1], nil))+m.col-1
			m.text = bytes.Join(lines, nil)
			return nil
		}
	}
	return fmt.Errorf("%s:%d:%d has no token for %s", m.file, m.line, m.col, m.kind)
}

// find has gremlins list the mutants of a package, in the order of their places. Which of them tests come by, for which it
// would run them all, is of no account.
func (t *trial) find(ctx context.Context, pkg string) ([]mutant, error) {
	found := filepath.Join(t.temp, "found.json")
	cmd := exec.CommandContext(ctx, t.gremlins, "unleash", "--dry-run", "--silent", "--workers=1", "--output="+found, pkg)
	cmd.Dir, cmd.Env = t.checkout, append(slices.Clone(t.env), "GOFLAGS=-trimpath -run=^$")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("list the mutants of %s: %w\n%s", pkg, err, out)
	}
	text, err := os.ReadFile(found)
	if err != nil {
		return nil, fmt.Errorf("read what gremlins found: %w", err)
	}
	mutants, err := parse(text, pkg)
	for i := range mutants {
		m := &mutants[i]
		if text, err = os.ReadFile(filepath.Join(t.checkout, m.file)); err == nil {
			err = m.plant(text)
		}
		if err != nil {
			return nil, fmt.Errorf("plant a mutant: %w", err)
		}
	}
	// A minus between two operands is named as arithmetic and as a negative.
	return slices.CompactFunc(mutants, func(a, b mutant) bool { return bytes.Equal(a.text, b.text) }), err
}

// parse reads what gremlins found in a package.
func parse(text []byte, pkg string) ([]mutant, error) {
	var all struct {
		Files []struct {
			Name      string `json:"file_name"`
			Mutations []struct {
				Kind string `json:"type"`
				Line int    `json:"line"`
				Col  int    `json:"column"`
			} `json:"mutations"`
		} `json:"files"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("read what gremlins found: %w", err)
	}
	var out []mutant
	for _, f := range all.Files {
		for _, at := range f.Mutations {
			out = append(out, mutant{file: filepath.Join(pkg, f.Name), line: at.Line, col: at.Col, kind: at.Kind})
		}
	}
	slices.SortFunc(out, func(a, b mutant) int {
		return cmp.Or(strings.Compare(a.file, b.file), a.line-b.line, a.col-b.col, strings.Compare(a.kind, b.kind))
	})
	return out, nil
}

// copyCheckout copies into folder what is, or would be, under git: the checkout may change meanwhile, and gremlins copies
// all that it finds.
func copyCheckout(ctx context.Context, folder string) error {
	list, err := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return fmt.Errorf("ask git for the files: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) { // deleted, and not committed
			continue
		}
		to := filepath.Join(folder, name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = os.WriteFile(to, text, 0o644)
		}
		if err != nil {
			return fmt.Errorf("copy the checkout: %w", err)
		}
	}
	return nil
}
