package execute

import (
	"slices"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// A tally is what the ledger knows of a batch.
type tally struct {
	pending    int  // messages that may bring an outcome
	inHand     int  // messages that may have brought one that is not committed
	claimed    int  // requests of it that are this worker's, or may be
	leftBehind bool // one of them stays this worker's although nothing is done with it
}

// tallies are what the ledger knows of batches.
type tallies map[batch.Ref]*tally

func (t tallies) of(ref batch.Ref) *tally {
	known, ok := t[ref]
	if !ok {
		known = &tally{}
		t[ref] = known
	}
	return known
}

// move changes j's standing.
func (t tallies) move(j *job, to standing) {
	from := j.listed.standing
	j.listed.standing = to
	known := t.of(j.ref())
	known.pending += one(to.pending()) - one(from.pending())
	known.inHand += one(to.inHand()) - one(from.inHand())
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// A ledger lists every message that this worker has received: where it stands,
// whether it is kept hidden, and in the end its fate. It forgets those that the
// worker received itself once nothing is left to do with them.
type ledger struct {
	mu      sync.Mutex
	jobs    []*job // in the order of their receipt
	inHand  map[state.Key]*job
	batches tallies
}

func newLedger() *ledger { return &ledger{inHand: map[state.Key]*job{}, batches: tallies{}} }

// enter enters a message.
func (l *ledger) enter(j *job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.jobs = append(l.jobs, j)
}

// begin says that j is under way, and to be kept hidden from now on. It reports
// false if another message of its request is in hand: j will share its fate.
func (l *ledger) begin(j *job) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	j.listed.extended = true
	if first := l.inHand[j.message.Key()]; first != nil && first != j {
		first.listed.twins = append(first.listed.twins, j)
		return false
	}
	l.inHand[j.message.Key()] = j
	l.batches.move(j, underWay)
	return true
}

// reach says that j has come to a standing.
func (l *ledger) reach(j *job, to standing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches.move(j, to)
}

// claim says that a request of ref may be this worker's.
func (l *ledger) claim(ref batch.Ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches.of(ref).claimed++
}

// lose says that it is another's.
func (l *ledger) lose(ref batch.Ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches.of(ref).claimed--
}

// settle enters j's fate, and returns the messages that share it.
func (l *ledger) settle(j *job, f fate) (twins []*job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	j.listed.fate = f
	switch f.(type) {
	case isolate:
		l.batches.move(j, idle)
		return nil
	case withhold, releaseAtEnd:
		l.batches.of(j.ref()).leftBehind = true
	case requeue, leaveHidden:
		j.listed.gone = j.own
	case acknowledge, reconcile:
	}
	if l.inHand[j.message.Key()] == j {
		delete(l.inHand, j.message.Key())
		l.batches.move(j, settled)
	}
	twins, j.listed.twins = j.listed.twins, nil
	return twins
}

// of returns what is known of ref.
func (l *ledger) of(ref batch.Ref) tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	return *l.batches.of(ref)
}

// extended returns the messages that are kept hidden, and were hidden last before
// a time.
func (l *ledger) extended(before time.Time) []*job {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.jobs = slices.DeleteFunc(l.jobs, func(j *job) bool { return j.listed.gone })
	var due []*job
	for _, j := range l.jobs {
		if j.listed.extended && j.listed.hiddenAt.Before(before) {
			due = append(due, j)
		}
	}
	return due
}

// hidden says that jobs' messages were hidden at a time.
func (l *ledger) hidden(jobs []*job, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range jobs {
		j.listed.hiddenAt = at
	}
}

// stopExtending says that jobs' messages are not kept hidden any more: others have
// them next, or, if they are acknowledged, nobody.
func (l *ledger) stopExtending(jobs ...*job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range jobs {
		j.listed.extended = false
		j.listed.gone = j.listed.gone || j.own && j.listed.fate == (acknowledge{})
	}
}

// leftovers returns the handles to show once this worker has ended, whether it has
// leases that end with it, and whether they may not.
func (l *ledger) leftovers() (released []string, leased, withheld bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.batches {
		leased = leased || t.claimed > 0
	}
	for _, j := range l.jobs {
		switch j.listed.fate.(type) {
		case releaseAtEnd:
			released = append(released, j.delivery.Handle)
		case withhold:
			withheld = true
		case acknowledge, requeue, leaveHidden, isolate, reconcile:
		}
	}
	return released, leased, withheld
}

// unacknowledged returns the ids of the event's messages that must stay in the
// queue, in order.
func (l *ledger) unacknowledged() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	gone := make(map[string]bool, len(l.jobs))
	for _, j := range l.jobs {
		if j.listed.fate == (acknowledge{}) {
			gone[j.delivery.MessageID] = true
		}
	}
	ids := []string{}
	for _, j := range l.jobs {
		if !j.own && !gone[j.delivery.MessageID] {
			ids = append(ids, j.delivery.MessageID)
		}
	}
	return ids
}
