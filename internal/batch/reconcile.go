package batch

import (
	"slices"
	"time"
)

// These bound how many requests of a batch are enqueued and unfinished, at its
// beginning too: all messages of a queue that are in flight or back off are
// 120,000 at most
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html).
const (
	MinHighWater   = 100
	FirstHighWater = 5_000
	MaxHighWater   = 10_000
)

const (
	// flowing is the longest that a batch which flows takes to its low water.
	flowing = 10 * time.Minute

	// CommitLimit is the longest that an outcome takes from the time it bears to
	// the counter shard that counts it: what cannot be written is written again for
	// as long as its worker's invocation lasts, and clocks differ.
	CommitLimit = 16 * time.Minute
	// commitUsual is how long that takes unless writes fail.
	commitUsual = 10 * time.Second

	// RecountRest is the least time between two recounts, and recountMost the
	// longest. A recount of 10,000 requests reads about 4 MB.
	RecountRest = 30 * time.Second
	recountMost = 2 * time.Minute
	// RecountSoon is how far a recount may be for the flow to be woken, and not to
	// park for longer; one that is farther waits for the flow's next turn.
	RecountSoon = time.Minute
	// wakeLost is how long after a recount is due whoever asked for it is taken to
	// have died before it woke the flow: a medium park may end 20 s after that.
	wakeLost = 25 * time.Second
	// recountLate is how long a recount is put off that is hardly needed.
	recountLate = 10 * time.Minute
)

// A Reconciliation is what the flow of a running batch remembers from one turn
// to the next. Its zero value has seen nothing.
type Reconciliation struct {
	Done    int       // outcomes that the counter shards added up to
	MovedAt time.Time // when Done was first seen

	HighWater  int       // the most requests that are enqueued and unfinished; 0: none was enqueued yet
	AskAt      time.Time // when more is asked of the allowance; zero: it gave what was wanted
	FilledAt   time.Time // when requests were last enqueued up to it
	FilledDone int       // Done at that time
	// Enqueues say since when lines are enqueued: those of the first entry at
	// least since its time, and so on.
	Enqueues []Enqueued

	RecountAt   time.Time     // the batch's own, as the flow saw it before it parked
	RecountedAt time.Time     // when the last recount began that has ended
	RecountRest time.Duration // until the next recount, from the last one; 0: the least

	Reenqueue Reenqueue
}

// An Enqueued says that lines up to one were enqueued by a time.
type Enqueued struct {
	Line int
	At   time.Time
}

// A Reenqueue is how the search for lost messages stands.
type Reenqueue struct {
	At        time.Time     // not before it are requests judged again
	Finished  int           // lines from the first on that all had their outcome at the last judgement
	PacedAt   time.Time     // when it was last measured how fast requests are done
	PacedDone int           // outcomes then
	Each      time.Duration // between two outcomes, as it was measured last; 0: it is not known
	SpentDone int           // outcomes that are used up for messages that are sent again

	Reenqueued []Enqueued // requests that were enqueued again and have not moved since
	AllAt      time.Time  // when all that waited were enqueued again

	Waiting   int       // how many waited when it was last seen that some have moved
	WaitingAt time.Time // when that was

	Sample    int           // how many were enqueued again to see whether they move; 0: no trial is on
	Unmoved   []Enqueued    // which of them have not
	Others    int           // how many waited beside them
	SampledAt time.Time     // when the last trial began
	Rest      time.Duration // until the next trial, from the last one's beginning

	LastAt    time.Time // when all is done at the batch's pace, and what waits then is enqueued again; zero: not soon
	LastTries int       // how often that was tried, of LastTries times at most, and not again once they were sent
}

// LastTries is how often the flow judges the last requests of a batch.
const LastTries = 4

// LastExpected reports whether the flow is to judge at LastAt what waits.
func (r Reenqueue) LastExpected() bool { return !r.LastAt.IsZero() && r.LastTries < LastTries }

// Kept returns r as stores keep it: in memory of its own, its times in
// milliseconds.
func (r Reconciliation) Kept() Reconciliation {
	r.MovedAt, r.AskAt, r.FilledAt = stamp(r.MovedAt), stamp(r.AskAt), stamp(r.FilledAt)
	r.RecountAt, r.RecountedAt = stamp(r.RecountAt), stamp(r.RecountedAt)
	r.Enqueues = slices.Clone(r.Enqueues)
	r.Reenqueue.Reenqueued, r.Reenqueue.Unmoved = slices.Clone(r.Reenqueue.Reenqueued), slices.Clone(r.Reenqueue.Unmoved)
	for _, list := range [][]Enqueued{r.Enqueues, r.Reenqueue.Reenqueued, r.Reenqueue.Unmoved} {
		for i := range list {
			list[i].At = stamp(list[i].At)
		}
	}
	r.Reenqueue.At, r.Reenqueue.PacedAt = stamp(r.Reenqueue.At), stamp(r.Reenqueue.PacedAt)
	r.Reenqueue.WaitingAt, r.Reenqueue.AllAt = stamp(r.Reenqueue.WaitingAt), stamp(r.Reenqueue.AllAt)
	r.Reenqueue.SampledAt, r.Reenqueue.LastAt = stamp(r.Reenqueue.SampledAt), stamp(r.Reenqueue.LastAt)
	return r
}

// See returns r after the counter shards were seen to add up to done.
func (r Reconciliation) See(done int, now time.Time) Reconciliation {
	if done != r.Done || r.MovedAt.IsZero() {
		r.Done, r.MovedAt = done, stamp(now)
	}
	return r
}

// Quiescent reports whether nothing has moved for rest.
func (r Reconciliation) Quiescent(done int, now time.Time, rest time.Duration) bool {
	return !r.MovedAt.IsZero() && done == r.Done && now.Sub(r.MovedAt) >= rest
}

// Raise returns r for a batch at its low water, of which done requests have
// their outcome, with the high water up to which requests are enqueued next,
// limit at most. It doubles while the batch flows. Otherwise it is twice what
// the batch completed in the last ten minutes: the half that is left at low
// water then still keeps every worker busy whose calls take no longer.
func (r Reconciliation) Raise(done, limit int, now time.Time) Reconciliation {
	next, since := FirstHighWater, now.Sub(r.FilledAt)
	switch {
	case r.HighWater == 0:
	case since < flowing:
		next = 2 * r.HighWater
	default:
		next = int(2 * float64(done-r.FilledDone) * float64(flowing) / float64(since))
	}
	r.HighWater = min(max(next, MinHighWater), MaxHighWater, max(limit, 1))
	r.FilledAt, r.FilledDone = stamp(now), done
	return r
}

// A batch that was granted next to nothing asks again after askRest, a little
// less than its flow parks; one that was granted less than half of what it wanted
// also before its low water, after askMore.
const (
	askRest = 25 * time.Second
	askMore = 9 * time.Minute
)

// Grant returns r after the allowance granted so many of the requests that were
// wanted, which are its high water if that is higher.
func (r Reconciliation) Grant(granted, wanted int, now time.Time) Reconciliation {
	r.AskAt = time.Time{}
	r.HighWater = min(r.HighWater, granted)
	switch {
	case granted < min(wanted, MinHighWater):
		r.AskAt = stamp(now.Add(askRest))
	case 2*granted < wanted:
		r.AskAt = stamp(now.Add(askMore))
	}
	return r
}

// Asks reports whether b waits for next to nothing, and asks again soon.
func (b *Batch) Asks(now time.Time) bool {
	return !b.Reconciled.AskAt.IsZero() && b.Reconciled.AskAt.Sub(now) <= askRest
}

// Starved reports whether requests of b wait to be enqueued, of which the allowance
// granted next to nothing.
func (b *Batch) Starved() bool {
	return !b.Reconciled.AskAt.IsZero() && b.Enqueued < b.Counts.Total && b.Reconciled.HighWater < MinHighWater
}

// maxEnqueues bounds what is kept of when requests were enqueued: enough for an
// hour, were some enqueued each minute.
const maxEnqueues = 24

// Enqueue returns r after lines up to line were enqueued. A time that it keeps is
// later than when a line was enqueued by a quarter of how long ago that is at most,
// or by a tenth of age, unless that is longer ago than it keeps times of.
func (r Reconciliation) Enqueue(line int, now time.Time, age time.Duration) Reconciliation {
	kept := append(slices.Clone(r.Enqueues), Enqueued{Line: line, At: stamp(now)})
	for len(kept) > 1 && (kept[0].Line <= r.Reenqueue.Finished || len(kept) > maxEnqueues) {
		kept = kept[1:]
	}
	for i := len(kept) - 2; i > 0; i-- {
		if next := kept[i+1].At; next.Sub(kept[i-1].At) <= max(now.Sub(next)/4, age/10) {
			kept = slices.Delete(kept, i, i+1)
		}
	}
	r.Enqueues = kept
	return r
}

// EnqueuedAt returns a time by which line was enqueued, and false if it was not.
func (r Reconciliation) EnqueuedAt(line int) (time.Time, bool) {
	for _, e := range r.Enqueues {
		if line <= e.Line {
			return e.At, true
		}
	}
	return time.Time{}, false
}

// LowWater reports whether b, of which done requests have their outcome, has
// requests to enqueue and no more than half of its high water enqueued.
func (b *Batch) LowWater(done int) bool {
	return b.Status == StatusInProgress && b.Enqueued < b.Counts.Total && b.Enqueued-done <= b.Reconciled.HighWater/2
}

// AskDue reports whether b is to ask for requests to be enqueued: it is at low
// water, or was granted less than it wanted, and has waited.
func (b *Batch) AskDue(done int, now time.Time) bool {
	at := b.Reconciled.AskAt
	if at.IsZero() || b.Reconciled.HighWater >= MinHighWater && b.LowWater(done) {
		return b.LowWater(done)
	}
	return b.Status == StatusInProgress && b.Enqueued < b.Counts.Total && !now.Before(at)
}

// Reconcile records what a turn of b's flow saw, and the number of outcomes at
// which it wants to be woken: at low water or, if all is enqueued, at the end;
// in any case one that is not reached yet. It changes nothing in a batch that is
// sealed or has ended.
func (b *Batch) Reconcile(r Reconciliation) {
	if b.Sealed || b.Status.Terminal() {
		return
	}
	r.RecountAt = b.RecountAt
	b.Reconciled, b.Mark = r, b.Counts.Total
	if b.Enqueued < b.Counts.Total {
		b.Mark = b.Enqueued - r.HighWater/2
	}
	b.Mark = max(b.Mark, r.Done+1)
}

// Due reports whether b's flow has something to do for which it did not park:
// the counter shards have come to its mark, or a recount was asked for since.
func (b *Batch) Due(done int) bool {
	return done >= b.Mark || !b.RecountAt.Equal(b.Reconciled.RecountAt)
}

// AskRecount asks b's flow to count the requests, because an outcome was found
// that bears the time dated (zero if that is not known) and may be in no counter
// shard. It reports whether the flow is to be woken for it. An outcome that the
// last recount must have counted changes nothing. One that is counted unless two
// things went wrong (reenqueued: it was found by a message that the flow
// enqueued again; or the last recount missed it since it was stored uncommonly
// late) is left for a recount that is put off. Otherwise a recount is due, at the earliest the
// rest after the last one; one that is to come by then, and has not begun,
// serves too, and the flow is woken again if that is overdue.
func (b *Batch) AskRecount(dated time.Time, reenqueued bool, now time.Time) (wake bool) {
	counted := b.Reconciled.RecountedAt
	if b.Sealed || b.Status.Terminal() || !dated.IsZero() && dated.Add(CommitLimit).Before(counted) {
		return false
	}
	hardly := reenqueued || !dated.IsZero() && dated.Add(commitUsual).Before(counted)
	at := stamp(now)
	if due := b.RecountedAt.Add(b.recountRest()); !b.RecountedAt.IsZero() && due.After(at) {
		at = due
	}
	if hardly {
		at = stamp(now.Add(recountLate))
	}
	if b.RecountAt.After(b.RecountedAt) && !at.Before(b.RecountAt) {
		return now.Sub(b.RecountAt) >= wakeLost
	}
	b.RecountAt = at
	return at.Sub(now) <= RecountSoon
}

// RecountDue reports whether a recount was asked for and is due, or nothing has
// moved for so long that the counter shards are to be doubted.
func (b *Batch) RecountDue(done int, now time.Time) bool {
	if !b.RecountAt.IsZero() {
		return !now.Before(b.RecountAt)
	}
	rest := b.recountRest()
	return b.Reconciled.Quiescent(done, now, rest) && now.Sub(b.RecountedAt) >= rest
}

func (b *Batch) recountRest() time.Duration { return max(b.Reconciled.RecountRest, RecountRest) }

// BeginRecount records that a recount begins. Until it has ended whoever finds
// an uncounted outcome asks for another: this one may have passed it by.
func (b *Batch) BeginRecount(now time.Time) {
	b.RecountedAt = stamp(now)
	if b.RecountAt.IsZero() || b.RecountAt.After(b.RecountedAt) {
		b.RecountAt = b.RecountedAt
	}
}

// A Lag is how the counter shards stood at a recount.
type Lag int

// The lags.
const (
	LagNone Lag = iota // every outcome was in its counter shard
	LagNew             // some were not that their workers may have been about to count
	LagOld             // some were not that nobody counted for long
)

// EndRecount records that the recount begun at begun has put the counter shards
// right. If they lagged for long that is likely to go on, and the next is due
// after the least rest, as it is the first time that they lagged at all.
// Otherwise the rest doubles, up to two minutes. It changes nothing if a later
// one has begun.
func (b *Batch) EndRecount(begun time.Time, lag Lag) {
	if !b.RecountedAt.Equal(stamp(begun)) {
		return
	}
	r := &b.Reconciled
	verify := lag == LagOld || lag == LagNew && r.RecountRest == 0
	r.RecountedAt = b.RecountedAt
	switch {
	case lag == LagOld:
		r.RecountRest = 0
	case r.RecountRest == 0:
		r.RecountRest = RecountRest
	default:
		r.RecountRest = min(2*r.RecountRest, recountMost)
	}
	if b.RecountAt.After(b.RecountedAt) {
		return
	}
	if b.RecountAt = (time.Time{}); verify {
		b.RecountAt = b.RecountedAt.Add(RecountRest)
	}
}
