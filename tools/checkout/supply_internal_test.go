package checkout

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestInstallsArePinned demands that what npm installs is what the lock names and runs no code of its own on the way, and
// that what pip installs has the hash that was pinned.
func TestInstallsArePinned(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	locks := 0
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == "build" ||
			strings.HasPrefix(entry.Name(), ".") && path != root):
			return filepath.SkipDir
		case entry.Name() == "package-lock.json":
			locks++
			settings := read(t, filepath.Join(filepath.Dir(path), ".npmrc"))
			if !slices.Contains(strings.Split(settings, "\n"), "ignore-scripts=true") {
				t.Errorf("%s: the .npmrc beside it does not say ignore-scripts=true", path)
			}
		case entry.Name() == "Makefile", filepath.Ext(path) == ".go" && !strings.HasSuffix(path, "_test.go"):
			checkInstalls(t, path, read(t, path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if locks == 0 {
		t.Error("there is no package-lock.json: the test looks in the wrong place")
	}
}

func checkInstalls(t *testing.T, path, text string) {
	t.Helper()
	for _, line := range regexp.MustCompile(`(?m)^.*\bnpm"?,? "?(ci|i|install|exec|x)\b.*$`).FindAllString(text, -1) {
		if !strings.Contains(line, "--ignore-scripts") || !strings.Contains(line, "ci") {
			t.Errorf("%s: not npm ci --ignore-scripts: %s", path, strings.TrimSpace(line))
		}
	}
	for _, line := range regexp.MustCompile(`(?m)^.*\bpip"?,? "?install\b.*\n.*$`).FindAllString(text, -1) {
		if !strings.Contains(line, "--require-hashes") {
			t.Errorf("%s: pip without --require-hashes: %s", path, strings.TrimSpace(line))
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
