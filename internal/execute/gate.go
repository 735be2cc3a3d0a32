package execute

import (
	"sync/atomic"
	"time"
)

// A gate says whether a call may start. It is asked before each claim and again
// before each call.
type gate struct {
	clock     func() time.Time
	heartbeat *heartbeat
	durations *durations
	stopAt    time.Time     // when this worker's calls are aborted
	limit     time.Duration // of one attempt
	unfit     atomic.Int64  // how many calls did not fit any more since one did
}

// mostUnfit is how many requests are seen one after another for which there is no
// time, before this worker receives no more. One of another kind than all others
// does not end its receives, nor those of the next worker that has it.
const mostUnfit = 50

// open returns nil if a call of j, one of b's, is allowed now, and can be expected
// to end in time if it starts as long after as ahead: it may take three times as
// long as the longest of its model's last answers. A call that a worker has
// aborted for want of time must have all its limit.
func (g *gate) open(b *polled, j *job, ahead time.Duration) error {
	now, record := g.clock(), b.last()
	if err := stopOf(record, now); err != nil {
		return err
	}
	if err := endOf(b.ctx); err != nil { // its parent's end is this worker's
		return err
	}
	if !g.heartbeat.alive() {
		return end(causeWorkerStopping)
	}
	if now.Add(min(g.need(j)+ahead, record.Deadline.Sub(now))).After(g.stopAt) {
		g.unfit.Add(1)
		return end(causeNoTime)
	}
	if ahead == 0 {
		g.unfit.Store(0)
	}
	return nil
}

// need returns the time that a call of j must have before this worker stops.
func (g *gate) need(j *job) time.Duration {
	switch {
	case j.aborted:
		return g.limit
	case j.input.Model == "": // not known before its line is read
		return g.durations.least(g.limit)
	}
	return g.durations.of(j.input.Model, g.limit)
}

// closing reports whether hardly a call may start any more.
func (g *gate) closing(now time.Time) bool {
	return g.unfit.Load() >= mostUnfit || !g.heartbeat.alive() || now.Add(g.durations.least(g.limit)).After(g.stopAt)
}
