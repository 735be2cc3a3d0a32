package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/localstack/clients"
)

// TestClientsPageIsOfThePinnedVersions demands that clients.md is what the matrix and the pinned versions give.
func TestClientsPageIsOfThePinnedVersions(t *testing.T) {
	t.Parallel()
	want, err := clients.Page(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, read(t, "clients.md")); diff != "" {
		t.Errorf("make test-clients writes another page (-want +page):\n%s", diff)
	}
}

// TestEveryClientIsTried demands of each client a program and an installation, in make test if it is light, or an end-to-end
// test that drives it; and of each gap what is wrong, and its line if it is a fault.
func TestEveryClientIsTried(t *testing.T) {
	t.Parallel()
	makefile := read(t, "../Makefile")
	_, lists, _ := strings.Cut(makefile, "\nLIGHT_CLIENTS := ")
	light, rest, _ := strings.Cut(lists, "\n")
	_, heavy, _ := strings.Cut(rest, "$(LIGHT_CLIENTS) ")
	heavy, _, _ = strings.Cut(heavy, "\n")
	var want [2][]string
	for i, client := range clients.Tried(true) {
		of := 1
		if i < len(clients.Tried(false)) {
			of = 0
		}
		want[of] = append(want[of], client.Folder)
		if programs, err := filepath.Glob(filepath.Join("../localstack/clients", client.Folder, "*")); err != nil || len(programs) == 0 {
			t.Errorf("%s has no program: %v", client.Name, err)
		}
		for _, gap := range client.Not {
			if gap.Why == "" || gap.Says != "" && (gap.At == "" || gap.Line == "") {
				t.Errorf("%s, %s: %+v does not say what and where", client.Name, gap.Case, gap)
			}
		}
	}
	for _, client := range clients.All() {
		if client.Folder == "" && !hasTest(t, "../localstack/e2e", client.Test) {
			t.Errorf("%s: there is no %s", client.Name, client.Test)
		}
	}
	if diff := cmp.Diff(want, [2][]string{strings.Fields(light), strings.Fields(heavy)}); diff != "" {
		t.Errorf("what the Makefile installs, light and not (-matrix +Makefile):\n%s", diff)
	}
}
