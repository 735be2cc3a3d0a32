package api_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// add adds a sample to a stored history of alice's.
func (w *world) add(batchID string, change func(h *batch.History)) {
	w.t.Helper()
	_, err := w.store.UpdateHistory(w.t.Context(), batch.Ref{Tenant: "alice", ID: batchID}, func(h *batch.History) error {
		change(h)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.running("a", "b", "c")
	path := "/v1/batches/" + id + "/progress"
	at := float64(w.clock().Unix())
	sample := func(at float64, completed, failed float64, retrying any) map[string]any {
		return map[string]any{
			"at": at, "completed": completed, "failed": failed, "expired": 0.0, "cancelled": 0.0, "retrying": retrying,
		}
	}
	want := map[string]any{
		"object": "batch.progress", "batch_id": id, "final": false, "failures": []any{},
		"samples": []any{sample(at, 0, 0, nil)}, // as it is now: nothing was kept yet
	}
	if diff := cmp.Diff(want, w.get(path).want(200).json); diff != "" {
		t.Error(diff)
	}
	w.add(id, func(h *batch.History) { h.Add(batch.Sample{At: w.clock(), Retrying: 2}) })
	w.advance(10 * time.Second)
	if err := w.store.PutCounter(t.Context(), id, batch.CounterShard{ID: "w", Counts: batch.Counts{Completed: 1, Failed: 1}}); err != nil {
		t.Fatal(err)
	}
	want["samples"] = []any{sample(at, 0, 0, 2.0), sample(at+10, 1, 1, nil)}
	if diff := cmp.Diff(want, w.get(path).want(200).json); diff != "" {
		t.Error(diff)
	}
	w.add(id, func(h *batch.History) {
		r := batch.NewReview(w.clock(), w.clock())
		r.Add(state.Completed{CompletedAt: w.clock()})
		r.Add(state.Completed{CompletedAt: w.clock()})
		r.Add(state.Failed{FailedAt: w.clock(), Reason: state.NonRetryableHTTPStatus{Status: 400}})
		h.Settle(r, w.clock())
	})
	want["samples"] = []any{sample(at+10, 0, 0, 2.0), sample(at+11, 2, 1, 0.0)}
	want["final"], want["failures"] = true, []any{map[string]any{"reason": "http_400", "requests": 1.0}}
	if diff := cmp.Diff(want, w.get(path).want(200).json); diff != "" {
		t.Error(diff)
	}
	w.ask(ask{method: "GET", path: path, key: w.bob}).refused(404, "", "*", "No batch found")
	w.get(path+"?after=1").refused(400, "after", "unknown_parameter", "after")
}

// TestProgressHasFewSamples demands that the sample of now takes no more room than there is.
func TestProgressHasFewSamples(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.running("a")
	w.add(id, func(h *batch.History) {
		for range batch.MaxSamples {
			h.Add(batch.Sample{At: w.clock()})
			w.advance(time.Second)
		}
	})
	r := w.get("/v1/batches/" + id + "/progress").want(200)
	samples, _ := r.json["samples"].([]any)
	last, _ := samples[len(samples)-1].(map[string]any)
	if len(samples) != batch.MaxSamples || last["at"] != float64(w.clock().Unix()) {
		t.Errorf("%d samples, the last %v", len(samples), last)
	}
}
