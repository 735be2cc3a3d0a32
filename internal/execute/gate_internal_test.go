package execute

import (
	"context"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// gateFor returns a gate whose worker stops so long after now, with a batch that is
// due in a day, and a model whose calls may take three seconds.
func gateFor(t *testing.T, left time.Duration) (*gate, *polled) {
	t.Helper()
	now := time.Now()
	clock := func() time.Time { return now }
	d := newDurations()
	for range fewAnswers {
		d.add("m", time.Second)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	g := &gate{
		clock: clock, heartbeat: &heartbeat{kit: kit{clock: clock}, limit: time.Minute, acked: now},
		durations: d, stopAt: now.Add(left), limit: 10 * time.Minute,
	}
	return g, &polled{ctx: ctx, record: batch.Batch{Status: batch.StatusInProgress, Deadline: now.Add(24 * time.Hour)}}
}

// TestACallMustEndInTime asks for calls that may take three seconds, or that long from a
// second on.
func TestACallMustEndInTime(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		left, ahead time.Duration
		job         job
		open        bool
	}{
		{3 * time.Second, 0, job{}, true},
		{3*time.Second - 1, 0, job{}, false},
		{4 * time.Second, time.Second, job{}, true},
		{4*time.Second - 1, time.Second, job{}, false},
		{10 * time.Minute, 0, job{aborted: true}, true},
		{10*time.Minute - 1, 0, job{aborted: true}, false},
	} {
		g, b := gateFor(t, tc.left)
		tc.job.input.Model = "m"
		err := g.open(b, &tc.job, tc.ahead)
		if tc.open && err != nil || !tc.open && !isCause(err, causeNoTime) {
			t.Errorf("%v before the end, from %v on: %v", tc.left, tc.ahead, err)
		}
	}
	g, b := gateFor(t, time.Second)
	b.record.Deadline = g.clock().Add(time.Second) // the batch ends before the worker does
	if err := g.open(b, &job{}, 0); err != nil {
		t.Errorf("a call that its batch's deadline ends in time: %v", err)
	}
}

// TestAWorkerCloses once for 50 requests, one after another, there was no time.
func TestAWorkerCloses(t *testing.T) {
	t.Parallel()
	g, b := gateFor(t, time.Minute)
	long, short := &job{}, &job{}
	long.input.Model, short.input.Model = "another", "m"
	refuse := func(n int) {
		for range n {
			if err := g.open(b, long, 0); !isCause(err, causeNoTime) {
				t.Fatal(err)
			}
		}
	}
	for _, ahead := range []time.Duration{0, time.Second} {
		refuse(mostUnfit - 1)
		if g.closing(g.clock()) {
			t.Error("it closes too early")
		}
		if err := g.open(b, short, ahead); err != nil {
			t.Fatal(err)
		}
		refuse(1)
		if got, want := g.closing(g.clock()), ahead > 0; got != want {
			t.Errorf("it closes: %t, after one that fits %v from now", got, ahead)
		}
		g.unfit.Store(0)
	}
	if now := g.stopAt.Add(-3 * time.Second); g.closing(now) || !g.closing(now.Add(1)) {
		t.Error("it does not close when there is no time for any")
	}
	if g.heartbeat.lost = true; !g.closing(g.clock()) || !isCause(g.open(b, short, 0), causeWorkerStopping) {
		t.Error("it goes on without a heartbeat")
	}
}
