package batch_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
)

// TestHighWater raises a batch's high water as it flows.
func TestHighWater(t *testing.T) {
	t.Parallel()
	var r batch.Reconciliation
	for i, step := range []struct {
		after time.Duration // since the last low water
		done  int
		limit int
		want  int
	}{
		{0, 0, 10_000, 5_000},
		{time.Minute, 250, 10_000, 10_000},
		{9 * time.Minute, 750, 10_000, 10_000},
		{20 * time.Minute, 1_750, 10_000, 1_000}, // 500 in ten minutes
		{10 * time.Minute, 2_250, 10_000, 1_000},
		{time.Hour, 2_300, 10_000, 100},
		{time.Second, 2_350, 150, 150},
		{time.Second, 2_400, 1_000_000, 300},
		{time.Hour, 500_000, 1_000_000, 10_000},
		{time.Hour, 500_001, 50, 50},
		{time.Hour, 500_001, -1, 1},
	} {
		now := noon().Truncate(time.Millisecond).Add(step.after)
		if i > 0 {
			now = r.FilledAt.Add(step.after)
		}
		if r = r.Raise(step.done, step.limit, now); r.HighWater != step.want || r.FilledDone != step.done || !r.FilledAt.Equal(now) {
			t.Errorf("step %d: %+v, want %d", i, r, step.want)
		}
	}
}

// TestMark says when a batch is at its low water, and when its flow is woken.
func TestMark(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		total, enqueued, high, done int
		low                         bool
		mark                        int
	}{
		"nothing enqueued":        {1_000, 0, 0, 0, true, 1},
		"just enqueued":           {1_000, 200, 200, 0, false, 100},
		"above low water":         {1_000, 200, 200, 99, false, 100},
		"at low water":            {1_000, 200, 200, 100, true, 101},
		"below low water":         {1_000, 200, 200, 150, true, 151},
		"all enqueued":            {200, 200, 200, 150, false, 200},
		"all done":                {200, 200, 200, 200, false, 201},
		"the high water has sunk": {1_000, 800, 100, 10, false, 750},
	} {
		b := batch.Batch{Status: batch.StatusInProgress, Counts: batch.Counts{Total: tt.total}, Enqueued: tt.enqueued}
		b.Reconcile(batch.Reconciliation{HighWater: tt.high, Done: tt.done})
		if b.LowWater(tt.done) != tt.low || b.Mark != tt.mark {
			t.Errorf("%s: at low water %t, mark %d, want %t, %d", name, b.LowWater(tt.done), b.Mark, tt.low, tt.mark)
		}
		if b.Due(tt.done) || !b.Due(tt.mark) {
			t.Errorf("%s: due at %d %t, at its mark %t", name, tt.done, b.Due(tt.done), b.Due(tt.mark))
		}
	}
}

func TestEnqueues(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) time.Time { return noon().Add(d).UTC().Truncate(time.Millisecond) }
	var r batch.Reconciliation
	for _, step := range []struct {
		line int
		at   time.Duration
	}{{500, 0}, {600, 5 * time.Minute}, {700, 5*time.Minute + 5*time.Second}, {900, 6 * time.Minute}, {1_000, 12 * time.Minute}, {1_100, 60 * time.Minute}} {
		if r = r.Enqueue(step.line, noon().Add(step.at), 4*time.Minute); step.line == 1_000 {
			r.Reenqueue.Finished = 500
		}
	}
	want := []batch.Enqueued{{Line: 600, At: at(5 * time.Minute)}, {Line: 1_000, At: at(12 * time.Minute)}, {Line: 1_100, At: at(60 * time.Minute)}}
	if diff := cmp.Diff(want, r.Enqueues); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for line, want := range map[int]time.Time{1: at(5 * time.Minute), 600: at(5 * time.Minute), 601: at(12 * time.Minute), 1_101: {}} {
		if got, ok := r.EnqueuedAt(line); !got.Equal(want) || ok == want.IsZero() {
			t.Errorf("line %d is enqueued since %v, %t, want %v", line, got, ok, want)
		}
	}
	r = batch.Reconciliation{}
	most := 0
	for i := range 1_000 {
		now := noon().Add(time.Duration(i) * time.Minute)
		r = r.Enqueue(i+1, now, 4*time.Minute)
		most = max(most, len(r.Enqueues))
		for age := range min(i+1, 60) {
			at, ok := r.EnqueuedAt(i + 1 - age)
			late := at.Sub(now.Truncate(time.Millisecond).Add(-time.Duration(age) * time.Minute))
			if !ok || late < 0 || late > time.Duration(age)*time.Minute/4 {
				t.Fatalf("after %d min a line that was enqueued %d min ago has been for %v less", i, age, late)
			}
		}
	}
	if most != 24 {
		t.Errorf("%d are kept", most)
	}
	r = batch.Reconciliation{}
	for i := range 3 { // a tenth of four minutes in all
		r = r.Enqueue(i+1, noon().Add(time.Duration(i)*12*time.Second), 4*time.Minute)
	}
	if diff := cmp.Diff([]batch.Enqueued{{Line: 1, At: at(0)}, {Line: 3, At: at(24 * time.Second)}}, r.Enqueues); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestGrantsThatFallShort says when a batch asks the allowance for more.
func TestGrantsThatFallShort(t *testing.T) {
	t.Parallel()
	now := noon().UTC().Truncate(time.Millisecond)
	for name, tt := range map[string]struct {
		granted, wanted int
		highWater       int           // of 1,000 before
		asks            time.Duration // later; 0: it does not
	}{
		"all that it wanted":         {500, 500, 500, 0},
		"all of little":              {50, 50, 50, 0},
		"nothing, and wanted it":     {0, 0, 0, 0},
		"more, which is outstanding": {1_200, 1_000, 1_000, 0},
		"half":                       {250, 500, 250, 0},
		"less than half":             {249, 500, 249, 9 * time.Minute},
		"enough to go on":            {100, 500, 100, 9 * time.Minute},
		"less than that":             {99, 500, 99, 25 * time.Second},
		"nothing":                    {0, 500, 0, 25 * time.Second},
		"next to all, which is less": {49, 50, 49, 25 * time.Second},
	} {
		r := batch.Reconciliation{HighWater: 1_000, AskAt: now}.Grant(tt.granted, tt.wanted, now)
		want := time.Time{}
		if tt.asks > 0 {
			want = now.Add(tt.asks)
		}
		if r.HighWater != tt.highWater || !r.AskAt.Equal(want) {
			t.Errorf("%s: high water %d, want %d; it asks at %v, want %v", name, r.HighWater, tt.highWater, r.AskAt, want)
		}
	}
}

// TestAsks says when a batch asks, of 1,000 requests of which 500 are enqueued, and
// whether its flow parks for no longer than until then.
func TestAsks(t *testing.T) {
	t.Parallel()
	now := noon().UTC().Truncate(time.Millisecond)
	for name, tt := range map[string]struct {
		highWater, done int
		in              time.Duration // it asks then; 0: not before its low water
		due, soon       bool
		starved         bool // it waits for the allowance
	}{
		"at low water":                      {500, 250, 0, true, false, false},
		"above it":                          {500, 249, 0, false, false, false},
		"it got next to nothing":            {99, 500, 25 * time.Second, false, true, true},
		"it got next to nothing, and waits": {99, 500, 1, false, true, true},
		"it has waited":                     {99, 500, -1, true, true, true},
		"it got little":                     {100, 500, 9 * time.Minute, true, false, false},
		"it got little, and has more":       {100, 449, 9 * time.Minute, false, false, false},
		"it asks a little later":            {100, 449, 25*time.Second + 1, false, false, false},
	} {
		b := batch.Batch{Status: batch.StatusInProgress, Counts: batch.Counts{Total: 1_000}, Enqueued: 500}
		if b.Reconciled.HighWater = tt.highWater; tt.in != 0 {
			b.Reconciled.AskAt = now.Add(tt.in)
		}
		if due, soon := b.AskDue(tt.done, now), b.Asks(now); due != tt.due || soon != tt.soon {
			t.Errorf("%s: due %t, soon %t", name, due, soon)
		}
		if b.Starved() != tt.starved {
			t.Errorf("%s: starved %t", name, b.Starved())
		}
	}
	over := batch.Batch{Status: batch.StatusInProgress, Counts: batch.Counts{Total: 500}, Enqueued: 500}
	over.Reconciled.AskAt = now
	canceling := batch.Batch{Status: batch.StatusCanceling, Counts: batch.Counts{Total: 500}}
	canceling.Reconciled.AskAt = now
	if over.Starved() {
		t.Error("a batch of which all is enqueued waits for the allowance")
	}
	if over.AskDue(500, now) || canceling.AskDue(0, now) {
		t.Error("one that is enqueued, or stops, asks for more")
	}
}

// TestLastExpected says how often the last requests of a batch are judged.
func TestLastExpected(t *testing.T) {
	t.Parallel()
	for tries, want := range []bool{true, true, true, true, false} {
		if got := (batch.Reenqueue{LastAt: noon(), LastTries: tries}).LastExpected(); got != want {
			t.Errorf("after %d times they are to be judged: %t", tries, got)
		}
	}
	if (batch.Reenqueue{}).LastExpected() {
		t.Error("they are to be judged although nobody knows when")
	}
}

// TestRestsOfRecounts has recounts find nothing, and an outcome found that is about
// as old as the last of them.
func TestRestsOfRecounts(t *testing.T) {
	t.Parallel()
	b := batch.Batch{Status: batch.StatusInProgress, Counts: batch.Counts{Total: 9}, Enqueued: 9}
	start := noon().UTC().Truncate(time.Millisecond)
	begun := start
	for _, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 2 * time.Minute} {
		begun = begun.Add(time.Hour)
		b.BeginRecount(begun)
		if b.EndRecount(begun, batch.LagNone); b.Reconciled.RecountRest != want {
			t.Errorf("the next recount is due %v later, want %v", b.Reconciled.RecountRest, want)
		}
	}
	now := begun.Add(10 * time.Minute)
	if b.AskRecount(begun.Add(-10*time.Second-1), false, now) {
		t.Error("an outcome of more than 10 s before wakes the flow")
	}
	if !b.AskRecount(begun.Add(-10*time.Second), false, now) {
		t.Error("an outcome of 10 s before, which may not have been counted, wakes nobody")
	}
}

// TestSee has the counter shards move, and stand still.
func TestSee(t *testing.T) {
	t.Parallel()
	start := noon().UTC().Truncate(time.Millisecond)
	r := batch.Reconciliation{}.See(0, start).See(0, start.Add(time.Second))
	if !r.MovedAt.Equal(start) {
		t.Errorf("what stands still has moved at %v", r.MovedAt)
	}
	if r = r.See(1, start.Add(time.Minute)); !r.MovedAt.Equal(start.Add(time.Minute)) || r.Done != 1 {
		t.Errorf("what has moved did at %v, to %d", r.MovedAt, r.Done)
	}
	for i, want := range []bool{false, true} {
		if got := r.Quiescent(1, r.MovedAt.Add(30*time.Second-1+time.Duration(i)), 30*time.Second); got != want {
			t.Errorf("it has not moved for 30 s: %t", got)
		}
	}
}

// TestRecounts asks for recounts before, while and after others run.
func TestRecounts(t *testing.T) {
	t.Parallel()
	start := noon().UTC().Truncate(time.Millisecond)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	never := time.Duration(-1)
	b := batch.Batch{Status: batch.StatusInProgress, Counts: batch.Counts{Total: 9}, Enqueued: 9}
	b.Reconcile(batch.Reconciliation{}.See(0, start))
	ask := func(dated, now time.Duration, reenqueued bool) bool {
		d := at(dated)
		if dated == never {
			d = time.Time{}
		}
		return b.AskRecount(d, reenqueued, at(now))
	}
	wantAt := func(what string, d time.Duration) {
		t.Helper()
		want := at(d)
		if d == never {
			want = time.Time{}
		}
		if !b.RecountAt.Equal(want) {
			t.Errorf("%s: a recount is due %v after noon, want %v", what, b.RecountAt.Sub(start), d)
		}
	}
	const s = time.Second
	if !ask(10*s, 50*s, false) {
		t.Error("the first to ask wakes nobody")
	}
	wantAt("asked", 50*s)
	if ask(10*s, 74*s, false) || !b.RecountDue(0, at(51*s)) || !b.Due(0) {
		t.Error("the second asks again, or it is not due")
	}
	if !ask(10*s, 75*s, false) {
		t.Error("who asked may have died before it woke the flow, and nobody wakes it")
	}
	wantAt("asked again", 50*s)
	b.BeginRecount(at(52 * s))
	if !ask(51*s, 53*s, false) {
		t.Error("who asks while a recount runs, which may have passed by what they found, is not heard")
	}
	wantAt("asked meanwhile", 82*s)
	b.EndRecount(at(52*s), batch.LagNone)
	wantAt("a later asking stays", 82*s)
	b.BeginRecount(at(82 * s))
	b.EndRecount(at(82*s), batch.LagOld)
	wantAt("counters that lag lag again", 112*s)
	b.BeginRecount(at(112 * s))
	b.EndRecount(at(112*s), batch.LagNone)
	wantAt("nothing lagged", never)
	if ask(95*s, 120*s, false) {
		t.Error("an outcome that was most likely counted wakes the flow")
	}
	wantAt("it is put off", 720*s)
	if !ask(115*s, 121*s, false) {
		t.Error("one that was surely not counted does not wake the flow")
	}
	wantAt("it is preferred", 142*s)
	b.BeginRecount(at(1180 * s))
	b.EndRecount(at(1180*s), batch.LagNone)
	if ask(219*s, 1181*s, false) {
		t.Error("an outcome that was surely counted wakes the flow")
	}
	wantAt("it is none", never)
	if ask(1179*s, 1182*s, true) {
		t.Error("a message that the flow sent again wakes it")
	}
	wantAt("it is put off too", 1782*s)
	b.BeginRecount(at(1300 * s))
	b.EndRecount(at(1180*s), batch.LagOld)
	wantAt("one that was overtaken ends nothing", 1300*s)
	b.Sealed = true
	if ask(never, 1400*s, false) {
		t.Error("a sealed batch is recounted")
	}
}

// TestQuiescent has nobody ask, and nothing move.
func TestQuiescent(t *testing.T) {
	t.Parallel()
	start := noon().UTC().Truncate(time.Millisecond)
	b := batch.Batch{Status: batch.StatusInProgress, Counts: batch.Counts{Total: 9}, Enqueued: 9}
	b.Reconcile(b.Reconciled.See(3, start))
	for _, tt := range []struct {
		done  int
		after time.Duration
		want  bool
	}{{3, 29 * time.Second, false}, {4, time.Hour, false}, {3, 30 * time.Second, true}} {
		if got := b.RecountDue(tt.done, start.Add(tt.after)); got != tt.want {
			t.Errorf("%d done after %v: due %t", tt.done, tt.after, got)
		}
	}
	b.BeginRecount(start.Add(time.Minute))
	b.EndRecount(start.Add(time.Minute), batch.LagNone)
	for _, after := range []time.Duration{80 * time.Second, 90 * time.Second} {
		if got, want := b.RecountDue(3, start.Add(after)), after >= 90*time.Second; got != want {
			t.Errorf("%v: due again %t", after, got)
		}
	}
}

// TestWakesForRecounts asks for a recount some time after the last one, whose rest
// is two minutes: the flow is woken for one that is due within a minute.
func TestWakesForRecounts(t *testing.T) {
	t.Parallel()
	start := noon().UTC().Truncate(time.Millisecond)
	for i, want := range []bool{false, true} {
		after := time.Minute + time.Duration(i-1)*time.Millisecond
		b := batch.Batch{Status: batch.StatusInProgress, Counts: batch.Counts{Total: 9}, Enqueued: 9, RecountedAt: start}
		b.Reconciled.RecountRest = 2 * time.Minute
		if got := b.AskRecount(time.Time{}, false, start.Add(after)); got != want {
			t.Errorf("%v after the last one the flow is woken: %t", after, got)
		}
	}
}

// TestRecountsFollow says when the next recount is due, by how the counter shards
// stood.
func TestRecountsFollow(t *testing.T) {
	t.Parallel()
	start := noon().UTC().Truncate(time.Millisecond)
	for name, tt := range map[string]struct {
		lag          batch.Lag
		before, rest time.Duration
		verified     bool // the next comes anyway
	}{
		"none lagged":                 {batch.LagNone, 0, 30 * time.Second, false},
		"none lagged again":           {batch.LagNone, 30 * time.Second, time.Minute, false},
		"some lag for the first time": {batch.LagNew, 0, 30 * time.Second, true},
		"some lag again":              {batch.LagNew, 30 * time.Second, time.Minute, false},
		"some lagged for long":        {batch.LagOld, time.Minute, 0, true},
	} {
		b := batch.Batch{Status: batch.StatusInProgress, Counts: batch.Counts{Total: 9}, Enqueued: 9}
		b.Reconciled.RecountRest = tt.before
		b.BeginRecount(start)
		b.EndRecount(start, tt.lag)
		if b.Reconciled.RecountRest != tt.rest || b.RecountAt.IsZero() == tt.verified || tt.verified && !b.RecountAt.Equal(start.Add(30*time.Second)) {
			t.Errorf("%s: rest %v, and the next is due at %v", name, b.Reconciled.RecountRest, b.RecountAt)
		}
	}
}
