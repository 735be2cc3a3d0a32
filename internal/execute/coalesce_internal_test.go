package execute

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
)

// TestCoalesce checks which lines of an input are read together.
func TestCoalesce(t *testing.T) {
	t.Parallel()
	type span struct{ offset, length int64 }
	const length = 1000
	next := func(s span, gap int64) span { return span{s.offset + s.length + gap, length} }
	first := span{500, length}
	for name, tc := range map[string]struct {
		spans []span
		batch []string // of each; nil: the same
		want  []int64  // offsets at which a read starts
	}{
		"none":                  {},
		"one":                   {spans: []span{first}, want: []int64{500}},
		"next to each other":    {spans: []span{first, next(first, 1), next(next(first, 1), 1)}, want: []int64{500}},
		"in another order":      {spans: []span{next(first, 1), first}, want: []int64{500}},
		"twice the same":        {spans: []span{first, first}, want: []int64{500}},
		"the widest gap":        {spans: []span{first, next(first, maxGap)}, want: []int64{500}},
		"a wider gap":           {spans: []span{first, next(first, maxGap+1)}, want: []int64{500, 1501 + maxGap}},
		"a gap after a gap":     {spans: []span{first, next(first, maxGap), next(next(first, maxGap), maxGap)}, want: []int64{500}},
		"the largest range":     {spans: []span{first, {1500, maxRange - length}}, want: []int64{500}},
		"a larger range":        {spans: []span{first, {1500, maxRange - length + 1}}, want: []int64{500, 1500}},
		"two batches":           {spans: []span{first, next(first, 1)}, batch: []string{"a", "b"}, want: []int64{500, 1501}},
		"two batches, in turns": {spans: []span{first, next(first, 1), next(next(first, 1), 1)}, batch: []string{"a", "b", "a"}, want: []int64{500, 1501}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var jobs []*job
			for i, s := range tc.spans {
				m := batch.Message{Tenant: "acme", Batch: "a", Line: i + 1, Offset: s.offset, Length: s.length}
				if tc.batch != nil {
					m.Batch = tc.batch[i]
				}
				jobs = append(jobs, &job{message: m})
			}
			var got []int64
			n := 0
			for _, s := range coalesce(jobs) {
				got = append(got, s[0].message.Offset)
				n += len(s)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || n != len(jobs) {
				t.Errorf("%d of %d lines are read; reads start at (-want +got):\n%s", n, len(jobs), diff)
			}
		})
	}
}

// TestMemory checks what a line takes of the memory budget.
func TestMemory(t *testing.T) {
	t.Parallel()
	j := &job{message: batch.Message{Offset: 7, Length: 1000}}
	if got := j.memory(false); got != 1000+callMemory {
		t.Errorf("alone it takes %d", got)
	}
	if got := j.memory(true); got != 2000+callMemory {
		t.Errorf("with others it takes %d", got)
	}
}
