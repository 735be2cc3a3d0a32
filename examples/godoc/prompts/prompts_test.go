package prompts_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/examples/godoc/prompts"
	"github.com/musketry/musketry/internal/batch"
)

func list(t *testing.T, o prompts.Options) []prompts.Package {
	t.Helper()
	packages, err := prompts.List(t.Context(), "go", o)
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

func paths(packages []prompts.Package) []string {
	var all []string
	for _, p := range packages {
		all = append(all, p.ImportPath)
	}
	return all
}

func TestList(t *testing.T) {
	t.Parallel()
	all := paths(list(t, prompts.Options{}))
	for _, want := range []string{"fmt", "net/http", "encoding/json", "unsafe", "builtin", "cmd/go", "cmd/vet"} {
		if !slices.Contains(all, want) {
			t.Errorf("%s is missing", want)
		}
	}
	for _, p := range all {
		if strings.Contains(p, "internal") || strings.Contains(p, "vendor") {
			t.Errorf("%s is in", p)
		}
	}
	if len(all) < 190 || len(all) > 400 || !slices.IsSorted(all) {
		t.Errorf("%d packages", len(all))
	}
	more := paths(list(t, prompts.Options{Internal: true}))
	if !slices.Contains(more, "internal/poll") || len(more) < len(all)+100 {
		t.Errorf("%d packages with the internal ones", len(more))
	}
	if diff := cmp.Diff(all[:7], paths(list(t, prompts.Options{Limit: 7}))); diff != "" {
		t.Error(diff)
	}
	if got := len(list(t, prompts.Options{Limit: 100_000})); got != len(all) {
		t.Errorf("%d packages with a limit above them", got)
	}
}

func TestListWithoutGo(t *testing.T) {
	t.Parallel()
	if _, err := prompts.List(t.Context(), filepath.Join(t.TempDir(), "go"), prompts.Options{}); err == nil {
		t.Error("no error")
	}
}

// Every line is one that a batch accepts.
func TestWrite(t *testing.T) {
	t.Parallel()
	packages := list(t, prompts.Options{})
	var file bytes.Buffer
	if err := prompts.Write(&file, packages, "standin"); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	lines := bytes.Split(bytes.TrimSuffix(file.Bytes(), []byte("\n")), []byte("\n"))
	for i, line := range lines {
		in, err := batch.ParseInput(line, "/v1/chat/completions")
		if err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		if ids[in.CustomID] || len(in.CustomID) > 64 || in.Model != "standin" {
			t.Errorf("line %d: custom_id %q, model %q", i+1, in.CustomID, in.Model)
		}
		ids[in.CustomID] = true
		var body struct {
			Messages []struct{ Role, Content string }
		}
		if err := json.Unmarshal(in.Body, &body); err != nil {
			t.Fatal(err)
		}
		content := body.Messages[0].Content
		if !strings.Contains(content, packages[i].ImportPath) || len(content) > prompts.MaxDocument+300 {
			t.Errorf("line %d: %d bytes about %s", i+1, len(content), packages[i].ImportPath)
		}
	}
	if len(lines) != len(packages) {
		t.Errorf("%d lines for %d packages", len(lines), len(packages))
	}
}

func TestWriteRefusesTwins(t *testing.T) {
	t.Parallel()
	twins := []prompts.Package{source(t, "a/b", "package b"), source(t, "a.b", "package b")}
	if err := prompts.Write(&bytes.Buffer{}, twins, "m"); err == nil || !strings.Contains(err.Error(), "both be called") {
		t.Errorf("error %v", err)
	}
}

// source returns a package of one file.
func source(t *testing.T, importPath, text string) prompts.Package {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return prompts.Package{ImportPath: importPath, Dir: dir, GoFiles: []string{"p.go"}}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	got, err := prompts.Document(source(t, "example/oven", `// Package oven bakes.
//
// It needs time.
package oven

// Max is the greatest heat in degrees. More burns.
const Max = 300

// An Oven bakes bread. It is hot.
type Oven struct{ heat int }

// New lights an oven.
func New(heat int, names ...string) (*Oven, error) { return nil, nil }

// Bake bakes.
func (o *Oven) Bake(loaves int) {}

func secret() {}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := `Package example/oven

Package oven bakes.

It needs time.

const Max
    Max is the greatest heat in degrees.
type Oven
    An Oven bakes bread.
func New(heat int, names ...string) (*Oven, error)
    New lights an oven.
func (o *Oven) Bake(loaves int)
    Bake bakes.
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDocumentIsBounded(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"lines":    "package p\n" + manyFunctions(),
		"one line": "// Package p " + strings.Repeat("ü", 20_000) + "\npackage p",
	} {
		got, err := prompts.Document(source(t, "p", text))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > prompts.MaxDocument || !utf8.ValidString(got) || !strings.HasSuffix(got, "[cut here]\n") {
			t.Errorf("%s: %d bytes, ending in %q", name, len(got), got[len(got)-20:])
		}
	}
	if _, err := prompts.Document(source(t, "p", "no go")); err == nil {
		t.Error("a file that is no Go was read")
	}
}

func manyFunctions() string {
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "func F%d() {}\n", i)
	}
	return text.String()
}

func TestCustomID(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"fmt": "fmt", "net/http": "net.http", "crypto/internal/fips140/v1.0.0": "crypto.internal.fips140.v1.0.0",
		"a b/ü": "a_b._", "x-y_z": "x-y_z",
	} {
		if got := prompts.CustomID(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func Example() {
	packages := []prompts.Package{{ImportPath: "example/empty", Name: "empty"}}
	fmt.Println(prompts.CustomID(packages[0].ImportPath))
	// Output: example.empty
}
