package limit

import "time"

const (
	// A worker asks for call times once a second, up to four times as often where
	// it gets many at once, and while calls leave looks every two at what others
	// have told.
	mostGap, leastGap = time.Second, 250 * time.Millisecond
	rampGap           = 50 * time.Millisecond // for the few seconds of a route's beginning
	// mostTook bounds how long an update is thought to take.
	mostTook  = 5 * time.Second
	lookEvery = 2 * time.Second
	lookFree  = 3 * time.Second // of a route that nobody limits and that refuses nothing
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
	again  Instant // before which there are none, as was seen last
	gap    time.Duration
	took   time.Duration // by updates of late

	slots   int
	ends    Instant  // when the calls with slots must be over
	stock   []Permit // taken, for slots that come free
	permits int      // given, whose calls have not left
	calls   int      // in flight
	leftAt  Instant  // when the last one left
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

// Slotted reports whether calls need slots.
func (s *Share) Slotted() bool { return s.limits.Concurrency > 0 }

// Idle reports whether there is nothing to tell and nothing to give back.
func (s *Share) Idle() bool { return s.news.Empty() && s.slots == 0 }

// Record returns the route's record as it was seen last.
func (s *Share) Record() Record { return s.record }

// Took returns how long updates take of late.
func (s *Share) Took() time.Duration { return s.took }

// Calls returns how many calls of the worker are in flight or about to leave.
func (s *Share) Calls() int { return s.calls + s.permits }

// Pass returns a permit for which nothing need be taken: nobody limits the pace
// of the route, which was seen a moment ago, and the worker has a slot where it
// needs one.
func (s *Share) Pass(now Instant, tokens int64) (Permit, bool) {
	if p, ok := s.unstock(now, tokens); ok {
		return p, true
	}
	switch {
	case s.seenAt == 0, now.Sub(s.seenAt) > 2*lookEvery, now < s.heard, !s.record.unpaced(now, s.limits),
		s.limits.Concurrency > 0 && (s.Calls() >= s.slots || now >= s.ends):
		return Permit{}, false
	}
	s.permits++
	return Permit{At: now, Tokens: tokens, Free: true}, true
}

// unstock returns a permit of the stock for which there is a slot.
func (s *Share) unstock(now Instant, tokens int64) (Permit, bool) {
	for len(s.stock) > 0 && now > s.stock[0].At.Add(Lateness/2) {
		s.lose(now, s.stock[0])
		s.stock = s.stock[1:]
	}
	if len(s.stock) == 0 || s.Calls() >= s.slots || now >= s.ends || now < s.heard || tokens > s.stock[0].Tokens {
		return Permit{}, false
	}
	p := s.stock[0]
	s.stock = s.stock[1:]
	if !s.Open(p) {
		s.lose(now, p)
		return Permit{}, false
	}
	s.permits++
	return p, true
}

// A Plan is one update of a route's record. Its changes may be made several times,
// of which the last counts.
type Plan struct {
	share  *Share // as Done knows it: it changes while the update is made
	limits Limits
	now    Instant
	ahead  time.Duration // until the update is made, about
	asks   []int64
	back   int
	rand   func() float64
	told   Report
	calls  int
	kept   int // permits that wait for slots, or whose calls have not left

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
	s.slots = min(s.slots, s.Calls()) // what the update leaves the worker at least, whether it is stored or not
	return &Plan{
		share: s, limits: s.limits, now: now, ahead: s.took, asks: asks, back: back, rand: random, told: told, calls: s.Calls(),
		kept: s.permits + len(s.stock),
	}
}

// Change makes the update's changes of r.
func (p *Plan) Change(r *Record) error {
	l := p.limits
	r.Report(p.now, l, p.told)
	asks := p.asks
	if l.Concurrency > 0 {
		free := r.free(p.now, p.share.worker, l.Concurrency)
		if r.unpaced(p.now, l) {
			free -= p.calls
		} else {
			// Call times for slots that come free until then, too: these are for the stock.
			// Where none do, slots are what bounds the calls, and lost call times bound nothing.
			free -= p.kept
		}
		asks = asks[:max(min(len(asks), free), 0)]
	}
	p.times, p.again = r.Take(p.now.Add(p.ahead), l, asks)
	p.slots = r.Hold(p.now, p.share.worker, p.calls+len(p.times), l.Concurrency)
	if p.returns = nil; p.back > 0 {
		p.returns = r.Return(p.now, l, p.back, p.rand)
	}
	return nil
}

// Done says that the update was stored now, with the record that it made. It returns
// permits for the first of its asks, and return times.
func (p *Plan) Done(now Instant, r Record) (permits []Permit, returns []Instant) {
	s := p.share
	s.Seen(p.now, r)
	s.slots, s.ends = p.slots, 0
	if p.slots > 0 {
		s.ends = r.Slots[s.worker].until().Add(-spared)
	}
	for i, at := range p.times {
		permits = append(permits, Permit{At: at, Tokens: p.asks[i]})
	}
	if slots := s.slots - s.Calls(); s.limits.Concurrency > 0 && len(permits) > slots {
		s.stock = append(s.stock, permits[max(slots, 0):]...)
		permits = permits[:max(slots, 0)]
	}
	s.permits += len(permits)
	s.again = p.again
	s.gap = max(time.Duration(float64(mostGap)/(1+float64(len(permits))/32)), leastGap)
	if r.ramp(p.now) > 0 && !s.limited() && r.Learned.Most == 0 {
		s.gap = rampGap
	}
	s.askAt = max(p.next(now), min(p.again, now.Add(lookEvery)))
	return permits, p.returns
}

// next returns when there may be another update after one that ends now: where many
// share a record whose store is slow, each of them leaves it to the others for longer
// than it takes itself.
func (p *Plan) next(now Instant) Instant {
	s := p.share
	s.took = min(max(now.Sub(p.now), s.took/2), mostTook)
	return now.Add(max(s.gap, 2*s.took))
}

func (s *Share) limited() bool { return s.limits.RPM > 0 || s.limits.TPM > 0 }

// Failed says that the update ends now and was perhaps not stored. What it may have
// taken is lost, and what pauses the route is told again.
func (p *Plan) Failed(now Instant) {
	s := p.share
	s.askAt = p.next(now)
	s.news = p.told.untold().with(s.news)
	s.tell(p.now)
}

// Seen says how the record was found at that time.
func (s *Share) Seen(now Instant, r Record) { s.record, s.seenAt = r, max(s.seenAt, now) }

// NoneUntil returns until when there are no call times as far as was seen, which
// may be in the past.
func (s *Share) NoneUntil(now Instant) Instant {
	until, _ := s.record.PausedUntil(now)
	return max(s.again, until, s.heard)
}

// Hurry has the next update tell all that is new.
func (s *Share) Hurry() { s.newsAt = min(s.newsAt, 1) }

// Outlook returns whether calls may leave for the route as far as was seen, and
// whether it is due for a trial call.
func (s *Share) Outlook(now Instant) (may, trial bool) {
	probe := s.record
	_, how := probe.opening(now)
	return how == open && now >= s.heard, how == toTry
}

// Open reports whether a permit is good as far as the route's pause goes.
func (s *Share) Open(p Permit) bool {
	return s.record.Pause.Why == "" || s.record.Pause.TrialAt == p.At
}

// May reports whether a permit's call may leave now: not before its time nor
// long after it, while the worker has a slot for it where it needs one, and while
// the route is not paused as far as the worker knows.
func (s *Share) May(now Instant, p Permit) bool {
	if now < s.heard || !s.Open(p) {
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
	s.leftAt = now
	s.news.Calls = s.news.Calls.Add(now, 1)
	s.tell(now)
}

// Lose says that no call was made with a permit.
func (s *Share) Lose(now Instant, p Permit) {
	s.permits--
	s.lose(now, p)
}

func (s *Share) lose(now Instant, p Permit) {
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
	if res.Kind == Answered {
		s.news.Busy += max(now.Sub(res.At), 0)
	}
	s.tell(now)
	switch {
	case res.Kind == Refused && (res.Says || res.Until > 0):
		s.heard = max(s.heard, res.Until, now.Add(firstBackoff))
	case res.Kind == Spent, res.Kind == NoKey, res.Kind == Unfit:
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
	if waiting+s.permits > 0 || s.leftAt > 0 && s.leftAt >= s.seenAt {
		due = min(due, s.seenAt.Add(s.look(now)))
	}
	if due == 1<<63-1 {
		return 0
	}
	return max(due, now)
}

// free reports whether nobody limits the route as far as was seen.
func (s *Share) free(now Instant) bool {
	return s.limits.Concurrency == 0 && s.record.unpaced(now, s.limits)
}

// look returns the time between two looks at what others have told.
func (s *Share) look(now Instant) time.Duration {
	if s.free(now) {
		return lookFree
	}
	return lookEvery
}

// patience returns for how long news may wait.
func (s *Share) patience(now Instant) time.Duration {
	if s.free(now) {
		return tellFree
	}
	if s.limits.TPM > 0 {
		return tellTokens
	}
	return tellEvery
}
