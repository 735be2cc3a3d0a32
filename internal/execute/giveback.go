package execute

import (
	"errors"
	"time"

	"github.com/musketry/musketry/internal/metric"
	"github.com/musketry/musketry/internal/state"
)

// A giver gives back requests that this worker has claimed and will not call, so
// that others need not wait for its end.
type giver struct {
	kit

	requests requests
	ledger   *ledger
	shards   *shards
	lease    state.Lease // this worker's, without a claim id
}

// give has j's request, of which no call has left, pending again by one write: it
// is no attempt, and no death of a worker. If that fails, the request stays this
// worker's. One that was never stored as such stays as it is.
func (g *giver) give(j *job) {
	lease := g.lease
	lease.ClaimID = g.shards.claimID(j.message.Batch)
	change, err := released(j.request, lease, g.clock())
	if err == nil {
		err = g.requests.apply(change)
	}
	if err != nil && !errors.Is(err, state.ErrConflict) {
		g.log.Warn("cannot give a request back", append(j.attrs(), errAttr(err))...)
		return
	}
	j.held = heldNot
	g.ledger.lose(j.ref())
	g.metrics.Count(metric.GivenBack, 1)
}

// released returns the change that gives r back, under a claim of its own.
func released(r state.Request[state.Processing], own state.Lease, now time.Time) (state.Change, error) {
	claimed, err := state.Reclaim(r, own, now, state.LossEnded)
	if err != nil {
		return state.Change{}, err
	}
	return state.Release(claimed).Change()
}
