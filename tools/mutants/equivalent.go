package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// An equivalent is a mutant that nothing can notice, since the program does the same with it.
type equivalent struct {
	file    string
	was, is string // As a mutant has them: line numbers would not last.
	why     string
}

func (e equivalent) of(m mutant) bool { return e.file == m.file && e.was == m.was && e.is == m.is }

func (e equivalent) String() string { return fmt.Sprintf("%s\n-\t%s\n+\t%s", e.file, e.was, e.is) }

// readEquivalents reads a list: blocks with an empty line between them, each "== file", "-" and the line as it is, "+" and
// the line with the mutant, and why it makes no difference.
func readEquivalents(path string) ([]equivalent, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the equivalent mutants: %w", err)
	}
	var all []equivalent
	for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		if block == "" {
			break
		}
		e, err := parseEquivalent(block)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w:\n%s", path, err, block)
		}
		all = append(all, e)
	}
	return all, nil
}

func parseEquivalent(block string) (equivalent, error) {
	lines := strings.SplitN(block, "\n", 4)
	if len(lines) < 4 {
		return equivalent{}, errors.New("not four lines")
	}
	file, ok := strings.CutPrefix(lines[0], "== ")
	was, ok1 := strings.CutPrefix(lines[1], "-")
	is, ok2 := strings.CutPrefix(lines[2], "+")
	if !ok || !ok1 || !ok2 {
		return equivalent{}, errors.New("not == file, - line, + line, why")
	}
	return equivalent{file: file, was: strings.TrimSpace(was), is: strings.TrimSpace(is), why: lines[3]}, nil
}
