package batch

import "time"

// An Expiring says that the life of a file or an upload, whichever its id names,
// ends at an instant. A store has one of each that it was given an end with, in
// the order of their ends, until somebody has erased what is over.
type Expiring struct {
	Tenant string
	ID     string
	At     time.Time // to the second
}

// NewExpiring returns what says that the life of a file or an upload is over at
// at: never before.
func NewExpiring(tenant, id string, at time.Time) Expiring {
	second := at.UTC().Truncate(time.Second)
	if second.Before(at) {
		second = second.Add(time.Second)
	}
	if epoch := time.Unix(0, 0).UTC(); second.Before(epoch) {
		second = epoch
	}
	return Expiring{Tenant: tenant, ID: id, At: second}
}
