// Package batch is a batch of requests as the user knows it: its statuses,
// counts and files, and the JSONL lines that go in and come out.
//
//	validating ──Loaded──▶ in_progress ──Finalize──▶ finalizing ──End──▶ completed
//	     │ └────Reject───▶ failed                        │ ├───────────▶ expired
//	     └─Cancel─▶ cancelling ◀──Cancel── in_progress   │ └───────────▶ cancelled
//	                     └────────────Finalize──────────▶┘
//
// A validating batch whose deadline passes goes to finalizing too. Terminal
// statuses and their counts never change again.
//
// The package knows requests (internal/state) and retry policies, but no store,
// no transport and no clock.
package batch
