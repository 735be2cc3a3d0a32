package boot_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReleasesHaveNoFaults demands that the Lambdas of a release are built without the code that has calls of AWS fail,
// and that this code is found where it is.
func TestReleasesHaveNoFaults(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	release := regexp.MustCompile(`-tags (\S+) .*\\\n.*\./lambdas/`).FindSubmatch(makefile)
	if release == nil {
		t.Fatal("the Makefile builds no Lambdas")
	}
	for tags, want := range map[string]bool{string(release[1]): false, string(release[1]) + ",faults": true} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", tags,
			"-f", `{{if eq .ImportPath "github.com/musketry/musketry/internal/boot"}}{{join .GoFiles " "}}{{end}}`, "../../lambdas/...").Output()
		if err != nil {
			t.Fatal(err)
		}
		files := strings.Fields(string(out))
		if !slices.Contains(files, "kit.go") || slices.Contains(files, "faults.go") != want {
			t.Errorf("with the tags %s boot has the files %v", tags, files)
		}
	}
}
