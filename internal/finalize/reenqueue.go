package finalize

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// A request whose message is lost looks like one whose message waits in a queue
// that is long. What tells them apart is how long all take that were enqueued at
// the batch's last low water, as fast as its requests are done. In a queue with an
// order nobody waits for longer. In one without any order some do, but only one in
// 25 for three times as long. So of those that have waited for longer than all
// take, who has waited longest is enqueued again, one for 25 outcomes, whatever the
// queue is like; and all that have waited for three times as long are.
//
// Where nothing that waits moves, there is a trial: of the requests that could have
// been claimed for Stall a sample is enqueued again. If it moves while what waited
// beside it does not, that is lost, and enqueued again too. If neither moves, or
// both do, the queue is long, and the next trial comes after twice the time.
const (
	// judgeRest is the least time between two judgements, for every 10,000
	// requests that are looked at.
	judgeRest  = 30 * time.Second
	judgeLines = 10_000
	// rateTime is over how long at least outcomes are counted to know how fast
	// requests are done. What has waited for patience times as long as all take
	// that were enqueued at the last low water is lost; before that one request is
	// enqueued again for every secondShare outcomes.
	rateTime    = 10*time.Minute - judgeRest
	patience    = 3
	secondShare = 25
	// maxReenqueued is how many of those that were enqueued again are remembered.
	maxReenqueued = 100
	// sampleRest is the time between two judgements of a sample that moves, for
	// sampleMost at most; then, and if it does not move, it is openRest.
	sampleRest = MediumPark
	sampleMost = 5 * time.Minute
	openRest   = 5 * time.Minute
	// trialRest is the time between two trials, at first; trialMost is the longest.
	trialRest = 10*time.Minute - judgeRest
	trialMost = 2 * time.Hour
	// A sample says that what waits beside it is lost if a fifth of it has moved,
	// three at least, and of the others not even a sixth of that part. (In a long
	// queue without any order two messages are served twice as soon as one.)
	sampleMoved = 5
	sampleOdds  = 6
	// Of the last requests of a batch one in lastShare is enqueued again at most, or
	// lastLeast of a small one; they have waited for lastAge, a medium park less what
	// clocks differ by. Where all of them already have, lastSoon is time enough for
	// those that are only late.
	lastShare = 40
	lastLeast = 10
	lastAge   = MediumPark - 5*time.Second
	lastSoon  = 2 * ShortPark
)

// expectLast returns r with the time at which the last requests of b are to be
// judged, if all of them are enqueued and, at the pace of those before them,
// done within a medium park: after that, and the first time sooner where they were
// enqueued long ago, since then something has held the batch up. It is set once,
// unless it is put off.
func (t *turn) expectLast(b batch.Batch, r batch.Reconciliation, done int) batch.Reconciliation {
	now, remaining := t.Clock(), b.Counts.Total-done
	if r.Reenqueue.LastTries >= batch.LastTries || !r.Reenqueue.LastAt.IsZero() || b.Enqueued < b.Counts.Total || remaining <= 0 {
		return r
	}
	if done == 0 {
		return r
	}
	each := now.Sub(b.InProgressAt) / time.Duration(done)
	if served := done - r.FilledDone; served > 0 { // calls that end together are no pace
		each = max(each, now.Sub(r.FilledAt)/time.Duration(served))
	}
	if each*time.Duration(remaining) > MediumPark {
		return r
	}
	r.Reenqueue.LastAt = now.Add(MediumPark)
	if at, ok := r.EnqueuedAt(b.Enqueued); ok && now.Sub(at) >= lastAge && r.Reenqueue.LastTries == 0 {
		r.Reenqueue.LastAt = now.Add(lastSoon)
	}
	return r
}

// lastDue reports whether the last requests of a batch are to be judged.
func (t *turn) lastDue(r batch.Reenqueue) bool {
	return r.LastExpected() && !t.Clock().Before(r.LastAt)
}

// reenqueueLast enqueues those of a batch's last requests again, once, that wait
// although they should be done: a worker that died before it hid their messages
// for its own, short time has left them hidden for the queue's 16 minutes. What it
// had claimed comes by itself, and not before the wait that the upstream may have
// asked for. If too many wait the batch is only slower than it was, and that is
// put off.
func (t *turn) reenqueueLast(ctx context.Context, b batch.Batch, r batch.Reenqueue) (_ batch.Reenqueue, whole bool, err error) {
	d := t.newLossDetector(b, 0, lastAge)
	d.pendingOnly = true
	if whole, err := d.observeAll(ctx, &r); err != nil || !whole {
		return r, false, err
	}
	if len(d.waiting) > min(max(lastLeast, b.Counts.Total/lastShare), maxReenqueued-len(r.Reenqueued)) {
		r.LastAt, r.LastTries = time.Time{}, r.LastTries+1
		return r, true, nil
	}
	if err := d.sendAll(ctx, d.waiting); err != nil {
		return r, false, err
	}
	r.LastTries, r.Reenqueued = batch.LastTries, append(r.Reenqueued, d.enqueued(d.waiting)...)
	return r, true, nil
}

// reenqueueDue reports whether b's requests are to be judged: some were enqueued
// so long ago that they may be lost.
func (t *turn) reenqueueDue(b batch.Batch) bool {
	r, now := b.Reconciled, t.Clock()
	return len(r.Enqueues) > 0 && now.Sub(r.Enqueues[0].At) >= t.Config.Stall && !now.Before(r.Reenqueue.At)
}

func (t *turn) judgeRest(b batch.Batch) time.Duration {
	return judgeRest * time.Duration(1+(b.Enqueued-b.Reconciled.Reenqueue.Finished)/judgeLines)
}

// reenqueue judges the requests that are enqueued one by one, and sends again
// the messages of those that seem lost. It returns how the search stands then;
// whole is false if time ran short. Who dies after sending sends them again.
func (t *turn) reenqueue(ctx context.Context, b batch.Batch, done int) (r batch.Reenqueue, whole bool, err error) {
	r = b.Reconciled.Reenqueue
	d := t.newLossDetector(b, done, t.Config.Stall)
	if whole, err := d.observeAll(ctx, &r); err != nil || !whole {
		return r, false, err
	}
	r, lost := d.decide(r)
	if err := d.sendAll(ctx, lost); err != nil {
		return r, false, err
	}
	return r, true, nil
}

// A waiting is a request that could have been claimed for long.
type waiting struct {
	line    int
	since   time.Time // when it could first have been claimed
	message batch.Message

	reenqueuedAt time.Time // zero: it was not since
}

// last returns since when the last message of w waits.
func (w waiting) last() time.Time {
	if w.reenqueuedAt.After(w.since) {
		return w.reenqueuedAt
	}
	return w.since
}

// A lossDetector gathers what waits, and decides what of it is lost and enqueued
// again.
type lossDetector struct {
	*turn
	batch   batch.Batch
	done    int           // outcomes
	least   time.Duration // how long what waits has waited
	now     time.Time
	moves   bool                 // requests have got their outcome lately
	claimed int                  // requests that a worker has
	resting int                  // requests whose not-before has not come
	waiting []waiting            // in the order of lines; fewer than are enqueued and unfinished
	expired map[string]time.Time // when the leases of a worker expired, of those looked up; zero: not yet

	pendingOnly bool // what was claimed is passed over, though its lease has expired
}

func (t *turn) newLossDetector(b batch.Batch, done int, least time.Duration) *lossDetector {
	return &lossDetector{turn: t, batch: b, done: done, least: least, now: t.Clock(), expired: map[string]time.Time{}}
}

// observeAll observes the batch's requests that are enqueued and unfinished. whole is
// false if time ran short.
func (d *lossDetector) observeAll(ctx context.Context, r *batch.Reenqueue) (whole bool, err error) {
	prefix := true
	for rec, err := range d.walk(ctx, d.batch, r.Finished) {
		if err != nil || d.short(ctx) {
			return false, err
		}
		if rec.Spec.Key.Line > d.batch.Enqueued {
			break
		}
		if prefix = prefix && rec.Phase.Status().Terminal(); prefix {
			r.Finished = rec.Spec.Key.Line
		}
		if err := d.observe(ctx, rec); err != nil {
			return false, err
		}
	}
	return true, nil
}

// sendAll sends the messages of requests again.
func (d *lossDetector) sendAll(ctx context.Context, lost []waiting) error {
	out := outbox{turn: d.turn}
	for _, w := range lost {
		if err := out.add(ctx, w.message); err != nil {
			return err
		}
	}
	if err := out.flush(ctx); err != nil || len(lost) == 0 {
		return err
	}
	d.Log.WarnContext(ctx, "requests enqueued again", slog.String("batch", d.batch.ID),
		slog.Int("requests", len(lost)), slog.Int("waiting", len(d.waiting)))
	return nil
}

// observe notes rec if it could have been claimed for at least that long.
func (d *lossDetector) observe(ctx context.Context, rec state.Record) error {
	if d.pendingOnly && rec.Phase.Status() != state.StatusPending {
		return nil
	}
	since, err := d.since(ctx, rec)
	if err != nil {
		return err
	}
	switch {
	case rec.Phase.Status().Terminal():
		return nil
	case since.IsZero():
		d.claimed++
		return nil
	case since.After(d.now):
		d.resting++
		return nil
	case d.now.Sub(since) < d.least:
		return nil
	}
	m := batch.MessageOf(d.batch.Tenant, rec.Spec)
	m.Reenqueued = true
	w := waiting{line: rec.Spec.Key.Line, since: since, message: m}
	for _, e := range d.batch.Reconciled.Reenqueue.Reenqueued {
		if e.Line == w.line && e.At.After(since) {
			w.reenqueuedAt = e.At
		}
	}
	d.waiting = append(d.waiting, w)
	return nil
}

// since returns since when rec can be claimed, its message being there, and
// the zero time if it cannot.
func (d *lossDetector) since(ctx context.Context, rec state.Record) (since time.Time, err error) {
	switch p := rec.Phase.(type) {
	case state.Pending:
		since = p.NotBefore
	case state.Claimed:
		since, err = d.leaseExpired(ctx, p.Lease)
	case state.Processing:
		since, err = d.leaseExpired(ctx, p.Lease)
	case state.Completed, state.Failed, state.Canceled:
		return time.Time{}, nil
	}
	enqueued, ok := d.batch.Reconciled.EnqueuedAt(rec.Spec.Key.Line)
	if err != nil || !ok || since.IsZero() && rec.Phase.Status() != state.StatusPending {
		return time.Time{}, err
	}
	for _, t := range []time.Time{enqueued, d.batch.Reconciled.Reenqueue.AllAt} {
		if t.After(since) {
			since = t
		}
	}
	return since, nil
}

// leaseExpired returns when a lease came to its end, and the zero time if it
// holds.
func (d *lossDetector) leaseExpired(ctx context.Context, l state.Lease) (time.Time, error) {
	if !d.now.Before(l.Expires) {
		return l.Expires, nil
	}
	if at, ok := d.expired[l.Worker]; ok {
		return at, nil
	}
	w, err := d.Requests.Worker(ctx, l.Worker)
	if err != nil {
		return time.Time{}, fmt.Errorf("read worker: %w", err)
	}
	var at time.Time
	switch l.Lost(w, d.now, d.Config.Stale) {
	case state.LossEnded:
		at = w.BeatAt
	case state.LossStale:
		at = w.BeatAt.Add(d.Config.Stale)
	case state.LossDead:
		at = l.Expires
	case state.LossNone:
	}
	d.expired[l.Worker] = at
	return at, nil
}

// decide says which of the waiting requests are enqueued again.
func (d *lossDetector) decide(r batch.Reenqueue) (batch.Reenqueue, []waiting) {
	r.At = d.now.Add(d.judgeRest(d.batch))
	r.Reenqueued = nil
	for _, w := range d.waiting {
		if !w.reenqueuedAt.IsZero() {
			r.Reenqueued = append(r.Reenqueued, batch.Enqueued{Line: w.line, At: w.reenqueuedAt})
		}
	}
	stuck := d.stuck(&r)
	before := len(r.Unmoved)
	r.Unmoved = d.unmoved(r)
	overdue := d.overdue(&r)
	var tried []waiting
	switch {
	case len(r.Reenqueued)+len(overdue) > maxReenqueued:
		r.AllAt, r.Sample, r.Unmoved, tried = d.now, 0, nil, overdue
	case r.Sample > 0:
		r, tried = d.judgeTrial(r, before, overdue)
	case stuck && len(overdue) < len(d.waiting) && d.now.Sub(r.SampledAt) >= d.trialRest(r):
		r, tried = d.beginTrial(r, overdue)
	}
	if r.AllAt.Equal(d.now) {
		return r, tried
	}
	r.Reenqueued = append(r.Reenqueued, d.enqueued(overdue)...)
	return r, append(overdue, tried...)
}

// stuck reports whether requests wait although no worker holds any, or none of
// them, as far as is known, has moved for Stall.
func (d *lossDetector) stuck(r *batch.Reenqueue) bool {
	waited := 0 // already when they were counted
	for _, w := range d.waiting {
		if r.WaitingAt.Sub(w.since) >= d.Config.Stall {
			waited++
		}
	}
	if r.Waiting > 0 && waited >= r.Waiting {
		return d.claimed == 0 || d.now.Sub(r.WaitingAt) >= d.Config.Stall
	}
	known := r.Waiting > 0
	r.Waiting, r.WaitingAt = len(d.waiting), d.now
	return len(d.waiting) > 0 && (!known || d.claimed == 0)
}

// trialRest returns the time between two trials. It is the shortest when all of
// the batch is enqueued and no more wait than are sampled: each of them is in the
// trial, and the batch's end waits for those that are lost.
func (d *lossDetector) trialRest(r batch.Reenqueue) time.Duration {
	if d.batch.Enqueued >= d.batch.Counts.Total && len(d.waiting) <= d.Config.Sample {
		return trialRest
	}
	return max(r.Rest, trialRest)
}

// unmoved returns those of a trial that still wait.
func (d *lossDetector) unmoved(r batch.Reenqueue) []batch.Enqueued {
	waits := make(map[int]bool, len(d.waiting))
	for _, w := range d.waiting {
		waits[w.line] = true
	}
	return slices.DeleteFunc(slices.Clone(r.Unmoved), func(e batch.Enqueued) bool {
		return !waits[e.Line]
	})
}

// overdue returns, of the requests that have waited for longer than all take that
// were enqueued at the last low water, as fast as the batch's requests are done,
// those that have waited longest: as many as the outcomes since the last time
// allow, and, once the pace is newly measured, all that have waited for patience
// times as long. Those of a trial are not among them.
func (d *lossDetector) overdue(r *batch.Reenqueue) []waiting {
	paced := d.pace(r)
	n := (d.done - r.SpentDone) / secondShare
	if n > 0 {
		r.SpentDone = d.done
	}
	if r.Each == 0 || n == 0 && !paced {
		return nil
	}
	tried := make(map[int]bool, len(r.Unmoved))
	for _, e := range r.Unmoved {
		tried[e.Line] = true
	}
	// What waits longest waited behind more than is left now, but not behind what a
	// worker holds or what backs off.
	most := d.batch.Enqueued - d.batch.Reconciled.FilledDone - d.claimed - d.resting
	limit := r.Each * time.Duration(most)
	overdue := slices.DeleteFunc(slices.Clone(d.waiting), func(w waiting) bool {
		return d.now.Sub(w.last()) < max(limit, d.Config.Stall) || tried[w.line]
	})
	slices.SortStableFunc(overdue, func(a, b waiting) int { return a.last().Compare(b.last()) })
	n = min(n, maxReenqueued-len(r.Reenqueued))
	for paced && n < len(overdue) && d.now.Sub(overdue[n].last()) >= patience*limit {
		n++
	}
	return overdue[:min(n, len(overdue))]
}

// pace measures how fast the batch's requests are done, every rateTime, and
// reports whether it has, and some were.
func (d *lossDetector) pace(r *batch.Reenqueue) bool {
	begun, served := r.PacedAt, d.done-r.PacedDone
	if begun.IsZero() {
		begun = d.batch.InProgressAt
	}
	since := d.now.Sub(begun)
	d.moves = served > 0
	if served > 0 && (since >= rateTime || r.Each == 0) {
		r.Each = since / time.Duration(served)
	}
	if since < rateTime {
		return false
	}
	r.PacedAt, r.PacedDone = d.now, d.done
	return served > 0
}

// beginTrial begins one with some of all that wait, evenly spread, but for those
// that are enqueued again anyway.
func (d *lossDetector) beginTrial(r batch.Reenqueue, anyway []waiting) (batch.Reenqueue, []waiting) {
	rest := slices.DeleteFunc(slices.Clone(d.waiting), func(w waiting) bool {
		return slices.ContainsFunc(anyway, func(o waiting) bool { return o.line == w.line })
	})
	sample := make([]waiting, min(d.Config.Sample, len(rest)))
	for i := range sample {
		sample[i] = rest[i*len(rest)/len(sample)]
	}
	r.Unmoved, r.Sample, r.Others, r.SampledAt = d.enqueued(sample), len(sample), len(rest)-len(sample), d.now
	if r.At = d.now.Add(openRest); r.Others > 0 {
		r.At = d.now.Add(sampleRest)
	}
	return r, sample
}

// judgeTrial judges a trial, of whose sample so many had not moved before. A new
// one leaves out those that are enqueued again anyway.
func (d *lossDetector) judgeTrial(r batch.Reenqueue, before int, anyway []waiting) (batch.Reenqueue, []waiting) {
	var beside []waiting // what waited before the trial
	for _, w := range d.waiting {
		if w.since.Before(r.SampledAt) && !w.reenqueuedAt.Equal(r.SampledAt) {
			beside = append(beside, w)
		}
	}
	unmoved := len(r.Unmoved)
	moved, movedBeside := r.Sample-unmoved, r.Others-(len(beside)-unmoved)
	ended := d.now.Sub(r.SampledAt) >= d.trialRest(r)
	switch {
	case r.Others > 0 && moved >= max(3, r.Sample/sampleMoved) && moved*r.Others >= sampleOdds*movedBeside*r.Sample:
		r.Sample, r.Unmoved, r.Rest, r.AllAt = 0, nil, 0, d.now
		return r, beside
	case unmoved == 0: // what was lost was in the sample, or the queue serves what waits
		r.Sample = 0
		return d.backOff(r), nil
	case ended && moved > 0 && r.Others > 0:
		r.Sample, r.Unmoved = 0, nil
		return d.backOff(r), nil
	case ended: // the sample may be lost too
		if d.moves || r.Others > 0 {
			r = d.backOff(r)
		}
		return d.beginTrial(r, anyway)
	case unmoved < before && d.now.Sub(r.SampledAt) < sampleMost:
		r.At = d.now.Add(sampleRest)
	default:
		r.At = d.now.Add(openRest)
	}
	return r, nil
}

// backOff returns r after a trial that found nothing lost.
func (d *lossDetector) backOff(r batch.Reenqueue) batch.Reenqueue {
	r.Rest = min(max(2*r.Rest, 2*trialRest), trialMost)
	return r
}

func (d *lossDetector) enqueued(now []waiting) []batch.Enqueued {
	enqueued := make([]batch.Enqueued, len(now))
	for i, w := range now {
		enqueued[i] = batch.Enqueued{Line: w.line, At: d.now}
	}
	return enqueued
}
