package main

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestEveryEquivalentIsOfTheCode holds the list against the code: a line that was changed is to be judged anew.
func TestEveryEquivalentIsOfTheCode(t *testing.T) {
	t.Parallel()
	list, err := readEquivalents("equivalent.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		text, err := os.ReadFile(filepath.Join("..", "..", e.file))
		if err != nil {
			t.Fatal(err)
		}
		there := false
		for line := range strings.Lines(string(text)) {
			there = there || strings.TrimSpace(line) == e.was
		}
		if !there || e.was == e.is || strings.TrimSpace(e.why) == "" {
			t.Errorf("it is not of the code, or says not why: %v", e)
		}
	}
}

func TestPlant(t *testing.T) {
	t.Parallel()
	const text = "if a <= b {\n\tc = -d + e\n\tf++\n}\n"
	for name, tc := range map[string]struct {
		kind      string
		line, col int
		want      string // instead of the line; empty: an error
	}{
		"boundary":    {"CONDITIONALS_BOUNDARY", 1, 6, "if a < b {"},
		"negation":    {"CONDITIONALS_NEGATION", 1, 6, "if a > b {"},
		"negative":    {"INVERT_NEGATIVES", 2, 6, "c = +d + e"},
		"arithmetic":  {"ARITHMETIC_BASE", 2, 9, "c = -d - e"},
		"increment":   {"INCREMENT_DECREMENT", 3, 3, "f--"},
		"other token": {"ARITHMETIC_BASE", 1, 6, ""},
		"other kind":  {"INVERT_LOGICAL", 1, 6, ""},
		"no line":     {"ARITHMETIC_BASE", 9, 1, ""},
		"no column":   {"ARITHMETIC_BASE", 1, 90, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := mutant{file: "f.go", line: tc.line, col: tc.col, kind: tc.kind}
			err := m.plant([]byte(text))
			if (err == nil) != (tc.want != "") || m.is != tc.want {
				t.Fatalf("it is %q, %v", m.is, err)
			}
			if err == nil && string(m.text) != strings.Replace(text, m.was, m.is, 1) {
				t.Errorf("the file is %q", m.text)
			}
		})
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := parse([]byte(`{"go_module":"m","files":[{"file_name":"b.go","mutations":[
		{"type":"ARITHMETIC_BASE","status":"RUNNABLE","line":7,"column":3},
		{"type":"CONDITIONALS_NEGATION","status":"NOT COVERED","line":2,"column":9}]}]}`), "internal/p")
	want := []mutant{
		{file: "internal/p/b.go", line: 2, col: 9, kind: "CONDITIONALS_NEGATION"},
		{file: "internal/p/b.go", line: 7, col: 3, kind: "ARITHMETIC_BASE"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(mutant{})); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

// TestTogether checks that a program with many mutants does as the code does with each, by what it says where.
func TestTogether(t *testing.T) {
	t.Parallel()
	const text = `package p

type length uint

const most = 2 * 3

func f(a, b int, s string, g func() bool, l length) (bool, string, length) {
	if a+1 < b && g() == func() bool { return a > 0 }() {
		return a != // still
			b, s + "x", l * most
	}
	for ; a < -b; a++ {
		l++
	}
	return false, s, 0
}
`
	var mutants []mutant
	for _, m := range []mutant{
		{line: 5, col: 16, kind: "ARITHMETIC_BASE"}, // a constant
		{line: 8, col: 6, kind: "ARITHMETIC_BASE"},
		{line: 8, col: 9, kind: "CONDITIONALS_BOUNDARY"},
		{line: 8, col: 9, kind: "CONDITIONALS_NEGATION"},
		{line: 8, col: 20, kind: "CONDITIONALS_NEGATION"},
		{line: 8, col: 46, kind: "CONDITIONALS_BOUNDARY"}, // within another
		{line: 9, col: 12, kind: "CONDITIONALS_NEGATION"},
		{line: 10, col: 9, kind: "ARITHMETIC_BASE"}, // of words
		{line: 10, col: 18, kind: "ARITHMETIC_BASE"},
		{line: 12, col: 12, kind: "INVERT_NEGATIVES"},
		{line: 12, col: 17, kind: "INCREMENT_DECREMENT"},
		{line: 13, col: 4, kind: "INCREMENT_DECREMENT"}, // without a sign
	} {
		m.file = "p/f.go"
		if err := m.plant([]byte(text)); err != nil {
			t.Fatal(err)
		}
		mutants = append(mutants, m)
	}
	compile := func(texts map[string][]byte) (code, error) {
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, "p/f.go", texts["p/f.go"], 0)
		c := code{set: set, files: []*ast.File{tree}, info: &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}}
		if err != nil {
			return c, err
		}
		conf := types.Config{Error: func(err error) {
			if wrong, ok := errors.AsType[types.Error](err); ok && !strings.Contains(wrong.Msg, "undefined: activeMutant") {
				c.wrong = append(c.wrong, wrong)
			}
		}}
		c.types, _ = conf.Check("p", set, c.files, c.info)
		return c, nil
	}
	files, err := together(mutants, map[string][]byte{"p/f.go": []byte(text)}, "", compile)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for _, m := range mutants {
		numbers = append(numbers, m.number)
	}
	if diff := cmp.Diff([]int{0, 1, 2, 3, 4, 5, 6, 0, 7, 8, 9, 0}, numbers); diff != "" {
		t.Errorf("numbers (-want +got):\n%s", diff)
	}
	code := strings.Join(strings.Fields(string(files["p/f.go"])), " ")
	for _, want := range []string{
		"const most = 2 * 3",
		"case 1: return a-1 < b case 2: return a+1 <= b case 3: return a+1 >= b }; return a+1 < b }() &&",
		"case 4: return g() != func() bool { return a > 0 }() case 5: return g() == func() bool { return a >= 0 }() }; return g() ==",
		"case 6: return a == // still b }; return a != // still b }()",
		`s + "x", func() length { switch activeMutant { case 7: return l / most }; return l * most }()`,
		"case 8: return a < +b }; return a < -b }(); a += func() int { switch activeMutant { case 9: return -1 }; return 1 }() { l++ }",
	} {
		if !strings.Contains(code, want) {
			t.Errorf("no %q in:\n%s", want, code)
		}
	}
	if _, ok := files["p/active_mutant.go"]; !ok || len(files) != 2 {
		t.Errorf("%d files", len(files))
	}
}

func TestSlowTests(t *testing.T) {
	t.Parallel()
	got := slowTests([]byte(`=== RUN   TestA
--- PASS: TestA (0.99s)
--- PASS: TestB (1.00s)
--- PASS: TestC (0.00s)
    --- PASS: TestC/one (12.00s)
    --- PASS: TestC/two_of_them (2.00s)
PASS
`))
	if diff := cmp.Diff([]string{"TestB", "TestC"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestAlarm has a test's failure come in two pieces.
func TestAlarm(t *testing.T) {
	t.Parallel()
	rung := 0
	a := &alarm{ring: func() { rung++ }}
	for i, p := range []string{"--- PASS: TestA (0.00s)\n", "=== a log of --- FAIL\n    --- FA", "IL: TestB (0.00s)\n"} {
		if n, err := a.Write([]byte(p)); n != len(p) || err != nil || rung != i/2 {
			t.Errorf("after %q it has rung %d times; %d bytes written, %v", p, rung, n, err)
		}
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	m := func(was string) mutant { return mutant{file: "internal/p/f.go", was: was, is: "x"} }
	e := func(was string) equivalent { return equivalent{file: "internal/p/f.go", was: was, is: "x", why: "w"} }
	for name, tc := range map[string]struct {
		list  []equivalent
		fates map[string]fate // By line.
		wrong int             // So many things are.
	}{
		"enough":                {fates: map[string]fate{"a": killed, "b": simulated, "c": killed, "d": lives, "e": hangs, "f": broken}},
		"not enough":            {fates: map[string]fate{"a": killed, "b": lives, "e": hangs, "f": broken}, wrong: 1},
		"equivalent":            {list: []equivalent{e("b")}, fates: map[string]fate{"a": killed, "b": lives}},
		"equivalent, noticed":   {list: []equivalent{e("a")}, fates: map[string]fate{"a": simulated}, wrong: 1},
		"equivalent, no mutant": {list: []equivalent{e("b")}, fates: map[string]fate{"a": killed}, wrong: 1},
		"nothing at all":        {wrong: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &count{target: target{"p", 75}, list: tc.list, by: make(map[fate]int), listed: make(map[equivalent]bool)}
			for was, f := range tc.fates {
				c.add(m(was), f)
			}
			err, wrong := c.check(), 0
			if err != nil {
				wrong = len(strings.Split(err.Error(), "\n")) // one line each but for those of an equivalent, which has three
				if len(tc.list) > 0 {
					wrong /= 3
				}
			}
			if wrong != tc.wrong {
				t.Errorf("%d things are wrong, want %d: %v", wrong, tc.wrong, err)
			}
		})
	}
}

// TestFates runs programs in place of tests.
func TestFates(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		program string
		want    fate
	}{
		"it passes":                {"echo PASS", lives},
		"it fails":                 {"exit 1", killed},
		"a test fails, and others": {"echo '--- FAIL: TestX'; exec sleep 1000", killed},
		"it does not end":          {"while :; do :; done", hangs},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			binary := filepath.Join(t.TempDir(), "x.test")
			if err := os.WriteFile(binary, []byte("#!/bin/sh\n"+tc.program+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			s := suite{trial: &trial{checkout: t.TempDir()}, env: os.Environ()}
			if got, _, _, err := s.run(t.Context(), binary, 0, "", time.Second); got != tc.want || err != nil {
				t.Errorf("it is %q, %v", got, err)
			}
		})
	}
}
