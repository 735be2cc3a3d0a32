// Package reach finds what a program of this module can call outside of it, so that its permissions can be held against
// its code. It knows Go's types and static single assignment form; it must not know AWS.
//
// It follows rapid type analysis within the module: a function is reached if reached code calls it or takes its value, and
// a method also if a value of its type becomes an interface of which reached code, or somebody else's, calls that method.
// So it finds too much rather than too little.
package reach

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
	"golang.org/x/tools/go/ssa"
	"golang.org/x/tools/go/ssa/ssautil"
)

// Uses are what a program reaches.
type Uses struct {
	Calls map[string]bool // Functions and methods outside of the module, such as "(*net/http.Client).Do".
	Texts map[string]bool // The string constants of the code that is reached.
}

// Mains returns what the main function of each of these packages of a module reaches, by the packages' paths.
func Mains(ctx context.Context, module string, paths ...string) (map[string]Uses, error) {
	own, err := within(ctx, module, paths)
	if err != nil {
		return nil, err
	}
	loaded, err := load(ctx, packages.LoadSyntax, own)
	if err != nil {
		return nil, err
	}
	program, built := ssautil.Packages(loaded, ssa.InstantiateGenerics)
	program.Build()
	uses := map[string]Uses{}
	for i, p := range loaded {
		if !slices.Contains(paths, p.PkgPath) {
			continue
		}
		w := newWalker(program)
		w.reach(built[i].Func("init"))
		w.reach(built[i].Func("main"))
		w.walk()
		uses[p.PkgPath] = w.uses
	}
	return uses, nil
}

// within returns the packages of the module that these need, themselves among them.
func within(ctx context.Context, module string, paths []string) ([]string, error) {
	loaded, err := load(ctx, packages.NeedName|packages.NeedImports|packages.NeedDeps, paths)
	if err != nil {
		return nil, err
	}
	var own []string
	packages.Visit(loaded, nil, func(p *packages.Package) {
		if p.PkgPath == module || strings.HasPrefix(p.PkgPath, module+"/") {
			own = append(own, p.PkgPath)
		}
	})
	return own, nil
}

func load(ctx context.Context, mode packages.LoadMode, paths []string) ([]*packages.Package, error) {
	loaded, err := packages.Load(&packages.Config{Context: ctx, Mode: mode}, paths...)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", strings.Join(paths, " "), err)
	}
	for _, p := range loaded {
		if len(p.Errors) > 0 {
			return nil, fmt.Errorf("load %s: %w", p.PkgPath, p.Errors[0])
		}
	}
	return loaded, nil
}
