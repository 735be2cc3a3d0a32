package cli

import "time"

const (
	// pollFloor and pollCeiling bound how long a watch waits between two looks.
	pollFloor   = 500 * time.Millisecond
	pollCeiling = 10 * time.Second
	// pollShare is the part of the time watched so far that a watch waits, so
	// that short batches are seen closely and long ones cost few calls.
	pollShare = 50
	// troubleCeiling bounds the wait after a look that failed.
	troubleCeiling = 30 * time.Second
	// patience is how long a watch goes on while no look succeeds.
	patience = 10 * time.Minute
	// spread is the part of a wait that randomness adds or takes away.
	spread = 0.2
)

// pace returns how long to wait after a look at a batch that has been watched
// for a while and has, if that is known (more than 0), so much time to go: a
// fiftieth of the time watched, but at most half the time to go, between 0.5
// and 10 s, spread by a fifth. random lies in [0, 1).
func pace(watched, left time.Duration, random float64) time.Duration {
	d := min(watched/pollShare, pollCeiling)
	if left > 0 {
		d = min(d, left/2)
	}
	return jitter(max(d, pollFloor), random)
}

// setback returns how long to wait after the n-th look that failed in a row,
// counted from 1: 1 s, doubled each time, at most 30 s, spread by a fifth.
func setback(n int, random float64) time.Duration {
	d := time.Second
	for i := 1; i < n && d < troubleCeiling; i++ {
		d *= 2
	}
	return jitter(min(d, troubleCeiling), random)
}

func jitter(d time.Duration, random float64) time.Duration {
	return time.Duration(float64(d) * (1 - spread + 2*spread*random))
}
