package suite

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSoakTellsOfWholeRuns has the tests of two runs pass, the second but for one.
func TestSoakTellsOfWholeRuns(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	events := []string{`{"Action":"attr","Test":"TestKilledFleet","Key":"kill","Value":"48.1 s to the end"}`}
	for _, name := range append(soakTests(), soakTests()[1:]...) {
		at = at.Add(10 * time.Second)
		events = append(events, fmt.Sprintf(`{"Time":%q,"Action":"pass","Test":%q,"Elapsed":7.4}`, at.Format(time.RFC3339), name))
	}
	var out strings.Builder
	s := &soak{runner: &runner{cfg: Config{Out: &out}}, times: map[string][]float64{}, begun: at.Add(-100 * time.Second)}
	if _, err := countEvents(strings.NewReader(strings.Join(events, "\n")), &out, s.hear); err != nil {
		t.Fatal(err)
	}
	want := "run  1    60s   "
	for _, name := range soakTests() {
		want += name + " 7s  "
	}
	if want += "48.1 s to the end\n"; out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}
