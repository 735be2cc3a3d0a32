package batch

import "time"

// A Watch is what the flow's last look at a running batch saw, by which the
// next one knows whether anything has moved. Its zero value has seen nothing.
type Watch struct {
	Done     int       // outcomes that the cells added up to
	MovedAt  time.Time // when Done, or a feeding, was last seen to move
	LookAt   time.Time // not before it are the requests counted again
	ResendAt time.Time // from when silent requests are enqueued again, unless anything moves
}

// See returns w after the cells were seen to add up to done. If that is news,
// stall must pass without any before requests are enqueued again.
func (w Watch) See(done int, now time.Time, stall time.Duration) Watch {
	if done != w.Done || w.MovedAt.IsZero() {
		now = stamp(now)
		w.Done, w.MovedAt, w.ResendAt = done, now, now.Add(stall)
	}

	return w
}

// Fed returns w after requests were enqueued: nothing is amiss for the length
// of rest, and no request silent for that of stall.
func (w Watch) Fed(now time.Time, rest, stall time.Duration) Watch {
	now = stamp(now)
	w.MovedAt, w.LookAt, w.ResendAt = now, now.Add(rest), now.Add(stall)

	return w
}

// Looked returns w after the requests were counted. The next count waits for
// as long as nothing has moved by now, at least for lo and at most for hi, so
// that waiting for a slow upstream costs little.
func (w Watch) Looked(now time.Time, lo, hi time.Duration) Watch {
	w.LookAt = stamp(now.Add(min(max(now.Sub(w.MovedAt), lo), hi)))

	return w
}

// Resent returns w after silent requests were enqueued again. The next time
// waits for as long as nothing has moved by now, and so for twice as long each
// time.
func (w Watch) Resent(now time.Time) Watch {
	w.ResendAt = stamp(now.Add(now.Sub(w.MovedAt)))

	return w
}
