// Package submit takes a batch in, by two use cases. [Acceptor] turns an order
// into a batch and starts its flow, and asks a batch to stop when its owner
// cancels it. [Loader] is that flow's first step: it reads the input file twice,
// once to validate every line, so that a bad file calls nobody, and once to store
// every request.
//
// The package knows the domain, and the stores and flows it needs only by the
// small interfaces it declares. It knows no cloud, no transport, and nothing of
// what becomes of a batch once its requests are stored.
package submit
