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
cpu: A Processor
BenchmarkLoad-2   	       1	22000000000 ns/op	       103.0 peak-MiB
PASS
`
	var out strings.Builder
	n, err := convert(strings.NewReader(text), &out, "abc123")
	if n != 1 || err != nil {
		t.Fatalf("%d figures, %v", n, err)
	}
	var got figure
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got.Package != "example.test/p" || got.Commit != "abc123" || got.CPU != "A Processor" || got.Runs != 1 ||
		got.Values["sec/op"] != 22 || got.Values["peak-MiB"] != 103 || !strings.HasPrefix(got.Bench, "Load") {
		t.Errorf("figure %+v", got)
	}
}
