package execute

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
)

// TestExtent reads the lines of one batch together, and those of another, or of
// another tenant's, by themselves.
func TestExtent(t *testing.T) {
	t.Parallel()
	var jobs []*job
	for i, of := range [][2]string{{"acme", "a"}, {"acme", "b"}, {"acme-b", "a"}, {"acme", "a"}} {
		jobs = append(jobs, &job{message: batch.Message{
			Tenant: of[0], Batch: of[1], Line: i + 1, Offset: int64(500 + 1001*i), Length: 1000,
		}})
	}
	var got [][]int
	for _, r := range batch.Coalesce(jobs, (*job).extent) {
		var lines []int
		for _, j := range r.Items {
			lines = append(lines, j.message.Line)
		}
		got = append(got, lines)
	}
	if diff := cmp.Diff([][]int{{1, 4}, {2}, {3}}, got); diff != "" {
		t.Errorf("lines that are read together (-want +got):\n%s", diff)
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
