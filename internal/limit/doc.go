// Package limit says when a fleet of workers may call a route, one upstream of a
// model, so that its limits hold for all of them together.
//
// What the fleet shares is a [Record] a route, which a store keeps by its
// revision: the next call time, the tokens of the last minute, slots under
// leases, a pause, and a pace that was learned. What one worker has of it is a
// [Share]: it plans an update, which takes call times and slots and tells how
// calls ended, and hands out permits. [Pick] says which of several routes a request
// takes.
//
// The package knows no request, no store and no clock: times and random numbers
// come from the caller, who acts on what it is told.
package limit
