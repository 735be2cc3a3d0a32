package limit

import "math/bits"

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
	Ends       []bool // of the last calls: whether the route served, in order, 20 at most
	Refusals   []bool // the same: whether it refused
	Answers    int
	AnsweredAt Instant // when the last call left that was answered
	Denials    int     // since the last answer
	DeniedAt   Instant // when the last of them left

	RefusedAt Instant // when the last call left that was refused
	Says      bool    // one of the refusals says that it is for the calls' number
	Until     Instant // the latest wait that one of them asks for
	Stop      Why     // QuotaSpent or MissingKey
	StopAt    Instant // when the call left that says so
}

// Add enters a call's end, whose tokens were estimated.
func (p *Report) Add(res Result, estimate int64) {
	switch res.Kind {
	case Answered:
		p.Answers, p.AnsweredAt, p.Denials = p.Answers+1, max(p.AnsweredAt, res.At), 0
		p.ended(true, false)
		if res.Tokens >= 0 {
			p.Tokens = p.Tokens.Add(res.At, res.Tokens-estimate)
		}
	case Refused:
		p.RefusedAt, p.Until, p.Says = max(p.RefusedAt, res.At), max(p.Until, res.Until), p.Says || res.Says
		p.Calls = p.Calls.Add(res.At, -1)
		p.ended(false, true)
	case Denied:
		p.Denials, p.DeniedAt = p.Denials+1, max(p.DeniedAt, res.At)
		p.ended(false, false)
	case Failed:
		p.ended(false, false)
	case Spent:
		p.Stop, p.StopAt = QuotaSpent, max(p.StopAt, res.At)
		p.Calls = p.Calls.Add(res.At, -1)
		p.ended(false, false)
	case NoKey:
		p.Stop, p.StopAt = MissingKey, max(p.StopAt, res.At)
		p.Tokens, p.Calls = p.Tokens.Add(res.At, -estimate), p.Calls.Add(res.At, -1)
	case Aborted:
	}
}

func (p *Report) ended(served, refused bool) {
	p.Ends, p.Refusals = append(p.Ends, served), append(p.Refusals, refused)
	if n := len(p.Ends) - recent; n > 0 {
		p.Ends, p.Refusals = p.Ends[n:], p.Refusals[n:]
	}
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
		Stop: p.Stop, StopAt: p.StopAt, Ends: p.Ends, Refusals: p.Refusals,
	}
}

const (
	// recent is how many calls a route is judged by.
	recent = 20
	// mostDenials in a row pause a route: one may be a single request's.
	mostDenials = 3
	// dead is how many failures in a row leave a route to trials, if there is another.
	dead = 10
)

// Health is how a route's last calls ended.
type Health struct {
	N       int    `json:"n,omitzero"`       // how many are known, at most 20
	Bad     uint32 `json:"bad,omitzero"`     // the last of them first, by bits: not served
	Refused uint32 `json:"refused,omitzero"` // refused
	Denials int    `json:"denials,omitzero"` // in a row
}

func (h *Health) add(served, refused bool) {
	const all = 1<<recent - 1
	h.Bad, h.Refused, h.N = h.Bad<<1&all|bit(!served), h.Refused<<1&all|bit(refused), min(h.N+1, recent)
}

func bit(yes bool) uint32 {
	if yes {
		return 1
	}
	return 0
}

func (h *Health) refusesHalf() bool { return h.N == recent && bits.OnesCount32(h.Refused)*2 >= recent }
func (h *Health) dead() bool        { return h.N >= dead && bits.TrailingZeros32(^h.Bad) >= dead }

// Part returns the part of its weight that a route should get: that of its last
// calls that it served, and never nothing.
func (h *Health) Part() float64 {
	return float64(h.N-bits.OnesCount32(h.Bad)+1) / float64(h.N+1)
}

// Report tells r what a worker has seen.
func (r *Record) Report(now Instant, l Limits, p Report) {
	r.Calls = r.Calls.Merge(p.Calls)
	if len(p.Calls.N) > 0 && now.Sub(r.CallAt) > window { // of a route that nobody limits
		r.CallAt = now
	}
	if l.TPM > 0 {
		r.Tokens = r.Tokens.Merge(p.Tokens)
		r.TokensAt = r.TokensAt.Add(paid(p.Tokens.sum(), l))
	}
	r.Learned.corrected(now, r.unrefused(r.Learned.At))
	for i := range p.Ends {
		r.Health.add(p.Ends[i], p.Refusals[i])
	}
	r.answered(now, p)
	if p.RefusedAt > 0 && (p.Says || p.Until > 0 || r.Health.refusesHalf()) {
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

func (r *Record) answered(now Instant, p Report) {
	if p.AnsweredAt > 0 {
		r.Health.Denials = 0
	}
	r.Health.Denials = min(r.Health.Denials+p.Denials, mostDenials)
	if p.AnsweredAt == 0 {
		return
	}
	r.Learned.answered(now, r.unrefused(now))
	if t := r.Pause.TrialAt; t > 0 && p.AnsweredAt >= t {
		r.resume(now)
	}
}

// refused pauses the route and has its pace fall: once for all calls that left at
// the pace that was too fast, and not for a trial, which says no more than that
// it was too early.
func (r *Record) refused(now Instant, p Report) {
	trial := r.Pause.TrialAt > 0 && p.RefusedAt >= r.Pause.TrialAt
	known := r.Learned.Most > 0 && p.RefusedAt < r.Learned.At.Add(skew)
	if !trial && !known && r.Pause.Why == "" {
		r.Learned.refused(now, r.unrefused(now))
	}
	until := Instant(0)
	if p.Until > 0 {
		until = p.Until.Add(skew)
	} else if trial || !known {
		until = now.Add(r.backoff())
	}
	if until > max(now, r.Pause.Until) {
		r.pause(now, until, RateLimited)
	}
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
	p.Calls, p.Tokens = p.Calls.Merge(later.Calls), p.Tokens.Merge(later.Tokens)
	for i := range later.Ends {
		p.ended(later.Ends[i], later.Refusals[i])
	}
	p.Answers, p.AnsweredAt = p.Answers+later.Answers, max(p.AnsweredAt, later.AnsweredAt)
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
