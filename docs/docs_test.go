// Package docs_test holds the documents against the tree.
package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPageNames demands that every test and file that these pages name is there. A page has as many tests at least.
func TestPageNames(t *testing.T) {
	t.Parallel()
	for name, atLeast := range map[string]int{"security.md": 40, "aws.md": 30, "walk.md": 0} {
		page := read(t, name)
		tests := regexp.MustCompile("`([a-z0-9_/]+)\\.((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(page, -1)
		if len(tests) < atLeast {
			t.Errorf("%s names %d tests: it is read wrongly, or has lost its own", name, len(tests))
		}
		for _, test := range tests {
			if !hasTest(t, filepath.Join("..", test[1]), test[2]) {
				t.Errorf("%s names %s.%s, which does not exist", name, test[1], test[2])
			}
		}
		for _, path := range regexp.MustCompile("`([a-z0-9_/]+/[a-z0-9_]+\\.(?:go|md|json|py))`").FindAllStringSubmatch(page, -1) {
			exists(t, name, filepath.Join("..", path[1]))
		}
	}
}

// TestWalkIsTrue demands that the files of docs/walk.md declare what it says to look for in them, and that it passes through
// every use case and every adapter of a deployment.
func TestWalkIsTrue(t *testing.T) {
	t.Parallel()
	page := read(t, "walk.md")
	stops := regexp.MustCompile("`([a-z0-9_/]+\\.go)`\\s\\(((?:`[\\w.]+`(?:,\\s)?)+)\\)").FindAllStringSubmatch(page, -1)
	if len(stops) < 30 {
		t.Errorf("the page has %d stops: it is read wrongly", len(stops))
	}
	for _, stop := range stops {
		source := read(t, filepath.Join("..", stop[1]))
		for _, name := range regexp.MustCompile(`[\w.]+`).FindAllString(stop[2], -1) {
			if !declares(source, name) {
				t.Errorf("%s does not declare %s", stop[1], name)
			}
		}
	}
	for _, folder := range []string{
		"api", "submit", "execute", "finalize", "state", "retry", "batch", "jsonscan", "dynamostore", "s3file", "sqsqueue", "sfnflow", "upstream",
	} {
		if !strings.Contains(page, "`internal/"+folder+"/") {
			t.Errorf("the walk does not pass through internal/%s", folder)
		}
	}
}

// declares reports whether a file's text declares a function or type, or, of a name with a dot, a type's method.
func declares(source, name string) bool {
	declaration := `(?:func|type) ` + name
	if owner, method, ok := strings.Cut(name, "."); ok {
		declaration = `func \(\w+ \*?` + owner + `\) ` + method
	}
	return regexp.MustCompile(`(?m)^` + declaration + `\b`).MatchString(source)
}

// TestAWSPageIsWhole demands that each row of docs/aws.md says what both engines do and what holds it.
func TestAWSPageIsWhole(t *testing.T) {
	t.Parallel()
	rows := 0
	for line := range strings.Lines(read(t, "aws.md")) {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|--") || strings.HasPrefix(line, "| AWS |") {
			continue
		}
		rows++
		cells := strings.Split(strings.ReplaceAll(strings.TrimSpace(line), `\|`, ""), "|")
		if len(cells) != 6 {
			t.Errorf("%d cells, want 4: %s", len(cells)-2, line)
			continue
		}
		for _, cell := range cells[1:5] {
			if strings.TrimSpace(cell) == "" {
				t.Errorf("an empty cell: %s", line)
			}
		}
	}
	if rows < 25 {
		t.Errorf("the page has %d rows: it is read wrongly", rows)
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
	links := 0
	for _, page := range pages(t) {
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(read(t, page), -1) {
			links++
			exists(t, page, filepath.Join(filepath.Dir(page), link[1]))
		}
	}
	if links == 0 {
		t.Error("no page has a link: they are read wrongly")
	}
}

// TestMakeTargets demands that each target that a page tells to make is one.
func TestMakeTargets(t *testing.T) {
	t.Parallel()
	makefile, named := read(t, "../Makefile"), 0
	for _, page := range pages(t) {
		for _, target := range regexp.MustCompile("(?m)(?:`|\\$\\(|^ *)make (?:-s )?([a-z][a-z-]*)").FindAllStringSubmatch(read(t, page), -1) {
			named++
			if !strings.Contains(makefile, "\n"+target[1]+":") {
				t.Errorf("%s: there is no make %s", page, target[1])
			}
		}
	}
	if named < 40 {
		t.Errorf("the pages name %d targets: they are read wrongly", named)
	}
}

// TestNeedsAgree demands that the README and the Makefile ask for the same versions, and for the module's Go.
func TestNeedsAgree(t *testing.T) {
	t.Parallel()
	told := regexp.MustCompile(`Go (\d+\.\d+), Node (\d+) and Python (\d+)\.(\d+),`).FindStringSubmatch(read(t, "../README.md"))
	if told == nil {
		t.Fatal("the README does not say what a machine must have")
	}
	makefile := read(t, "../Makefile")
	for _, text := range []string{
		"Go " + told[1] + " or newer", "Node " + told[2] + " or newer", "Python " + told[3] + "." + told[4] + " or newer",
		"process.versions.node) < " + told[2] + " ", "sys.version_info < (" + told[3] + ", " + told[4] + ")",
	} {
		if !strings.Contains(makefile, text) {
			t.Errorf("the README asks for %s, and the Makefile has no %q", told[0], text)
		}
	}
	if !strings.Contains(read(t, "../go.mod"), "\ngo "+told[1]+".") {
		t.Errorf("the module's Go is not %s", told[1])
	}
}

// pages returns all of the project's pages.
func pages(t *testing.T) []string {
	t.Helper()
	names := []string{"../README.md", "../CONTRIBUTING.md", "../CHANGELOG.md", "../localstack/README.md", "../examples/README.md"}
	for _, pattern := range []string{"*.md", "adr/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	return names
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
