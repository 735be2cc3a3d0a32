// Package batch is a batch of requests as the user knows it: its statuses,
// counts and files, and the JSONL lines that go in and come out.
//
//	validating ──Loaded──▶ in_progress ────Seal────▶ finalizing ──End──▶ completed
//	     │ └────Reject───▶ failed                        │ ├───────────▶ expired
//	     └─Cancel─▶ cancelling ◀──Cancel── in_progress   │ └───────────▶ cancelled
//	                     └──────────────Seal────────────▶┘
//
// A validating batch whose deadline passes goes to finalizing too. A batch that
// was given up ends failed from wherever it is, with what was done written out
// if its requests were stored. Terminal statuses and their counts never change
// again.
//
// The package knows requests (internal/state) and retry policies, but no store,
// no transport and no clock.
package batch
