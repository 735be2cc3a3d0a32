// Package docs_test holds the documents against the tree.
package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPageNames demands that every test that docs/security.md names is there, and every file that it or another document
// leads to.
func TestPageNames(t *testing.T) {
	t.Parallel()
	page := read(t, "security.md")
	named := regexp.MustCompile("`([a-z0-9_/]+)\\.((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(page, -1)
	if len(named) < 40 {
		t.Errorf("the page names %d tests: it is read wrongly, or has lost its own", len(named))
	}
	for _, name := range named {
		if !hasTest(t, filepath.Join("..", name[1]), name[2]) {
			t.Errorf("security.md names %s.%s, which does not exist", name[1], name[2])
		}
	}
	for _, path := range regexp.MustCompile("`([a-z0-9_/]+/[a-z0-9_]+\\.(?:go|md|json))`").FindAllStringSubmatch(page, -1) {
		exists(t, "security.md", filepath.Join("..", path[1]))
	}
}

// hasTest reports whether a folder's tests have one of this name.
func hasTest(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.Contains(read(t, file), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	pages := []string{"../README.md", "../localstack/README.md", "../examples/README.md"}
	for _, pattern := range []string{"*.md", "adr/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	links := 0
	for _, page := range pages {
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(read(t, page), -1) {
			links++
			exists(t, page, filepath.Join(filepath.Dir(page), link[1]))
		}
	}
	if links == 0 {
		t.Error("no page has a link: they are read wrongly")
	}
}

func exists(t *testing.T, page, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Errorf("%s: %v", page, err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
