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
	// againMost is how many are remembered of those that were enqueued again.
	againMost = 100
	// sampleRest is the time between two looks at a sample that moves, for
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
	// clocks differ by.
	lastShare = 40
	lastLeast = 10
	lastAge   = MediumPark - 5*time.Second
)

// expectLast returns r with the time at which the last requests of b are to be
// looked for, if all of them are enqueued and, at the pace of those before them,
// done within a medium park. It is set once, unless it is put off.
func (s steps) expectLast(b batch.Batch, r batch.Reconciliation, done int) batch.Reconciliation {
	now, left := s.Clock(), b.Counts.Total-done
	if r.Reenqueue.LastLooks >= batch.LastLooks || !r.Reenqueue.LastAt.IsZero() || b.Enqueued < b.Counts.Total || left <= 0 {
		return r
	}
	if done == 0 {
		return r
	}
	each := now.Sub(b.InProgressAt) / time.Duration(done)
	if served := done - r.FilledDone; served > 0 { // calls that end together are no pace
		each = max(each, now.Sub(r.FilledAt)/time.Duration(served))
	}
	if each*time.Duration(left) <= MediumPark {
		r.Reenqueue.LastAt = now.Add(MediumPark)
	}
	return r
}

// lastDue reports whether the last requests of a batch are to be looked for.
func (s steps) lastDue(r batch.Reenqueue) bool {
	return r.LastExpected() && !s.Clock().Before(r.LastAt)
}

// reenqueueLast enqueues those of a batch's last requests again, once, that wait
// although they should be done: a worker that died before it hid their messages
// for its own, short time has left them hidden for the queue's 16 minutes. If too
// many wait the batch is only slower than it was, and the look is put off.
func (s steps) reenqueueLast(ctx context.Context, b batch.Batch, r batch.Reenqueue) (_ batch.Reenqueue, whole bool, err error) {
	j := s.newJury(b, 0, lastAge)
	if whole, err := j.hearAll(ctx, &r); err != nil || !whole {
		return r, false, err
	}
	if len(j.waiting) > min(max(lastLeast, b.Counts.Total/lastShare), againMost-len(r.Again)) {
		r.LastAt, r.LastLooks = time.Time{}, r.LastLooks+1
		return r, true, nil
	}
	if err := j.sendAgain(ctx, j.waiting); err != nil {
		return r, false, err
	}
	r.LastLooks, r.Again = batch.LastLooks, append(r.Again, j.sent(j.waiting)...)
	return r, true, nil
}

// reenqueueDue reports whether b's requests are to be judged: some were enqueued
// so long ago that they may be lost.
func (s steps) reenqueueDue(b batch.Batch) bool {
	r, now := b.Reconciled, s.Clock()
	return len(r.Enqueues) > 0 && now.Sub(r.Enqueues[0].At) >= s.Config.Stall && !now.Before(r.Reenqueue.At)
}

func (s steps) judgeRest(b batch.Batch) time.Duration {
	return judgeRest * time.Duration(1+(b.Enqueued-b.Reconciled.Reenqueue.Finished)/judgeLines)
}

// reenqueue judges the requests that are enqueued one by one, and sends again
// the messages of those that seem lost. It returns how the search stands then;
// whole is false if time ran short. Who dies after sending sends them again.
func (s steps) reenqueue(ctx context.Context, b batch.Batch, done int) (r batch.Reenqueue, whole bool, err error) {
	r = b.Reconciled.Reenqueue
	j := s.newJury(b, done, s.Config.Stall)
	if whole, err := j.hearAll(ctx, &r); err != nil || !whole {
		return r, false, err
	}
	r, again := j.judge(r)
	if err := j.sendAgain(ctx, again); err != nil {
		return r, false, err
	}
	return r, true, nil
}

// A waiting is a request that could have been claimed for long.
type waiting struct {
	line    int
	since   time.Time // when it could first have been claimed
	again   time.Time // when it was enqueued again since; zero: it was not
	message batch.Message
}

// last returns since when the last message of w waits.
func (w waiting) last() time.Time {
	if w.again.After(w.since) {
		return w.again
	}
	return w.since
}

// A jury gathers what waits, and decides what of it is enqueued again.
type jury struct {
	steps
	batch   batch.Batch
	done    int           // outcomes
	least   time.Duration // how long what waits has waited
	now     time.Time
	moves   bool                 // requests have got their outcome lately
	held    int                  // requests that a worker holds
	resting int                  // requests whose not-before has not come
	waiting []waiting            // in the order of lines; fewer than are enqueued and unfinished
	expired map[string]time.Time // when the leases of a worker expired, of those looked up; zero: not yet
}

func (s steps) newJury(b batch.Batch, done int, least time.Duration) *jury {
	return &jury{steps: s, batch: b, done: done, least: least, now: s.Clock(), expired: map[string]time.Time{}}
}

// hearAll hears the batch's requests that are enqueued and unfinished. whole is
// false if time ran short.
func (j *jury) hearAll(ctx context.Context, r *batch.Reenqueue) (whole bool, err error) {
	prefix := true
	for rec, err := range j.walk(ctx, j.batch, r.Finished) {
		if err != nil || j.short(ctx) {
			return false, err
		}
		if rec.Spec.Key.Line > j.batch.Enqueued {
			break
		}
		if prefix = prefix && rec.Phase.Status().Terminal(); prefix {
			r.Finished = rec.Spec.Key.Line
		}
		if err := j.hear(ctx, rec); err != nil {
			return false, err
		}
	}
	return true, nil
}

// sendAgain sends the messages of requests again.
func (j *jury) sendAgain(ctx context.Context, again []waiting) error {
	out := outbox{steps: j.steps}
	for _, w := range again {
		if err := out.add(ctx, w.message); err != nil {
			return err
		}
	}
	if err := out.flush(ctx); err != nil || len(again) == 0 {
		return err
	}
	j.Log.WarnContext(ctx, "requests enqueued again", slog.String("batch", j.batch.ID),
		slog.Int("requests", len(again)), slog.Int("waiting", len(j.waiting)))
	return nil
}

// hear notes rec if it could have been claimed for so long that it is heard.
func (j *jury) hear(ctx context.Context, rec state.Record) error {
	since, err := j.since(ctx, rec)
	if err != nil {
		return err
	}
	switch {
	case rec.Phase.Status().Terminal():
		return nil
	case since.IsZero():
		j.held++
		return nil
	case since.After(j.now):
		j.resting++
		return nil
	case j.now.Sub(since) < j.least:
		return nil
	}
	m := batch.MessageOf(j.batch.Tenant, rec.Spec)
	m.Again = true
	w := waiting{line: rec.Spec.Key.Line, since: since, message: m}
	for _, e := range j.batch.Reconciled.Reenqueue.Again {
		if e.Line == w.line && e.At.After(since) {
			w.again = e.At
		}
	}
	j.waiting = append(j.waiting, w)
	return nil
}

// since returns since when rec can be claimed, its message being there, and
// the zero time if it cannot.
func (j *jury) since(ctx context.Context, rec state.Record) (since time.Time, err error) {
	switch p := rec.Phase.(type) {
	case state.Pending:
		since = p.NotBefore
	case state.Claimed:
		since, err = j.leaseExpired(ctx, p.Lease)
	case state.Processing:
		since, err = j.leaseExpired(ctx, p.Lease)
	case state.Completed, state.Failed, state.Canceled:
		return time.Time{}, nil
	}
	enqueued, ok := j.batch.Reconciled.EnqueuedAt(rec.Spec.Key.Line)
	if err != nil || !ok || since.IsZero() && rec.Phase.Status() != state.StatusPending {
		return time.Time{}, err
	}
	for _, t := range []time.Time{enqueued, j.batch.Reconciled.Reenqueue.AllAt} {
		if t.After(since) {
			since = t
		}
	}
	return since, nil
}

// leaseExpired returns when a lease came to its end, and the zero time if it
// holds.
func (j *jury) leaseExpired(ctx context.Context, l state.Lease) (time.Time, error) {
	if !j.now.Before(l.Expires) {
		return l.Expires, nil
	}
	if at, ok := j.expired[l.Worker]; ok {
		return at, nil
	}
	w, err := j.Requests.Worker(ctx, l.Worker)
	if err != nil {
		return time.Time{}, fmt.Errorf("read worker: %w", err)
	}
	var at time.Time
	switch l.Lost(w, j.now, j.Config.Stale) {
	case state.LossEnded:
		at = w.BeatAt
	case state.LossStale:
		at = w.BeatAt.Add(j.Config.Stale)
	case state.LossDead:
		at = l.Expires
	case state.LossNone:
	}
	j.expired[l.Worker] = at
	return at, nil
}

// judge decides which of the waiting requests are enqueued again.
func (j *jury) judge(r batch.Reenqueue) (batch.Reenqueue, []waiting) {
	r.At = j.now.Add(j.judgeRest(j.batch))
	r.Again = nil
	for _, w := range j.waiting {
		if !w.again.IsZero() {
			r.Again = append(r.Again, batch.Enqueued{Line: w.line, At: w.again})
		}
	}
	stuck := j.stuck(&r)
	before := len(r.Sent)
	r.Sent = j.unmoved(r)
	overdue := j.overdue(&r)
	var tried []waiting
	switch {
	case len(r.Again)+len(overdue) > againMost:
		r.AllAt, r.Sample, r.Sent, tried = j.now, 0, nil, overdue
	case r.Sample > 0:
		r, tried = j.look(r, before, overdue)
	case stuck && len(overdue) < len(j.waiting) && j.now.Sub(r.SampledAt) >= j.trialRest(r):
		r, tried = j.try(r, overdue)
	}
	if r.AllAt.Equal(j.now) {
		return r, tried
	}
	r.Again = append(r.Again, j.sent(overdue)...)
	return r, append(overdue, tried...)
}

// stuck reports whether requests wait although no worker holds any, or none of
// them, as far as is known, has moved for Stall.
func (j *jury) stuck(r *batch.Reenqueue) bool {
	waited := 0 // already when they were counted
	for _, w := range j.waiting {
		if r.WaitingAt.Sub(w.since) >= j.Config.Stall {
			waited++
		}
	}
	if r.Waiting > 0 && waited >= r.Waiting {
		return j.held == 0 || j.now.Sub(r.WaitingAt) >= j.Config.Stall
	}
	known := r.Waiting > 0
	r.Waiting, r.WaitingAt = len(j.waiting), j.now
	return len(j.waiting) > 0 && (!known || j.held == 0)
}

// trialRest returns the time between two trials. It is the shortest when all of
// the batch is enqueued and no more wait than are sampled: each of them is in the
// trial, and the batch's end waits for those that are lost.
func (j *jury) trialRest(r batch.Reenqueue) time.Duration {
	if j.batch.Enqueued >= j.batch.Counts.Total && len(j.waiting) <= j.Config.Sample {
		return trialRest
	}
	return max(r.Rest, trialRest)
}

// unmoved returns those of a trial that still wait.
func (j *jury) unmoved(r batch.Reenqueue) []batch.Enqueued {
	waits := make(map[int]bool, len(j.waiting))
	for _, w := range j.waiting {
		waits[w.line] = true
	}
	return slices.DeleteFunc(slices.Clone(r.Sent), func(e batch.Enqueued) bool {
		return !waits[e.Line]
	})
}

// overdue returns, of the requests that have waited for longer than all take that
// were enqueued at the last low water, as fast as the batch's requests are done,
// those that have waited longest: as many as the outcomes since the last time
// allow, and, once the pace is newly measured, all that have waited for patience
// times as long. Those of a trial are not among them.
func (j *jury) overdue(r *batch.Reenqueue) []waiting {
	paced := j.pace(r)
	n := (j.done - r.SpentDone) / secondShare
	if n > 0 {
		r.SpentDone = j.done
	}
	if r.Each == 0 || n == 0 && !paced {
		return nil
	}
	tried := make(map[int]bool, len(r.Sent))
	for _, e := range r.Sent {
		tried[e.Line] = true
	}
	// What waits longest waited behind more than is left now, but not behind what a
	// worker holds or what backs off.
	most := j.batch.Enqueued - j.batch.Reconciled.FilledDone - j.held - j.resting
	limit := r.Each * time.Duration(most)
	overdue := slices.DeleteFunc(slices.Clone(j.waiting), func(w waiting) bool {
		return j.now.Sub(w.last()) < max(limit, j.Config.Stall) || tried[w.line]
	})
	slices.SortStableFunc(overdue, func(a, b waiting) int { return a.last().Compare(b.last()) })
	n = min(n, againMost-len(r.Again))
	for paced && n < len(overdue) && j.now.Sub(overdue[n].last()) >= patience*limit {
		n++
	}
	return overdue[:min(n, len(overdue))]
}

// pace measures how fast the batch's requests are done, every rateTime, and
// reports whether it has, and some were.
func (j *jury) pace(r *batch.Reenqueue) bool {
	begun, served := r.PacedAt, j.done-r.PacedDone
	if begun.IsZero() {
		begun = j.batch.InProgressAt
	}
	since := j.now.Sub(begun)
	j.moves = served > 0
	if served > 0 && (since >= rateTime || r.Each == 0) {
		r.Each = since / time.Duration(served)
	}
	if since < rateTime {
		return false
	}
	r.PacedAt, r.PacedDone = j.now, j.done
	return served > 0
}

// try begins a trial with some of all that wait, evenly spread, but for those
// that are enqueued again anyway.
func (j *jury) try(r batch.Reenqueue, anyway []waiting) (batch.Reenqueue, []waiting) {
	rest := slices.DeleteFunc(slices.Clone(j.waiting), func(w waiting) bool {
		return slices.ContainsFunc(anyway, func(o waiting) bool { return o.line == w.line })
	})
	again := make([]waiting, min(j.Config.Sample, len(rest)))
	for i := range again {
		again[i] = rest[i*len(rest)/len(again)]
	}
	r.Sent, r.Sample, r.Others, r.SampledAt = j.sent(again), len(again), len(rest)-len(again), j.now
	if r.At = j.now.Add(openRest); r.Others > 0 {
		r.At = j.now.Add(sampleRest)
	}
	return r, again
}

// look looks at the sample of a trial, of which so many were left before. A new
// one leaves out those that are enqueued again anyway.
func (j *jury) look(r batch.Reenqueue, before int, anyway []waiting) (batch.Reenqueue, []waiting) {
	var beside []waiting // what waited before the trial
	for _, w := range j.waiting {
		if w.since.Before(r.SampledAt) && !w.again.Equal(r.SampledAt) {
			beside = append(beside, w)
		}
	}
	left := len(r.Sent)
	moved, movedBeside := r.Sample-left, r.Others-(len(beside)-left)
	over := j.now.Sub(r.SampledAt) >= j.trialRest(r)
	switch {
	case r.Others > 0 && moved >= max(3, r.Sample/sampleMoved) && moved*r.Others >= sampleOdds*movedBeside*r.Sample:
		r.Sample, r.Sent, r.Rest, r.AllAt = 0, nil, 0, j.now
		return r, beside
	case left == 0: // what was lost was in the sample, or the queue serves what waits
		r.Sample = 0
		return j.rest(r), nil
	case over && moved > 0 && r.Others > 0:
		r.Sample, r.Sent = 0, nil
		return j.rest(r), nil
	case over: // the sample may be lost too
		if j.moves || r.Others > 0 {
			r = j.rest(r)
		}
		return j.try(r, anyway)
	case left < before && j.now.Sub(r.SampledAt) < sampleMost:
		r.At = j.now.Add(sampleRest)
	default:
		r.At = j.now.Add(openRest)
	}
	return r, nil
}

// rest returns r after a trial that found nothing lost.
func (j *jury) rest(r batch.Reenqueue) batch.Reenqueue {
	r.Rest = min(max(2*r.Rest, 2*trialRest), trialMost)
	return r
}

func (j *jury) sent(again []waiting) []batch.Enqueued {
	sent := make([]batch.Enqueued, len(again))
	for i, w := range again {
		sent[i] = batch.Enqueued{Line: w.line, At: j.now}
	}
	return sent
}
