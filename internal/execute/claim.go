package execute

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

const (
	// maxRaces is how many winners of a lost claim are followed before the
	// message is put back.
	maxRaces = 4
	// suspect is the number of reclaims from which a request runs alone.
	suspect = 2
	// maxDeaths is how many workers may die over a request.
	maxDeaths = 5
)

// A hold is a request claimed by this worker, not yet stored.
type hold struct {
	request state.Request[state.Claimed]
	deaths  int        // workers that have died over it
	loss    state.Loss // how its last lease ended; LossNone if it was pending
	late    *lateRetry // it is not claimed, since no retry of it may start any more
}

// A lateRetry is a retry to be denied under a claim id of its own.
type lateRetry struct {
	request state.Request[state.Pending]
	claimID string
}

// seize makes j's request this worker's and stores it as processing, in one
// write. A request that cannot be called gets its outcome instead.
func (r *run) seize(j *job) (state.Request[state.Processing], *outcome, error) {
	var none state.Request[state.Processing]
	rec := j.record
	for range maxRaces {
		h, err := r.claim(j, rec)
		if err != nil {
			return none, nil, err
		}
		if o := r.hopeless(j, h); o != nil {
			return none, o, nil
		}
		started, err := r.start(j, h)
		var lost *state.ConflictError
		if !errors.As(err, &lost) {
			return started, nil, err
		}
		r.Metrics.Count("claim_conflicts_total", 1)
		if rec = lost.Winner; rec.Phase == nil {
			return none, nil, r.absent(j)
		}
	}
	return none, nil, aside(r.jitter(unsure), "others were first, again and again")
}

// start stores h as processing. If that fails, no call may be made.
func (r *run) start(j *job, h hold) (state.Request[state.Processing], error) {
	var none state.Request[state.Processing]
	if _, _, err := r.watch.get(j.ref()); err != nil { // it may have waited for its turn for long
		return none, err
	}
	if err := r.mayStart(j.watched); err != nil {
		return none, r.unclaimed(err)
	}
	started, err := state.Start(h.request, r.Clock())
	if err != nil {
		return none, r.refused(err, h.request.Phase())
	}
	change, err := started.Change()
	if err != nil {
		return none, err
	}
	j.watched.claims(true) // or it may have: an error need not mean that it has not
	if err := r.apply(change); err != nil {
		return none, err
	}
	if h.loss != state.LossNone {
		r.log.Info("reclaimed", append(j.attrs(), slog.Int("deaths", h.deaths))...)
		r.Metrics.Count("reclaims_total", 1, "loss", lossName(h.loss))
	}
	return started.Stored(), nil
}

// apply makes a change durable.
func (r *run) apply(c state.Change) error {
	return r.persist(opLimit, func(ctx context.Context) error {
		return r.Requests.Apply(ctx, c)
	})
}

// claim gives rec's request to this worker if it may be claimed. Otherwise its
// error says what becomes of the message: errDone, errAlone or an aside.
func (r *run) claim(j *job, rec state.Record) (hold, error) {
	lease := state.Lease{ClaimID: r.cells.claimID(j.message.Batch), Worker: r.id, Expires: r.expires}
	switch p := rec.Phase.(type) {
	case state.Completed, state.Failed, state.Canceled:
		j.record = rec
		return hold{}, errDone
	case state.Pending:
		if p.Reclaims >= suspect && !j.alone {
			return hold{}, errAlone
		}
		pending, err := state.As[state.Pending](rec)
		if err != nil {
			return hold{}, err
		}
		claimed, err := state.Claim(pending, lease, r.Clock())
		if errors.Is(err, state.ErrDeadline) && r.Clock().Before(rec.Spec.Deadline) {
			return hold{deaths: p.Reclaims, late: &lateRetry{pending, lease.ClaimID}}, nil
		}
		if err != nil {
			return hold{}, r.refused(err, p)
		}
		return hold{request: claimed, deaths: p.Reclaims}, nil
	case state.Claimed:
		return reclaim[state.Claimed](r, j, rec, p.Lease, lease)
	case state.Processing:
		return reclaim[state.Processing](r, j, rec, p.Lease, lease)
	}
	return hold{}, fmt.Errorf("execute: line %d of %s has no state", rec.Spec.Key.Line, rec.Spec.Key.Batch)
}

// reclaim gives a request whose lease old has run out to this worker.
func reclaim[S state.Leased](r *run, j *job, rec state.Record, old, lease state.Lease) (hold, error) {
	held, err := state.As[S](rec)
	if err != nil {
		return hold{}, err
	}
	holder, err := r.holder(old.Worker)
	if err != nil {
		return hold{}, err
	}
	now := r.Clock()
	loss := old.Lost(holder, now, r.cfg.Stale)
	if loss == state.LossNone {
		return hold{}, aside(r.jitter(min(old.Expires.Sub(now), r.cfg.Stale)), "another worker holds it")
	}
	claimed, err := state.Reclaim(held, lease, now, loss)
	if err != nil {
		return hold{}, r.refused(err, rec.Phase)
	}
	deaths := claimed.Phase().Reclaims
	if deaths < maxDeaths && !now.Before(rec.Spec.StartUntil(claimed.Phase().Attempt)) {
		return hold{deaths: deaths, loss: loss, late: &lateRetry{state.Release(claimed), lease.ClaimID}}, nil
	}
	if deaths >= suspect && deaths < maxDeaths && !j.alone {
		return hold{}, errAlone
	}
	return hold{request: claimed, deaths: deaths, loss: loss}, nil
}

// holder reads a worker's heartbeat.
func (r *run) holder(id string) (state.Worker, error) {
	var w state.Worker
	err := r.persist(opLimit, func(ctx context.Context) error {
		var err error
		w, err = r.Workers.Worker(ctx, id)
		return err
	})
	return w, err
}

// refused says what becomes of a message whose request a transition refused.
func (r *run) refused(err error, p state.Phase) error {
	waiting, ok := p.(state.Pending)
	switch {
	case errors.Is(err, state.ErrTooEarly) && ok:
		return aside(waiting.NotBefore.Sub(r.Clock()), "its backoff is not over")
	case errors.Is(err, state.ErrDeadline):
		return aside(r.jitter(unsure), "its deadline has passed")
	}
	return err
}

// mayStart returns nil if a call that starts now is allowed, and has time to
// run to its limit. It is asked before each claim and again before each call.
func (r *run) mayStart(w *watched) error {
	now, b := r.Clock(), w.last()
	if err := gate(b, now); err != nil {
		return err
	}
	if cause := context.Cause(w.ctx); cause != nil { // its parent is r.calls
		return cause
	}
	if !r.heart.alive() {
		return errLost
	}
	if now.Add(r.limitOf(b, now)).After(r.stopAt) {
		return errNoTime
	}
	return nil
}

// limitOf returns the time limit of an attempt that starts at now.
func (r *run) limitOf(b batch.Batch, now time.Time) time.Duration {
	return min(r.limit, b.Deadline.Sub(now))
}

func lossName(l state.Loss) string {
	switch l {
	case state.LossEnded:
		return "ended"
	case state.LossStale:
		return "stale"
	case state.LossDead:
		return "dead"
	case state.LossNone:
	}
	return "none"
}
