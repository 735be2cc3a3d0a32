package finalize

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRuns checks which answers are read together, however they come.
func TestRuns(t *testing.T) {
	t.Parallel()
	const length = 1000
	type span struct {
		key    string
		offset int64
		length int64
	}
	first := span{"a", 500, length}
	next := func(s span, gap int64) span { return span{s.key, s.offset + s.length + gap, length} }
	for name, tc := range map[string]struct {
		spans []span
		want  []span // what is read
	}{
		"none":                {},
		"one":                 {[]span{first}, []span{first}},
		"next to each other":  {[]span{first, next(first, 0), next(next(first, 0), 0)}, []span{{"a", 500, 3 * length}}},
		"in another order":    {[]span{next(first, 0), first}, []span{{"a", 500, 2 * length}}},
		"the widest gap":      {[]span{first, next(first, maxGap)}, []span{{"a", 500, 2*length + maxGap}}},
		"a wider gap":         {[]span{first, next(first, maxGap+1)}, []span{first, next(first, maxGap+1)}},
		"a gap after a gap":   {[]span{first, next(first, maxGap), next(next(first, maxGap), maxGap)}, []span{{"a", 500, 3*length + 2*maxGap}}},
		"the largest range":   {[]span{first, {"a", 1500, maxRange - length}}, []span{{"a", 500, maxRange}}},
		"a larger range":      {[]span{first, {"a", 1500, maxRange - length + 1}}, []span{first, {"a", 1500, maxRange - length + 1}}},
		"one longer than all": {[]span{{"a", 500, 2 * maxRange}}, []span{{"a", 500, 2 * maxRange}}},
		"two segments":        {[]span{first, {"b", 1500, length}, next(first, 0)}, []span{{"a", 500, 2 * length}, {"b", 1500, length}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var places []place
			for i, s := range tc.spans {
				places = append(places, place{at: i, key: s.key, offset: s.offset, length: s.length})
			}
			var got []span
			n := 0
			for _, run := range runs(places) {
				last := run[len(run)-1]
				got = append(got, span{run[0].key, run[0].offset, last.offset + last.length - run[0].offset})
				n += len(run)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(span{})); diff != "" || n != len(places) {
				t.Errorf("%d of %d answers are read; the reads are (-want +got):\n%s", n, len(places), diff)
			}
		})
	}
}
