package batch_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

func TestRequestIDsAreRead(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		line := rapid.IntRange(1, 1<<31).Draw(rt, "line")
		id := batch.RequestID(state.Key{Batch: "batch_01a", Line: line})
		if got, ok := batch.ParseRequestID("batch_01a", id); !ok || got != line {
			rt.Fatalf("%s is line %d, %v", id, got, ok)
		}
		if _, ok := batch.ParseRequestID("batch_01b", id); ok {
			rt.Fatalf("%s is a request of another batch", id)
		}
	})
	for _, id := range []string{
		"", "batch_req_01a", "batch_req_01a_", "batch_req_01a_0", "batch_req_01a_-1", "batch_req_01a_+1", "batch_req_01a_01",
		"batch_req_01a_1 ", "batch_req_01a_99999999999999999999",
	} {
		if line, ok := batch.ParseRequestID("batch_01a", id); ok {
			t.Errorf("%q is line %d", id, line)
		}
	}
}

func TestStopKeepsTheLast(t *testing.T) {
	t.Parallel()
	b := batch.Batch{Status: batch.StatusInProgress}
	for line := range batch.MaxCanceledLines + 10 {
		b.CancelLine(line + 1)
		b.CancelLine(line + 1)
	}
	if n := len(b.CanceledLines); n != batch.MaxCanceledLines || b.CanceledLines[0] != 11 || b.CanceledLines[n-1] != batch.MaxCanceledLines+10 {
		t.Errorf("%d lines, from %d to %d", n, b.CanceledLines[0], b.CanceledLines[n-1])
	}
	before := slices.Clone(b.CanceledLines)
	copied := b
	copied.CancelLine(5)
	if diff := cmp.Diff(before, b.CanceledLines); diff != "" {
		t.Errorf("a copy shares memory: %s", diff)
	}
	b.Counts.Total = 1
	if err := b.Seal(batch.Counts{Total: 1, Canceled: 1}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if b.CancelLine(1); b.CanceledLines != nil {
		t.Errorf("a sealed batch names %v", b.CanceledLines)
	}
	if err := b.End(time.Now()); err != nil || b.Status != batch.StatusCompleted {
		t.Errorf("a batch whose one request was canceled ended %s, %v", b.Status, err)
	}
}

func TestRetriable(t *testing.T) {
	t.Parallel()
	ready := batch.LoadCursor{Validated: true, Line: 3}
	for name, c := range map[string]struct {
		b    batch.Batch
		want string // of the error
	}{
		"running": {batch.Batch{Status: batch.StatusFinalizing}, "status"},
		"refused": {batch.Batch{Status: batch.StatusFailed}, "order"},
		"all completed": {batch.Batch{
			Status: batch.StatusCompleted, Sealed: true, Load: ready, Counts: batch.Counts{Total: 3, Completed: 3},
		}, "order"},
		"one failed": {batch.Batch{
			Status: batch.StatusCompleted, Sealed: true, Load: ready, Counts: batch.Counts{Total: 3, Completed: 2, Failed: 1},
		}, ""},
		"cancelled": {batch.Batch{
			Status: batch.StatusCanceled, Sealed: true, Load: ready, Counts: batch.Counts{Total: 3, Canceled: 3},
		}, ""},
		"abandoned": {batch.Batch{Status: batch.StatusFailed, Load: ready, Counts: batch.Counts{Total: 3}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.b.Retriable()
			var status *batch.StatusError
			var order *batch.OrderError
			got := ""
			switch {
			case errors.As(err, &status):
				got = "status"
			case errors.As(err, &order):
				got = "order"
			case err != nil:
				got = "another"
			}
			if got != c.want {
				t.Errorf("error is %v, want %q", err, c.want)
			}
		})
	}
}

func TestInputsOfARetry(t *testing.T) {
	t.Parallel()
	b := batch.Batch{Ref: batch.Ref{ID: "batch_01a"}, InputFileID: "file-01a"}
	if diff := cmp.Diff([]string{"file-01a"}, b.Inputs()); diff != "" || b.Gathering() {
		t.Errorf("gathering %v, %s", b.Gathering(), diff)
	}
	b.RetryOf, b.Gather.From, b.InputFileID = "batch_0", "file-0", batch.RetryFileID(b.ID)
	if diff := cmp.Diff([]string{"file-01a", "file-0"}, b.Inputs()); diff != "" || !b.Gathering() {
		t.Errorf("gathering %v, %s", b.Gathering(), diff)
	}
}

// TestOutcomes says in one word how a request stands.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for want, p := range map[batch.Outcome]state.Phase{
		batch.OutcomePending: state.Pending{}, batch.OutcomeInProgress: state.Processing{}, batch.OutcomeCompleted: state.Completed{},
		batch.OutcomeFailed: state.Failed{Reason: state.NetworkError{}}, batch.OutcomeExpired: state.Failed{Reason: state.Expired{}},
		batch.OutcomeCanceled: state.Canceled{},
	} {
		if got := batch.OutcomeOf(p); got != want {
			t.Errorf("%T is %s, want %s", p, got, want)
		}
	}
}

// TestSource names the file that a batch was ordered with.
func TestSource(t *testing.T) {
	t.Parallel()
	b := batch.Batch{InputFileID: "file-own", Gather: batch.Gather{From: "file-from"}}
	if got := b.Source(); got != "file-own" {
		t.Errorf("it was ordered with %s", got)
	}
	if b.RetryOf = "batch_0"; b.Source() != "file-from" {
		t.Errorf("a retry was ordered with %s", b.Source())
	}
}
