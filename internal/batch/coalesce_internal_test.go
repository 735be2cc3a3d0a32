package batch

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCoalesce checks what is read together, however it comes.
func TestCoalesce(t *testing.T) {
	t.Parallel()
	const length = 1000
	first := Extent{"a", 500, length}
	next := func(s Extent, gap int64) Extent { return Extent{s.Key, s.Offset + s.Length + gap, length} }
	for name, tc := range map[string]struct {
		items []Extent
		want  []Extent // what is read
	}{
		"none":                {},
		"one":                 {[]Extent{first}, []Extent{first}},
		"next to each other":  {[]Extent{first, next(first, 0), next(next(first, 0), 0)}, []Extent{{"a", 500, 3 * length}}},
		"in another order":    {[]Extent{next(first, 0), first}, []Extent{{"a", 500, 2 * length}}},
		"the widest gap":      {[]Extent{first, next(first, maxGap)}, []Extent{{"a", 500, 2*length + maxGap}}},
		"a wider gap":         {[]Extent{first, next(first, maxGap+1)}, []Extent{first, next(first, maxGap+1)}},
		"a gap after a gap":   {[]Extent{first, next(first, maxGap), next(next(first, maxGap), maxGap)}, []Extent{{"a", 500, 3*length + 2*maxGap}}},
		"the largest range":   {[]Extent{first, {"a", 1500, maxRange - length}}, []Extent{{"a", 500, maxRange}}},
		"a larger range":      {[]Extent{first, {"a", 1500, maxRange - length + 1}}, []Extent{first, {"a", 1500, maxRange - length + 1}}},
		"one longer than all": {[]Extent{{"a", 500, 2 * maxRange}}, []Extent{{"a", 500, 2 * maxRange}}},
		"one inside another":  {[]Extent{{"a", 500, 3 * length}, next(first, 0), {"a", 500 + 3*length, length}}, []Extent{{"a", 500, 4 * length}}},
		"one twice":           {[]Extent{first, first}, []Extent{first}},
		"two segments":        {[]Extent{first, {"b", 1500, length}, next(first, 0)}, []Extent{{"a", 500, 2 * length}, {"b", 1500, length}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []Extent
			n := 0
			for _, r := range Coalesce(tc.items, func(e Extent) Extent { return e }) {
				got = append(got, r.Extent)
				n += len(r.Items)
				for _, e := range r.Items {
					if e.Key != r.Key || e.Offset < r.Offset || e.Offset+e.Length > r.Offset+r.Length {
						t.Errorf("%+v lies not in %+v", e, r.Extent)
					}
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || n != len(tc.items) {
				t.Errorf("%d of %d extents are read; the reads are (-want +got):\n%s", n, len(tc.items), diff)
			}
		})
	}
}
