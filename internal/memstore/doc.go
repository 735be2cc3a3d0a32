// Package memstore keeps everything in memory: requests, batches, files and
// keys ([Store]), bytes ([Files]), messages ([Queue]) and flows ([Flow]). It
// passes the same contract as the adapters of AWS (internal/storetest), so a
// use case can be tried and simulated without a cloud.
//
// All of it is safe for concurrent use, and nothing that goes in or comes out
// shares memory with what is stored. Time comes from a clock that the caller
// gives. The package knows the domain, and no use case, adapter or encoding.
package memstore
