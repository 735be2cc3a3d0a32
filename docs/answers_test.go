package docs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/answer"
)

// TestAnswersPageHasTheRules demands that the page has the table by which answers are judged, and that of the codes, as the
// code has them.
func TestAnswersPageHasTheRules(t *testing.T) {
	t.Parallel()
	var rules, codes strings.Builder
	rules.WriteString("| an answer with | is |\n|---|---|\n")
	for _, r := range answer.Rules() {
		fmt.Fprintf(&rules, "| %s | %s |\n", r.When, r.Is)
	}
	codes.WriteString("| status | names |\n|---|---|\n")
	for _, c := range answer.Codes() {
		fmt.Fprintf(&codes, "| %d | `%s` |\n", c.Status, strings.Join(c.Names, "`, `"))
	}
	page := read(t, "answers.md")
	for _, table := range []string{rules.String(), codes.String()} {
		if !strings.Contains(page, table+"\n") {
			t.Errorf("answers.md has not this table:\n%s", table)
		}
	}
}
