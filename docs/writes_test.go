package docs_test

import (
	"cmp"
	"fmt"
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

const internal = "github.com/musketry/musketry/internal/"

// reads are the methods of ports that leave everything as it is, for whoever comes after a crash.
var reads = map[string]bool{
	"Batch": true, "Batches": true, "Counters": true, "Expiring": true, "File": true, "Files": true, "History": true, "Journal": true, "Key": true,
	"Holds": true, "Limit": true, "List": true, "Models": true, "Open": true, "Progress": true, "Read": true, "Request": true, "Requests": true, "Running": true,
	"Runnings": true, "Size": true, "State": true, "Upload": true, "Worker": true,
	"Count": true, "Observe": true, // an event or a value, of which a crash may lose some
	"Find": true, "Get": true, "MaxStream": true, "Presign": true, "Unwrap": true,
	"Receive": true, // hides for minutes what is shown again by itself
}

// A write is a call of a port that leaves something behind, by the function that it stands in.
type write struct{ op, function string }

func (w write) String() string { return fmt.Sprintf("`%s` in `%s`", w.op, w.function) }

// writesOf returns the writes of use cases, by package. The write of a function that is handed what to change is its callers'.
func writesOf(t *testing.T, names ...string) map[string][]write {
	t.Helper()
	var paths []string
	for _, name := range names {
		paths = append(paths, internal+name)
	}
	loaded, err := packages.Load(&packages.Config{Context: t.Context(), Mode: packages.LoadSyntax}, paths...)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]write{}
	for _, p := range loaded {
		if len(p.Errors) > 0 {
			t.Fatal(p.Errors)
		}
		c := calls{Package: p, handed: map[types.Object]string{}, found: map[write]types.Object{}}
		for more := true; more; {
			before := len(c.handed)
			c.look()
			more = len(c.handed) > before
		}
		if len(c.twins) > 0 {
			t.Errorf("%s: %v stand in two functions each: give these two names", p.PkgPath, c.twins)
		}
		found[strings.TrimPrefix(p.PkgPath, internal)] = slices.SortedFunc(maps.Keys(c.found), func(a, b write) int {
			return cmp.Or(strings.Compare(a.function, b.function), strings.Compare(a.op, b.op))
		})
	}
	return found
}

// calls looks for a package's writes.
type calls struct {
	*packages.Package

	handed map[types.Object]string // functions that are handed what to change, and the operation
	found  map[write]types.Object
	twins  []write // two functions of one name make the same write
}

func (c *calls) look() {
	for _, file := range c.Syntax {
		for _, d := range file.Decls {
			function, ok := d.(*ast.FuncDecl)
			if !ok || function.Body == nil {
				continue
			}
			ast.Inspect(function.Body, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					if op := c.operation(call); op != "" {
						c.note(function, call, op)
					}
				}
				return true
			})
		}
	}
}

// operation returns which write a call is, empty if none.
func (c *calls) operation(call *ast.CallExpr) string {
	var name *ast.Ident
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		name = fun
	case *ast.SelectorExpr:
		name = fun.Sel
	default:
		return ""
	}
	method, ok := c.TypesInfo.Uses[name].(*types.Func)
	if !ok {
		return ""
	}
	if op := c.handed[method.Origin()]; op != "" {
		return op
	}
	on := method.Signature().Recv()
	if on == nil || method.Pkg() != c.Types || !method.Exported() || !types.IsInterface(on.Type()) || reads[method.Name()] {
		return ""
	}
	return method.Name()
}

func (c *calls) note(function *ast.FuncDecl, call *ast.CallExpr, op string) {
	object := c.TypesInfo.Defs[function.Name]
	for _, arg := range call.Args {
		if name, ok := arg.(*ast.Ident); ok && isParameter(object, c.TypesInfo.Uses[name]) {
			c.handed[object] = op
			return
		}
	}
	w := write{op, function.Name.Name}
	if other := c.found[w]; other != nil && other != object {
		c.twins = append(c.twins, w)
	}
	c.found[w] = object
}

// isParameter reports whether what is a function that function is handed.
func isParameter(function, what types.Object) bool {
	if what == nil {
		return false
	}
	if _, ok := what.Type().Underlying().(*types.Signature); !ok {
		return false
	}
	for p := range function.Type().(*types.Signature).Params().Variables() {
		if p == what {
			return true
		}
	}
	return false
}

// rowless are calls in a place of a write that leave nothing behind.
var rowless = map[string]map[write]string{
	"api": {
		{"UpdateQuota", "quota"}: "changes nothing, to read",
		{"Accept", "accept"}:     "a use case's, whose writes have rows", {"Cancel", "cancelBatch"}: "the same",
	},
	"erase":  {{"UpdateQuota", "countedAt"}: "changes nothing, to read"},
	"submit": {{"UpdateFile", "start"}: "changes nothing, to read whether the file may be used"},
}

// A crashRow is a row of a crash table.
type crashRow struct {
	section, pkg string // of the table
	cells        []string
}

// crashRows returns the rows of all crash tables of architecture.md.
func crashRows(t *testing.T) []crashRow {
	t.Helper()
	var rows []crashRow
	var section, pkg string
	inTable := false
	heading := regexp.MustCompile("^\\*\\*([^*]+)\\*\\*.*\\(`internal/(\\w+)`")
	for line := range strings.Lines(read(t, "architecture.md")) {
		line = strings.TrimSpace(line)
		if match := heading.FindStringSubmatch(line); match != nil {
			section, pkg = match[1], match[2]
		}
		switch {
		case strings.HasPrefix(line, "| after |"):
			inTable = true
		case !strings.HasPrefix(line, "|"):
			inTable = false
		case inTable && !strings.HasPrefix(line, "|--"):
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows = append(rows, crashRow{section, pkg, cells})
		}
	}
	return rows
}

// TestEveryWriteHasItsRow holds architecture.md's crash tables against the code: each write of a use case stands in a row of
// its package, each write that a row names is made, and each row names tests that exist.
func TestEveryWriteHasItsRow(t *testing.T) {
	t.Parallel()
	rows := crashRows(t)
	if len(rows) < 80 {
		t.Errorf("the page has %d rows: it is read wrongly", len(rows))
	}
	named := map[string]map[write]bool{}
	for _, r := range rows {
		if len(r.cells) != 5 || slices.Contains(r.cells, "") {
			t.Errorf("%s: want five cells: %q", r.section, r.cells)
			continue
		}
		if named[r.pkg] == nil {
			named[r.pkg] = map[write]bool{}
		}
		for _, match := range regexp.MustCompile("`(\\w+)` in `(\\w+)`").FindAllStringSubmatch(r.cells[1], -1) {
			named[r.pkg][write{match[1], match[2]}] = true
		}
		tests := regexp.MustCompile("`(?:([a-z0-9_/]+)\\.)?(Test\\w+)`").FindAllStringSubmatch(r.cells[4], -1)
		if len(tests) == 0 {
			t.Errorf("%s: no test shows what is left after %s", r.section, r.cells[0])
		}
		for _, test := range tests {
			if folder := cmp.Or(test[1], "internal/"+r.pkg); !hasTest(t, filepath.Join("..", folder), test[2]) {
				t.Errorf("%s, after %s: there is no %s.%s", r.section, r.cells[0], folder, test[2])
			}
		}
	}
	for pkg, made := range writesOf(t, "multipart", "erase", "submit", "execute", "finalize", "inspect", "sweep", "api") {
		for _, w := range made {
			if !named[pkg][w] && rowless[pkg][w] == "" {
				t.Errorf("internal/%s: %s has no row: say in architecture.md what a crash after it leaves, and which test shows it", pkg, w)
			}
		}
		for w := range named[pkg] {
			if !slices.Contains(made, w) {
				t.Errorf("internal/%s: architecture.md has a row of %s, which is not made", pkg, w)
			}
		}
		for w := range rowless[pkg] {
			if !slices.Contains(made, w) {
				t.Errorf("internal/%s: %s needs no excuse, since it is not made", pkg, w)
			}
		}
	}
}
