package suite

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOwnCloudsAreKnown holds the list of tests with a cloud of their own to those that start one.
func TestOwnCloudsAreKnown(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../../localstack/e2e/*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var found []string
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declared := range file.Decls {
			if f, ok := declared.(*ast.FuncDecl); ok && calls(f, "upCloud") {
				if !strings.HasPrefix(f.Name.Name, "Test") {
					t.Errorf("%s starts a cloud for a test: only the test itself may, so that it is seen here", f.Name.Name)
				}
				found = append(found, f.Name.Name)
			}
		}
	}
	slices.Sort(found)
	if diff := cmp.Diff(ownClouds(), found); diff != "" {
		t.Errorf("tests with a cloud of their own (-listed +found):\n%s", diff)
	}
}

// calls reports whether a function calls another of its package by name.
func calls(f *ast.FuncDecl, name string) bool {
	found := false
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if called, ok := call.Fun.(*ast.Ident); ok && called.Name == name {
				found = true
			}
		}
		return !found
	})
	return found
}
