package prompts

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxDocument is the longest documentation in bytes that a request carries.
const MaxDocument = 8 << 10

const cut = "\n[cut here]\n"

// Document returns what a package says of itself: its overview, then its
// exported declarations, each with the first sentence about it. It is cut
// after MaxDocument bytes.
func Document(p Package) (string, error) {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return "", fmt.Errorf("%s: %w", p.ImportPath, err)
		}
		files = append(files, f)
	}
	mode := doc.Mode(0)
	if p.ImportPath == "builtin" {
		mode = doc.AllDecls // its names are lower-case
	}
	d, err := doc.NewFromFiles(fset, files, p.ImportPath, mode)
	if err != nil {
		return "", fmt.Errorf("%s: %w", p.ImportPath, err)
	}
	t := &text{fset: fset, pkg: d}
	kind := "Package"
	if d.Name == "main" {
		kind = "Command"
	}
	t.printf("%s %s\n\n%s\n", kind, p.ImportPath, d.Text(d.Doc))
	if d.Name != "main" {
		t.declarations()
	}
	return clip(t.String(), MaxDocument), nil
}

// A text is documentation being written.
type text struct {
	strings.Builder
	fset *token.FileSet
	pkg  *doc.Package
}

func (t *text) printf(format string, args ...any) {
	// Writing to a strings.Builder cannot fail.
	_, _ = fmt.Fprintf(t, format, args...)
}

func (t *text) declarations() {
	t.values(t.pkg.Consts)
	t.values(t.pkg.Vars)
	t.functions(t.pkg.Funcs)
	for _, typ := range t.pkg.Types {
		t.printf("type %s\n", typ.Name)
		t.sentence(typ.Doc)
		t.values(typ.Consts)
		t.values(typ.Vars)
		t.functions(typ.Funcs)
		t.functions(typ.Methods)
	}
}

func (t *text) values(values []*doc.Value) {
	for _, v := range values {
		t.printf("%s %s\n", v.Decl.Tok, strings.Join(v.Names, ", "))
		t.sentence(v.Doc)
	}
}

func (t *text) functions(functions []*doc.Func) {
	for _, f := range functions {
		head := *f.Decl
		head.Doc, head.Body = nil, nil
		if err := printer.Fprint(t, t.fset, &head); err != nil {
			t.printf("func %s", f.Name)
		}
		t.printf("\n")
		t.sentence(f.Doc)
	}
}

func (t *text) sentence(comment string) {
	if s := t.pkg.Synopsis(comment); s != "" {
		t.printf("    %s\n", s)
	}
}

// clip cuts s after a line, so that it has at most so many bytes.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	s = s[:most-len(cut)]
	if line := strings.LastIndexByte(s, '\n'); line > 0 {
		return s[:line] + cut
	}
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + cut
}
