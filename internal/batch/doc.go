// Package batch is the domain: what a batch of requests is and may become, in
// terms of no technology. Its subjects, and where they begin:
//
//	a batch's life, its statuses and counts      batch.go
//	what a user asks for, and what may be        order.go, window.go, endpoint.go, retried.go
//	a file that comes in: is it JSONL, packed?   format.go, unpack.go
//	the lines that go in, and whether all may    lines.go, input.go, malformed.go, verdict.go
//	how many inputs they have, and their index   embeddings.go, index.go
//	the lines that come out, and their journal   output.go, written.go, journal.go
//	files, pins, and uploads                     file.go, upload.go, digest.go, coalesce.go
//	messages to workers, and write shards        message.go, shard.go
//	the counter, in shards that only grow        countershard.go
//	what a flow remembers, and when it acts      reconcile.go
//	how the messages in flight are shared        allowance.go
//	which batches may be unfinished, and flows   running.go
//	single requests, as their owner sees them    single.go
//
// A batch's life:
//
//	validating ──Loaded──▶ in_progress ────Seal────▶ finalizing ──End──▶ completed
//	     │ └─────Fail────▶ failed                        │ ├───────────▶ expired
//	     └─Cancel─▶ cancelling ◀──Cancel── in_progress   │ └───────────▶ cancelled
//	                     └──────────────Seal────────────▶┘
//
// A validating batch whose deadline passes goes to finalizing too. A batch whose
// flow cannot go on ends failed from wherever it is, with what was done written
// out if its requests were stored. Terminal statuses and their counts never change
// again.
//
// Methods change a value in memory; a store makes that durable, guarded by the
// value's revision, and calls them anew if it was outrun. So they are pure, and
// idempotent wherever a step of a flow may be repeated.
//
// The package knows requests (internal/state), retry policies and tenants, but no
// store, no transport and no clock.
package batch
