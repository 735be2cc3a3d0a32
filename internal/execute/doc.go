// Package execute is the worker: it takes messages that each name a request,
// claims the request, calls the upstream and records what came of it.
//
//	deliveries ─▶ intake ─▶ section ─▶ claim ─▶ call ─▶ judge ─▶ segment ─▶ apply ─▶ cell ─▶ acknowledge ─▶ wake
//	                │          │         │        │       │         │         │
//	                │          │         │        │       └ retry: back to pending, hidden for the backoff; if that
//	                │          │         │        │         cannot be written, hidden all the same and written again
//	                │          │         │        └ aborted: nothing is written, another reclaims
//	                │          │         └ held by another: hidden for the rest of that lease
//	                │          └ one ranged read for adjacent lines of a batch
//	                └ batch ended: acknowledged; batch stopping: put back
//
// Beside it run four loops for as long as the invocation: the heart writes the
// worker's heartbeat and aborts all calls when none is acknowledged for too
// long; the keeper keeps the messages hidden in short steps; the watch polls
// the batches and aborts the calls of those that stop; the deleter deletes what
// is acknowledged while other calls still run.
//
// A message is acknowledged only if its request or its batch is terminal. A
// request that was claimed and not settled needs nothing undone: the worker is
// marked ended, which ends its leases, and only then its messages are shown.
//
// The package knows requests, batches and retry policies. It must not know a
// cloud, HTTP, an environment or how messages come in.
package execute
