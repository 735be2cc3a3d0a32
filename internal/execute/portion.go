package execute

import "time"

const (
	// silence is after how long without an answer a route is taken for dead.
	silence = 30 * time.Second
	// tenth is what part of the places a route has that has not answered.
	tenth = 10
	// fewPlaces are not kept free for who comes.
	fewPlaces = 20
	// anyMany is more than ever wait for a place.
	anyMany = 1 << 20
	// placeRest and placeRestMost bound how long a message rests whose route has as
	// many places as it may: as long as nothing was answered. placeRestFew is for one
	// of which nothing is known here yet: its first answer opens it to the others.
	placeRestFew, placeRest, placeRestMost = time.Second, 5 * time.Second, 5 * time.Minute
)

// askPatience is how long a job waits in a lane for a permit, from when there are places; and
// twice as long as an update takes of late, after which there is another one.
const askPatience = 2500 * time.Millisecond

// A portion is how many of a worker's places a route may take. While other models
// wait that is a tenth until it has answered, and then more with each round of
// answers, up to half of them for its model; beside models that do not answer it is
// all but their tenth. Alone it has all, and three fifths until it has answered, so that
// there is room for who comes.
type portion struct {
	all     int // the worker's places
	allowed int
	answers int       // of this round
	proven  bool      // it has answered, and did lately
	silent  time.Time // since when calls are in flight and nothing was answered; zero: none are
}

func newPortion(all int) portion { return portion{all: all, allowed: max(all/tenth, 1)} }

// prove says that the route answered a moment ago.
func (p *portion) prove() { p.proven, p.allowed = true, max(p.all/2, 1) }

// A beside is what is about beside a route.
type beside struct {
	waits    bool // other models' jobs do, or did a moment ago
	alive    bool // one of those models answers
	siblings int  // the calls of its model by other routes
}

// most returns how many calls may be in flight.
func (p *portion) most(now time.Time, others beside) int {
	if p.dead(now) {
		p.allowed, p.answers, p.proven = max(p.all/tenth, 1), 0, false
	}
	half := max(p.all/2, 1)
	switch {
	case others.waits && p.proven && !others.alive:
		return max(p.all-max(p.all/tenth, 1)-others.siblings, 1)
	case others.waits:
		return max(min(half-others.siblings, p.allowed), 1)
	case p.all < fewPlaces, p.proven:
		return anyMany // places bound them
	}
	return p.all * 3 / 5
}

// dead reports whether calls have been in flight for long, and none was answered.
func (p *portion) dead(now time.Time) bool {
	return !p.silent.IsZero() && now.Sub(p.silent) >= silence
}

// young reports whether its first calls are in flight for less time than a job waits
// for a place.
func (p *portion) young(now time.Time) bool {
	return p.silent.IsZero() || now.Sub(p.silent) < askPatience
}

// left says that a call has left.
func (p *portion) left(now time.Time) {
	if p.silent.IsZero() {
		p.silent = now
	}
}

// over says that a call is over, and whether it was answered; the last one in
// flight if none is left.
func (p *portion) over(now time.Time, answered, last bool) {
	if answered {
		p.silent, p.proven = now, true
		if p.answers++; p.answers >= p.allowed {
			p.allowed, p.answers = min(2*p.allowed, p.all), 0
		}
	}
	if last {
		p.silent = time.Time{}
	}
}

// rest returns how long a message rests for which there is no place.
func (p *portion) rest(now time.Time) time.Duration {
	if p.silent.IsZero() {
		return placeRest
	}
	least := placeRest
	if !p.proven {
		least = placeRestFew
	}
	return min(max(now.Sub(p.silent), least), placeRestMost)
}
