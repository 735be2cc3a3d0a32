package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A target is a package whose tests are tried.
type target struct {
	name  string
	floor float64 // The least part of its mutants that must be noticed, in percent.
}

func targets() []target {
	return []target{{"state", 97}, {"retry", 100}, {"batch", 92}, {"finalize", 92}, {"execute", 92}}
}

// A trial is one call of this program.
type trial struct {
	gremlins   string // The program.
	equivalent string // The list's path.
	files      *regexp.Regexp
	seeds      int
	env        []string
	out        io.Writer

	temp     string
	checkout string // A copy, within temp.
}

// run tries the targets of these names, or all, and fails if one does not come up to its floor.
func (t *trial) run(ctx context.Context, names []string) (err error) {
	chosen, err := choose(names)
	if err != nil {
		return err
	}
	list, err := readEquivalents(t.equivalent)
	if err != nil {
		return err
	}
	if t.temp, err = os.MkdirTemp("", "mutants-"); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(t.temp)) }()
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("ask go where it is: %w", err)
	}
	// Built with -trimpath, the tests that compile programs do not know it.
	t.env = append(slices.Clone(t.env), "GOROOT="+strings.TrimSpace(string(root)))
	t.checkout = filepath.Join(t.temp, "checkout")
	if err := copyCheckout(ctx, t.checkout); err != nil {
		return err
	}
	var failed error
	for _, p := range chosen {
		c := &count{target: p, list: list, by: make(map[fate]int), listed: make(map[equivalent]bool)}
		if err := t.try(ctx, c); err != nil {
			return err
		}
		fmt.Fprintln(t.out, c)
		if t.files.String() == "" {
			failed = errors.Join(failed, c.check())
		}
	}
	return failed
}

// choose returns the targets of these names, or all.
func choose(names []string) ([]target, error) {
	if len(names) == 0 {
		return targets(), nil
	}
	var chosen []target
	for _, name := range names {
		i := slices.IndexFunc(targets(), func(p target) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("%s is none of the packages that are tried", name)
		}
		chosen = append(chosen, targets()[i])
	}
	return chosen, nil
}

// try counts what becomes of a package's mutants, and tells which live.
func (t *trial) try(ctx context.Context, c *count) error {
	pkg := "internal/" + c.name
	mutants, err := t.find(ctx, pkg)
	if err != nil {
		return err
	}
	own, sim, err := t.prepare(ctx, pkg, mutants)
	if err != nil {
		return err
	}
	mutants = slices.DeleteFunc(mutants, func(m mutant) bool { return !t.files.MatchString(m.file) })
	var file map[fate]int
	for i, m := range mutants {
		if i == 0 || mutants[i-1].file != m.file {
			file = make(map[fate]int)
		}
		what, err := t.fate(ctx, m, own, sim)
		if err != nil {
			return err
		}
		what = c.add(m, what)
		if file[what]++; what == lives || what == hangs {
			fmt.Fprintf(t.out, "%s: %v\n", what, m)
		}
		if i+1 == len(mutants) || mutants[i+1].file != m.file {
			fmt.Fprintf(t.out, "%s: %s\n", m.file, told(file))
		}
	}
	return nil
}

// prepare builds a package's own tests and the simulation with its mutants.
func (t *trial) prepare(ctx context.Context, pkg string, mutants []mutant) (own, sim suite, err error) {
	texts := map[string][]byte{}
	for _, m := range mutants {
		if texts[m.file], err = os.ReadFile(filepath.Join(t.checkout, m.file)); err != nil {
			return own, sim, fmt.Errorf("read the code: %w", err)
		}
	}
	files, err := together(mutants, texts, t.checkout+"/", t.compiler(ctx, pkg))
	if err != nil {
		return own, sim, err
	}
	if own, err = t.own(ctx, pkg); err == nil {
		err = own.prepare(ctx, files)
	}
	if sim = t.simulation(); err == nil && t.seeds > 0 {
		err = sim.prepare(ctx, files)
	}
	return own, sim, err
}

// fate says what becomes of m.
func (t *trial) fate(ctx context.Context, m mutant, own, sim suite) (fate, error) {
	what, err := own.with(ctx, m)
	if err != nil || what != lives || t.seeds == 0 {
		return what, err
	}
	if what, err = sim.with(ctx, m); what == killed {
		what = simulated
	}
	return what, err
}

// A count is what became of a package's mutants.
type count struct {
	target
	list []equivalent

	by     map[fate]int
	listed map[equivalent]bool
	wrong  []equivalent // Listed, and noticed.
}

// add counts a mutant, and returns as what.
func (c *count) add(m mutant, what fate) fate {
	if i := slices.IndexFunc(c.list, func(e equivalent) bool { return e.of(m) }); i >= 0 {
		c.listed[c.list[i]] = true
		if what == lives {
			what = same
		} else {
			c.wrong = append(c.wrong, c.list[i])
		}
	}
	c.by[what]++
	return what
}

func (c *count) percent() float64 {
	noticed := c.by[killed] + c.by[simulated]
	return 100 * float64(noticed) / float64(max(noticed+c.by[lives], 1))
}

func (c *count) String() string {
	return fmt.Sprintf("%s: %.1f %% noticed, %s", c.name, c.percent(), told(c.by))
}

// told says how many mutants have which fate.
func told(by map[fate]int) string {
	var parts []string
	for _, f := range []fate{killed, simulated, lives, same, hangs, broken} {
		parts = append(parts, fmt.Sprintf("%d %s", by[f], f))
	}
	return strings.Join(parts, ", ")
}

// check returns what is wrong: too much lives, or the list does not hold.
func (c *count) check() error {
	var err error
	if c.percent() < c.floor {
		err = fmt.Errorf("%s: %.1f %% of the mutants are noticed, and %.0f must be", c.name, c.percent(), c.floor)
	}
	for _, e := range c.wrong {
		err = errors.Join(err, fmt.Errorf("listed as equivalent, and noticed: %v", e))
	}
	for _, e := range c.list {
		if filepath.Dir(e.file) == "internal/"+c.name && !c.listed[e] {
			err = errors.Join(err, fmt.Errorf("listed as equivalent, and no mutant: %v", e))
		}
	}
	return err
}
