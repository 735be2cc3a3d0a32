package limit

import (
	"math"
	"time"
)

const (
	// Horizon is how far ahead call times are taken: what a dead worker took is
	// lost, and a pause finds few taken.
	Horizon = 2 * time.Second
	// Lateness is how long after its call time a call may leave.
	Lateness = 500 * time.Millisecond
	// far is the horizon of a call that takes more than a twentieth of the tokens
	// a minute: smaller ones would fill what room there is before it.
	far = time.Minute
	// credit is how much of the tokens' pace may be made up for, since tokens come
	// back that calls did not take. Their window holds whatever is made up.
	credit = 30 * time.Second
	// rampStart is with how many calls a second a route begins whose pace is
	// not known. It doubles each half second: 216 calls in the first one, 4,500 in
	// three, so that a limit is met by hundreds of calls and not by all places.
	rampStart, rampDouble = 100.0, 500 * time.Millisecond
	rampEnd               = 5 * time.Second
	// rampBurst is of how much time such a route's first calls may leave at once: 25.
	rampBurst = 250 * time.Millisecond
	// rest is after how long without calls what was learned of a route's pace is
	// doubted.
	rest = 10 * time.Minute
	// mostReturn is how far ahead messages are told to come back.
	mostReturn = 10 * time.Minute
)

// Take takes call times for calls that may take so many tokens each: as many,
// from the first on, as there are before the horizon. If that is not all, again
// is when to ask for the next ones.
//
// Calls are spread: each call time is an interval after the one before it,
// whoever took that, or now. There is no burst after idle time: it would stand
// beside the full minute that may follow.
func (r *Record) Take(now Instant, l Limits, asks []int64) (times []Instant, again Instant) {
	r.begin(now)
	for _, tokens := range asks {
		from, open := r.opening(now)
		if open == shut {
			return times, from
		}
		at := r.next(max(now, from), l, tokens)
		if at > now.Add(reach(l, tokens)) {
			return times, at.Add(-Horizon)
		}
		r.take(at, l, tokens)
		if open == toTry {
			r.Pause.TrialAt = at
		}
		times = append(times, at)
	}
	return times, 0
}

// begin has the pace of a route grow that was not called for long.
func (r *Record) begin(now Instant) {
	if now.Sub(r.CallAt) > rest {
		r.RampAt, r.CallAt = now, now.Add(-rampBurst)
		r.Learned.doubt()
	}
}

func reach(l Limits, tokens int64) time.Duration {
	if l.TPM > 0 && tokens*20 > int64(l.TPM) {
		return far
	}
	return Horizon
}

// next returns the next call time from at on.
func (r *Record) next(at Instant, l Limits, tokens int64) Instant {
	if left := r.room(max(at, r.Gap.From), l, tokens); r.paced(l) && left.Add(r.interval(left, l)) <= r.Gap.To {
		return left
	}
	return r.room(max(at, r.CallAt), l, tokens)
}

// room returns from when on there is room for tokens.
func (r *Record) room(at Instant, l Limits, tokens int64) Instant {
	if l.TPM > 0 {
		at = max(at, r.TokensAt)
		at = r.Tokens.room(at, blur, min(tokens, int64(l.TPM)), int64(l.TPM))
	}
	return at
}

// paced reports whether each call time is an interval after the one before it.
func (r *Record) paced(l Limits) bool { return l.RPM > 0 || r.Learned.Most > 0 }

// take takes a call time.
func (r *Record) take(at Instant, l Limits, tokens int64) {
	if l.TPM > 0 {
		r.Tokens = r.Tokens.Add(at, tokens)
		r.TokensAt = max(at.Add(-credit), r.TokensAt).Add(paid(tokens, l))
	}
	interval := r.interval(at, l)
	switch {
	case r.paced(l) && at < r.CallAt:
		r.Gap.From = at.Add(interval)
	case r.paced(l):
		r.leave(Gap{From: r.CallAt, To: at})
		r.CallAt = at.Add(interval)
	case interval > 0: // the ramp's
		r.CallAt = max(r.CallAt, at.Add(-rampBurst)).Add(interval)
	case at.Sub(r.CallAt) > time.Minute:
		r.CallAt = at.Add(interval)
	}
}

// A Gap is where call times are that nobody has taken, before one that a worker has
// taken whose updates take long: others may be in time for them.
type Gap struct {
	From Instant `json:"f,omitzero"`
	To   Instant `json:"t,omitzero"` // an interval after the last one, at most
}

// leave keeps g, if it is longer than what is left of the last one. No worker uses
// what is longer ago than one may be ahead.
func (r *Record) leave(g Gap) {
	past := g.To.Add(-mostTook)
	g.From, r.Gap.From = max(g.From, past), max(r.Gap.From, past)
	if g.To.Sub(g.From) > r.Gap.To.Sub(r.Gap.From) {
		r.Gap = g
	}
}

// paid returns how long tokens take at their pace.
func paid(tokens int64, l Limits) time.Duration {
	return time.Duration(float64(tokens) / (share * float64(l.TPM)) * float64(time.Minute))
}

// interval returns the time from a call at that time to the next one; 0: none.
func (r *Record) interval(at Instant, l Limits) time.Duration {
	interval := r.Learned.interval()
	if l.RPM > 0 {
		interval = max(interval, perMinute(share*float64(l.RPM)))
	}
	if interval == 0 {
		interval = r.ramp(at)
	}
	return interval
}

func perMinute(rate float64) time.Duration { return time.Duration(float64(time.Minute) / rate) }

func (r *Record) ramp(at Instant) time.Duration {
	age := at.Sub(r.RampAt)
	if age > rampEnd {
		return 0
	}
	rate := rampStart * math.Exp2(max(age, 0).Seconds()/rampDouble.Seconds())
	return time.Duration(float64(time.Second) / rate)
}

// unpaced reports whether calls need no call times as far as r tells: nobody
// limits the route's pace, and it has refused nothing for long.
func (r *Record) unpaced(now Instant, l Limits) bool {
	return l.RPM == 0 && l.TPM == 0 && r.Pause.Why == "" && r.Learned.interval() == 0 &&
		now.Sub(r.CallAt) < rest && r.ramp(now) == 0
}

// Return tells n messages that wait for the route when to come back: one after
// another, a quarter faster than calls can be made as far as is known, and not
// before a pause ends, so that there are always some and never all at once.
// Beyond ten minutes, where much may have changed, they come back anywhere in
// the second half of those, by random, ten together: a queue takes so many at once.
func (r *Record) Return(now Instant, l Limits, n int, random func() float64) []Instant {
	interval := r.interval(now, l)
	if l.Concurrency > 0 {
		interval = max(interval, r.Took/time.Duration(l.Concurrency))
	}
	switch {
	case interval > 0:
	case r.Pause.Brief:
		interval = time.Duration(float64(time.Second) / rampStart)
	default:
		interval = perMinute(r.ofLate(now))
	}
	if l.TPM > 0 { // tokens may have it slower
		interval = max(interval, perMinute(r.ofLate(now)))
	}
	from := now.Add(time.Second)
	if r.Pause.Why != "" {
		from = max(from, r.Pause.Until)
	}
	last := from.Add(mostReturn)
	at := max(from, r.ReturnAt)
	var times []Instant
	var beyond Instant
	for i := range n {
		if at > last {
			if beyond == 0 || i%10 == 0 {
				beyond = last.Add(-time.Duration(random() * float64(mostReturn/2)))
			}
			times = append(times, beyond)
			continue
		}
		times = append(times, at)
		at = at.Add(interval * 4 / 5)
		r.ReturnAt = at
	}
	return times
}

// ofLate returns how many calls a minute were made of late, 60 at least.
func (r *Record) ofLate(now Instant) float64 {
	begun := max(r.Calls.begins(), now.Add(-window))
	return max(r.unrefused(now)/max(now.Sub(begun), time.Second).Minutes(), 60)
}
