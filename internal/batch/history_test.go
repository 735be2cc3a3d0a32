package batch_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

func began() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }

// TestHistoryKeepsFewSamples adds many more samples than are kept, some too soon, some late, some of counts that fell.
func TestHistoryKeepsFewSamples(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var h batch.History
		at, done := began(), 0
		var most batch.Counts
		for range rapid.IntRange(1, 2_000).Draw(rt, "samples") {
			at = at.Add(time.Duration(rapid.IntRange(-500, 4_000).Draw(rt, "ms")) * time.Millisecond)
			done += rapid.IntRange(-1, 3).Draw(rt, "done")
			had := len(h.Samples)
			h.Add(batch.Sample{At: at, Counts: batch.Counts{Total: 9, Completed: max(done, 0), Failed: done % 3 & 1}})
			if len(h.Samples) == had+1 {
				most = most.Most(h.Samples[had].Counts)
			}
			if len(h.Samples) == 0 || len(h.Samples) > batch.MaxSamples {
				rt.Fatalf("%d samples are kept", len(h.Samples))
			}
		}
		for i := 1; i < len(h.Samples); i++ {
			was, is := h.Samples[i-1], h.Samples[i]
			if is.At.Sub(was.At) < time.Second || is.Counts.Most(was.Counts) != is.Counts || is.Counts.Total != 0 {
				rt.Fatalf("%+v follows %+v", is, was)
			}
		}
		if h.Interval > 0 && len(h.Samples) < batch.MaxSamples/2-1 {
			rt.Fatalf("only %d samples are left, %v apart", len(h.Samples), h.Interval)
		}
	})
}

// TestHistoryOfAWeek samples each second for a week: what is left covers all of it evenly.
func TestHistoryOfAWeek(t *testing.T) {
	t.Parallel()
	var h batch.History
	const week = 7 * 24 * 60 * 60
	for s := range week {
		h.Add(batch.Sample{At: began().Add(time.Duration(s) * time.Second), Counts: batch.Counts{Completed: s}})
	}
	first, last := h.Samples[0], h.Samples[len(h.Samples)-1]
	if len(h.Samples) < 145 || first.Counts.Completed != 0 || last.Counts.Completed < week-5_000 {
		t.Errorf("%d samples from %+v to %+v", len(h.Samples), first, last)
	}
	for i := 2; i < len(h.Samples)-1; i++ {
		if gap := h.Samples[i].At.Sub(h.Samples[i-1].At); gap != h.Interval {
			t.Fatalf("%v lie between two samples, and %v between others", gap, h.Interval)
		}
	}
	if n := len(batch.EncodeSamples(h.Samples)); n > 10*batch.MaxSamples {
		t.Errorf("they take %d bytes", n)
	}
}

// aPhase draws an outcome.
func aPhase(rt *rapid.T) state.Phase {
	at := began().Add(time.Duration(rapid.IntRange(-5, 100_000).Draw(rt, "seconds")) * time.Second)
	return rapid.SampledFrom([]state.Phase{
		state.Completed{CompletedAt: at},
		state.Canceled{CanceledAt: at},
		state.Failed{FailedAt: at, Reason: state.Expired{}},
		state.Failed{FailedAt: at, Reason: state.Timeout{}},
		state.Failed{FailedAt: at, Reason: state.NonRetryableHTTPStatus{Status: 400}},
	}).Draw(rt, "phase")
}

// TestSettledHistoryIsExact holds a settled history against the requests it was made of.
func TestSettledHistoryIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		to := began().Add(time.Duration(rapid.IntRange(-3, 100_000).Draw(rt, "ran")) * time.Second)
		phases := rapid.SliceOfN(rapid.Custom(aPhase), 0, 400).Draw(rt, "phases")
		r := batch.NewReview(began(), to)
		var want batch.Counts
		reasons := map[string]int{}
		for _, p := range phases {
			r.Add(p)
			want = want.Add(p)
			if reason := batch.ReasonOf(p); reason != "" {
				reasons[reason]++
			}
		}
		var h batch.History
		h.Add(batch.Sample{At: began().Add(time.Minute), Retrying: 3})
		h.Settle(r, to)
		if len(h.Samples) > batch.MaxSamples || h.Samples[len(h.Samples)-1].Counts != want || h.Samples[0].Counts != (batch.Counts{}) {
			rt.Fatalf("%d samples from %+v to %+v, want %+v", len(h.Samples), h.Samples[0], h.Samples[len(h.Samples)-1], want)
		}
		for i := 1; i < len(h.Samples); i++ {
			if was, is := h.Samples[i-1], h.Samples[i]; !is.At.After(was.At) || is.Counts.Most(was.Counts) != is.Counts {
				rt.Fatalf("%+v follows %+v", is, was)
			}
		}
		got := map[string]int{}
		for _, f := range h.Failures {
			got[f.Reason] = f.Requests
		}
		if diff := cmp.Diff(reasons, got); diff != "" {
			rt.Fatal(diff)
		}
		before := h
		h.Add(batch.Sample{At: to.Add(time.Hour)})
		h.Settle(batch.NewReview(began(), to), to)
		if diff := cmp.Diff(before, h); diff != "" {
			rt.Fatalf("a settled history changed: %s", diff)
		}
	})
}

// TestSettledHistoryTellsWhen has two outcomes at known times.
func TestSettledHistoryTellsWhen(t *testing.T) {
	t.Parallel()
	r := batch.NewReview(began(), began().Add(10*time.Second))
	r.Add(state.Completed{CompletedAt: began().Add(2500 * time.Millisecond)})
	r.Add(state.Failed{FailedAt: began().Add(7 * time.Second), Reason: state.Timeout{}})
	var h batch.History
	h.Add(batch.Sample{At: began().Add(5 * time.Second), Retrying: 1})
	h.Settle(r, began().Add(10*time.Second))
	var got []string
	for _, s := range h.Samples {
		got = append(got, fmt.Sprint(s.At.Sub(began()), s.Counts.Completed, s.Counts.Failed, s.Retrying))
	}
	want := []string{"0s 0 0 -1", "2s 0 0 -1", "3s 1 0 -1", "5s 1 0 1", "7s 1 0 -1", "8s 1 1 -1", "10s 1 1 0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestReasonsAreFew has more reasons than are kept.
func TestReasonsAreFew(t *testing.T) {
	t.Parallel()
	r, want := batch.NewReview(began(), began()), 0
	for status := 400; status < 500; status++ {
		for range 1 + status%7 {
			r.Add(state.Failed{Reason: state.NonRetryableHTTPStatus{Status: status}})
			want++
		}
	}
	failures, sum := r.Failures(), 0
	for i, f := range failures {
		sum += f.Requests
		if i > 0 && i < len(failures)-1 && f.Requests > failures[i-1].Requests {
			t.Errorf("%+v follows %+v", f, failures[i-1])
		}
	}
	if last := failures[len(failures)-1]; len(failures) != batch.MaxReasons || last.Reason != batch.ReasonOther || sum != want {
		t.Errorf("%d reasons, the last %+v, of %d requests", len(failures), last, sum)
	}
}

// TestReasonIsTheErrorLines holds reasons against what the error file says.
func TestReasonIsTheErrorLines(t *testing.T) {
	t.Parallel()
	for _, reason := range []state.Reason{
		state.Timeout{},
		state.NetworkError{},
		state.RequestBuilderError{},
		state.TaskTerminated{},
		state.ResponseTooLarge{},
		state.ErrorInBody{},
		state.InvalidAnswer{},
		state.RetryTooLate{},
		state.Expired{},
		state.RetryableHTTPStatus{Status: 429},
		state.NonRetryableHTTPStatus{Status: 404},
	} {
		line := batch.AppendFailure(nil, state.Key{}, "a", batch.Failing{Reason: reason})
		if got := batch.ReasonOf(state.Failed{Reason: reason}); !batch.KnownReason(got) || !strings.Contains(string(line), fmt.Sprintf(`"code":%q`, got)) {
			t.Errorf("%T is %q, and on the line %s", reason, got, line)
		}
	}
	line := batch.AppendCanceled(nil, state.Key{}, "a", state.Canceled{}, true)
	if got := batch.ReasonOf(state.Canceled{}); !strings.Contains(string(line), fmt.Sprintf(`"code":%q`, got)) {
		t.Errorf("canceled is %q, and on the line %s", got, line)
	}
	for _, other := range []string{"", batch.ReasonOther, "http_", "http_4x4", "http_4040", "insufficient_quota"} {
		if batch.KnownReason(other) {
			t.Errorf("%q is a reason", other)
		}
	}
	if got := batch.ReasonOf(state.Completed{}); got != "" {
		t.Errorf("completed is %q", got)
	}
}

func TestSamplesRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 1<<40)
		want := rapid.SliceOf(rapid.Custom(func(rt *rapid.T) batch.Sample {
			return batch.Sample{
				At: time.Unix(int64(n.Draw(rt, "at")), 0).UTC(), Retrying: n.Draw(rt, "retrying") - 1,
				Counts: batch.Counts{Completed: n.Draw(rt, "c"), Failed: n.Draw(rt, "f"), Expired: n.Draw(rt, "x"), Canceled: n.Draw(rt, "k")},
			}
		})).Draw(rt, "samples")
		got, err := batch.DecodeSamples(batch.EncodeSamples(want))
		if diff := cmp.Diff(append([]batch.Sample(nil), want...), got); err != nil || diff != "" {
			rt.Fatalf("%v %s", err, diff)
		}
	})
	for _, bad := range []string{"!", "AQ", "Pw", "Af////////////////8B"} {
		if got, err := batch.DecodeSamples(bad); err == nil {
			t.Errorf("%q is %+v", bad, got)
		}
	}
}
