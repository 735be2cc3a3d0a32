package finalize

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/state"
)

// TestOutcomesThatAreNotCountedForLong counts outcomes of several ages: those that
// are 30 s old their worker would have counted by now.
func TestOutcomesThatAreNotCountedForLong(t *testing.T) {
	t.Parallel()
	now := minutes(60)
	c := actual{review: batch.NewReview(minutes(0), now), now: now, counters: map[string]batch.Counts{}, late: map[string]batch.Counts{}}
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

// TestHowFarCountersAreBehind has a worker's shard lack outcomes that it had time to count,
// or only such as it has not.
func TestHowFarCountersAreBehind(t *testing.T) {
	t.Parallel()
	all := batch.Counts{Completed: 3}
	for name, tc := range map[string]struct {
		stored, late int
		want         batch.Lag
	}{
		"nothing":              {3, 2, batch.LagNone},
		"what is new":          {2, 2, batch.LagNew},
		"what is old":          {1, 2, batch.LagOld},
		"all, and none is old": {0, 0, batch.LagNew},
	} {
		store := memstore.NewStore()
		if err := store.PutCounter(t.Context(), "b", batch.CounterShard{ID: "w", Counts: batch.Counts{Completed: tc.stored}}); err != nil {
			t.Fatal(err)
		}
		f := New(Deps{Requests: store, Log: slog.New(slog.DiscardHandler)}, Config{}).turn()
		lag, err := f.repairCounters(t.Context(), batch.Batch{Ref: batch.Ref{ID: "b"}}, actual{
			counters: map[string]batch.Counts{"w": all}, late: map[string]batch.Counts{"w": {Completed: tc.late}},
		})
		if lag != tc.want || err != nil {
			t.Errorf("%s is missing: %v, %v; want %v", name, lag, err, tc.want)
		}
		if sum, err := store.Progress(t.Context(), "b"); err != nil || sum.Completed != all.Completed {
			t.Errorf("%s is missing: the shards say %+v then, %v", name, sum, err)
		}
	}
}
