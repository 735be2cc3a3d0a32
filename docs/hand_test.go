package docs_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestOneHand demands that the code is written as the standard library is: no empty line stands before the return,
// break or continue that ends a block. No linter demands that; nlreturn demands the opposite.
func TestOneHand(t *testing.T) {
	t.Parallel()
	names, err := exec.CommandContext(t.Context(), "git", "-C", "..", "ls-files", "--full-name", "*.go").Output()
	if err != nil || len(names) == 0 {
		t.Skipf("this is no checkout: %v", err)
	}
	for name := range strings.Lines(string(names)) {
		text, err := os.ReadFile("../" + strings.TrimSpace(name))
		if os.IsNotExist(err) { // deleted, and not committed
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, strings.TrimSpace(name), text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(text, []byte("\n"))
		ast.Inspect(file, func(n ast.Node) bool {
			if at := detached(files, n); at > 0 && len(bytes.TrimSpace(lines[at-2])) == 0 {
				t.Errorf("%s:%d: an empty line before the end of a block", strings.TrimSpace(name), at)
			}
			return true
		})
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
