// Package finalize is the use case that brings a loaded batch to its end. The
// batch's flow calls it again and again:
//
//	Advance ─▶ enqueue ─▶ recount ─▶ re-enqueue ─▶ "park" ─▶ Park ─▶ a wake, or a tick ─▶ Advance
//	   └─ complete, cancelled or overdue ─▶ seal ─▶ write out ─▶ end
//
// A running batch is reconciled in three steps, each due at times of its own.
// Enqueue sends requests to the queue at low water, when half of those enqueued
// are done. Recount counts the requests themselves where the workers' counter
// shards may lag or are quiescent, and puts them right. Re-enqueue sends again
// what waits although others are served: its message is lost. Seal gives every
// request its outcome and freezes the counts. Write-out joins the answers into
// the output and error files, in the order of the input.
//
// Whatever it needs to know lies in the batch's record and requests, so each
// step may run twice, at the same time too, or die anywhere, and whoever comes
// next goes on. A wake is only a hint: nothing follows from it but another turn.
//
// The package knows the domain, and the stores, files, queue and flow it needs
// only by the small interfaces it declares. It knows no cloud and no upstream.
package finalize
