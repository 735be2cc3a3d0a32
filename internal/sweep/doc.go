// Package sweep is the use case that finds what nothing else will move again:
//
//	a batch without a flow ─▶ its next flow is started: id, id-2, id-3, …
//	a dead letter          ─▶ sent to its queue again
//	a file or an upload whose life is over  ─▶ erased, by an [Eraser]
//
// A flow takes its batch to its end by itself, whatever fails on the way, but it
// can be stopped from outside, use up its history, or never start; and a queue
// gives up a message after so many receives. A schedule calls [Sweeper.Sweep]
// every 15 minutes, and an event [Sweeper.Ended] where a flow ends badly. Events
// may be lost, so the schedule alone does.
//
// Sweeps may run at the same time and die anywhere: the name of a flow can be
// taken once, and a message sent twice does no harm.
//
// The package knows the domain, and the stores, queues and flows it needs only
// by the small interfaces it declares. It knows no cloud, and nothing of what a
// flow does.
package sweep
