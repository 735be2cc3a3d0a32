package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
)

// active is the environment variable that says which of a program's mutants is in place, by its number.
const active = "MUSKETRY_MUTANT"

// together puts as many mutants of a package as can be into one program, which spares a build for each: a comparison
// becomes a switch over the number of the mutant that is in place. It gives these their numbers, from 1, and returns the
// texts of the files as they are then, by their names, one of them new.
func together(mutants []mutant, texts map[string][]byte) (map[string][]byte, error) {
	files, numbers := map[string][]byte{}, 0
	for file, text := range texts {
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, file, text, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("parse the code: %w", err)
		}
		var out strings.Builder
		done := 0
		ast.Inspect(tree, func(node ast.Node) bool {
			e, ok := node.(*ast.BinaryExpr)
			if !ok || !slices.Contains([]token.Token{token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ}, e.Op) {
				return true
			}
			from, to, at := set.Position(e.Pos()).Offset, set.Position(e.End()).Offset, set.Position(e.OpPos)
			fmt.Fprintf(&out, "%sfunc() bool { switch activeMutant {\n", text[done:from])
			for i := range mutants {
				if m := &mutants[i]; m.file == file && m.line == at.Line && m.col == at.Column {
					numbers++
					m.number = numbers
					fmt.Fprintf(&out, "case %d: return %s\n", numbers, m.text[from:len(m.text)-len(text)+to])
				}
			}
			fmt.Fprintf(&out, "}; return %s\n}()", text[from:to])
			done = to
			return false // A comparison within this one has a program of its own.
		})
		out.Write(text[done:])
		files[file] = []byte(out.String())
		files[filepath.Join(filepath.Dir(file), "active_mutant.go")] = fmt.Appendf(nil, `package %s

import (
	"os"
	"strconv"
)

var activeMutant, _ = strconv.Atoi(os.Getenv(%q))
`, tree.Name.Name, active)
	}
	return files, nil
}
