// Package inspect is the use case of one request among a batch's many: it lists
// them, finds one by its custom_id, and stops one for its owner.
//
// The package knows the domain, and the stores and flows it needs only by the
// small interfaces it declares. It knows no cloud, no transport, no body and no
// answer, and nothing of workers but that they look at what a batch's record
// names.
package inspect
