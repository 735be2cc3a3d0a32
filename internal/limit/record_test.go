package limit_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/limit"
)

func at(d time.Duration) limit.Instant { return instant(d) }

// told returns a report of calls that ended so at those times.
func told(results ...limit.Result) limit.Report {
	var p limit.Report
	for _, res := range results {
		p.Calls = p.Calls.Add(res.At, 1)
		p.Add(res, 0)
	}
	return p
}

// calls returns how many calls may leave at that time of ten that are asked for.
func calls(r *limit.Record, d time.Duration, l limit.Limits) int {
	times, _ := r.Take(at(d), l, make([]int64, 10))
	return len(times)
}

// wantCalls ends the test unless calls are possible as said, in order of time.
func wantCalls(t *testing.T, r *limit.Record, want []int, times ...time.Duration) {
	t.Helper()
	var got []int
	for _, d := range times {
		got = append(got, calls(r, d, limit.Limits{}))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("calls at %v (-want +got):\n%s", times, diff)
	}
}

// ready returns a record of a route that is called, and that nothing slows.
func ready() *limit.Record {
	r := &limit.Record{Route: "*#default"}
	r.Take(at(0), limit.Limits{}, []int64{0})
	var p limit.Report
	p.Calls = p.Calls.Add(at(0), 600)
	r.Report(at(0), limit.Limits{}, p)
	return r
}

// times returns a result so many times.
func times(n int, res limit.Result) (all []limit.Result) {
	for range n {
		all = append(all, res)
	}
	return all
}

const soon = 20 * time.Second

func TestRetryAfterPauses(t *testing.T) {
	t.Parallel()
	r := ready()
	r.Report(at(soon), limit.Limits{}, told(times(5, limit.Result{Kind: limit.Refused, At: at(soon), Until: at(soon + 40*time.Second)})...))
	if until, why := r.PausedUntil(at(soon)); why != limit.RateLimited || until < at(soon+40*time.Second) {
		t.Errorf("paused until %v for %q", until.Time(), why)
	}
	// Then comes one trial, and the others once it is not refused.
	wantCalls(t, r, []int{0, 0, 1, 0, 10}, soon, soon+39*time.Second, soon+40*time.Second, soon+41*time.Second, soon+43*time.Second)
}

// TestAFewRefusals pause a route for as long as they ask for, and teach nothing; many
// have it tried before the others follow.
func TestAFewRefusals(t *testing.T) {
	t.Parallel()
	refused := limit.Result{Kind: limit.Refused, At: at(soon), Says: true, Until: at(soon + 2*time.Second)}
	few, many := ready(), ready()
	few.Report(at(soon), limit.Limits{}, told(times(4, refused)...))
	many.Report(at(soon), limit.Limits{}, told(times(5, refused)...))
	wantCalls(t, few, []int{0, 10}, soon+time.Second, soon+2*time.Second)
	wantCalls(t, many, []int{0, 1, 0}, soon+time.Second, soon+2*time.Second, soon+2*time.Second)
	if few.Learned.Most != 0 || many.Learned.Most == 0 {
		t.Errorf("paces of %.0f and %.0f calls a minute are learned", few.Learned.Most, many.Learned.Most)
	}
}

// TestFewCallsTeachNoSlowPace of a route that has just begun: of nine calls within seconds it refused six. Of one that is called
// for a minute it is known how few it takes.
func TestFewCallsTeachNoSlowPace(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		since time.Duration
		want  float64
	}{{3 * time.Second, 6}, {64 * time.Second, 3}} {
		since, want, now := tt.since, tt.want, soon+time.Minute
		r := &limit.Record{
			CallAt: at(now), RampAt: at(now - since),
			Calls:   limit.Window{}.Add(at(now-time.Second), 3),
			Refused: limit.Window{}.Add(at(now-since), 1).Add(at(now-time.Second), 5),
		}
		r.Report(at(now), limit.Limits{}, told(limit.Result{Kind: limit.Refused, At: at(now), Says: true}))
		if r.Learned.Most != want {
			t.Errorf("called for %v, it teaches %v calls a minute, want %v", since, r.Learned.Most, want)
		}
	}
}

func TestRefusedTrialPausesForLonger(t *testing.T) {
	t.Parallel()
	r, now := ready(), soon
	r.Report(at(now), limit.Limits{}, told(times(5, limit.Result{Kind: limit.Refused, At: at(now), Says: true})...))
	last := time.Duration(0)
	for range 7 {
		until, _ := r.PausedUntil(at(now))
		wait := until.Sub(at(now))
		if wait <= last && wait < time.Minute {
			t.Errorf("paused for %v after %v", wait, last)
		}
		now, last = now+wait, wait
		wantCalls(t, r, []int{1}, now)
		r.Report(at(now), limit.Limits{}, told(limit.Result{Kind: limit.Refused, At: at(now), Says: true}))
	}
	if last != time.Minute {
		t.Errorf("paused for %v in the end, want a minute", last)
	}
}

// TestWhatPausesARoute demands that a few refusals pause only if they say that they
// are for the calls' number, and that what no wait mends has a trial a minute.
func TestWhatPausesARoute(t *testing.T) {
	t.Parallel()
	refused := limit.Result{Kind: limit.Refused, At: at(soon)}
	says := refused
	says.Says = true
	denied := limit.Result{Kind: limit.Denied, At: at(soon)}
	failed := limit.Result{Kind: limit.Failed, At: at(soon)}
	answered := limit.Result{Kind: limit.Answered, At: at(soon), Tokens: -1}
	for name, tc := range map[string]struct {
		ends  []limit.Result
		spare bool
		want  limit.Why
	}{
		"nothing":                               {want: ""},
		"a refusal, of a request's own":         {ends: times(1, refused)},
		"a refusal for the number":              {ends: times(1, says), want: limit.RateLimited},
		"nine of twenty refused":                {ends: append(times(11, answered), times(9, refused)...)},
		"ten of twenty refused":                 {ends: append(times(10, answered), times(10, refused)...), want: limit.RateLimited},
		"two denials":                           {ends: times(2, denied)},
		"three denials":                         {ends: times(3, denied), want: limit.Unauthorized},
		"three denials with an answer between":  {ends: append(times(2, denied), answered, denied)},
		"no key":                                {ends: []limit.Result{{Kind: limit.NoKey, At: at(soon)}}, want: limit.MissingKey},
		"a spent quota":                         {ends: []limit.Result{{Kind: limit.Spent, At: at(soon)}}, want: limit.QuotaSpent},
		"failures of the only route":            {ends: times(20, failed)},
		"failures beside another route":         {ends: times(10, failed), spare: true, want: limit.Unreachable},
		"an answer after failures, and another": {ends: append(times(10, failed), answered), spare: true},
		"aborted calls":                         {ends: times(20, limit.Result{Kind: limit.Aborted, At: at(soon)})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, l := ready(), limit.Limits{Spare: tc.spare}
			r.Report(at(soon), l, told(tc.ends...))
			_, why := r.PausedUntil(at(soon))
			if why != tc.want {
				t.Fatalf("paused for %q, want %q", why, tc.want)
			}
			if why == "" || why == limit.RateLimited {
				return
			}
			if why != limit.Unreachable {
				wantCalls(t, r, []int{0, 1, 0, 1, 0}, soon+59*time.Second, soon+time.Minute, soon+119*time.Second, soon+2*time.Minute, soon+2*time.Minute)
			} else {
				wantCalls(t, r, []int{1, 0}, soon+2*time.Second, soon+3*time.Second)
			}
			r.Report(at(soon+150*time.Second), l, told(limit.Result{Kind: limit.Answered, At: r.Pause.TrialAt, Tokens: -1}))
			wantCalls(t, r, []int{10}, soon+150*time.Second)
		})
	}
}

// TestSlotsOfTheDead come back once their lease is over by any clock, and not
// before; the living keeps its own.
func TestSlotsOfTheDead(t *testing.T) {
	t.Parallel()
	r := &limit.Record{}
	if n := r.Hold(at(0), "dead", 7, 10); n != 7 {
		t.Fatalf("%d slots, want 7", n)
	}
	for s, want := range map[int]int{0: 3, 31: 3, 32: 10} {
		again := r.Kept()
		if n := again.Hold(at(time.Duration(s)*time.Second), "other", 20, 10); n != want {
			t.Errorf("after %d s %d slots, want %d", s, n, want)
		}
	}
	r.Hold(at(20*time.Second), "dead", 7, 10)
	if n := r.Hold(at(40*time.Second), "other", 20, 10); n != 3 {
		t.Errorf("%d slots beside a lease that was renewed, want 3", n)
	}
}

// TestCallsEndBeforeTheirSlotsAreTaken demands that a worker whose store does
// not answer stops calling, and says when its calls must be over.
func TestCallsEndBeforeTheirSlotsAreTaken(t *testing.T) {
	t.Parallel()
	r, s := limit.Record{}, limit.NewShare("w", limit.Limits{Concurrency: 2})
	plan := s.Plan(at(0), []int64{0, 0}, 0, rand.Float64)
	_ = plan.Change(&r)
	permits, _ := plan.Done(at(0), r)
	if len(permits) != 2 || !s.May(at(0), permits[0]) {
		t.Fatalf("permits %v", permits)
	}
	s.Leave(at(0))
	end := s.SlotsEnd().Sub(at(0))
	if taken := 32 * time.Second; end <= 0 || end > taken-10*time.Second {
		t.Errorf("calls end after %v, others take the slots after %v", end, taken)
	}
	if s.May(at(end), limit.Permit{At: at(end)}) {
		t.Error("a call leaves whose slot may be another's")
	}
}

// TestAPermitHasItsTime and is void in a pause that the worker knows of, whoever
// told.
func TestAPermitHasItsTime(t *testing.T) {
	t.Parallel()
	s := limit.NewShare("w", limit.Limits{RPM: 600})
	p := limit.Permit{At: at(soon)}
	for ms, want := range map[int]bool{-1: false, 0: true, 500: true, 501: false} {
		if got := s.May(at(soon+time.Duration(ms)*time.Millisecond), p); got != want {
			t.Errorf("%d ms after its time: %t", ms, got)
		}
	}
	var paused limit.Record
	paused.Report(at(soon), limit.Limits{}, told(limit.Result{Kind: limit.Refused, At: at(soon), Says: true}))
	s.Seen(at(soon), paused)
	if s.May(at(soon), p) {
		t.Error("a call leaves in a pause that the record tells of")
	}
	heard := limit.NewShare("w", limit.Limits{RPM: 600})
	heard.Leave(at(0))
	heard.End(at(0), limit.Permit{}, limit.Result{Kind: limit.Refused, At: at(0), Until: at(time.Hour)})
	if due := heard.Due(at(1), 0); due != at(1) {
		t.Errorf("a wait is told at %v", due.Time())
	}
	plan := heard.Plan(at(1), nil, 0, rand.Float64)
	plan.Failed(at(1))
	if heard.May(at(soon), p) {
		t.Error("a call leaves in a wait that the worker heard of and could not tell")
	}
	var r limit.Record
	_ = heard.Plan(at(1), nil, 0, rand.Float64).Change(&r)
	if until, _ := r.PausedUntil(at(soon)); until < at(time.Hour) {
		t.Error("a wait that could not be told is not told again")
	}
}

// TestWhoMakesNoCallsLooksAtNoRecord has a worker look at a route's record after
// calls left, and no more while the last of them are in flight.
func TestWhoMakesNoCallsLooksAtNoRecord(t *testing.T) {
	t.Parallel()
	s, begun := limit.NewShare("w", limit.Limits{}), limit.Record{}
	if due := s.Due(at(soon), 0); due != 0 {
		t.Errorf("before any call it looks at %v", due.Time())
	}
	begun.Take(at(0), limit.Limits{}, []int64{0})
	s.Seen(at(soon), begun)
	if _, ok := s.Pass(at(soon), 0); !ok {
		t.Fatal("a route that nobody limits has no permit")
	}
	if due, want := s.Due(at(soon), 0), at(soon+3*time.Second); due != want {
		t.Errorf("with a call that is about to leave it looks at %v, want %v", due.Time(), want.Time())
	}
	s.Leave(at(soon + time.Second))
	if due, want := s.Due(at(soon+time.Second), 0), at(soon+3*time.Second); due != want {
		t.Errorf("after a call left it looks at %v, want %v", due.Time(), want.Time())
	}
	s.Seen(at(soon+3*time.Second), begun)
	if due := s.Due(at(soon+3*time.Second), 0); due < at(soon+30*time.Second) {
		t.Errorf("while its last call is in flight it looks at %v", due.Time())
	}
	if due, now := s.Due(at(soon+20*time.Second), 1), at(soon+20*time.Second); due != now {
		t.Errorf("with a call that waits it looks at %v, want %v", due.Time(), now.Time())
	}
}

// TestTokensComeBackOnce, also if it is not known whether they did.
func TestTokensComeBackOnce(t *testing.T) {
	t.Parallel()
	l := limit.Limits{TPM: 1_000}
	var r limit.Record
	times, _ := r.Take(at(0), l, []int64{1_000})
	again, _ := r.Take(at(0), l, []int64{100})
	if len(times) != 1 || len(again) != 0 {
		t.Fatalf("took %d and %d", len(times), len(again))
	}
	s := limit.NewShare("w", l)
	s.Leave(at(0))
	s.End(at(soon), limit.Permit{Tokens: 1_000}, limit.Result{At: times[0], Tokens: 400})
	plan := s.Plan(at(soon), nil, 0, rand.Float64)
	_ = plan.Change(&r)
	plan.Failed(at(soon)) // though it was stored
	if got := r.Tokens.Between(0, at(time.Hour)); got != 400 {
		t.Errorf("%d tokens are taken, want 400", got)
	}
	_ = s.Plan(at(soon+time.Minute), nil, 0, rand.Float64).Change(&r)
	if got := r.Tokens.Between(0, at(time.Hour)); got != 400 {
		t.Errorf("%d tokens are taken after it was told again, want 400", got)
	}
}

// TestMessagesComeBackSpread demands that messages that wait for a route come
// back after its pause, no faster than a quarter above its pace, and within ten
// minutes of it.
func TestMessagesComeBackSpread(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		r, l := ready(), limit.Limits{RPM: rapid.IntRange(1, 6_000).Draw(rt, "requests")}
		from := time.Duration(0)
		if rapid.Bool().Draw(rt, "paused") {
			from = time.Minute
			r.Report(at(0), l, told(limit.Result{Kind: limit.Refused, At: at(0), Until: at(from)}))
		}
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		inMinute := map[int]int{}
		for range rapid.IntRange(1, 20).Draw(rt, "blocks") {
			for _, back := range r.Return(at(0), l, 50, random.Float64) {
				d := back.Sub(at(0))
				if d < from || d > from+11*time.Minute {
					rt.Fatalf("a message comes back after %v", d)
				}
				inMinute[int(d/time.Minute)]++
			}
		}
		for minute, n := range inMinute {
			if minute < 5 && float64(n) > 1.25*float64(l.RPM)+2 {
				rt.Errorf("%d messages come back in minute %d", n, minute)
			}
		}
	})
}

// TestPick demands shares by weight and health, and trials first.
func TestPick(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	share := func(choices ...limit.Choice) []float64 {
		got := make([]float64, len(choices))
		for range 10_000 {
			if i := limit.Pick(choices, random.Float64()); i >= 0 {
				got[i] += 0.0001
			}
		}
		return got
	}
	for name, tc := range map[string]struct {
		choices []limit.Choice
		want    []float64
	}{
		"by weight":          {[]limit.Choice{{Weight: 3, Part: 1, Open: true}, {Weight: 1, Part: 1, Open: true}}, []float64{0.75, 0.25}},
		"by health":          {[]limit.Choice{{Weight: 1, Part: 1, Open: true}, {Weight: 1, Part: 0.25, Open: true}}, []float64{0.8, 0.2}},
		"one is shut":        {[]limit.Choice{{Weight: 9, Part: 1}, {Weight: 1, Part: 0.1, Open: true}}, []float64{0, 1}},
		"one is to be tried": {[]limit.Choice{{Weight: 9, Part: 1, Open: true}, {Weight: 1, Part: 0.05, Trial: true}}, []float64{0, 1}},
		"all are shut":       {[]limit.Choice{{Weight: 1, Part: 1}}, []float64{0}},
	} {
		for i, got := range share(tc.choices...) {
			if math.Abs(got-tc.want[i]) > 0.02 {
				t.Errorf("%s: %v for route %d, want %v", name, got, i, tc.want[i])
			}
		}
	}
	healthy, dead := limit.Health{}, limit.Health{N: 20, Bad: 1<<20 - 1}
	if healthy.Part() != 1 || dead.Part() > 0.05 || dead.Part() <= 0 {
		t.Errorf("parts %v and %v", healthy.Part(), dead.Part())
	}
}

// TestWindow holds a Window against the list of all that happened.
func TestWindow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		type happened struct {
			at limit.Instant
			n  int64
		}
		var w limit.Window
		var all []happened
		now := time.Hour
		for range rapid.IntRange(0, 60).Draw(rt, "n") {
			now += time.Duration(rapid.IntRange(0, 8_000).Draw(rt, "later, ms")) * time.Millisecond
			h := happened{at(now - time.Duration(rapid.IntRange(0, 5_000).Draw(rt, "ago, ms"))*time.Millisecond), int64(rapid.IntRange(0, 9).Draw(rt, "of it"))}
			w, all = w.Add(h.at, h.n), append(all, h)
		}
		from := now - time.Duration(rapid.IntRange(0, 63).Draw(rt, "s"))*time.Second
		least, most := int64(0), int64(0)
		for _, h := range all {
			if h.at > at(from) {
				least += h.n
			}
			if h.at > at(from-3*time.Second) {
				most += h.n
			}
		}
		if got := w.Between(at(from), at(2*time.Hour)); got < least || got > most {
			rt.Errorf("%d since then, want %d to %d", got, least, most)
		}
	})
}

// TestCallTimesBeforeASlowWorkersAreTaken by others: an interval apart, and each once.
func TestCallTimesBeforeASlowWorkersAreTaken(t *testing.T) {
	t.Parallel()
	var r limit.Record
	l := limit.Limits{RPM: 57} // one in 1.108 s
	r.Take(at(0), l, []int64{0})
	slow, _ := r.Take(at(4*time.Second), l, []int64{0})
	quick, _ := r.Take(at(time.Second), l, make([]int64, 4))
	if len(slow) != 1 || len(quick) != 2 {
		t.Fatalf("taken at %v and %v", slow, quick)
	}
	all := append([]limit.Instant{at(0)}, append(quick, slow...)...)
	for i := 1; i < len(all); i++ {
		if all[i].Sub(all[i-1]) < time.Minute/57 {
			t.Errorf("%v is too soon after %v", all[i].Time(), all[i-1].Time())
		}
	}
}
