package docs_test

import (
	"fmt"
	"go/constant"
	"go/token"
	"go/types"
	"regexp"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/boot"
)

// TestLimitsAreTheCodes holds limits.md against configuration.md, whose own test holds it against the code, and against the
// constants that it names; and demands a row for each number that a deployment may set.
func TestLimitsAreTheCodes(t *testing.T) {
	t.Parallel()
	page, settings := read(t, "limits.md"), map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|.*\\|$").FindAllStringSubmatch(read(t, "configuration.md"), -1) {
		if settings[row[1]] == "" { // The first is its own; later tables explain it.
			settings[row[1]] = strings.ReplaceAll(row[0], "`", "")
		}
	}
	named := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| [^|]+ \\| (\\S+) \\| ([^|]+) \\|$").FindAllStringSubmatch(page, -1) {
		named[row[1]] = true
		if is := settings[row[1]]; !strings.Contains(is, "| "+row[2]) || !strings.Contains(is, row[3]) {
			t.Errorf("%s is %s, %s here, and in configuration.md: %s", row[1], row[2], row[3], is)
		}
	}
	for _, choice := range boot.Choices() {
		if strings.HasPrefix(choice.Context, "max") || strings.HasPrefix(choice.Context, "tenant") {
			if !named[choice.Context] {
				t.Errorf("limits.md has no row for %s", choice.Context)
			}
		}
	}
	constants := regexp.MustCompile("(?m)^\\| [^|]+ \\| (\\d+)[^|]* \\| `([\\w/]+)\\.(\\w+)` \\|$").FindAllStringSubmatch(page, -1)
	if len(named) < 20 || len(constants) < 20 {
		t.Errorf("the page has %d settings and %d constants: it is read wrongly", len(named), len(constants))
	}
	for _, c := range constants {
		if value := constantOf(t, c[2], c[3]); value != c[1] {
			t.Errorf("%s.%s is %q, and %s here", c[2], c[3], value, c[1])
		}
	}
}

// constantOf returns the number that a folder's constant is, a duration in seconds; "" if there is none, or if it is not written as numbers.
func constantOf(t *testing.T, folder, name string) string {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^(?:\t|const )` + name + `\s+= ([^/\n]+)`)
	seconds := strings.NewReplacer("time.Second", "1", "time.Minute", "60", "time.Hour", "3600")
	for path, text := range sources(t) {
		if !strings.HasPrefix(path, folder+"/") || strings.HasSuffix(path, "_test.go") {
			continue
		}
		if found := declared.FindSubmatch(text); found != nil {
			value, err := types.Eval(token.NewFileSet(), nil, token.NoPos, seconds.Replace(string(found[1])))
			if err != nil || value.Value == nil || value.Value.Kind() != constant.Int {
				t.Errorf("%s.%s: %v", folder, name, err)
				return ""
			}
			return fmt.Sprint(value.Value)
		}
	}
	return ""
}
