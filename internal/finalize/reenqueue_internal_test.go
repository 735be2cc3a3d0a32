package finalize

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// minutes is when a test's judgement is, counted from its batch's beginning.
func minutes(n int) time.Time { return start().Add(time.Duration(n) * time.Minute) }

// judging returns a detector an hour after its batch began, of which 1,000 lines are
// enqueued, 400 done, and 100 were at its last low water. Lines 1, 2, … have waited
// for so many minutes.
func judging(waited ...int) *lossDetector {
	d := &lossDetector{turn: at(minutes(60)), least: 4 * time.Minute, now: minutes(60), done: 400, batch: running(func(b *batch.Batch) {
		b.Enqueued, b.Counts.Total, b.Reconciled.FilledDone = 1_000, 2_000, 100
	})}
	for i, m := range waited {
		d.waiting = append(d.waiting, waiting{line: i + 1, since: minutes(60 - m)})
	}
	return d
}

func lines(all []waiting) []int {
	out := []int{}
	for _, w := range all {
		out = append(out, w.line)
	}
	return out
}

// TestOverdue has requests done one every 3 s, so that the 900 that were enqueued
// at the last low water take 45 minutes.
func TestOverdue(t *testing.T) {
	t.Parallel()
	known := batch.Reenqueue{PacedAt: minutes(55), PacedDone: 300, Each: 3 * time.Second}
	for name, tt := range map[string]struct {
		waited []int
		change func(d *lossDetector, r *batch.Reenqueue)
		want   []int
	}{
		"who has waited longest":                        {[]int{46, 50, 45, 44, 59}, func(_ *lossDetector, r *batch.Reenqueue) { r.SpentDone = 350 }, []int{5, 2}},
		"all that have waited for longer than all take": {[]int{46, 50, 45, 44}, nil, []int{2, 1, 3}},
		"one outcome too few":                           {[]int{50}, func(_ *lossDetector, r *batch.Reenqueue) { r.SpentDone = 376 }, nil},
		"just enough":                                   {[]int{50}, func(_ *lossDetector, r *batch.Reenqueue) { r.SpentDone = 375 }, []int{1}},
		"nobody knows how long all take":                {[]int{59}, func(_ *lossDetector, r *batch.Reenqueue) { *r = batch.Reenqueue{PacedAt: minutes(55), PacedDone: 400} }, nil},
		"others are claimed or back off": {[]int{40, 39}, func(d *lossDetector, r *batch.Reenqueue) {
			d.claimed, d.resting = 60, 40
		}, []int{1}},
		"it was enqueued again":          {[]int{50, 50}, func(d *lossDetector, _ *batch.Reenqueue) { d.waiting[0].reenqueuedAt = minutes(30) }, []int{2}},
		"that was long ago":              {[]int{59, 50}, func(d *lossDetector, _ *batch.Reenqueue) { d.waiting[0].reenqueuedAt = minutes(12) }, []int{2, 1}},
		"it is in a trial":               {[]int{50, 50}, func(_ *lossDetector, r *batch.Reenqueue) { r.Unmoved = []batch.Enqueued{{Line: 2}} }, []int{1}},
		"no more than can be remembered": {[]int{50, 50}, func(_ *lossDetector, r *batch.Reenqueue) { r.Reenqueued = make([]batch.Enqueued, maxReenqueued-1) }, []int{1}},
		"three times as long, not paced": {[]int{59}, func(d *lossDetector, r *batch.Reenqueue) {
			r.SpentDone, r.Each = 400, time.Second
			d.batch.Enqueued = 200
		}, nil},
		"three times as long, newly paced": {[]int{30, 29, 20}, func(d *lossDetector, r *batch.Reenqueue) {
			r.SpentDone, r.PacedAt, r.PacedDone = 400, minutes(50), 300 // 6 s each
			d.batch.Enqueued = 200
		}, []int{1}},
		"longer than all take, and less than may be lost": {[]int{4, 3}, func(d *lossDetector, r *batch.Reenqueue) { r.Each = time.Millisecond }, []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, r := judging(tt.waited...), known
			if tt.change != nil {
				tt.change(d, &r)
			}
			if got := lines(d.overdue(&r)); !slices.Equal(got, tt.want) {
				t.Errorf("%v are enqueued again, want %v", got, tt.want)
			}
		})
	}
}

// TestOutcomesAreSpentOnce judges twice with the same outcomes.
func TestOutcomesAreSpentOnce(t *testing.T) {
	t.Parallel()
	d, r := judging(50, 51, 52), batch.Reenqueue{PacedAt: minutes(55), PacedDone: 300, Each: 3 * time.Second, SpentDone: 374}
	if got := lines(d.overdue(&r)); !slices.Equal(got, []int{3}) || r.SpentDone != 400 {
		t.Errorf("%v are enqueued again, %d outcomes used up", got, r.SpentDone)
	}
	if d.done += 24; len(d.overdue(&r)) != 0 || r.SpentDone != 400 {
		t.Errorf("%d outcomes used up after 24 more", r.SpentDone)
	}
	if d.done++; len(d.overdue(&r)) != 1 || r.SpentDone != 425 {
		t.Errorf("%d outcomes used up after 25 more", r.SpentDone)
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before, after batch.Reenqueue
		paced, moves  bool
	}{
		"the first time": {
			batch.Reenqueue{}, batch.Reenqueue{PacedAt: minutes(60), PacedDone: 400, Each: 9 * time.Second}, true, true,
		},
		"nothing was done": {
			batch.Reenqueue{PacedAt: minutes(50), PacedDone: 400, Each: time.Second},
			batch.Reenqueue{PacedAt: minutes(60), PacedDone: 400, Each: time.Second},
			false, false,
		},
		"too soon": {
			batch.Reenqueue{PacedAt: minutes(51), PacedDone: 300, Each: time.Second},
			batch.Reenqueue{PacedAt: minutes(51), PacedDone: 300, Each: time.Second},
			false, true,
		},
		"too soon, and not known": {
			batch.Reenqueue{PacedAt: minutes(55), PacedDone: 300},
			batch.Reenqueue{PacedAt: minutes(55), PacedDone: 300, Each: 3 * time.Second},
			false, true,
		},
		"in time": {
			batch.Reenqueue{PacedAt: minutes(50).Add(30 * time.Second), PacedDone: 305, Each: time.Second},
			batch.Reenqueue{PacedAt: minutes(60), PacedDone: 400, Each: 6 * time.Second},
			true, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, r := judging(), tt.before
			if paced := d.pace(&r); paced != tt.paced || d.moves != tt.moves {
				t.Errorf("paced %t, moves %t", paced, d.moves)
			}
			if diff := cmp.Diff(tt.after, r); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestStuck(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		waited        []int
		held, counted int
		at            int // the minute when they were counted
		stuck         bool
		after         int // counted then
	}{
		"nothing waits":                      {nil, 5, 0, 0, false, 0},
		"for the first time":                 {[]int{5, 5}, 5, 0, 0, true, 2},
		"none has moved":                     {[]int{20, 15, 5}, 5, 2, 50, true, 2},
		"none has moved, in four minutes":    {[]int{20, 15, 5}, 5, 2, 56, true, 2},
		"none has moved yet":                 {[]int{20, 15, 5}, 5, 2, 57, false, 2},
		"none has moved, and nobody is busy": {[]int{20, 15, 5}, 0, 2, 57, true, 2},
		"one has moved":                      {[]int{20, 13, 5}, 5, 2, 50, false, 3},
		"one was just long enough there":     {[]int{20, 14, 5}, 5, 2, 50, true, 2},
		"the last has moved":                 {nil, 5, 2, 50, false, 0},
		"one has moved, and nobody is busy":  {[]int{20, 13, 5}, 0, 2, 50, true, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, r := judging(tt.waited...), batch.Reenqueue{Waiting: tt.counted}
			d.claimed = tt.held
			if tt.counted > 0 {
				r.WaitingAt = minutes(tt.at)
			}
			if got := d.stuck(&r); got != tt.stuck || r.Waiting != tt.after {
				t.Errorf("stuck %t, %d counted, want %t, %d", got, r.Waiting, tt.stuck, tt.after)
			}
		})
	}
}

// TestJudgements have the parts of a judgement agree on who is enqueued again.
func TestJudgements(t *testing.T) {
	t.Parallel()
	paced := batch.Reenqueue{PacedAt: minutes(55), PacedDone: 300, Each: 3 * time.Second}
	t.Run("a trial leaves out who is overdue", func(t *testing.T) {
		t.Parallel()
		d := judging(50, 10, 20)
		r, again := d.decide(paced)
		if got := lines(again); !slices.Equal(got, []int{1, 2, 3}) || r.Sample != 2 || len(r.Reenqueued) != 1 || r.Reenqueued[0].Line != 1 {
			t.Errorf("%v are enqueued again: %+v", got, r)
		}
		d.batch.Reconciled.Reenqueue, d.now = r, minutes(61)
		d.waiting[0].reenqueuedAt = minutes(60)
		if r, again = d.decide(r); len(again) > 0 || len(r.Reenqueued) != 1 || len(r.Unmoved) != 2 {
			t.Errorf("%v are enqueued once more: %+v", lines(again), r)
		}
		d.waiting = nil
		if r, _ = d.decide(r); len(r.Reenqueued) > 0 || r.Sample > 0 {
			t.Errorf("once all have moved: %+v", r)
		}
	})
	t.Run("who is overdue is not beside a trial", func(t *testing.T) {
		t.Parallel()
		waited := slices.Repeat([]int{10}, 40)
		waited[0] = 50
		d := judging(waited...)
		r, again := d.decide(paced)
		if len(again) != 26 || r.Sample != 25 || r.Others != 14 {
			t.Fatalf("%v are enqueued again: %+v", lines(again), r)
		}
		sent := lines(again)
		d.batch.Reconciled.Reenqueue, d.now = r, minutes(61)
		d.waiting[0].reenqueuedAt = minutes(60)
		d.waiting = slices.DeleteFunc(d.waiting, func(w waiting) bool { return w.line > 1 && slices.Contains(sent, w.line) })
		if _, again = d.decide(r); len(again) != 14 || again[0].line == 1 {
			t.Errorf("once the sample has moved %v are enqueued again", lines(again))
		}
	})
	t.Run("without anybody for a trial", func(t *testing.T) {
		t.Parallel()
		r, again := judging(50).decide(paced)
		if len(again) != 1 || !r.SampledAt.IsZero() {
			t.Errorf("%v are enqueued again: %+v", lines(again), r)
		}
	})
	for name, tt := range map[string]struct {
		overdue, before int // who is enqueued again now, and who was
		all             bool
	}{
		"as many as can be remembered":  {maxReenqueued - 1, 1, false},
		"more than can be remembered":   {maxReenqueued, 1, true},
		"far more, and a trial is over": {maxReenqueued + 10, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := judging(append(slices.Repeat([]int{50}, tt.overdue+tt.before), 5)...)
			for i := range tt.before {
				d.waiting[i].reenqueuedAt = minutes(59)
			}
			d.batch.Enqueued = 101 // one is not done since
			r, again := d.decide(batch.Reenqueue{
				PacedAt: minutes(50), PacedDone: 300, Sample: 1, Unmoved: []batch.Enqueued{{Line: len(d.waiting)}}, SampledAt: minutes(59),
			})
			if len(again) != tt.overdue || r.AllAt.Equal(d.now) != tt.all || (r.Sample == 0) != tt.all || (len(r.Unmoved) == 0) != tt.all {
				t.Errorf("%d are enqueued again: %+v", len(again), r)
			}
			if !tt.all && len(r.Reenqueued) != tt.overdue+tt.before {
				t.Errorf("%d are remembered", len(r.Reenqueued))
			}
		})
	}
}

// TestTrials has trials that ended at some time, and what waits moving or not.
func TestTrials(t *testing.T) {
	t.Parallel()
	const rest = 9*time.Minute + 30*time.Second // of the first trial, and until the next
	for name, tt := range map[string]struct {
		sample, unmoved, others, beside int // beside: of the others, those that wait still
		before                          int // unmoved at the last judgement; 0: all
		ago                             time.Duration
		moves                           bool

		again int           // enqueued again
		all   bool          // since what waited beside the trial is lost
		on    bool          // a trial is on
		rest  time.Duration // from its beginning until the next one
		at    time.Duration // until the next judgement of it
	}{
		"a fifth has moved, and no other":      {sample: 25, unmoved: 20, others: 100, beside: 100, again: 120, all: true},
		"less than a fifth":                    {sample: 25, unmoved: 21, others: 100, beside: 100, on: true, at: sampleRest},
		"three of few":                         {sample: 5, unmoved: 2, others: 10, beside: 10, again: 12, all: true},
		"two of few":                           {sample: 5, unmoved: 3, others: 10, beside: 10, on: true, at: sampleRest},
		"others a sixth as often":              {sample: 25, unmoved: 19, others: 100, beside: 96, again: 115, all: true},
		"others more often than that":          {sample: 25, unmoved: 19, others: 100, beside: 95, on: true, at: sampleRest},
		"fewer, and as few others":             {sample: 25, unmoved: 20, others: 100, beside: 97, again: 117, all: true},
		"fewer, and others more often":         {sample: 25, unmoved: 20, others: 100, beside: 96, on: true, at: sampleRest},
		"there are no others":                  {sample: 8, unmoved: 3, on: true, at: sampleRest},
		"all of it has moved":                  {sample: 2, others: 10, rest: 2 * trialRest},
		"none has moved":                       {sample: 25, unmoved: 25, others: 100, beside: 100, on: true, at: openRest},
		"none has moved since":                 {sample: 25, unmoved: 22, before: 22, others: 100, beside: 100, on: true, at: openRest},
		"some has, for not quite 5 min":        {sample: 25, unmoved: 22, others: 100, beside: 100, ago: 5*time.Minute - 1, on: true, at: sampleRest},
		"some has, for 5 min":                  {sample: 25, unmoved: 22, others: 100, beside: 100, ago: 5 * time.Minute, on: true, at: openRest},
		"some had, at its end":                 {sample: 25, unmoved: 22, others: 100, beside: 100, ago: rest, rest: 2 * trialRest},
		"some had, right before its end":       {sample: 25, unmoved: 22, others: 100, beside: 100, ago: rest - 1, on: true, at: openRest},
		"none had, at its end":                 {sample: 25, unmoved: 25, others: 100, beside: 100, ago: rest, again: 25, on: true, rest: 2 * trialRest, at: sampleRest},
		"none had, and all are in it":          {sample: 9, unmoved: 9, ago: rest, again: 9, on: true, at: openRest},
		"none had, all are in it, others move": {sample: 9, unmoved: 9, ago: rest, moves: true, again: 9, on: true, rest: 2 * trialRest, at: openRest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := judging(slices.Repeat([]int{30}, tt.unmoved+tt.beside)...)
			d.moves = tt.moves
			if tt.ago == 0 {
				tt.ago = time.Minute
			}
			r := batch.Reenqueue{
				Sample: tt.sample, Others: tt.others, SampledAt: d.now.Add(-tt.ago), Unmoved: d.enqueued(d.waiting[:tt.unmoved]),
			}
			if tt.before == 0 {
				tt.before = tt.sample
			}
			r, again := d.judgeTrial(r, tt.before, nil)
			if len(again) != tt.again || r.AllAt.Equal(d.now) != tt.all || r.Sample > 0 != tt.on || r.Rest != tt.rest {
				t.Errorf("%d are enqueued again, and %+v", len(again), r)
			}
			if tt.on && !r.At.Equal(d.now.Add(tt.at)) {
				t.Errorf("it is judged %v later, want %v", r.At.Sub(d.now), tt.at)
			}
		})
	}
}

// TestNextTrial has 25 or so wait that nobody calls, and nothing move.
func TestNextTrial(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		waiting, enqueued int // of 2,000
		rest, ago         time.Duration
		begins            bool
	}{
		"the first":                          {waiting: 25, enqueued: 2_000, ago: trialRest, begins: true},
		"a little sooner":                    {waiting: 25, enqueued: 2_000, ago: trialRest - 1},
		"few wait, and all is enqueued":      {waiting: 25, enqueued: 2_000, rest: time.Hour, ago: trialRest, begins: true},
		"one more waits":                     {waiting: 26, enqueued: 2_000, rest: time.Hour, ago: time.Hour - 1},
		"one more waits, for long enough":    {waiting: 26, enqueued: 2_000, rest: time.Hour, ago: time.Hour, begins: true},
		"not all is enqueued":                {waiting: 25, enqueued: 1_999, rest: time.Hour, ago: time.Hour - 1},
		"not all is enqueued, and it is due": {waiting: 25, enqueued: 1_999, rest: time.Hour, ago: time.Hour, begins: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := judging(slices.Repeat([]int{30}, tt.waiting)...)
			d.batch.Enqueued = tt.enqueued
			r, again := d.decide(batch.Reenqueue{Rest: tt.rest, SampledAt: d.now.Add(-tt.ago), PacedAt: minutes(55), PacedDone: 400, SpentDone: 400})
			if begins := r.Sample > 0; begins != tt.begins || len(again) != r.Sample {
				t.Errorf("%d are enqueued again: %+v", len(again), r)
			}
		})
	}
}

// TestJudgementsAreDue says when requests are judged first, and how soon again.
func TestJudgementsAreDue(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		enqueues []batch.Enqueued
		at       time.Time
		due      bool
	}{
		"none is enqueued":         {nil, time.Time{}, false},
		"four minutes after that":  {[]batch.Enqueued{{Line: 1, At: minutes(56)}, {Line: 2, At: minutes(59)}}, time.Time{}, true},
		"less than that after it":  {[]batch.Enqueued{{Line: 1, At: minutes(56).Add(1)}}, time.Time{}, false},
		"when the rest is over":    {[]batch.Enqueued{{Line: 1, At: minutes(5)}}, minutes(60), true},
		"before the rest has gone": {[]batch.Enqueued{{Line: 1, At: minutes(5)}}, minutes(60).Add(1), false},
	} {
		b := running(func(b *batch.Batch) { b.Reconciled.Enqueues, b.Reconciled.Reenqueue.At = tt.enqueues, tt.at })
		if got := at(minutes(60)).reenqueueDue(b); got != tt.due {
			t.Errorf("%s: due %t", name, got)
		}
	}
	for _, tt := range []struct {
		enqueued, finished int
		rest               time.Duration
	}{{9_999, 0, 30 * time.Second}, {10_000, 0, time.Minute}, {10_000, 1, 30 * time.Second}, {35_000, 10_000, 90 * time.Second}} {
		b := running(func(b *batch.Batch) { b.Enqueued, b.Reconciled.Reenqueue.Finished = tt.enqueued, tt.finished })
		if got := at(minutes(60)).judgeRest(b); got != tt.rest {
			t.Errorf("%d enqueued, the first %d done: judged again after %v, want %v", tt.enqueued, tt.finished, got, tt.rest)
		}
	}
}

// TestHear sorts a batch's requests.
func TestHear(t *testing.T) {
	t.Parallel()
	d := judging()
	d.batch.Reconciled.Enqueues = []batch.Enqueued{{Line: 10, At: minutes(30)}, {Line: 20, At: minutes(58)}}
	d.batch.Reconciled.Reenqueue.Reenqueued = []batch.Enqueued{{Line: 1, At: minutes(40)}, {Line: 2, At: minutes(45)}}
	d.expired = map[string]time.Time{"lives": {}}
	for line, phase := range map[int]state.Phase{
		1: state.Pending{}, 2: state.Pending{NotBefore: minutes(50)}, 3: state.Pending{NotBefore: minutes(61)}, 4: state.Completed{},
		5:  state.Processing{Lease: state.Lease{Worker: "lives", Expires: minutes(70)}},
		6:  state.Processing{Lease: state.Lease{Worker: "dead", Expires: minutes(56)}},
		7:  state.Processing{Lease: state.Lease{Worker: "dead", Expires: minutes(57)}},
		11: state.Pending{},
	} {
		if err := d.observe(t.Context(), state.Record{Spec: state.Spec{Key: state.Key{Batch: "b", Line: line}}, Phase: phase}); err != nil {
			t.Fatal(err)
		}
	}
	since, again := map[int]time.Time{}, map[int]time.Time{}
	for _, w := range d.waiting {
		since[w.line], again[w.line] = w.since, w.reenqueuedAt
		if !w.message.Reenqueued {
			t.Errorf("line %d's message does not say that it is sent again", w.line)
		}
	}
	if diff := cmp.Diff(map[int]time.Time{1: minutes(30), 2: minutes(50), 6: minutes(56)}, since); diff != "" {
		t.Errorf("waiting (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[int]time.Time{1: minutes(40), 2: {}, 6: {}}, again); diff != "" {
		t.Errorf("enqueued again (-want +got):\n%s", diff)
	}
	if d.claimed != 1 || d.resting != 1 {
		t.Errorf("%d are held and %d rest", d.claimed, d.resting)
	}
}
