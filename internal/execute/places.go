package execute

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// aheadFor is how long it takes from a receive until a call may start: so much
	// is at hand as ends in that time.
	aheadFor = 1500 * time.Millisecond
	// placeWait is as long as what is claimed waits for a place, or a little longer.
	placeWait = 2 * aheadFor
	// aheadMost is what part of its places a worker has at hand beyond them at most.
	aheadMost = 5
)

// places are what a worker has room for: so many calls at once. Messages hold
// theirs from their receive to the end of their call. So that none is empty
// meanwhile, some more are at hand: as many as calls ended of late.
type places struct {
	clock func() time.Time
	all   int
	calls *semaphore.Weighted
	news  chan struct{} // has one when there may be more room

	mu     sync.Mutex
	taken  int
	flying int         // calls in flight
	ended  []time.Time // when calls did, in order, of the last aheadFor
}

func newPlaces(clock func() time.Time, all int) *places {
	return &places{clock: clock, all: all, calls: semaphore.NewWeighted(int64(all)), news: make(chan struct{}, 1)}
}

// take gives j a place, or one of those beyond.
func (p *places) take(j *job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	j.placed = true
	p.taken++
}

// free takes j's place from it, if it has one.
func (p *places) free(j *job) {
	p.mu.Lock()
	freed := j.placed
	if freed {
		j.placed = false
		p.taken--
	}
	p.mu.Unlock()
	if freed {
		p.tell()
	}
}

// call calls f while fewer calls than places are in flight. It returns ctx's error
// if that ends first.
func (p *places) call(ctx context.Context, f func()) error {
	if err := p.calls.Acquire(ctx, 1); err != nil {
		return err
	}
	p.fly(1)
	defer func() {
		p.calls.Release(1)
		p.fly(-1)
	}()
	f()
	return nil
}

// fly says that a call begins, or ends.
func (p *places) fly(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.flying += n; n < 0 {
		p.ended = append(p.ended, p.clock())
	}
}

// tell says that there may be more room.
func (p *places) tell() {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// room returns how many more messages may be taken.
func (p *places) room() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	since := p.clock().Add(-aheadFor)
	p.ended = slices.DeleteFunc(p.ended, func(at time.Time) bool { return at.Before(since) })
	return p.all + min(len(p.ended), p.all/aheadMost) - p.taken
}

// inFlight returns how many calls are in flight.
func (p *places) inFlight() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flying
}

// full reports whether as many calls are in flight as may be.
func (p *places) full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flying >= p.all
}

// empty reports whether none is.
func (p *places) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken == 0
}
