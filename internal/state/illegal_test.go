package state_test

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

const statePath = "github.com/musketry/musketry/internal/state"

// drawing is the drawing of the package comment: from where each transition
// leads, and whereto. Every pair that it lacks has a program under
// testdata/illegal, named state_transition.go, that must not compile.
var drawing = map[string]struct {
	from []string
	to   string
}{
	"Claim":     {[]string{"Pending"}, "Claimed"},
	"Reclaim":   {[]string{"Claimed", "Processing"}, "Claimed"},
	"Release":   {[]string{"Claimed"}, "Pending"},
	"Start":     {[]string{"Claimed"}, "Processing"},
	"Complete":  {[]string{"Processing"}, "Completed"},
	"Fail":      {[]string{"Claimed", "Processing"}, "Failed"},
	"Retry":     {[]string{"Failed"}, "Pending"},
	"Deny":      {[]string{"Pending", "Failed"}, "Failed"},
	"Cancel":    {[]string{"Pending", "Claimed", "Processing"}, "Canceled"},
	"Expire":    {[]string{"Pending", "Claimed", "Processing"}, "Failed"},
	"Terminate": {[]string{"Pending", "Claimed", "Processing"}, "Failed"},
}

// forgeries are the programs that no pair asks for.
var forgeries = []string{
	"assign_request", "convert_change", "convert_request", "forge_change", "forge_guard", "forge_phase",
	"forge_phase_type", "forge_reason", "forge_request", "forge_state", "forge_state_any", "forge_state_read",
}

// A memo asks its importer once a package, since asking costs a run of the go
// command, and one at a time.
type memo struct {
	types.Importer
	mu    sync.Mutex
	known map[string]*types.Package
}

// Import returns the package of that path.
func (m *memo) Import(path string) (*types.Package, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if pkg, ok := m.known[path]; ok {
		return pkg, nil
	}
	pkg, err := m.Importer.Import(path)
	if err == nil {
		m.known[path] = pkg
	}
	return pkg, err
}

// A checker type-checks programs against the package as it is on disk.
type checker struct {
	fset *token.FileSet
	imp  types.Importer
	pkg  *types.Package
}

func newChecker(t *testing.T) checker {
	t.Helper()
	fset := token.NewFileSet()
	imp := &memo{Importer: importer.ForCompiler(fset, "source", nil), known: map[string]*types.Package{}}
	pkg, err := imp.Import(statePath)
	if err != nil {
		t.Fatalf("import %s: %v", statePath, err)
	}
	return checker{fset: fset, imp: imp, pkg: pkg}
}

// check returns the file's syntax and every error of its types.
func (c checker) check(t *testing.T, name string, src any) (*ast.File, []string) {
	t.Helper()
	f, err := parser.ParseFile(c.fset, name, src, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	cfg := types.Config{Importer: c.imp, Error: func(err error) { got = append(got, err.Error()) }}
	_, _ = cfg.Check("illegal", c.fset, []*ast.File{f}, nil)
	return f, got
}

// states returns the names in the union of the constraint State.
func (c checker) states(t *testing.T) []string {
	t.Helper()
	var names []string
	constraint, ok := c.pkg.Scope().Lookup("State").Type().Underlying().(*types.Interface)
	if !ok {
		t.Fatal("State is no interface")
	}
	for embedded := range constraint.EmbeddedTypes() {
		union, ok := embedded.(*types.Union)
		if !ok {
			continue
		}
		for term := range union.Terms() {
			if term.Tilde() {
				t.Errorf("State admits every type like %v", term.Type())
			}
			names = append(names, nameOf(term.Type()))
		}
	}
	return names
}

// transitions returns the exported functions that take a Request.
func (c checker) transitions() map[string]*types.Signature {
	found := map[string]*types.Signature{}
	for _, name := range c.pkg.Scope().Names() {
		fn, ok := c.pkg.Scope().Lookup(name).(*types.Func)
		if !ok || !fn.Exported() {
			continue
		}
		for param := range fn.Signature().Params().Variables() {
			if nameOf(param.Type()) == "Request" {
				found[name] = fn.Signature()
			}
		}
	}
	return found
}

func nameOf(t types.Type) string {
	if named, ok := t.(*types.Named); ok {
		return named.Obj().Name()
	}
	return ""
}

// argOf returns the state of a Request's type, or "" if it is a parameter.
func argOf(t types.Type) string {
	if named, ok := t.(*types.Named); ok && named.TypeArgs().Len() == 1 {
		return nameOf(named.TypeArgs().At(0))
	}
	return ""
}

var want = regexp.MustCompile(`// want "(.+)"`)

func TestIllegalTransitionsDoNotCompile(t *testing.T) {
	t.Parallel()
	c := newChecker(t)

	t.Run("programs", func(t *testing.T) {
		t.Parallel()
		files, err := filepath.Glob("testdata/illegal/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("no illegal programs: %v", err)
		}
		for _, name := range files {
			t.Run(strings.TrimSuffix(filepath.Base(name), ".go"), func(t *testing.T) {
				t.Parallel()
				testIllegal(t, c, name)
			})
		}
	})
	t.Run("every pair has its program", func(t *testing.T) {
		t.Parallel()
		testComplete(t, c)
	})
	t.Run("legal pairs compile", func(t *testing.T) {
		t.Parallel()
		testLegal(t, c)
	})
	t.Run("nothing else makes a request", func(t *testing.T) {
		t.Parallel()
		testMakers(t, c)
	})
}

// testIllegal demands that the program has one error, the one that its "want"
// comment names, on that comment's line.
func testIllegal(t *testing.T, c checker, name string) {
	t.Helper()
	f, got := c.check(t, name, nil)
	var pattern, at string
	for _, group := range f.Comments {
		for _, comment := range group.List {
			if m := want.FindStringSubmatch(comment.Text); m != nil {
				pattern = m[1]
				at = fmt.Sprintf("%s:%d:", name, c.fset.Position(comment.Pos()).Line)
			}
		}
	}
	if pattern == "" {
		t.Fatal("the program says no want")
	}
	if len(got) != 1 || !strings.HasPrefix(got[0], at) || !regexp.MustCompile(pattern).MatchString(got[0]) {
		t.Errorf("type errors %q, want one at %s matching %q", got, at, pattern)
	}
}

// testComplete demands a program of every pair that the drawing lacks, of none
// that it has, and that each makes the call it is named for.
func testComplete(t *testing.T, c checker) {
	t.Helper()
	missing := slices.Clone(forgeries)
	for transition := range c.transitions() {
		if _, ok := drawing[transition]; !ok {
			t.Errorf("transition %s is not in the drawing", transition)
		}
		for _, state := range c.states(t) {
			if slices.Contains(drawing[transition].from, state) {
				continue
			}
			name := strings.ToLower(state + "_" + transition)
			missing = append(missing, name)
			src, err := os.ReadFile(filepath.Join("testdata", "illegal", name+".go"))
			if err != nil {
				t.Errorf("no program that %ss a %s request: %v", transition, state, err)
				continue
			}
			for _, part := range []string{"(r state.Request[state." + state + "]", "state." + transition + "(r"} {
				if !strings.Contains(string(src), part) {
					t.Errorf("%s.go does not say %q", name, part)
				}
			}
		}
	}
	for transition := range drawing {
		if _, ok := c.transitions()[transition]; !ok {
			t.Errorf("the drawing's %s is no exported function of a Request", transition)
		}
	}
	entries, err := os.ReadDir("testdata/illegal")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !slices.Contains(missing, strings.TrimSuffix(entry.Name(), ".go")) {
			t.Errorf("%s belongs to no pair and is no known forgery", entry.Name())
		}
	}
	for _, name := range forgeries {
		if _, err := os.Stat(filepath.Join("testdata", "illegal", name+".go")); err != nil {
			t.Error(err)
		}
	}
}

// testLegal demands that every pair of the drawing compiles and leads where the
// drawing says.
func testLegal(t *testing.T, c checker) {
	t.Helper()
	var src strings.Builder
	src.WriteString("package legal\n\nimport (\n\t\"time\"\n\n\t\"" + statePath + "\"\n)\n\nvar _ time.Time\n")
	qualify := func(p *types.Package) string { return p.Name() }
	for name, sig := range c.transitions() {
		if to := argOf(sig.Results().At(0).Type()); to != drawing[name].to {
			t.Errorf("%s leads to %q, want %q", name, to, drawing[name].to)
		}
		args := "r"
		for i := 1; i < sig.Params().Len(); i++ {
			args += ", *new(" + types.TypeString(sig.Params().At(i).Type(), qualify) + ")"
		}
		for _, from := range drawing[name].from {
			fmt.Fprintf(&src, "\nfunc _(r state.Request[state.%s]) { state.%s(%s) }\n", from, name, args)
		}
	}
	if _, got := c.check(t, "legal.go", src.String()); len(got) > 0 {
		t.Errorf("type errors %q in\n%s", got, src.String())
	}
}

// testMakers demands that only transitions, New and As make a Request, and that
// no method leads from one state to another.
func testMakers(t *testing.T, c checker) {
	t.Helper()
	for _, name := range c.pkg.Scope().Names() {
		obj := c.pkg.Scope().Lookup(name)
		fn, ok := obj.(*types.Func)
		if !ok || !fn.Exported() || name == "New" || name == "As" {
			continue
		}
		if _, ok := c.transitions()[name]; ok {
			continue
		}
		for result := range fn.Signature().Results().Variables() {
			if n := nameOf(result.Type()); n == "Request" || n == "Change" {
				t.Errorf("%s makes a %s and is no transition", name, n)
			}
		}
	}
	request, ok := c.pkg.Scope().Lookup("Request").Type().(*types.Named)
	if !ok {
		t.Fatal("Request is no type")
	}
	for method := range request.Methods() {
		for result := range method.Signature().Results().Variables() {
			if nameOf(result.Type()) == "Request" && argOf(result.Type()) != "" {
				t.Errorf("method %s leads to state %s", method.Name(), argOf(result.Type()))
			}
		}
	}
}
