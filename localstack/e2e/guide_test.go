//go:build e2e

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestGuide runs every program of docs/guide.md and docs/story.md as it stands there, on the file that stands there.
func TestGuide(t *testing.T) {
	t.Parallel()
	blocks := blocksOf(t, "../../docs/guide.md")
	t.Run("story", tellsStory)
	for name, program := range map[string]struct {
		language, file string
		blocks, lines  int // It prints so many lines of answers and errors.
		command        []string
	}{
		"Python": {"python", "guide.py", 2, 3, []string{variable(t, "MUSKETRY_E2E_PYTHON"), "guide.py"}},
		"Node":   {"js", "guide.mjs", 1, 3, []string{"node", "guide.mjs"}},
		"Go":     {"go", "main.go", 1, 3, nil},
		"curl":   {"sh", "guide.sh", 2, 6, []string{"sh", "-eu", "guide.sh"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if len(blocks[program.language]) != program.blocks || len(blocks["jsonl"]) != 1 {
				t.Fatalf("the page has other blocks: %d of %s", len(blocks[program.language]), program.language)
			}
			folder := t.TempDir()
			store(t, filepath.Join(folder, "requests.jsonl"), blocks["jsonl"][0])
			store(t, filepath.Join(folder, program.file), strings.Join(blocks[program.language], "\n"))
			if err := os.Symlink(variable(t, "MUSKETRY_E2E_NODE_MODULES"), filepath.Join(folder, "node_modules")); err != nil {
				t.Fatal(err)
			}
			if program.command == nil { // The SDK's version is this module's.
				program.command = []string{filepath.Join(folder, "guide")}
				build := exec.CommandContext(t.Context(), "go", "build", "-o", program.command[0], filepath.Join(folder, program.file))
				if out, err := build.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			out := runsIn(t, folder, program.command[0], program.command[1:]...)
			got := map[string]int{}
			for _, id := range regexp.MustCompile(`"custom_id":"(\w+)"`).FindAllStringSubmatch(out, -1) {
				got[id[1]]++
			}
			want := map[string]int{"spring": program.lines / 3, "autumn": program.lines / 3, "refused": program.lines / 3}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("lines by custom_id (-want +got):\n%s%.2000s", diff, out)
			}
		})
	}
}

// tellsStory runs the story's program: of a bad file, of the mended one, and of the retry of what failed.
func tellsStory(t *testing.T) {
	t.Parallel()
	blocks, folder := blocksOf(t, "../../docs/story.md"), t.TempDir()
	if len(blocks["python"]) != 1 || len(blocks["jsonl"]) != 1 {
		t.Fatalf("the page has other blocks: %v", blocks)
	}
	lines := strings.SplitAfter(blocks["jsonl"][0], "\n")
	store(t, filepath.Join(folder, "bad.jsonl"), blocks["jsonl"][0])
	store(t, filepath.Join(folder, "mended.jsonl"), lines[0]+strings.ReplaceAll(lines[1], "'", `"`)+lines[2])
	store(t, filepath.Join(folder, "story.py"), blocks["python"][0])
	says := runsIn(t, folder, variable(t, "MUSKETRY_E2E_PYTHON"), "story.py")
	told := strings.Split(says, "\n")
	for i, want := range []string{"2 invalid_json_line This line is not", "2 answered, 1 failed", `"custom_id":"winter"`, `"custom_id":"winter"`} {
		if i >= len(told) || !strings.Contains(told[i], want) {
			t.Errorf("line %d has no %q: %.2000s", i+1, want, says)
		}
	}
}

// blocksOf returns a page's blocks of code by their language, in its order.
func blocksOf(t *testing.T, path string) map[string][]string {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string][]string{}
	for _, block := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		blocks[block[1]] = append(blocks[block[1]], block[2])
	}
	return blocks
}

// runsIn runs a program in a folder and returns what it prints.
func runsIn(t *testing.T, folder, program string, args ...string) string {
	t.Helper()
	run := exec.CommandContext(t.Context(), program, args...)
	run.Dir = folder
	run.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	var says strings.Builder
	run.Stderr = &says
	out, err := run.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, says.String())
	}
	t.Logf("%s%s", out, says.String())
	return string(out)
}

// store writes a file of a test.
func store(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
