package docs_test

import (
	"cmp"
	"go/ast"
	"go/types"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

const (
	// maxUp is how many of a drawn package's arrows may lead back up its drawing.
	maxUp = 3
	// maxMethods bounds the methods of a type of such a package.
	maxMethods = 12
)

// An arrow leads from a file to another one of its package that declares a function, type, method, variable or constant
// which it refers to.
type arrow struct{ from, to string }

// TestDrawingsHold holds the packages whose doc.go lists their files, in the order in which they are read, against that list: it
// is whole, few arrows lead up it, and no type has so many methods that it is the whole package.
func TestDrawingsHold(t *testing.T) {
	t.Parallel()
	for name, order := range drawings(t) {
		loaded, err := packages.Load(&packages.Config{Context: t.Context(), Mode: packages.LoadSyntax}, internal+name)
		if err != nil || len(loaded) != 1 || len(loaded[0].Errors) > 0 {
			t.Fatal(err, loaded)
		}
		p := loaded[0]
		listed := slices.Sorted(slices.Values(append(slices.Clone(order), "doc.go")))
		if files := filesOf(p); !slices.Equal(listed, files) {
			t.Errorf("internal/%s: doc.go lists %q, and the files are %q", name, listed, files)
		}
		all := arrows(p)
		up := slices.DeleteFunc(slices.Clone(all), func(a arrow) bool {
			return slices.Index(order, a.to) > slices.Index(order, a.from)
		})
		t.Logf("internal/%s: %d of %d arrows lead up", name, len(up), len(all))
		if len(up) > maxUp {
			t.Errorf("internal/%s: %d of %d arrows lead up the drawing, at most %d may: %v", name, len(up), len(all), maxUp, up)
		}
		for typ, n := range methods(p) {
			if n > maxMethods {
				t.Errorf("internal/%s: %s has %d methods, at most %d may it have", name, typ, n, maxMethods)
			}
		}
	}
}

// drawings returns the files that packages' doc.go list, by package: each file on a line of its own with what it is for.
func drawings(t *testing.T) map[string][]string {
	t.Helper()
	docs, err := filepath.Glob("../internal/*/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	drawn := map[string][]string{}
	for _, doc := range docs {
		name := filepath.Base(filepath.Dir(doc))
		for _, match := range regexp.MustCompile(`(?m)^//\t(\w+\.go) `).FindAllStringSubmatch(read(t, doc), -1) {
			drawn[name] = append(drawn[name], match[1])
		}
	}
	if len(drawn["execute"]) == 0 {
		t.Error("internal/execute/doc.go lists no files: it is read wrongly")
	}
	return drawn
}

func filesOf(p *packages.Package) []string {
	var files []string
	for _, path := range p.GoFiles {
		files = append(files, filepath.Base(path))
	}
	slices.Sort(files)
	return files
}

// arrows returns the arrows between a package's files.
func arrows(p *packages.Package) []arrow {
	found := map[arrow]bool{}
	for _, file := range p.Syntax {
		from := fileOf(p, file)
		ast.Inspect(file, func(n ast.Node) bool {
			name, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			what := p.TypesInfo.Uses[name]
			if what == nil || what.Pkg() != p.Types || !isDeclaration(what) {
				return true
			}
			if to := filepath.Base(p.Fset.Position(what.Pos()).Filename); to != from {
				found[arrow{from, to}] = true
			}
			return true
		})
	}
	return slices.SortedFunc(maps.Keys(found), func(a, b arrow) int {
		return cmp.Or(strings.Compare(a.from, b.from), strings.Compare(a.to, b.to))
	})
}

func fileOf(p *packages.Package, n ast.Node) string {
	return filepath.Base(p.Fset.Position(n.Pos()).Filename)
}

// isDeclaration reports whether what stands at the top of a file, or is a method.
func isDeclaration(what types.Object) bool {
	if f, ok := what.(*types.Func); ok && f.Signature().Recv() != nil {
		return true
	}
	return what.Parent() == what.Pkg().Scope()
}

// methods returns how many methods each type has.
func methods(p *packages.Package) map[string]int {
	count := map[string]int{}
	for _, name := range p.Types.Scope().Names() {
		if typ, ok := p.Types.Scope().Lookup(name).(*types.TypeName); ok {
			if named, ok := typ.Type().(*types.Named); ok {
				count[name] = named.NumMethods()
			}
		}
	}
	return count
}
