package docs_test

import (
	gocmp "cmp"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/boot"
)

// TestChoicesAreOnThePage holds the tables of configuration.md against boot.Choices: each choice has its row, in the same
// order, with its variable and the functions that have it, a default that reads as the code's, and its bounds.
func TestChoicesAreOnThePage(t *testing.T) {
	t.Parallel()
	rows := regexp.MustCompile(`(?m)^\| (\w+) \| (MUSKETRY_\w+)(?: of (\w+))?(?: \((.*) has it too\))? \| (.*?) \| (.*) \|$`).
		FindAllStringSubmatch(strings.ReplaceAll(read(t, "configuration.md"), "`", ""), -1)
	var names, want []string
	for _, row := range rows {
		names = append(names, row[1])
	}
	choices := boot.Choices()
	for _, choice := range choices {
		want = append(want, choice.Context)
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Fatalf("the page's choices (-code +page):\n%s", diff)
	}
	for i, choice := range choices {
		variable, others, given, bounds := rows[i][2], strings.Fields(rows[i][4]), rows[i][5], rows[i][6]
		if functions := append([]string{gocmp.Or(rows[i][3], "submit")}, others...); variable != choice.Env || !slices.Equal(functions, choice.Functions) {
			t.Errorf("%s is %s of %v, want %s of %v", choice.Context, variable, functions, choice.Env, choice.Functions)
		}
		if !strings.HasPrefix(bounds, choice.Bounds()) {
			t.Errorf("%s has the bounds %q, want %q first", choice.Context, bounds, choice.Bounds())
		}
		if value, _, _ := strings.Cut(given, " "); strings.HasPrefix(value, "none") {
			continue
		} else if got, err := boot.ReadSettings(only(choice.Env, value)); err != nil || !cmp.Equal(got, boot.DefaultSettings()) {
			t.Errorf("%s has the default %s: %v %s", choice.Context, value, err, cmp.Diff(boot.DefaultSettings(), got))
		}
	}
}

// only is an environment of one variable.
func only(name, value string) func(string) string {
	return func(n string) string {
		if n != name {
			return ""
		}
		return value
	}
}
