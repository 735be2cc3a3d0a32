package suite

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSoakTellsOfWholeRuns has the tests of two runs pass, and one of a third.
func TestSoakTellsOfWholeRuns(t *testing.T) {
	t.Parallel()
	tests := []string{"TestA", "TestB"}
	var events []string
	for i, name := range []string{"TestB", "TestB", "TestA", "TestA", "TestA"} {
		at := time.Date(2026, 1, 2, 3, 4, i, 0, time.UTC).Format(time.RFC3339)
		events = append(events, fmt.Sprintf(`{"Action":"attr","Test":%q,"Key":"took","Value":"note %d"}`, name, i),
			fmt.Sprintf(`{"Time":%q,"Action":"pass","Test":%q,"Elapsed":%d}`, at, name, i))
	}
	var out strings.Builder
	s := &soak{out: &out, tests: tests, times: map[string][]float64{}}
	r := &runner{cfg: Config{Out: &out}, heard: s.hear}
	if _, err := r.countEvents(strings.NewReader(strings.Join(events, "\n"))); err != nil {
		t.Fatal(err)
	}
	want := "03:04:02  run 1   TestA 2s  TestB 0s  note 0  note 1  note 2\n03:04:03  run 2   TestA 3s  TestB 1s  note 3\n"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}
