// Package dynamostore keeps requests, workers, counts, batches, files, uploads,
// receipts and API keys in one DynamoDB table. keys.go shows where everything lies.
//
// A request changes by one conditional write, guarded by the status and claim
// id it was read with. A batch, file or upload is replaced
// whole, guarded by its
// revision; each write of one carries a fresh mark, by which a write that took
// effect although its answer was lost is known again. All reads are consistent,
// and what DynamoDB throttles is tried again and never dropped.
//
// The package knows the domain's types and DynamoDB, and no use case.
package dynamostore
