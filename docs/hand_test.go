package docs_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"iter"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestOneHand demands that the code is written as the standard library is: no empty line stands before the return,
// break or continue that ends a block. No linter demands that; nlreturn demands the opposite.
func TestOneHand(t *testing.T) {
	t.Parallel()
	for name, text := range sources(t) {
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(text, []byte("\n"))
		ast.Inspect(file, func(n ast.Node) bool {
			if at := detached(files, n); at > 0 && len(bytes.TrimSpace(lines[at-2])) == 0 {
				t.Errorf("%s:%d: an empty line before the end of a block", name, at)
			}
			return true
		})
	}
}

// TestOnlyLintersThatRunAreSilenced demands that each nolint comment names a linter that .golangci.yml enables: nolintlint
// tells of comments that silence nothing, but of none for a linter that is off.
func TestOnlyLintersThatRunAreSilenced(t *testing.T) {
	t.Parallel()
	enabled := map[string]bool{}
	_, list, _ := strings.Cut(read(t, "../.golangci.yml"), "\n  enable:\n")
	list, _, ok := strings.Cut(list, "\n  settings:\n")
	for _, linter := range regexp.MustCompile(`(?m)^ +- (\w+)`).FindAllStringSubmatch(list, -1) {
		enabled[linter[1]] = true
	}
	if !ok || len(enabled) < 40 {
		t.Fatalf("%d linters are enabled: .golangci.yml is read wrongly", len(enabled))
	}
	silenced := regexp.MustCompile(`//nolint:([\w,]+)`)
	for name, text := range sources(t) {
		for _, comment := range silenced.FindAllSubmatch(text, -1) {
			for linter := range strings.SplitSeq(string(comment[1]), ",") {
				if !enabled[linter] {
					t.Errorf("%s silences %s, which does not run", name, linter)
				}
			}
		}
	}
}

// sources returns each Go file of the checkout, and its text.
func sources(t *testing.T) iter.Seq2[string, []byte] {
	t.Helper()
	names, err := exec.CommandContext(t.Context(), "git", "-C", "..", "ls-files", "--full-name", "*.go").Output()
	if err != nil || len(names) == 0 {
		t.Skipf("this is no checkout: %v", err)
	}
	return func(yield func(string, []byte) bool) {
		for name := range strings.Lines(string(names)) {
			name = strings.TrimSpace(name)
			text, err := os.ReadFile("../" + name)
			if os.IsNotExist(err) { // deleted, and not committed
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if !yield(name, text) {
				return
			}
		}
	}
}

// detached returns the line of the statement that leaves n, a block, if a line lies between it and the one before, and 0 otherwise.
func detached(files *token.FileSet, n ast.Node) int {
	var list []ast.Stmt
	switch n := n.(type) {
	case *ast.BlockStmt:
		list = n.List
	case *ast.CaseClause:
		list = n.Body
	case *ast.CommClause:
		list = n.Body
	}
	if len(list) < 2 {
		return 0
	}
	last := list[len(list)-1]
	switch last.(type) {
	case *ast.ReturnStmt, *ast.BranchStmt:
	default:
		return 0
	}
	if at := files.Position(last.Pos()).Line; at-files.Position(list[len(list)-2].End()).Line == 2 {
		return at
	}
	return 0
}
