package limit

import "math/bits"

// Why calls of a route wait that is not paused. These are not written.
const (
	NoSlots Why = "no_slots" // as many are in flight as are allowed
	Paced   Why = "paced"    // requests were told to come back in turn, at the route's pace
	Failing Why = "backoff"  // its last calls failed, and their requests rest
)

// Waits returns why requests of a route within l wait, as far as the fleet knows, and
// until when, 0 if that is not known; "": they do not. Of what is due for a
// trial it says why it was paused, unless that was for the calls' number: the next
// call may be answered as well as not.
func (r *Record) Waits(now Instant, l Limits) (why Why, until Instant) {
	probe := *r
	opens, how := probe.opening(now)
	back := r.ReturnAt > now // messages were told to come back
	paced := l.RPM > 0 || l.TPM > 0 || r.Learned.interval() > 0
	switch {
	case how == shut:
		return r.Pause.Why, opens
	case how == toTry && r.Pause.Why != RateLimited:
		return r.Pause.Why, 0
	case l.Concurrency > 0 && (back && !paced || r.free(now, "", l.Concurrency) <= 0):
		return NoSlots, 0
	case back:
		return Paced, 0
	case now.Sub(r.CallAt) < rest && r.Health.failing():
		return Failing, 0
	}
	return "", 0
}

// failing reports whether the last call was not served, as at least half of those
// that are known.
func (h *Health) failing() bool {
	return h.Bad&1 == 1 && 2*bits.OnesCount32(h.Bad) >= h.N
}
