package dynamostore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/musketry/musketry/internal/state"
)

const (
	// slowdown is the least time between two halvings of a pace: what is in
	// flight when the first refusal comes is refused with it.
	slowdown = time.Second
	// recovery is how long a pace takes from nearly nothing to all that it may.
	recovery = 20 * time.Second
)

// A pace spreads inserts over time: so many a second at most, half as many when
// DynamoDB refuses some for their number, and step by step more while it takes
// them. It is shared by all that a process inserts. A new table takes 4,000 a
// second
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html).
type pace struct {
	most float64 // a second; 0: no bound, and no slowing down
	now  func() time.Time

	mu     sync.Mutex
	rate   float64   // a second, now
	next   time.Time // when the next may go
	slowed time.Time // when it was last halved
}

func newPace(most int, now func() time.Time) *pace {
	return &pace{most: float64(most), rate: float64(most), now: now}
}

// wait returns when n inserts may go, or ctx's error.
func (p *pace) wait(ctx context.Context, n int) error {
	if p.most == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(p.take(n))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take takes the time of n inserts, and returns how long it is until then.
func (p *pace) take(n int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if p.next.Before(now) {
		p.next = now
	}
	wait := p.next.Sub(now)
	p.next = p.next.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
	return wait
}

// learn adapts the rate to what became of n inserts.
func (p *pace) learn(n int, throttled bool) {
	if p.most == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	switch {
	case !throttled:
		took := float64(n) / p.rate
		p.rate = min(p.most, p.rate+p.most*took/recovery.Seconds())
	case now.Sub(p.slowed) >= slowdown:
		p.slowed = now
		p.rate = max(p.rate/2, min(p.most, state.GroupSize))
	}
}

// isThrottle reports whether err refuses a call because there were too many.
func isThrottle(err error) bool {
	known := retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}
	return err != nil && !errors.Is(err, context.Canceled) && known.IsErrorThrottle(err) == aws.TrueTernary
}

// tooMany reports whether a statement failed because there were too many.
func tooMany(code types.BatchStatementErrorCodeEnum) bool {
	switch code { //nolint:exhaustive // the others say nothing of how many there were
	case types.BatchStatementErrorCodeEnumRequestLimitExceeded,
		types.BatchStatementErrorCodeEnumProvisionedThroughputExceeded,
		types.BatchStatementErrorCodeEnumThrottlingError:
		return true
	}
	return false
}
