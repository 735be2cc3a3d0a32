package limit

import (
	"math/bits"
	"time"
)

// A Kind is what a call's end says of its route.
type Kind int

// The kinds of ends.
const (
	Answered Kind = iota // any answer that is none of the others: also a request's own mistake
	Refused              // 429 or 503
	Denied               // 401 or 403
	Failed               // any other 5xx, no answer in time, no connection
	Spent                // the quota is used up
	NoKey                // there was no key to call with: nothing was sent
	Unfit                // the route cannot be called as it is configured: nothing was sent
	Aborted              // by the worker: it says nothing
)

// A Result is a call's end.
type Result struct {
	Kind Kind
	At   Instant // when it left
	// Of one that was refused: whether it says that it was for its number, and
	// until when to wait, 0 if it does not say so.
	Says   bool
	Until  Instant
	Tokens int64 // that it took; below 0: it does not say so
}

// A Report is what a worker has seen of a route and not told yet.
type Report struct {
	Calls      Window // that left and were not refused
	Tokens     Window // taken beyond what was estimated, by call times: mostly below 0
	Refused    Window // calls by when they left
	Ends       []bool // of the last calls: whether the route served, in order, 20 at most
	Answers    int
	Busy       time.Duration // for which the calls were in flight that were answered
	AnsweredAt Instant       // when the last call left that was answered
	Denials    int           // since the last answer
	DeniedAt   Instant       // when the last of them left

	RefusedAt Instant // when the last call left that was refused
	Says      bool    // one of the refusals says that it is for the calls' number
	Until     Instant // the latest wait that one of them asks for
	Stop      Why     // QuotaSpent, MissingKey or Misconfigured
	StopAt    Instant // when the call left that says so
}

// Add enters a call's end, whose tokens were estimated.
func (p *Report) Add(res Result, estimate int64) {
	switch res.Kind {
	case Answered:
		p.Answers, p.AnsweredAt, p.Denials = p.Answers+1, max(p.AnsweredAt, res.At), 0
		p.ended(true)
		if res.Tokens >= 0 {
			p.Tokens = p.Tokens.Add(res.At, res.Tokens-estimate)
		}
	case Refused:
		p.RefusedAt, p.Until, p.Says = max(p.RefusedAt, res.At), max(p.Until, res.Until), p.Says || res.Says
		p.Calls, p.Refused = p.Calls.Add(res.At, -1), p.Refused.Add(res.At, 1)
		p.ended(false)
	case Denied:
		p.Denials, p.DeniedAt = p.Denials+1, max(p.DeniedAt, res.At)
		p.ended(false)
	case Failed:
		p.ended(false)
	case Spent:
		p.Stop, p.StopAt = QuotaSpent, max(p.StopAt, res.At)
		p.Calls = p.Calls.Add(res.At, -1)
		p.ended(false)
	case NoKey, Unfit:
		if p.Stop, p.StopAt = MissingKey, max(p.StopAt, res.At); res.Kind == Unfit {
			p.Stop = Misconfigured
		}
		p.Tokens, p.Calls = p.Tokens.Add(res.At, -estimate), p.Calls.Add(res.At, -1)
	case Aborted:
	}
}

func (p *Report) ended(served bool) {
	p.Ends = append(p.Ends, served)
	p.Ends = p.Ends[max(len(p.Ends)-recent, 0):]
}

// Empty reports whether there is nothing to tell.
func (p *Report) Empty() bool {
	return len(p.Calls.N) == 0 && len(p.Tokens.N) == 0 && len(p.Ends) == 0 && p.Stop == ""
}

// urgent reports whether the others should know at once.
func (p *Report) urgent() bool {
	return p.RefusedAt > 0 && (p.Says || p.Until > 0) || p.Stop != "" || p.Denials >= mostDenials
}

// untold returns what is to be told again of a report that may not have been
// stored: what pauses the route, which is no harm twice. Tokens that come back
// must not do so twice.
func (p *Report) untold() Report {
	return Report{
		Denials: p.Denials, DeniedAt: p.DeniedAt, RefusedAt: p.RefusedAt, Says: p.Says, Until: p.Until,
		Stop: p.Stop, StopAt: p.StopAt, Ends: p.Ends,
	}
}

const (
	// recent is how many calls a route is judged by.
	recent = 20
	// mostDenials in a row pause a route: one may be a single request's.
	mostDenials = 3
	// dead is how many failures in a row leave a route to trials, if there is another.
	dead = 10
	// A route that refuses fewer than these, or less than half of a moment's calls,
	// does not do so for their number.
	fewRefused = 5
	moment     = 10 * time.Second
	// leastTaught is the least pace, in calls a minute, that a route teaches which is
	// called for less than a minute.
	leastTaught = 6
)

// Health is how a route's last calls ended.
type Health struct {
	N       int    `json:"n,omitzero"`       // how many are known, at most 20
	Bad     uint32 `json:"bad,omitzero"`     // the last of them first, by bits: not served
	Denials int    `json:"denials,omitzero"` // in a row
}

func (h *Health) add(served bool) {
	h.Bad, h.N = h.Bad<<1&(1<<recent-1), min(h.N+1, recent)
	if !served {
		h.Bad |= 1
	}
}

func (h *Health) dead() bool { return h.N >= dead && bits.TrailingZeros32(^h.Bad) >= dead }

// Part returns the part of its weight that a route should get: that of its last
// calls that it served, and never nothing.
func (h *Health) Part() float64 {
	return float64(h.N-bits.OnesCount32(h.Bad)+1) / float64(h.N+1)
}

// Report tells r what a worker has seen.
func (r *Record) Report(now Instant, l Limits, p Report) {
	r.Calls, r.Refused = r.Calls.Merge(p.Calls), r.Refused.Merge(p.Refused)
	if len(p.Calls.N) > 0 && now.Sub(r.CallAt) > window { // of a route that nobody limits
		r.CallAt = now
	}
	if l.TPM > 0 {
		r.Tokens = r.Tokens.Merge(p.Tokens)
		r.TokensAt = r.TokensAt.Add(paid(p.Tokens.sum(), l))
	}
	r.Learned.corrected(now, r.taught(r.Learned.At))
	for i := range p.Ends {
		r.Health.add(p.Ends[i])
	}
	r.answered(now, l, p)
	if p.RefusedAt > 0 && (p.Says || p.Until > 0 || r.refusesHalf(now)) {
		r.refused(now, p)
	}
	if r.Health.Denials >= mostDenials && p.Denials > 0 {
		r.stop(now, p.DeniedAt, Unauthorized)
	}
	if p.Stop != "" {
		r.stop(now, p.StopAt, p.Stop)
	}
	if l.Spare && !p.served() && r.Health.dead() && r.Pause.Why == "" {
		r.pause(now, now.Add(r.backoff()), Unreachable)
	}
}

func (p *Report) served() bool { return len(p.Ends) == 0 || p.Ends[len(p.Ends)-1] }

// unrefused returns how many calls of the minute before at were not refused.
func (r *Record) unrefused(at Instant) float64 { return float64(r.Calls.Between(at.Add(-window), at)) }

// taught returns the pace, in calls a minute, that a refusal teaches: how many of the
// minute before at were not refused. Of a route that was not called for all of that
// minute few such calls say little.
func (r *Record) taught(at Instant) float64 {
	begun := r.Calls.begins()
	if len(r.Refused.N) > 0 {
		begun = min(begun, r.Refused.begins())
	}
	most := r.unrefused(at)
	if begun > at.Add(-window) {
		return max(most, leastTaught)
	}
	return most
}

func (r *Record) answered(now Instant, l Limits, p Report) {
	if p.AnsweredAt > 0 {
		r.Health.Denials = 0
	}
	r.Health.Denials = min(r.Health.Denials+p.Denials, mostDenials)
	if p.AnsweredAt == 0 {
		return
	}
	if l.Concurrency > 0 {
		r.took(p)
	}
	r.Learned.answered(now, r.unrefused(now))
	if t := r.Pause.TrialAt; t > 0 && p.AnsweredAt >= t {
		r.resume(now)
	}
}

// took notes for how long calls are in flight, about the mean of the last ones.
func (r *Record) took(p Report) {
	mean, part := p.Busy/time.Duration(p.Answers), float64(min(p.Answers, recent))/recent
	if r.Took == 0 {
		part = 1
	}
	r.Took = (r.Took + time.Duration(part*float64(mean-r.Took))).Truncate(time.Millisecond)
}

// refusesHalf reports whether a route refuses at least half of the calls since it
// was opened last, within a moment, and some. Fewer are not for their number: that is
// the same for all of a moment's calls.
func (r *Record) refusesHalf(now Instant) bool {
	from := max(now.Add(-moment), r.RampAt)
	refused := r.Refused.Between(from, now)
	return refused >= fewRefused && refused >= r.Calls.Between(from, now)
}

// refused pauses the route and has its pace fall: once for all calls that left at
// the pace that was too fast, and not for a trial, which says no more than that
// it was too early. A route that refuses few calls, and always has, rests as long
// as it asks for, and no longer: it teaches no pace, and needs no trial.
func (r *Record) refused(now Instant, p Report) {
	trial := r.Pause.TrialAt > 0 && p.RefusedAt >= r.Pause.TrialAt
	known := r.Learned.Most > 0 && p.RefusedAt < r.Learned.At.Add(skew)
	free := r.Pause.Why == "" || r.Pause.Brief
	brief := free && r.Learned.Most == 0 && !r.refusesHalf(now)
	if free && !brief && !known && r.unrefused(now) > 0 { // who takes nothing teaches no pace
		r.Learned.refused(now, r.taught(now))
	}
	until := p.Until
	if until == 0 && (trial || !known) {
		until = now.Add(r.backoff())
	}
	if until > max(now, r.Pause.Until) {
		r.pause(now, until, RateLimited)
	}
	r.Pause.Brief = brief && r.Pause.Why != ""
}

// stop pauses the route for what no wait mends, unless the call that says so left
// before others have told.
func (r *Record) stop(now, left Instant, why Why) {
	if r.Pause.Why == why && left < max(r.Pause.TrialAt, r.Pause.Since) {
		return
	}
	r.pause(now, now.Add(trialEvery), why)
}

// with returns p with what came later.
func (p Report) with(later Report) Report {
	p.Calls, p.Tokens, p.Refused = p.Calls.Merge(later.Calls), p.Tokens.Merge(later.Tokens), p.Refused.Merge(later.Refused)
	for i := range later.Ends {
		p.ended(later.Ends[i])
	}
	p.Answers, p.AnsweredAt, p.Busy = p.Answers+later.Answers, max(p.AnsweredAt, later.AnsweredAt), p.Busy+later.Busy
	if later.AnsweredAt > 0 {
		p.Denials = 0
	}
	p.Denials, p.DeniedAt = p.Denials+later.Denials, max(p.DeniedAt, later.DeniedAt)
	p.RefusedAt, p.Until, p.Says = max(p.RefusedAt, later.RefusedAt), max(p.Until, later.Until), p.Says || later.Says
	if later.Stop != "" {
		p.Stop = later.Stop
	}
	p.StopAt = max(p.StopAt, later.StopAt)
	return p
}
