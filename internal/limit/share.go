package limit

import "time"

const (
	// A worker asks for call times once a second, up to four times as often where
	// it gets many at once, and looks every two at what others have told.
	mostGap, leastGap = time.Second, 250 * time.Millisecond
	lookEvery         = 2 * time.Second
	// tellEvery is after how long it tells what is not urgent, of tokens that others
	// wait for tellTokens, and of a route that nobody limits tellFree.
	tellEvery, tellTokens, tellFree = 2 * time.Second, time.Second, 30 * time.Second
)

// A Permit lets one call leave, at its time and not much later.
type Permit struct {
	At     Instant
	Tokens int64 // that the call was estimated to take
	Free   bool  // nothing was taken for it
}

// A Share is what one worker has of a route: slots, and what it has seen and not
// told. It makes no call and knows no clock; one goroutine at a time uses it.
type Share struct {
	worker string
	limits Limits
	record Record
	seenAt Instant // when the record was asked for last; 0: never
	heard  Instant // until when the worker makes no call, whatever the record says yet
	askAt  Instant // when there may be more call times
	gap    time.Duration

	slots   int
	ends    Instant // when the calls with slots must be over
	permits int     // given, whose calls have not left
	calls   int     // in flight
	news    Report
	newsAt  Instant // since when there are some
}

// NewShare returns what worker has of a route at first. Its name is one that no
// other worker has ever had, and short, for a Record has many.
func NewShare(worker string, l Limits) *Share {
	return &Share{worker: worker, limits: l, gap: mostGap}
}

// Limit sets the route's limits, which an operator may change.
func (s *Share) Limit(l Limits) { s.limits = l }

// Record returns the route's record as it was seen last.
func (s *Share) Record() Record { return s.record }

// Calls returns how many calls of the worker are in flight or about to leave.
func (s *Share) Calls() int { return s.calls + s.permits }

// Pass returns a permit for which nothing need be taken: nobody limits the pace
// of the route, which was seen a moment ago, and the worker has a slot where it
// needs one.
func (s *Share) Pass(now Instant, tokens int64) (Permit, bool) {
	switch {
	case s.seenAt == 0, now.Sub(s.seenAt) > 2*lookEvery, now < s.heard, !s.record.unpaced(now, s.limits),
		s.limits.Concurrency > 0 && (s.Calls() >= s.slots || now >= s.ends):
		return Permit{}, false
	}
	s.permits++
	return Permit{At: now, Tokens: tokens, Free: true}, true
}

// A Plan is one update of a route's record. Its changes may be made several times,
// of which the last counts.
type Plan struct {
	share *Share
	now   Instant
	asks  []int64
	back  int
	rand  func() float64
	told  Report
	calls int

	slots   int
	times   []Instant
	again   Instant
	returns []Instant
}

// Plan returns an update that tells what is new, takes slots and call times for
// calls that may take so many tokens each, and return times for back messages
// that are not to wait here. There is one at a time.
func (s *Share) Plan(now Instant, asks []int64, back int, random func() float64) *Plan {
	told := Report{}
	if s.news.urgent() || now >= s.newsAt.Add(s.patience(now)) || len(asks) > 0 {
		told = s.news
		s.news, s.newsAt = Report{}, 0
	}
	return &Plan{share: s, now: now, asks: asks, back: back, rand: random, told: told, calls: s.Calls()}
}

// Change makes the update's changes of r.
func (p *Plan) Change(r *Record) error {
	l := p.share.limits
	r.Report(p.now, l, p.told)
	asks := p.asks
	if l.Concurrency > 0 {
		free := r.free(p.now, p.share.worker, l.Concurrency)
		if r.unpaced(p.now, l) {
			free -= p.calls
		} else {
			// Call times for slots that come free until then, too. Where they do not, slots
			// are what bounds the calls, and lost call times bound nothing.
			free -= p.share.permits
		}
		asks = asks[:max(min(len(asks), free), 0)]
	}
	p.times, p.again = r.Take(p.now, l, asks)
	p.slots = r.Hold(p.now, p.share.worker, p.calls+len(p.times), l.Concurrency)
	if p.returns = nil; p.back > 0 {
		p.returns = r.Return(p.now, l, p.back, p.rand)
	}
	return nil
}

// Done says that the update was stored, with the record that it made. It returns
// permits for the first of its asks, and return times.
func (p *Plan) Done(r Record) (permits []Permit, returns []Instant) {
	s := p.share
	s.Seen(p.now, r)
	s.slots, s.ends = p.slots, 0
	if p.slots > 0 {
		s.ends = r.Slots[s.worker].until().Add(-spared)
	}
	for i, at := range p.times {
		permits = append(permits, Permit{At: at, Tokens: p.asks[i]})
	}
	s.permits += len(permits)
	s.gap = max(time.Duration(float64(mostGap)/(1+float64(len(permits))/32)), leastGap)
	s.askAt = max(p.now.Add(s.gap), min(p.again, p.now.Add(lookEvery)))
	return permits, p.returns
}

// Failed says that the update was perhaps not stored. What it may have taken is
// lost, and what pauses the route is told again.
func (p *Plan) Failed() {
	s := p.share
	s.askAt = p.now.Add(s.gap)
	s.news = p.told.untold().with(s.news)
	s.tell(p.now)
}

// Seen says how the record was found at that time.
func (s *Share) Seen(now Instant, r Record) { s.record, s.seenAt = r, max(s.seenAt, now) }

// May reports whether a permit's call may leave now: not before its time nor
// long after it, while the worker has a slot for it where it needs one, and while
// the route is not paused as far as the worker knows.
func (s *Share) May(now Instant, p Permit) bool {
	if now < s.heard || s.record.Pause.Why != "" && s.record.Pause.TrialAt != p.At {
		return false
	}
	if s.limits.Concurrency > 0 && (s.calls >= s.slots || now >= s.ends) {
		return false
	}
	return p.Free || now >= p.At && now <= p.At.Add(Lateness)
}

// Leave says that a permit's call leaves now.
func (s *Share) Leave(now Instant) {
	s.permits--
	s.calls++
	s.news.Calls = s.news.Calls.Add(now, 1)
	s.tell(now)
}

// Lose says that no call was made with a permit.
func (s *Share) Lose(now Instant, p Permit) {
	s.permits--
	if !p.Free {
		s.news.Tokens = s.news.Tokens.Add(p.At, -p.Tokens)
		s.tell(now)
	}
}

// End says how the call of a permit ended, which left.
func (s *Share) End(now Instant, p Permit, res Result) {
	s.calls--
	if p.Free {
		p.Tokens = 0 // none were taken
	}
	s.news.Add(res, p.Tokens)
	s.tell(now)
	switch {
	case res.Kind == Refused && (res.Says || res.Until > 0):
		s.heard = max(s.heard, res.Until, now.Add(firstBackoff))
	case res.Kind == Spent, res.Kind == NoKey:
		s.heard = max(s.heard, now.Add(lookEvery))
	}
}

func (s *Share) tell(now Instant) {
	if s.newsAt == 0 && !s.news.Empty() {
		s.newsAt = now
	}
}

// SlotsEnd returns when calls that have slots must be over; 0: there are none.
func (s *Share) SlotsEnd() Instant {
	if s.calls == 0 || s.limits.Concurrency == 0 {
		return 0
	}
	return s.ends
}

// Due returns when the next update is due, given how many calls wait for permits;
// 0: not before something happens.
func (s *Share) Due(now Instant, waiting int) Instant {
	due := Instant(1<<63 - 1)
	if s.news.urgent() {
		due = now
	}
	if s.newsAt > 0 {
		due = min(due, s.newsAt.Add(s.patience(now)))
	}
	if s.slots > 0 {
		due = min(due, s.ends.Add(renew+spared-lease))
		if s.Calls() < s.slots {
			due = min(due, s.askAt)
		}
	}
	if waiting > 0 {
		due = min(due, s.askAt)
	}
	if waiting+s.Calls() > 0 {
		due = min(due, s.seenAt.Add(lookEvery))
	}
	if due == 1<<63-1 {
		return 0
	}
	return max(due, now)
}

// patience returns for how long news may wait.
func (s *Share) patience(now Instant) time.Duration {
	if s.limits.Concurrency == 0 && s.record.unpaced(now, s.limits) {
		return tellFree
	}
	if s.limits.TPM > 0 {
		return tellTokens
	}
	return tellEvery
}
