package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestEveryAlarmHasItsRow demands of operations.md a row for each warning and error that the functions may log, with its level,
// and no other; and that each says whether it is worth an alarm.
func TestEveryAlarmHasItsRow(t *testing.T) {
	t.Parallel()
	var page []string
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (warn|error) \\| (yes|often|no) \\| .+ \\|$")
	for _, row := range rows.FindAllStringSubmatch(read(t, "operations.md"), -1) {
		page = append(page, row[2]+" "+row[1])
	}
	logged := map[string]bool{}
	for name, text := range sources(t) {
		if strings.HasSuffix(name, "_test.go") || !strings.HasPrefix(name, "internal/") && !strings.HasPrefix(name, "lambdas/") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			for _, level := range levels(call) {
				logged[level+" "+message(call)] = true
			}
			return true
		})
	}
	if len(logged) < 40 {
		t.Errorf("the code logs %d warnings and errors: it is read wrongly", len(logged))
	}
	slices.Sort(page)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(logged)), page); diff != "" {
		t.Errorf("what may be logged, and its row in docs/operations.md (-code +page):\n%s", diff)
	}
}

// levels returns which of warn and error a call logs at; both where only the run shows it.
func levels(call *ast.CallExpr) []string {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || message(call) == "" {
		return nil
	}
	if on, ok := method.X.(*ast.Ident); ok && on.Name == "t" { // a test's
		return nil
	}
	switch method.Sel.Name {
	case "Warn", "WarnContext":
		return []string{"warn"}
	case "Error", "ErrorContext":
		return []string{"error"}
	case "Log", "LogAttrs":
		constant, ok := call.Args[1].(*ast.SelectorExpr)
		if !ok {
			return []string{"warn", "error"}
		}
		return map[string][]string{"LevelWarn": {"warn"}, "LevelError": {"error"}}[constant.Sel.Name]
	}
	return nil
}

// message returns the first of a call's arguments that is a text, or "" if none of the first three is.
func message(call *ast.CallExpr) string {
	for _, arg := range call.Args[:min(len(call.Args), 3)] {
		if literal, ok := arg.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			text, _ := strconv.Unquote(literal.Value)
			return text
		}
	}
	return ""
}
