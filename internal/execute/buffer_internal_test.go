package execute

import "testing"

// TestWorth demands which answers go: 4 MiB of them at once, 50 after two seconds, and all
// after them with what has its outcome already.
func TestWorth(t *testing.T) {
	t.Parallel()
	few, enough := make([]*entry, 49), make([]*entry, 50)
	for name, tc := range map[string]struct {
		group group
		want  bool
	}{
		"4 MiB":                        {group{entries: few, bytes: 4 << 20}, true},
		"a byte less":                  {group{entries: few, bytes: 4<<20 - 1}, false},
		"50 after two seconds":         {group{entries: enough, waited: true}, true},
		"49 after two seconds":         {group{entries: few, waited: true}, false},
		"50 before":                    {group{entries: enough}, false},
		"few, with one that is found":  {group{entries: few, waited: true, found: true}, true},
		"one that is found, too early": {group{entries: few, found: true}, false},
	} {
		if got := tc.group.worth(); got != tc.want {
			t.Errorf("%s are worth a segment: %t", name, got)
		}
	}
}
