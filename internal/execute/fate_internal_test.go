package execute

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tabled returns a fate as doc.go's table has it, of a cause that lasts for it.
func tabled(f fate, it time.Duration) string {
	lasts := func(d time.Duration) string {
		if d == it {
			return "it"
		}
		return regexp.MustCompile(`m0s$`).ReplaceAllString(d.String(), "m")
	}
	switch f := f.(type) {
	case acknowledge:
		return "acknowledge"
	case requeue:
		text := "requeue"
		if f.after > 0 {
			text += " after " + lasts(f.after)
		}
		if f.spread {
			text += ", spread"
		}
		return text
	case leaveHidden:
		return "leave hidden"
	case withhold:
		return "withhold for " + lasts(f.wait)
	case releaseAtEnd:
		return "release at end"
	case isolate:
		return "isolate"
	case reconcile:
		return "reconcile"
	}
	return fmt.Sprintf("%#v", f)
}

// TestTableOfFates holds doc.go's table against decide: it has each cause once,
// with what becomes of a message because of it.
func TestTableOfFates(t *testing.T) {
	t.Parallel()
	const it = 7 * time.Second
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "//\tcause ")
	table, _, _ = strings.Cut(table, "//\n")
	documented := map[string][2]string{}
	for _, row := range strings.Split(strings.TrimSpace(table), "\n")[1:] {
		cells := regexp.MustCompile(` {2,}`).Split(strings.TrimPrefix(row, "//\t"), -1)
		if len(cells) != 3 || documented[cells[0]][0] != "" {
			t.Fatalf("want three cells, and a cause once: %q", row)
		}
		documented[cells[0]] = [2]string{cells[1], cells[2]}
	}
	decided := map[string][2]string{}
	for c := range cause(causes) {
		decided[c.String()] = [2]string{tabled(decide(c, false, it), it), tabled(decide(c, true, it), it)}
	}
	if diff := cmp.Diff(decided, documented); diff != "" {
		t.Errorf("doc.go's table (-decided +documented):\n%s", diff)
	}
}
