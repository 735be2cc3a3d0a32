package finalize

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// TestOutcomesThatAreNotCountedForLong counts outcomes of several ages: those that
// are 30 s old their worker would have counted by now.
func TestOutcomesThatAreNotCountedForLong(t *testing.T) {
	t.Parallel()
	now := minutes(60)
	c := actual{now: now, counters: map[string]batch.Counts{}, late: map[string]batch.Counts{}}
	for i, p := range []state.Phase{
		state.Pending{},
		state.Processing{},
		state.Completed{CompletedAt: now},
		state.Failed{FailedAt: now.Add(1 - 30*time.Second), Reason: state.NetworkError{Error: "reset"}},
		state.Completed{CompletedAt: now.Add(-30 * time.Second)},
		state.Completed{CompletedAt: minutes(0)},
	} {
		c.add(state.Record{Spec: state.Spec{Key: state.Key{Batch: "b", Line: i + 1}}, Phase: p})
	}
	all, late := map[string]batch.Counts{"stray": {Completed: 3, Failed: 1}}, map[string]batch.Counts{"stray": {Completed: 2}}
	if diff := cmp.Diff([]any{all["stray"], all, late}, []any{c.counts, c.counters, c.late}); diff != "" {
		t.Errorf("in all, of each, and of that late (-want +got):\n%s", diff)
	}
}
