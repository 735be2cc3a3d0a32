package execute

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/state"
)

const (
	// gatherFull is how long a change waits for others to go with while all places
	// are taken, and gatherFew how long it does while they come one by one.
	gatherFull, gatherFew = time.Second, 20 * time.Millisecond
	// gatherSame is how long a group that is due waits for what comes at the same
	// moment.
	gatherSame = time.Millisecond
)

// errUnapplied is what those get whose call panicked.
var errUnapplied = errors.New("execute: the changes were not applied")

// A gatherer applies changes of many jobs together. Each call is made beside the
// others, so a slow one holds up nobody else. It holds a change a job at most,
// since who applies one waits for it.
type gatherer struct {
	kit

	store Requests
	full  func() bool // whether all places are taken
	calls sync.WaitGroup

	mu      sync.Mutex
	waiting []*gathered
	timer   *time.Timer // runs while changes wait; nil otherwise
	due     time.Time   // when it ends
}

// A gathered is a change on its way to the store.
type gathered struct {
	change state.Change
	since  time.Time
	urgent bool // it waits for nobody
	err    error
	done   chan struct{} // closed once err is what came of it
}

// apply makes changes durable and returns their errors, each once it is known. If
// urgent, they wait for nobody, and take along what waits.
func (g *gatherer) apply(urgent bool, cs ...state.Change) []error {
	now := g.clock()
	added := make([]*gathered, len(cs))
	for i, c := range cs {
		added[i] = &gathered{change: c, since: now, urgent: urgent, err: errUnapplied, done: make(chan struct{})}
	}
	g.mu.Lock()
	g.waiting = append(g.waiting, added...)
	g.arm(now)
	g.mu.Unlock()
	errs := make([]error, len(cs))
	for i, a := range added {
		<-a.done
		errs[i] = a.err
	}
	return errs
}

// arm has the next groups go when they are due; g.mu is held.
func (g *gatherer) arm(now time.Time) {
	if len(g.waiting) == 0 {
		return
	}
	wait := g.waiting[0].since.Add(gatherFull).Sub(now)
	if !g.full() {
		wait = min(wait, gatherFew)
	}
	if g.ready() > 0 {
		wait = gatherSame
	}
	due := now.Add(wait)
	if g.timer != nil {
		if !due.Before(g.due) || !g.timer.Stop() {
			return
		}
		g.calls.Done()
	}
	g.due = due
	g.calls.Add(1)
	g.timer = time.AfterFunc(wait, func() {
		defer g.calls.Done()
		g.release()
	})
}

// ease says that places are empty again: what waits does not for long now.
func (g *gatherer) ease() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.arm(g.clock())
}

// ready returns how many changes may go whether others come or not: full groups,
// and what is urgent with what fills its last group; g.mu is held.
func (g *gatherer) ready() int {
	urgent := 0
	for _, a := range g.waiting {
		urgent += one(a.urgent)
	}
	filled := (urgent + state.GroupSize - 1) / state.GroupSize * state.GroupSize
	return max(min(filled, len(g.waiting)), len(g.waiting)/state.GroupSize*state.GroupSize)
}

// release lets go of what is due.
func (g *gatherer) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timer = nil
	now := g.clock()
	if len(g.waiting) == 0 {
		return
	}
	n := g.ready()
	if oldest := now.Sub(g.waiting[0].since); oldest >= gatherFull || oldest >= gatherFew && !g.full() {
		n = len(g.waiting)
	}
	// What came at one moment goes by what it is, whichever came first.
	due := slices.SortedStableFunc(slices.Values(g.waiting), (*gathered).compare)[:n]
	for _, group := range groupsOf(due) {
		g.crew.run(&g.calls, func() { g.applyTogether(group) })
	}
	g.waiting = slices.DeleteFunc(g.waiting, func(a *gathered) bool { return slices.Contains(due, a) })
	g.arm(now)
}

// compare orders what is urgent before what waits longer before the rest.
func (a *gathered) compare(b *gathered) int {
	x, y := a.change.Spec().Key, b.change.Spec().Key
	return cmp.Or(
		one(b.urgent)-one(a.urgent), a.since.Compare(b.since), cmp.Compare(x.Batch, y.Batch), x.Line-y.Line,
	)
}

// groupsOf returns groups of all, each a call's.
func groupsOf(all []*gathered) [][]*gathered {
	var groups [][]*gathered
	for _, a := range all {
		at := slices.IndexFunc(groups, func(group []*gathered) bool {
			return len(group) < state.GroupSize && !slices.ContainsFunc(group, func(b *gathered) bool {
				return a.change.Spec().Key == b.change.Spec().Key
			})
		})
		if at < 0 {
			at, groups = len(groups), append(groups, nil)
		}
		groups[at] = append(groups[at], a)
	}
	return groups
}

// applyTogether applies a group in one call. Those of which it is not known what
// came of them are applied again as they are: one's own write seen again is no
// error.
func (g *gatherer) applyTogether(group []*gathered) {
	defer func() {
		for _, a := range group {
			close(a.done)
		}
	}()
	_ = g.persist(opLimit, func(ctx context.Context) error { // each has its own
		changes := make([]state.Change, len(group))
		for i, a := range group {
			changes[i] = a.change
		}
		var unknown []*gathered
		var last error
		for i, err := range g.store.ApplyAll(ctx, changes) {
			a := group[i]
			if a.err = err; err == nil || isFact(err) {
				close(a.done)
				continue
			}
			unknown, last = append(unknown, a), err
		}
		group = unknown
		return last
	})
}
