package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A bug is a fault that is planted to see whether the simulation finds it: one
// edit of one file.
type bug struct {
	why      string
	file     string // from the checkout's root
	old, new string
}

// root is the checkout's.
const root = "../.."

// parseBug reads a file of testdata/bugs: why, then "== file", the text that is
// there once, "==", and what is put in its place. Neither has its last newline.
func parseBug(text string) (bug, error) {
	why, rest, ok := strings.Cut(text, "\n== ")
	file, rest, ok1 := strings.Cut(rest, "\n")
	before, after, ok2 := strings.Cut(rest, "==\n")
	if !ok || !ok1 || !ok2 {
		return bug{}, fmt.Errorf("it is not: why, == file, old, ==, new")
	}
	return bug{why: why, file: file, old: strings.TrimSuffix(before, "\n"), new: strings.TrimSuffix(after, "\n")}, nil
}

// plant returns the file with the bug in it.
func (b bug) plant() ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, b.file))
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(text, []byte(b.old)); n != 1 {
		return nil, fmt.Errorf("its text is %d times in %s, not once: write it anew for the code as it is", n, b.file)
	}
	return bytes.Replace(text, []byte(b.old), []byte(b.new), 1), nil
}

// flow is the flow's definition, which the simulation reads.
const flow = "infra/stack/flow.asl.json"

// overlay writes the file with the bug in it, and what go's -overlay takes to
// have it there; the flow's definition is no source, and read from where it is.
func (b bug) overlay(folder string) (overlay, planted string, err error) {
	text, err := b.plant()
	if err != nil {
		return "", "", err
	}
	planted = filepath.Join(folder, "planted"+filepath.Ext(b.file))
	if err := os.WriteFile(planted, text, 0o600); err != nil { //nolint:gosec // into the test's own folder
		return "", "", err
	}
	replaced, err := filepath.Abs(filepath.Join(root, b.file))
	if err != nil {
		return "", "", err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {replaced: planted}})
	if err != nil {
		return "", "", err
	}
	overlay = filepath.Join(folder, "overlay.json")
	return overlay, planted, os.WriteFile(overlay, list, 0o600)
}

// TestPlantedBugs checks that each planted bug still applies, and, as make
// sim-bugs asks for, that the simulation finds it within 500 seeds.
func TestPlantedBugs(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/bugs/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bugs: %v", err)
	}
	hunted := os.Getenv("MUSKETRY_SIM_BUGS") != ""
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b, err := parseBug(string(text))
			if err != nil {
				t.Fatal(err)
			}
			overlay, planted, err := b.overlay(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if hunted {
				catch(t, b, overlay, planted)
			}
		})
	}
}

// catch builds the simulation with the bug in it, and runs it until it fails.
func catch(t *testing.T, b bug, overlay, planted string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "sim.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", overlay, "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("it does not compile: %v\n%s", err, out)
	}
	run := exec.CommandContext(t.Context(), binary, "-test.run=^TestSeeds$", "-test.failfast")
	run.Env = append(os.Environ(), "MUSKETRY_SIM_SEEDS=500", "MUSKETRY_SIM_STOP=1")
	if b.file == flow {
		run.Env = append(run.Env, "MUSKETRY_SIM_FLOW="+planted)
	}
	out, err := run.CombinedOutput()
	if err == nil {
		t.Fatalf("nobody noticed: %s", b.why)
	}
	finding := regexp.MustCompile(`seed (\d+): .*\n +(.*)\n`).FindSubmatch(out)
	if finding == nil {
		t.Fatalf("it failed without a finding:\n%s", out[:min(len(out), 10_000)])
	}
	t.Logf("%s\nseed %s: %s", b.why, finding[1], finding[2])
}
