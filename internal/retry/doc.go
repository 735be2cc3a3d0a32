// Package retry decides what an answer means and whether, and when, a failed
// request is tried again.
//
// The wait before the next attempt follows one curve:
//
//	backoff = min(Backoff × Factor^attempt, MaxBackoff)
//	wait    = max(uniform(0, backoff), Retry-After)      with jitter
//	wait    = max(backoff, Retry-After)                  without
//
// attempt is the number of calls that had failed before this one: 0 after the
// first call. With the defaults (1 s, factor 2, cap 60 s) the backoffs are 1, 2,
// 4, 8, 16, 32 and then 60 seconds.
//
// A retry is denied, in this order, with reason "max_retries" if attempt ≥
// MaxRetries, or if the failure is a doubtful one and enough of those were tried
// again, and with reason "deadline" if now + wait ≥ deadline −
// StopBeforeDeadline. So MaxRetries 3 allows four calls, and no retry is ever
// scheduled at or past the effective deadline.
//
// These are retried: statuses 408, 409, 425, 429, 498, 499 and every 5xx, or what
// [Policy].Retryable lists instead; a call that timed out or broke off; a panic.
// A spent quota is not, be it a 402 or a 429 whose code is insufficient_quota: no wait
// mends it, unless somebody pays, which is the model's to say.
//
// The package is pure. It knows the standard library only; the clock and
// randomness are parameters.
package retry
