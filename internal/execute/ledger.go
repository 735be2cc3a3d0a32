package execute

import (
	"sync"

	"github.com/musketry/musketry/internal/batch"
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
// whether it is kept hidden, and in the end its fate.
type ledger struct {
	mu       sync.Mutex
	jobs     []*job // in the order of their receipt
	isolated []*job // to be taken up after the others
	batches  tallies
}

func newLedger() *ledger { return &ledger{batches: tallies{}} }

// receive enters a message.
func (l *ledger) receive(d Delivery) *job {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := &job{delivery: d}
	l.jobs = append(l.jobs, j)
	return j
}

// begin says that j is under way, and to be kept hidden from now on.
func (l *ledger) begin(j *job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	j.listed.extended = true
	l.batches.move(j, underWay)
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

// settle enters j's fate.
func (l *ledger) settle(j *job, f fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	j.listed.fate = f
	switch f.(type) {
	case isolate:
		l.isolated = append(l.isolated, j)
		l.batches.move(j, idle)
		return
	case withhold, releaseAtEnd:
		l.batches.of(j.ref()).leftBehind = true
	case acknowledge, requeue, leaveHidden, reconcile:
	}
	l.batches.move(j, settled)
}

// of returns what is known of ref.
func (l *ledger) of(ref batch.Ref) tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	return *l.batches.of(ref)
}

// takeIsolated returns what is to be taken up alone.
func (l *ledger) takeIsolated() []*job {
	l.mu.Lock()
	defer l.mu.Unlock()
	jobs := l.isolated
	l.isolated = nil
	return jobs
}

// extended returns the handles of the messages that are kept hidden.
func (l *ledger) extended() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var handles []string
	for _, j := range l.jobs {
		if j.listed.extended {
			handles = append(handles, j.delivery.Handle)
		}
	}
	return handles
}

// stopExtending says that jobs' messages are not kept hidden any more.
func (l *ledger) stopExtending(jobs ...*job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range jobs {
		j.listed.extended = false
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

// unacknowledged returns the ids of the messages that must stay in the queue, in
// order.
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
		if !gone[j.delivery.MessageID] {
			ids = append(ids, j.delivery.MessageID)
		}
	}
	return ids
}
