// Package inspect is the use case of single requests among a batch's many: it
// lists them, finds one by its custom_id, and cancels one for its owner, which is
// its only write.
//
// The package knows the domain, and the stores and flows it needs only by the
// small interfaces it declares. It knows no cloud, no transport, no body and no
// answer, and nothing of workers but that they look at what a batch's record
// names.
package inspect
