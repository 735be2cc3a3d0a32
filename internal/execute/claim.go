package execute

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/musketry/musketry/internal/metric"
	"github.com/musketry/musketry/internal/state"
)

const (
	// maxRaces is how many winners of a lost claim are followed before the
	// message is put back.
	maxRaces = 4
	// suspectThreshold is the number of reclaims from which a request runs beside
	// few others of its kind, and poisonThreshold that from which it runs isolated:
	// when a whole fleet dies, all that it held is reclaimed.
	suspectThreshold, poisonThreshold = 2, 3
	// maxSuspects is how many suspects a worker runs at once.
	maxSuspects = 10
	// maxDeaths is how many workers may die over a request.
	maxDeaths = 5
)

// claims make requests this worker's.
type claims struct {
	kit

	requests  requests
	workers   Workers
	batches   *poller
	ledger    *ledger
	gate      *gate
	shards    *shards
	calls     context.Context // bounds the wait of a suspect
	suspects  *suspects
	isolation *isolation
	lease     state.Lease // this worker's, without a claim id
	stale     time.Duration
}

// A claim is a request claimed by this worker, not yet stored.
type claim struct {
	request state.Request[state.Claimed]
	deaths  int        // workers that have died over it
	loss    state.Loss // how its last lease ended; LossNone if it was pending
	late    *lateRetry // it is not claimed, since no retry of it may start any more
}

// start claims j's request and stores it as processing, in one optimistic write.
// A request that is not worth a call gets its outcome instead.
func (c *claims) start(j *job) (state.Request[state.Processing], result) {
	var none state.Request[state.Processing]
	if j.bad != nil { // the line cannot say whose outcome it is; the request does
		if err := c.look(j); err != nil {
			return none, halted{err}
		}
	}
	rec := j.record
	for range maxRaces {
		own, err := c.claim(j, rec)
		if err != nil {
			return none, halted{err}
		}
		if o := c.withoutCall(j, own); o != nil {
			return none, o
		}
		started, err := c.store(j, own)
		if err == nil {
			return started, nil
		}
		lost, ok := errors.AsType[*state.ConflictError](err)
		if !ok {
			return none, halted{err}
		}
		c.ledger.lose(j.ref())
		j.held = heldNot
		c.metrics.Count(metric.ClaimConflicts, 1)
		if rec = lost.Winner; rec.Phase == nil {
			return none, halted{c.missing(j)}
		}
	}
	return none, halted{end(causeOutrun)}
}

// look reads j's request and returns nil if it can be claimed.
func (c *claims) look(j *job) error {
	rec, err := c.requests.read(j)
	if errors.Is(err, state.ErrNotFound) {
		return c.missing(j)
	}
	if err != nil {
		return err
	}
	j.record = rec
	_, err = c.claim(j, rec)
	return err
}

// missing returns why j, whose request is missing, goes no further: its batch
// has ended, or it has no such request.
func (c *claims) missing(j *job) error {
	if _, err := c.batches.read(c.batches.entry(j.ref())); isCause(err, causeBatchEnded) {
		return err
	}
	return end(causeMissing)
}

// claim gives rec's request to this worker if it may be claimed. Otherwise its
// error ends the message's way.
func (c *claims) claim(j *job, rec state.Record) (claim, error) {
	lease := c.lease
	lease.ClaimID = c.shards.claimID(j.message.Batch)
	switch p := rec.Phase.(type) {
	case state.Completed, state.Failed, state.Canceled:
		j.record = rec
		return claim{}, end(causeRequestEnded)
	case state.Pending:
		if err := c.beside(j, p.Reclaims); err != nil {
			return claim{}, err
		}
		pending, err := state.As[state.Pending](rec)
		if err != nil {
			return claim{}, err
		}
		claimed, err := state.Claim(pending, lease, c.clock())
		if errors.Is(err, state.ErrDeadline) && c.clock().Before(rec.Spec.Deadline) {
			return claim{deaths: p.Reclaims, late: &lateRetry{pending, lease.ClaimID}}, nil
		}
		if err != nil {
			return claim{}, refused(err, p, c.clock())
		}
		return claim{request: claimed, deaths: p.Reclaims}, nil
	case state.Claimed:
		return reclaim[state.Claimed](c, j, rec, p.Lease, lease)
	case state.Processing:
		return reclaim[state.Processing](c, j, rec, p.Lease, lease)
	}
	return claim{}, fmt.Errorf("execute: line %d of %s has no state", rec.Spec.Key.Line, rec.Spec.Key.Batch)
}

// reclaim gives a request whose lease old has run out to this worker.
func reclaim[S state.Leased](c *claims, j *job, rec state.Record, old, lease state.Lease) (claim, error) {
	held, err := state.As[S](rec)
	if err != nil {
		return claim{}, err
	}
	holder, err := c.holder(old.Worker)
	if err != nil {
		return claim{}, err
	}
	now := c.clock()
	loss := old.Lost(holder, now, c.stale)
	if loss == state.LossNone {
		return claim{}, endFor(causeLeased, min(old.Expires.Sub(now), c.untilStale(holder, now)))
	}
	claimed, err := state.Reclaim(held, lease, now, loss)
	if err != nil {
		return claim{}, refused(err, rec.Phase, now)
	}
	deaths := claimed.Phase().Reclaims
	if deaths < maxDeaths && !now.Before(rec.Spec.StartUntil(claimed.Phase().Attempt)) {
		return claim{deaths: deaths, loss: loss, late: &lateRetry{state.Release(claimed), lease.ClaimID}}, nil
	}
	if deaths < maxDeaths {
		if err := c.beside(j, deaths); err != nil {
			return claim{}, err
		}
	}
	j.aborted = loss == state.LossEnded
	return claim{request: claimed, deaths: deaths, loss: loss}, nil
}

// beside returns nil if j, whose request was reclaimed so often, may run now
// beside what else does.
func (c *claims) beside(j *job, reclaims int) error {
	switch {
	case reclaims < suspectThreshold, j.isolated, j.suspect && reclaims < poisonThreshold:
		return nil
	case reclaims < poisonThreshold && c.suspects.acquire(c.calls):
		j.suspect = true
		return nil
	case reclaims >= poisonThreshold && c.isolation.may(j):
		return end(causePoison)
	}
	return endFor(causeSuspect, suspectRest(j.delivery.Receives))
}

// suspects are those that run, and as many that wait for one of them to end: who
// goes back to the queue comes back to the same busy worker.
type suspects struct {
	running *semaphore.Weighted
	waiting atomic.Int64
}

func newSuspects() *suspects { return &suspects{running: semaphore.NewWeighted(maxSuspects)} }

// acquire reports whether one more may run. It waits if few others do.
func (s *suspects) acquire(ctx context.Context) bool {
	if s.running.TryAcquire(1) {
		return true
	}
	defer s.waiting.Add(-1)
	return s.waiting.Add(1) <= maxSuspects && s.running.Acquire(ctx, 1) == nil
}

// suspectRest returns how long a message rests whose request cannot run now, but
// could in any other worker: a second, and from the tenth receive on a second more
// each time. Where calls are long, many of them wait for long, and each receive
// costs; so may the 1,000 after which SQS takes a message for dead.
func suspectRest(receives int) time.Duration {
	const patient, longest = 10, 30
	return time.Duration(min(max(receives-patient, 1), longest)) * time.Second
}

// release lets another suspect run instead of j, if it is one.
func (c *claims) release(j *job) {
	if j.suspect {
		j.suspect = false
		c.suspects.running.Release(1)
	}
}

// untilStale returns when a worker's heartbeat is stale should no other come, a
// little later, since clocks differ.
func (c *claims) untilStale(w state.Worker, now time.Time) time.Duration {
	const slack = 2 * time.Second
	if w.BeatAt.IsZero() {
		return c.stale
	}
	return max(w.BeatAt.Add(c.stale).Sub(now), 0) + slack
}

// holder reads a worker's heartbeat.
func (c *claims) holder(id string) (state.Worker, error) {
	var w state.Worker
	err := c.persist(opLimit, func(ctx context.Context) error {
		var err error
		w, err = c.workers.Worker(ctx, id)
		return err
	})
	return w, err
}

// refused returns why a message goes no further whose request a transition
// refused.
func refused(err error, p state.Phase, now time.Time) error {
	waiting, ok := p.(state.Pending)
	switch {
	case errors.Is(err, state.ErrTooEarly) && ok:
		return endFor(causeBackoff, waiting.NotBefore.Sub(now))
	case errors.Is(err, state.ErrDeadline):
		return end(causeOverdue)
	}
	return err
}

// withoutCall returns the outcome of a request that is not worth a call: a retry
// that comes too late, one over which too many workers died, or whose line
// cannot be sent.
func (c *claims) withoutCall(j *job, own claim) *outcome {
	switch {
	case own.late != nil:
		c.denied(c.modelLabel(j.input.Model), state.DenialDeadline)
		return tooLate(*own.late, j.input.Model, c.clock())
	case own.deaths >= maxDeaths:
		return uncalled(own.request, state.TaskTerminated{Deaths: own.deaths}, c.clock())
	case j.bad != nil:
		return uncalled(own.request, unsendable(j.bad), c.clock())
	}
	return nil
}

// store stores own as processing. If that fails, no call may be made.
func (c *claims) store(j *job, own claim) (state.Request[state.Processing], error) {
	var none state.Request[state.Processing]
	polled, _, err := c.batches.get(j.ref()) // it may have waited for its turn for long
	if err != nil {
		return none, err
	}
	if err := c.gate.open(polled, j, placeWait); err != nil {
		return none, err
	}
	started, err := state.Start(own.request, c.clock())
	if err != nil {
		return none, refused(err, own.request.Phase(), c.clock())
	}
	change, err := started.Change()
	if err != nil {
		return none, err
	}
	c.ledger.claim(j.ref())
	j.held, j.request = heldUncalled, started.Stored() // or it may be: an error need not mean that it is not
	if err := c.requests.apply(change); err != nil {
		return none, err
	}
	if own.loss != state.LossNone {
		c.log.Info("reclaimed", append(j.attrs(), slog.Int("deaths", own.deaths))...)
		c.metrics.Count(metric.Reclaims, 1, "loss", lossName(own.loss))
	}
	return started.Stored(), nil
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
