package execute

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

const (
	// aheadFor is how long it takes from a receive until a call may start: so much
	// is at hand as ends in that time.
	aheadFor = 1500 * time.Millisecond
	// placeWait is as long as what is claimed waits for a place, or a little longer.
	placeWait = 2 * aheadFor
	// placeSame is how long a place is kept for who comes at the same moment.
	placeSame = time.Millisecond
	// aheadMost is what part of its places a worker has at hand beyond them at most.
	aheadMost = 5
)

// places are what a worker has room for: so many calls at once. Messages hold
// theirs from their receive to the end of their call. So that none is empty
// meanwhile, some more are at hand: as many as calls ended of late.
type places struct {
	clock func() time.Time
	all   int
	news  chan struct{} // has one when there is room for a receive, or all are empty
	eased func()        // called as calls end, unless all places are taken or spoken for

	mu      sync.Mutex
	taken   int
	tellAt  int         // the room of which there is to be news
	flying  int         // calls in flight
	ended   []time.Time // when calls did of late, in order: as many as count
	waiting []*turned   // who waits for a place, in the order in which they have them
	timer   *time.Timer // runs while places are to be given; nil otherwise
}

// A turned is a call that waits for its place.
type turned struct {
	key   string // by which those are ordered that come at one moment
	since time.Time
	turn  chan struct{} // closed when it has its place
}

func newPlaces(clock func() time.Time, all int) *places {
	return &places{clock: clock, all: all, news: make(chan struct{}, 1), eased: func() {}}
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
		if freed = p.taken == 0 || p.room() >= p.tellAt; freed {
			p.tellAt = math.MaxInt // told is told
		}
	}
	p.mu.Unlock()
	if freed {
		rouse(p.news)
	}
}

// call calls f while fewer calls than places are in flight; who waits longest has
// the next place. It returns ctx's error if that ends first.
func (p *places) call(ctx context.Context, key string, f func()) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if w := p.enter(key); w != nil {
		select {
		case <-w.turn:
		case <-ctx.Done():
			p.mu.Lock()
			at := slices.Index(p.waiting, w)
			if at >= 0 {
				p.waiting = slices.Delete(p.waiting, at, at+1)
			}
			p.mu.Unlock()
			if at >= 0 {
				return ctx.Err()
			}
		}
	}
	defer p.land()
	f()
	return nil
}

// enter has a call begin, or returns what waits for its place.
func (p *places) enter(key string) *turned {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken <= p.all && len(p.waiting) == 0 && p.flying < p.all { // all that may come find room
		p.flying++
		return nil
	}
	w := &turned{key: key, since: p.clock(), turn: make(chan struct{})}
	at, _ := slices.BinarySearchFunc(p.waiting, w, func(a, b *turned) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.key, b.key))
	})
	p.waiting = slices.Insert(p.waiting, at, w)
	p.arm()
	return w
}

// land says that a call is over. Its place goes to who has waited for one.
func (p *places) land() {
	p.mu.Lock()
	now := p.clock()
	p.flying--
	p.ended = append(p.ended, now)
	p.ended = p.ended[max(len(p.ended)-p.all/aheadMost, 0):]
	eases := p.flying+len(p.waiting) < p.all
	p.give(now)
	p.arm()
	p.mu.Unlock()
	if eases {
		p.eased()
	}
}

// arm has places given in a moment, if there are some and somebody waits who has
// just come: by then all have come that come now; p.mu is held.
func (p *places) arm() {
	if p.timer == nil && len(p.waiting) > 0 && p.flying < p.all {
		p.timer = time.AfterFunc(placeSame, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.timer = nil
			p.give(p.clock())
			p.arm() // for who came this very moment
		})
	}
}

// give gives what places there are to those that came before now; p.mu is held.
func (p *places) give(now time.Time) {
	for len(p.waiting) > 0 && p.flying < p.all && p.waiting[0].since.Before(now) {
		p.flying++
		close(p.waiting[0].turn)
		p.waiting = p.waiting[1:]
	}
}

// look returns how many more messages may be taken, and whether none is in hand.
// There will be news once there is room for so many as are worth a receive. If
// there is already, there is none but of the end until it is looked at again,
// unless keen.
func (p *places) look(worth int, keen bool) (room int, empty bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if room, p.tellAt = p.room(), worth; room >= worth && !keen {
		p.tellAt = math.MaxInt
	}
	return room, p.taken == 0
}

// room returns how many more messages may be taken; p.mu is held.
func (p *places) room() int {
	since := p.clock().Add(-aheadFor)
	for len(p.ended) > 0 && p.ended[0].Before(since) {
		p.ended = p.ended[1:]
	}
	return p.all + len(p.ended) - p.taken
}

// inFlight returns how many calls are in flight.
func (p *places) inFlight() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flying
}

// full reports whether as many calls are in flight as may be, or are about to.
func (p *places) full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flying+len(p.waiting) >= p.all
}
