package execute

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/metric"
)

const (
	// gatherFor is how long a route's jobs are gathered, so that who comes at one
	// instant is in one update, in an order that does not depend on who was first.
	gatherFor = 5 * time.Millisecond
	// limitLimit bounds an update of a route's record. Slots end 20 s after they were
	// renewed.
	limitLimit = 5 * time.Second
	// idleRest is how long a supply rests that nobody rouses.
	idleRest = time.Hour
)

// A supply keeps a lane supplied with permits, from the record that all workers
// share.
type supply struct {
	*lane

	limits Limits
	dueAt  time.Time // when it looks again, unless it is roused
}

// newSupply returns l's.
func newSupply(l *lane, limits Limits) *supply {
	s := &supply{lane: l, limits: limits, dueAt: l.clock().Add(idleRest)}
	l.hurries = func(now time.Time) bool {
		due := s.due(now)
		return !due.After(now) || due.Before(s.dueAt)
	}
	return s
}

// loop goes on until ctx ends.
func (s *supply) loop(ctx context.Context) {
	timer := time.NewTimer(idleRest)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.wake:
			if rest, presses := s.rest(); !presses {
				timer.Reset(rest)
				continue
			}
		}
		if !s.gather(ctx) {
			s.close() //nolint:contextcheck // what is told outlives ctx
			return
		}
		select { // who came meanwhile is in this turn
		case <-s.wake:
		default:
		}
		if plan, asks, back := s.turn(); plan != nil {
			s.update(plan, asks, back) //nolint:contextcheck // an update outlives ctx
		}
		rest, _ := s.rest()
		timer.Reset(rest)
	}
}

// gather waits a moment, of a length of its own. It reports whether ctx lives.
func (s *supply) gather(ctx context.Context) bool {
	timer := time.NewTimer(gatherFor + time.Duration(s.uniform()*float64(gatherFor)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return ctx.Err() == nil
}

// rest returns how long there is nothing to do, unless it is roused, and whether
// somebody waits, or an update is due.
func (s *supply) rest() (rest time.Duration, presses bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	s.dueAt = s.due(now)
	return max(s.dueAt.Sub(now), time.Millisecond), len(s.waiting) > 0 || !s.dueAt.After(now)
}

// due returns until when there is nothing to do; s.mu is held.
func (s *supply) due(now time.Time) time.Time {
	due := now.Add(idleRest)
	by := func(at time.Time) {
		if at.Before(due) {
			due = at
		}
	}
	if at := s.share.Due(limit.At(now), min(len(s.waiting), s.room())); at > 0 {
		by(at.Time())
	}
	if ends := s.share.SlotsEnd(); ends > 0 {
		by(ends.Time())
	}
	hopes := s.room() == 0 && s.hopes()
	if hopes && len(s.waiting) > 0 {
		by(now.Add(askPatience))
	}
	for _, a := range s.waiting {
		switch {
		case a.claimed && a.spare:
			by(a.since.Add(askPatience))
		case !a.claimed && !hopes:
			by(a.waits(s.placed).Add(s.patience(s.room())))
		}
	}
	return due
}

// patience returns how long a job waits here, so that there is an update for it: hardly
// at all for a place of a route that does not answer.
func (s *supply) patience(room int) time.Duration {
	if room == 0 && !s.alive.Load() && !s.portion.young(s.clock()) {
		return askPatience / 10
	}
	return askPatience + 2*s.share.Took()
}

func (s *supply) room() int { return max(s.most()-s.share.Calls(), 0) }

// turn hands out what there is, and returns the update that is due, if one is.
func (s *supply) turn() (plan *limit.Plan, asks, back []*ask) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := limit.At(s.clock())
	s.abortLate(now)
	hoped := s.hoping
	if s.hoping = s.room() == 0 && s.hopes(); hoped && !s.hoping {
		s.placed = now.Time()
	}
	slices.SortFunc(s.waiting, func(a, b *ask) int {
		return cmp.Or(one(a.leaves)-one(b.leaves), one(b.claimed)-one(a.claimed), a.since.Compare(b.since), cmp.Compare(a.key, b.key))
	})
	for s.room() > 0 && len(s.waiting) > 0 && !s.waiting[0].leaves {
		p, ok := s.share.Pass(now, s.waiting[0].tokens)
		if !ok {
			break
		}
		s.answer(s.waiting[0], granted{permit: p, ok: true})
	}
	asks, back = s.sort()
	if due := s.share.Due(now, len(asks)); len(back) == 0 && (due == 0 || due > now) {
		return nil, nil, nil
	}
	tokens := make([]int64, len(asks))
	for i, a := range asks {
		tokens[i] = a.tokens
	}
	return s.share.Plan(now, tokens, len(back), s.uniform), asks, back
}

// sort returns which of the waiting jobs ask for permits, and which do not wait
// for them any longer: of those that are claimed, whom a pause would have wait for
// long. Those for which there was no place go, and those that are claimed and may
// try another route.
func (s *supply) sort() (asks, back []*ask) {
	now, room, none := s.clock(), s.room(), s.share.NoneUntil(limit.At(s.clock())).Time()
	hopes, patience := room == 0 && s.hopes(), s.patience(room)
	var gone, tries []*ask
	for _, a := range s.waiting {
		late := !a.claimed && !hopes && (now.Sub(a.waits(s.placed)) >= patience || a.waits(s.placed).Add(askPatience).Before(none))
		switch {
		case a.leaves, a.claimed && a.since.Add(askPatience).Before(none):
			back = append(back, a)
		case a.claimed && a.spare && now.Sub(a.since) >= askPatience:
			tries = append(tries, a)
		case late && room == 0:
			gone = append(gone, a)
		case late:
			back = append(back, a)
		case len(asks) < room:
			asks = append(asks, a)
		}
	}
	for _, a := range gone {
		s.answer(a, granted{wait: s.portion.rest(now)})
	}
	for _, a := range tries {
		s.answer(a, granted{})
	}
	s.refused(len(gone))
	return asks, back
}

// refused counts messages that go back.
func (s *supply) refused(n int) {
	if n > 0 {
		s.metrics.Count(metric.SlotsRefused, n, "model", s.model)
	}
}

// abortLate ends the calls whose slots others may take soon.
func (s *supply) abortLate(now limit.Instant) {
	if ends := s.share.SlotsEnd(); ends == 0 || now < ends {
		return
	}
	for _, abort := range s.flying {
		abort(end(causeLimited))
	}
}

// update makes an update of the route's record, and hands out what it brings.
func (s *supply) update(plan *limit.Plan, asks, back []*ask) {
	ctx, cancel := context.WithTimeout(s.ctx, limitLimit)
	defer cancel()
	rec, err := s.limits.UpdateLimit(ctx, s.route, plan.Change)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		plan.Failed(limit.At(s.clock()))
		if s.ctx.Err() == nil {
			s.metrics.Count(metric.LimitFailures, 1)
			s.log.Warn("cannot update what is known of a route", errAttr(err))
		}
		for _, a := range back {
			s.answer(a, granted{wait: unsure})
		}
		return
	}
	s.outlook.records.Store(s.route, rec)
	now := limit.At(s.clock())
	permits, returns := plan.Done(now, rec)
	for i, p := range permits {
		if !s.answer(asks[i], granted{permit: p, ok: true}) {
			s.drop(p)
		}
	}
	for i, at := range returns {
		s.answer(back[i], granted{wait: seconds(at.Sub(now))})
	}
	s.refused(len(back))
}

// seconds returns d in whole seconds, up to one more, so that messages which return
// about together are requeued together.
func seconds(d time.Duration) time.Duration {
	return (max(d, 0) + time.Second - 1).Truncate(time.Second)
}

// close tells what is new, gives back what the worker has, and lets those go that
// wait still: nobody supplies them any more.
func (s *supply) close() {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.closed = true
		for len(s.waiting) > 0 {
			s.answer(s.waiting[0], granted{wait: unsure})
		}
	}()
	s.mu.Lock()
	if s.share.Hurry(); s.share.Idle() {
		s.mu.Unlock()
		return
	}
	plan := s.share.Plan(limit.At(s.clock()), nil, 0, s.uniform)
	s.mu.Unlock()
	s.update(plan, nil, nil)
}
