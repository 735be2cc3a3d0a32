package execute

import (
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// A gate says whether a call may start. It is asked before each claim and again
// before each call.
type gate struct {
	clock     func() time.Time
	heartbeat *heartbeat
	stopAt    time.Time     // when this worker's calls are aborted
	limit     time.Duration // of one attempt
}

// open returns nil if a call of b that starts now is allowed, and has time to
// run to its limit.
func (g *gate) open(b *polled) error {
	now, record := g.clock(), b.last()
	if err := stopOf(record, now); err != nil {
		return err
	}
	if err := endOf(b.ctx); err != nil { // its parent's end is this worker's
		return err
	}
	if !g.heartbeat.alive() || now.Add(g.limitOf(record, now)).After(g.stopAt) {
		return end(causeWorkerStopping)
	}
	return nil
}

// limitOf returns the time limit of an attempt that starts at now.
func (g *gate) limitOf(b batch.Batch, now time.Time) time.Duration {
	return min(g.limit, b.Deadline.Sub(now))
}
