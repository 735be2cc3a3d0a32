package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestConvert(t *testing.T) {
	t.Parallel()
	const text = `goos: linux
pkg: example.test/p
BenchmarkLoad-2   	       1	22000000000 ns/op	       103.0 peak-MiB
# what a test prints besides
PASS
`
	var out strings.Builder
	n, err := convert(strings.NewReader(text), &out, figure{Package: "./p", Engine: "memory", Commit: "abc123"})
	if n != 1 || err != nil {
		t.Fatalf("%d figures, %v", n, err)
	}
	var got figure
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got.Package != "./p" || got.Commit != "abc123" || got.Engine != "memory" || got.Runs != 1 ||
		got.Values["sec/op"] != 22 || got.Values["peak-MiB"] != 103 || !strings.HasPrefix(got.Bench, "Load") {
		t.Errorf("figure %+v", got)
	}
}

func TestUnknownNames(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := run(t.Context(), &out, []string{"budgets"}); err == nil || !strings.Contains(err.Error(), "budget, budget-local") {
		t.Errorf("got %v, want the names that there are", err)
	}
}
