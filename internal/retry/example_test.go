package retry_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/musketry/musketry/internal/retry"
)

// A call came back with a 429 that asks for 5 seconds, an hour before its
// batch's deadline, and again half a second before it.
func ExamplePolicy_Decide() {
	policy := retry.Default()
	policy.Jitter = false
	now := time.Date(2031, 5, 17, 12, 0, 0, 0, time.UTC)
	fmt.Println(policy.Classify(http.StatusTooManyRequests, "rate_limit_exceeded") == retry.Retryable)

	wait, asked := retry.RetryAfter(http.Header{"Retry-After": {"5"}}, now)
	fmt.Println(wait, asked)

	for _, left := range []time.Duration{time.Hour, time.Second / 2} {
		decision := policy.Decide(retry.Failed{
			Now: now, Deadline: now.Add(left), Attempt: 1, RetryAfter: wait,
		}, nil)
		if decision.Denied != retry.DeniedNot {
			fmt.Println("denied:", decision.Denied)
			continue
		}
		fmt.Println("again in", decision.NotBefore.Sub(now))
	}

	// Output:
	// true
	// 5s true
	// again in 5s
	// denied: deadline
}

// The wait doubles from a second up to a minute.
func ExamplePolicy_BackoffAt() {
	policy := retry.Policy{Backoff: time.Second, Factor: 2, MaxBackoff: time.Minute}
	for attempt := range 8 {
		fmt.Print(policy.BackoffAt(attempt), " ")
	}
	// Output: 1s 2s 4s 8s 16s 32s 1m0s 1m0s
}
