package batch_test

import (
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

func TestCounterShardOf(t *testing.T) {
	t.Parallel()
	spec := state.Spec{Key: state.Key{Batch: "batch_1", Line: 7}, Deadline: noon().Add(time.Hour)}
	for name, tt := range map[string]struct {
		phase state.Phase
		want  string
	}{
		"a claim names its counter":   {state.Completed{ClaimID: batch.ClaimID("counter-1", "x")}, "counter-1"},
		"so does a failed one's":      {state.Failed{ClaimID: batch.ClaimID("counter-1", "x#y")}, "counter-1"},
		"its owner's cancel, claimed": {state.Canceled{ClaimID: batch.ClaimID("counter-1", "x")}, "line-7"},
		"its owner's cancel":          {state.Canceled{}, "line-7"},
		"a claim of another kind":     {state.Completed{ClaimID: "x"}, "stray"},
	} {
		if got := batch.CounterShardOf(state.Record{Spec: spec, Phase: tt.phase}); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestCountsMost(t *testing.T) {
	t.Parallel()
	a := batch.Counts{Total: 1, Completed: 5, Failed: 0, Expired: 3, Canceled: 2}
	b := batch.Counts{Total: 2, Completed: 4, Failed: 1, Expired: 4, Canceled: 1}
	want := batch.Counts{Total: 2, Completed: 5, Failed: 1, Expired: 4, Canceled: 2}
	if got := a.Most(b); got != want || b.Most(a) != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
