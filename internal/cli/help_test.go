package cli_test

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/musketry/musketry/internal/cli"
)

// Every command has its help kept, with examples.
func TestHelp(t *testing.T) {
	t.Parallel()
	for _, name := range commands(t) {
		t.Run("help "+name, func(t *testing.T) {
			t.Parallel()
			r := call{args: append(strings.Fields(name), "--help")}.run(t.Context(), t)
			if r.code != cli.ExitOK || r.stderr != "" {
				t.Errorf("code %d, stderr %q", r.code, r.stderr)
			}
			if !strings.Contains(r.stdout, "Examples:\n  ") {
				t.Error("it shows no example")
			}
			golden(t, "help/"+cmp.Or(strings.ReplaceAll(name, " ", "-"), "musketry"), r.stdout)
		})
	}
}

// commands returns the paths of all commands, as their helps list them; the root's
// is empty.
func commands(t *testing.T) []string {
	t.Helper()
	found := []string{""}
	for i := 0; i < len(found); i++ {
		r := call{args: append(strings.Fields(found[i]), "--help")}.run(t.Context(), t)
		listed := regexp.MustCompile(`(?m)^  ([a-z-]+)  +[A-Z]`)
		for _, match := range listed.FindAllStringSubmatch(r.stdout, -1) {
			if match[1] != "help" {
				found = append(found, strings.TrimSpace(found[i]+" "+match[1]))
			}
		}
	}
	if !slices.Contains(found, "files delete") {
		t.Fatalf("the helps are read wrongly: %q", found)
	}
	return found
}

// A deployment's commands come from outside: they need more than the API.
func TestAdmin(t *testing.T) {
	t.Parallel()
	admin := &cobra.Command{Use: "keys", Short: "Manage API keys", RunE: func(cmd *cobra.Command, _ []string) error {
		cmd.Println("no keys")
		return nil
	}}
	r := call{args: []string{"--help"}, admin: []*cobra.Command{admin}}.run(t.Context(), t)
	golden(t, "help/with-admin", r.stdout)
	r = call{args: []string{"admin", "keys"}, admin: []*cobra.Command{admin}}.run(t.Context(), t)
	golden(t, "admin-keys", r.session())
	r = call{args: []string{"admin", "nonsense"}, admin: []*cobra.Command{admin}}.run(t.Context(), t)
	golden(t, "admin-unknown", r.session())
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"unknown-command":   {"statsu"},
		"nonsense-command":  {"frobnicate"},
		"unknown-flag":      {"submit", "f", "--wacth"},
		"no-file":           {"submit"},
		"no-batch":          {"status"},
		"two-batches":       {"watch", "batch_1", "batch_2"},
		"id-with-slash":     {"cancel", "../files"},
		"bad-limit":         {"list", "--limit", "0"},
		"bad-window":        {"submit", "f", "--window", "1s"},
		"bad-metadata":      {"submit", "f", "--metadata", "team"},
		"twice-metadata":    {"submit", "f", "--metadata", "a=1", "--metadata", "a=2"},
		"missing-file":      {"submit", "testdata/there-is-no-such-file.jsonl"},
		"directory":         {"submit", "testdata"},
		"json-to-stdout":    {"results", "batch_1", "--json"},
		"same-file":         {"results", "batch_1", "-o", "x", "--errors", "x"},
		"watch-and-wait":    {"submit", "f", "--watch", "--wait"},
		"errors-alone":      {"submit", "f", "--errors", "x"},
		"failed-and-errors": {"results", "batch_1", "--failed", "--errors", "x"},
		"all-and-one":       {"cancel", "--all", "batch_1"},
		"bad-status":        {"list", "--status", "done"},
		"bad-since":         {"list", "--since", "yesterday"},
		"request-twice":     {"requests", "batch_1", "batch_req_1_1", "--custom-id", "a"},
		"no-file-named":     {"files", "delete"},
		"no-shell":          {"completion"},
		"bad-address":       {"list", "--base-url", "localhost:8080/v1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := call{args: args}.run(t.Context(), t)
			if r.code != cli.ExitError {
				t.Errorf("code %d, want %d", r.code, cli.ExitError)
			}
			golden(t, "usage/"+name, r.session())
		})
	}
	t.Run("no-address", func(t *testing.T) {
		t.Parallel()
		golden(t, "usage/no-address", call{args: []string{"list"}, noEnv: true}.run(t.Context(), t).session())
	})
	t.Run("no-key", func(t *testing.T) {
		t.Parallel()
		r := call{args: []string{"list", "--base-url", "http://h/v1"}, noEnv: true}.run(t.Context(), t)
		golden(t, "usage/no-key", r.session())
	})
}
