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

// TestMetricsAreOnThePage demands that what is counted, what package metric names, and what metrics.md lists are the
// same, with the same labels where a call spells them out.
func TestMetricsAreOnThePage(t *testing.T) {
	t.Parallel()
	labels, values := regexp.MustCompile("`(\\w+)`"), regexp.MustCompile(`\(.*?\)`)
	page := map[string][]string{} // labels by name
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (.*?) ?\\| .* \\|$").FindAllStringSubmatch(read(t, "metrics.md"), -1) {
		page[row[1]] = nil
		for _, label := range labels.FindAllStringSubmatch(values.ReplaceAllString(row[2], ""), -1) {
			page[row[1]] = append(page[row[1]], label[1])
		}
	}
	names, counted := map[string]string{}, map[string][]string{} // names by constant, labels by name
	for name, text := range sources(t) {
		if name == "internal/metric/metric.go" {
			for _, constant := range regexp.MustCompile(`(?m)^\t(\w+) += "(\w+)"$`).FindAllStringSubmatch(string(text), -1) {
				names[constant[1]] = constant[2]
			}
		}
	}
	for name, text := range sources(t) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && counts(call) {
				metric := nameOf(call.Args[0], names)
				if metric == "" {
					t.Errorf("%s counts what is no name of package metric", name)
				}
				counted[metric] = labelsOf(call, page[metric])
			}
			return true
		})
	}
	if want := slices.Sorted(maps.Keys(page)); !cmp.Equal(want, slices.Sorted(maps.Values(names))) {
		t.Errorf("package metric (-page +code):\n%s", cmp.Diff(want, slices.Sorted(maps.Values(names))))
	}
	if diff := cmp.Diff(page, counted); diff != "" {
		t.Errorf("what is counted (-page +code):\n%s", diff)
	}
}

// counts reports whether call is one of Metrics.Count or Metrics.Observe.
func counts(call *ast.CallExpr) bool {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || method.Sel.Name != "Count" && method.Sel.Name != "Observe" || len(call.Args) < 2 {
		return false
	}
	switch on := method.X.(type) {
	case *ast.SelectorExpr:
		return strings.EqualFold(on.Sel.Name, "metrics")
	case *ast.Ident:
		return strings.EqualFold(on.Name, "metrics")
	}
	return false
}

// nameOf returns the name that arg is, or "" if it is none of names'.
func nameOf(arg ast.Expr, names map[string]string) string {
	if constant, ok := arg.(*ast.SelectorExpr); ok {
		if of, ok := constant.X.(*ast.Ident); ok && of.Name == "metric" {
			return names[constant.Sel.Name]
		}
	}
	return ""
}

// labelsOf returns the labels of a call, those of the page where they come in a list.
func labelsOf(call *ast.CallExpr, page []string) []string {
	if call.Ellipsis.IsValid() {
		return page
	}
	var labels []string
	for i := 2; i < len(call.Args); i += 2 {
		if literal, ok := call.Args[i].(*ast.BasicLit); ok {
			label, _ := strconv.Unquote(literal.Value)
			labels = append(labels, label)
		}
	}
	return labels
}
