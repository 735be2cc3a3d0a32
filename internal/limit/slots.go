package limit

import "time"

const (
	// lease is how long a worker has its slots without saying so again; it is as
	// long as a heartbeat counts.
	lease = 30 * time.Second
	// spared is how long before the end of its lease a worker has ended its calls.
	// Others take the slots at that end and what clocks differ by, or later.
	spared = 10 * time.Second
	// renew is how old a lease is when it is renewed.
	renew = 7 * time.Second
)

// Slots are what a worker has of a route's calls in flight.
type Slots struct {
	N     int   `json:"n"`
	Until int64 `json:"u"` // in seconds since 1970, by the worker's clock
}

func (s Slots) until() Instant { return Instant(s.Until) * Instant(time.Second/time.Microsecond) }

func seconds(at Instant) int64 { return int64(at) / int64(time.Second/time.Microsecond) }

// Hold leases worker as many slots as it wants and may have of limit, and returns
// how many those are. It takes back what others have not kept, and gives back what
// worker has and does not want.
func (r *Record) Hold(now Instant, worker string, want, limit int) int {
	n := max(min(want, r.free(now, worker, limit)), 0)
	slots := map[string]Slots{}
	for id, s := range r.Slots {
		if id != worker && s.holds(now) {
			slots[id] = s
		}
	}
	if own := r.Slots[worker]; n > 0 && n == own.N && own.until() > now.Add(lease-renew) {
		slots[worker] = own // no write for so little
	} else if n > 0 {
		slots[worker] = Slots{N: n, Until: seconds(now.Add(lease))}
	}
	r.Slots = slots
	return n
}

// free returns how many of limit nobody but worker holds.
func (r *Record) free(now Instant, worker string, limit int) int {
	for id, s := range r.Slots {
		if id != worker && s.holds(now) {
			limit -= s.N
		}
	}
	return limit
}

func (s Slots) holds(now Instant) bool { return now < s.until().Add(skew) }
