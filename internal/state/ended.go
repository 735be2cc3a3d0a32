package state

import "time"

// EndedAt returns the time that a request's outcome bears, and the zero time if
// it has none. The outcome was stored then or somewhat later.
func EndedAt(p Phase) time.Time {
	switch p := p.(type) {
	case Completed:
		return p.CompletedAt
	case Failed:
		return p.FailedAt
	case Canceled:
		return p.CanceledAt
	case Pending, Claimed, Processing:
	}
	return time.Time{}
}
