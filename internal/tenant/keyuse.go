package tenant

import "time"

// KeyUseLife is how long after its day a key's last use is known.
const KeyUseLife = 400 * 24 * time.Hour

// A KeyUse says on which day a key was last used. By the day, since whoever asks
// wants to know which keys nobody needs any more, and a write a call would cost more
// than many calls.
type KeyUse struct {
	Tenant string
	Hash   string    // of the key
	Day    time.Time // its beginning, in UTC
}

// Day returns the beginning of t's day in UTC.
func Day(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(24 * time.Hour)
}
