package main

import (
	"cmp"
	"context"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"

	"golang.org/x/tools/go/packages"
)

// active is the environment variable that says which of a program's mutants is in place, by its number.
const active = "MUSKETRY_MUTANT"

// A code is a package as the compiler understands it.
type code struct {
	set   *token.FileSet
	files []*ast.File
	types *types.Package
	info  *types.Info
	wrong []types.Error
}

// A compiler returns a package of which some files, by their paths, have these texts.
type compiler func(texts map[string][]byte) (code, error)

// compiler returns that of a package in the checkout.
func (t *trial) compiler(ctx context.Context, pkg string) compiler {
	return func(texts map[string][]byte) (code, error) {
		overlay := map[string][]byte{}
		for file, text := range texts {
			overlay[filepath.Join(t.checkout, file)] = text
		}
		all, err := packages.Load(&packages.Config{
			Context: ctx, Dir: t.checkout, Overlay: overlay, Env: t.env,
			Mode: packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo,
		}, "./"+pkg)
		if err != nil {
			return code{}, fmt.Errorf("understand the code of %s: %w", pkg, err)
		}
		p := all[0]
		if len(p.Errors) > 0 && len(p.TypeErrors) == 0 {
			return code{}, fmt.Errorf("understand the code of %s: %w", pkg, p.Errors[0])
		}
		return code{p.Fset, p.Syntax, p.Types, p.TypesInfo, p.TypeErrors}, nil
	}
}

// A place is a part of a file, in bytes.
type place struct {
	file     string
	from, to int
}

func (p place) has(file string, at int) bool { return p.file == file && p.from <= at && at < p.to }

// A schema puts as many mutants of a package as can be into one program, which spares a build for each: what is computed
// becomes a switch over the number of the mutant that is in place. Constants' declarations stay as they are.
type schema struct {
	code

	root    string // of the files' paths
	texts   map[string][]byte
	mutants []mutant
	alone   map[int]bool   // mutants that do not compile there
	plain   map[place]bool // what must stay as it is

	out   map[string][]byte
	cases map[place]int   // where each mutant is in out
	made  map[place]place // of what is there
}

// together gives the mutants that go into one program their numbers, from 1, and returns the texts of the files as they are
// then, by their names, one of them new.
func together(mutants []mutant, texts map[string][]byte, root string, compile compiler) (map[string][]byte, error) {
	c, err := compile(texts)
	if err == nil && len(c.wrong) > 0 {
		err = c.wrong[0]
	}
	if err != nil {
		return nil, err
	}
	s := schema{code: c, root: root, texts: texts, mutants: mutants, alone: map[int]bool{}, plain: map[place]bool{}}
	for {
		s.write()
		if c, err = compile(s.out); err != nil || len(c.wrong) == 0 {
			return s.out, err
		}
		dropped := false
		for _, wrong := range c.wrong {
			dropped = s.drop(wrong) || dropped
		}
		if !dropped {
			return nil, fmt.Errorf("put the mutants together: %w", c.wrong[0])
		}
	}
}

// at returns a position's file, and where in it that is.
func (s *schema) at(set *token.FileSet, pos token.Pos) (file string, offset int) {
	p := set.Position(pos)
	return strings.TrimPrefix(p.Filename, s.root), p.Offset
}

// drop leaves out a mutant, or a place's, where the compiler says that it is wrong, and reports whether there is one.
func (s *schema) drop(wrong types.Error) bool {
	file, at := s.at(wrong.Fset, wrong.Pos)
	for p, i := range s.cases {
		if p.has(file, at) {
			s.alone[i] = true
			return true
		}
	}
	for p, was := range s.made {
		if p.has(file, at) {
			s.plain[was] = true
			return true
		}
	}
	return false
}

// write writes the program.
func (s *schema) write() {
	s.out, s.cases, s.made = map[string][]byte{}, map[place]int{}, map[place]place{}
	for i := range s.mutants {
		s.mutants[i].number = 0
	}
	for _, tree := range s.files {
		file, _ := s.at(s.set, tree.Package)
		text, ok := s.texts[file]
		if !ok {
			continue
		}
		out, done := []byte{}, 0
		ast.Inspect(tree, func(node ast.Node) bool {
			p, inside := s.piece(tree, node)
			if p == nil {
				return inside
			}
			out = append(out, text[done:p.from]...)
			from := len(out)
			out = s.put(out, p)
			s.made[place{file, from, len(out)}] = p.place
			done = p.to
			return false
		})
		s.out[file] = append(out, text[done:]...)
		s.out[filepath.Join(filepath.Dir(file), "active_mutant.go")] = fmt.Appendf(nil, `package %s

import (
	"os"
	"strconv"
)

var activeMutant, _ = strconv.Atoi(os.Getenv(%q))
`, tree.Name.Name, active)
	}
}

// A piece is a place that has mutants, and what becomes of it: a function that is called there.
type piece struct {
	place

	before  string // the function's first part
	usual   string // what it returns without a mutant
	mutants map[int]string
}

// put appends what p becomes, and gives its mutants their numbers.
func (s *schema) put(out []byte, p *piece) []byte {
	out = append(out, p.before+" { switch activeMutant {\n"...)
	for i, m := range s.mutants {
		if text, ok := p.mutants[i]; ok {
			s.mutants[i].number = len(s.cases) + 1
			from := len(out)
			out = fmt.Appendf(out, "case %d: return %s\n", s.mutants[i].number, text)
			s.cases[place{m.file, from, len(out)}] = i
		}
	}
	return fmt.Appendf(out, "}; return %s\n}()", p.usual)
}

// piece returns what node becomes; nil if it stays as it is, and then whether there may be pieces inside.
func (s *schema) piece(tree *ast.File, node ast.Node) (p *piece, inside bool) {
	var kind types.Type
	count := ""
	switch e := node.(type) {
	case *ast.GenDecl:
		return nil, e.Tok != token.CONST
	case *ast.ArrayType:
		return nil, false // its length is a constant
	case *ast.BinaryExpr:
		if e.Op != token.LAND && e.Op != token.LOR {
			kind = s.info.TypeOf(e)
		}
	case *ast.UnaryExpr:
		if e.Op == token.SUB {
			kind = s.info.TypeOf(e)
		}
	case *ast.IncDecStmt:
		kind, count = s.info.TypeOf(e.X), e.Tok.String()[:1]+"="
	}
	if kind == nil {
		return nil, true
	}
	file, from := s.at(s.set, node.Pos())
	_, to := s.at(s.set, node.End())
	p = &piece{place: place{file, from, to}, mutants: map[int]string{}}
	if s.plain[p.place] {
		return nil, true
	}
	text := s.texts[file]
	p.before = "func() " + types.TypeString(types.Default(kind), s.names(tree))
	p.usual = string(text[from:to])
	if count != "" {
		p.before, p.usual = p.usual[:len(p.usual)-2]+" "+count+" "+p.before, "1"
	}
	for i, m := range s.mutants {
		switch {
		case s.alone[i] || !p.has(m.file, m.at):
		case count == "":
			p.mutants[i] = string(m.text[from : len(m.text)-len(text)+to])
		case m.at == to-2:
			p.mutants[i] = "-1"
		}
	}
	if len(p.mutants) == 0 {
		return nil, true
	}
	return p, false
}

// names returns how a file calls packages.
func (s *schema) names(tree *ast.File) types.Qualifier {
	return func(p *types.Package) string {
		if p == s.types {
			return ""
		}
		for _, i := range tree.Imports {
			if i.Name != nil && strings.Trim(i.Path.Value, `"`) == p.Path() {
				return i.Name.Name
			}
		}
		return cmp.Or(p.Name(), p.Path())
	}
}
