// Package state is the life of one request of a batch, with each state a type.
//
//	Pending ──Claim──▶ Claimed ──Start──▶ Processing ──Complete──▶ Completed
//	   ▲                 │ │                  │ └──────────Fail──▶ Failed ──Retry──▶ Pending,
//	   └────Release──────┘ └──────Fail────────┼────────────────▶ Failed    or Deny: stays Failed
//	                       Reclaim: a new claim on Claimed or Processing whose lease has run out
//	Pending, Claimed, Processing ──Cancel | Expire | Terminate──▶ Canceled | Failed(Expired) | Failed(TaskTerminated)
//	Pending ──Deny──▶ Failed(RetryTooLate)   (a retry whose time came too late)
//
// A transition that the drawing lacks does not compile. What Go's types cannot
// say (a lease still held, a deadline passed, a failure that may not be tried
// again) a transition says with an error.
//
// A [Request] remembers under which status and claim id it was read. Its
// [Change] is the write that makes its transitions durable, guarded by exactly
// those two: of any number of changes made from one reading a store applies
// one. A claim id is never used twice, so a pair of status and claim id names
// one moment in a request's life, and a zombie's write finds its moment gone.
// Transitions compose: Start of an unstored Claim is one write from pending to
// processing, and Retry of a Fail one from processing back to pending, so a
// failure that will be tried again is never stored as failed.
//
// The package is pure. It knows no context, clock, encoding, store or cloud.
package state
