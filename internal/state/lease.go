package state

import (
	"slices"
	"time"
)

// A Lease gives a request to one worker. It ends when its worker is seen to
// have ended, and at the latest at Expires.
type Lease struct {
	ClaimID string    // unique over all claims ever made: the fencing token
	Worker  string    // the worker's id
	Expires time.Time // when the worker must be dead: its invocation's deadline and a margin
}

// A Worker is one invocation of execute, as its heartbeat shows it.
type Worker struct {
	ID     string
	BeatAt time.Time // the last heartbeat; zero if none was ever seen
	Ended  bool      // it ended in good order and holds nothing any more
	// LetGo are the stopping batches, by id, of which it calls nothing any more
	// and has recorded every answer that it could. Normally there are none.
	LetGo []string
}

// Commits reports whether w, unless it is dead, may still record answers of a
// batch that stops.
func (w Worker) Commits(batch string) bool {
	return !w.Ended && !slices.Contains(w.LetGo, batch)
}

// A Loss is the way in which a lease came to its end.
type Loss int

// The losses.
const (
	LossNone  Loss = iota // the lease holds
	LossEnded             // its worker ended in good order; not a reclaim that counts
	LossStale             // its worker stopped beating
	LossDead              // its worker must be dead, whatever its heartbeat says
)

// Lost reports how l came to its end by now, given its worker's heartbeat and
// the age at which a heartbeat is stale.
func (l Lease) Lost(w Worker, now time.Time, stale time.Duration) Loss {
	switch {
	case w.ID == l.Worker && w.Ended:
		return LossEnded
	case !now.Before(l.Expires):
		return LossDead
	case w.ID == l.Worker && !w.BeatAt.IsZero() && now.Sub(w.BeatAt) >= stale:
		return LossStale
	}
	return LossNone
}
