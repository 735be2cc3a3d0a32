package state

import "time"

// A Status is a state's stored name.
type Status string

// The statuses, one for each state.
const (
	StatusPending    Status = "pending"
	StatusClaimed    Status = "claimed"
	StatusProcessing Status = "processing"
	StatusCompleted  Status = "completed"
	StatusFailed     Status = "failed"
	StatusCanceled   Status = "canceled"
)

// Terminal reports whether no transition leaves s.
func (s Status) Terminal() bool {
	return s == StatusCompleted || s == StatusFailed || s == StatusCanceled
}

// A Phase is what one state alone knows. Switch over it to treat every state.
//
//sumtype:decl
type Phase interface {
	Status() Status
	claimID() string
}

// The constraints name sets of states; a transition's constraint is its guard.
type (
	// State is any of the six states.
	State interface {
		Phase
		Pending | Claimed | Processing | Completed | Failed | Canceled
	}
	// Active is a state that Cancel, Expire and Terminate may leave.
	Active interface {
		Phase
		Pending | Claimed | Processing
		past() past // a union's common fields are out of reach; its methods are not
	}
	// Leased is a state that a worker's lease protects.
	Leased interface {
		Phase
		Claimed | Processing
		tenure() tenure
	}
	// Deniable is a state that Deny may leave.
	Deniable interface {
		Phase
		Pending | Failed
		denied(spec Spec, moved bool, d Refusal) (Failed, error)
	}
)

type (
	// Pending waits for a worker. A message in the queue brings one.
	Pending struct {
		Attempt   int       // calls that failed so far
		NotBefore time.Time // no claim before it; zero: claimable at once
		ClaimID   string    // the last claim's; empty before the first
		Reclaims  int       // workers that died over it
		Doubts    int       // of the calls that failed, those after which few more are made
		Last      string    // the last failure in short, at most MaxText bytes
	}
	// Claimed belongs to one worker, which has not called yet. Start moves it
	// on; Release gives it back; a lease run out lets another reclaim it.
	Claimed struct {
		Attempt   int
		Lease     Lease
		Reclaims  int
		Doubts    int
		Last      string
		ClaimedAt time.Time
	}
	// Processing has its call in flight, or had it when its worker died. It is
	// stored before the call leaves, so a request in any earlier state has not
	// been sent under its present claim.
	Processing struct {
		Attempt   int
		Lease     Lease
		Reclaims  int
		Doubts    int
		Last      string
		ClaimedAt time.Time
		StartedAt time.Time
	}
	// Completed has an answer. Nothing changes it any more.
	Completed struct {
		Attempt     int
		ClaimID     string
		StatusCode  int
		Answer      Span   // the finished output line
		Model       string // the model that answered; empty if it did not say
		Tokens      Tokens // the tokens it took; zero if the answer did not say
		ClaimedAt   time.Time
		StartedAt   time.Time
		CompletedAt time.Time
	}
	// Failed will not be tried again. Nothing changes it any more.
	Failed struct {
		Attempt   int
		ClaimID   string
		Reclaims  int
		Doubts    int
		Reason    Reason
		Denial    Denial // why a retryable failure was not tried again
		Answer    Span   // the finished error line; zero where the write-out makes it
		Model     string // the model called; empty if none was
		Tokens    Tokens // the tokens that its answer took all the same; zero if there was none
		ClaimedAt time.Time
		StartedAt time.Time
		FailedAt  time.Time
	}
	// Canceled was stopped by its owner. Nothing changes it any more.
	Canceled struct {
		Attempt    int
		ClaimID    string
		Last       string    // the last failure in short
		StartedAt  time.Time // of the call that was in flight; zero if none was
		CanceledAt time.Time
	}
)

// Status returns StatusPending.
func (Pending) Status() Status { return StatusPending }

// Status returns StatusClaimed.
func (Claimed) Status() Status { return StatusClaimed }

// Status returns StatusProcessing.
func (Processing) Status() Status { return StatusProcessing }

// Status returns StatusCompleted.
func (Completed) Status() Status { return StatusCompleted }

// Status returns StatusFailed.
func (Failed) Status() Status { return StatusFailed }

// Status returns StatusCanceled.
func (Canceled) Status() Status { return StatusCanceled }

func (p Pending) claimID() string    { return p.ClaimID }
func (c Claimed) claimID() string    { return c.Lease.ClaimID }
func (p Processing) claimID() string { return p.Lease.ClaimID }
func (c Completed) claimID() string  { return c.ClaimID }
func (f Failed) claimID() string     { return f.ClaimID }
func (c Canceled) claimID() string   { return c.ClaimID }

// A past is what every active state knows of the calls before its end.
type past struct {
	attempt, reclaims    int
	last                 string
	claimedAt, startedAt time.Time // of the call in flight; zero if there is none
}

func (p Pending) past() past { return past{attempt: p.Attempt, reclaims: p.Reclaims, last: p.Last} }
func (c Claimed) past() past { return past{attempt: c.Attempt, reclaims: c.Reclaims, last: c.Last} }

func (p Processing) past() past {
	return past{attempt: p.Attempt, reclaims: p.Reclaims, last: p.Last, claimedAt: p.ClaimedAt, startedAt: p.StartedAt}
}

// A tenure is what every leased state knows.
type tenure struct {
	attempt, reclaims    int
	doubts               int
	lease                Lease
	last                 string
	claimedAt, startedAt time.Time
}

func (c Claimed) tenure() tenure {
	return tenure{
		attempt: c.Attempt, reclaims: c.Reclaims, doubts: c.Doubts, lease: c.Lease, last: c.Last, claimedAt: c.ClaimedAt,
	}
}

func (p Processing) tenure() tenure {
	return tenure{
		attempt: p.Attempt, reclaims: p.Reclaims, doubts: p.Doubts, lease: p.Lease, last: p.Last,
		claimedAt: p.ClaimedAt, startedAt: p.StartedAt,
	}
}
