package stack

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/boot"
)

// nothing is a context in which nothing is chosen.
type nothing struct{}

func (nothing) TryGetContext(*string) any         { return nil }
func (nothing) GetAllContext(*map[string]any) any { return nil }

// chosen is a context in which one thing is chosen.
type chosen struct {
	nothing

	name, value string
}

func (c chosen) TryGetContext(name *string) any {
	if *name == c.name {
		return c.value
	}
	return nil
}

// TestNoDefaultRoute shows how a deployment has none.
func TestNoDefaultRoute(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{"none": "", "https://api.example.com/v1": "https://api.example.com/v1"} {
		reader := contextReader{node: chosen{name: "upstreamBaseUrl", value: value}, known: map[string]parameter{}}
		if props, err := reader.props(); err != nil || props.UpstreamBaseURL != want {
			t.Errorf("%s is read as %+v, %v, want %q", value, props, err, want)
		}
	}
}

// TestWarmWritesAreMore refuses what a table has anyhow, which AWS would refuse after minutes.
func TestWarmWritesAreMore(t *testing.T) {
	t.Parallel()
	for value, fine := range map[string]bool{"0": true, "4000": true, "3999": false, "1": false, "1000001": false} {
		reader := contextReader{node: chosen{name: "warmWrites", value: value}, known: map[string]parameter{}}
		if _, err := reader.props(); (err == nil) != fine || err != nil && !strings.Contains(err.Error(), "warmWrites") {
			t.Errorf("warmWrites=%s: %v", value, err)
		}
	}
}

// TestParametersAreOnThePage holds the table of the stack in docs/configuration.md against what is read: each parameter
// has its row with its default and bounds, or what it may be besides, and no other has one. The choices of package boot
// have tables of their own.
func TestParametersAreOnThePage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## The stack\n")
	section, _, _ = strings.Cut(section, "\n## ")
	page := map[string][]string{} // default and remarks by name
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*`) \\| (.*?) \\| (.*) \\|$").FindAllStringSubmatch(section, -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			page[strings.Trim(name, "`")] = []string{strings.Trim(row[2], "`"), row[3]}
		}
	}
	reader := contextReader{node: nothing{}, known: map[string]parameter{}}
	if _, err := reader.props(); err != nil {
		t.Fatal(err)
	}
	for _, choice := range boot.Choices() {
		delete(reader.known, choice.Context)
	}
	for name, known := range reader.known {
		row, ok := page[name]
		delete(page, name)
		switch {
		case !ok:
			t.Errorf("%s has no row", name)
		case row[0] != known.fallback:
			t.Errorf("%s has the default %s, want %s", name, row[0], known.fallback)
		case !strings.Contains(row[1], known.bounds):
			t.Errorf("%s: %q does not say the bounds %s", name, row[1], known.bounds)
		case slices.ContainsFunc(known.values, func(v string) bool { return v != known.fallback && !strings.Contains(row[1], "`"+v+"`") }):
			t.Errorf("%s: %q does not say each of %q", name, row[1], known.values)
		}
	}
	if len(page) > 0 {
		t.Errorf("the page has rows of what is no parameter: %v", page)
	}
}
