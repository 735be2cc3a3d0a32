// Package doctor says what is wrong with a deployment and what to do about it.
//
// [Doctor.Check] looks at what can be seen from outside without a request: the
// account's concurrency, the queue's source, dead letters, batches without a
// flow, and each route's key and provider. It changes nothing. [Smoke.Run] has
// the deployment do what no local engine shows of AWS: it sends small batches
// through it and looks at what comes of them.
//
// A check that cannot be made is a warning that says what is not known; one
// check's error never keeps another from being made. The package knows neither
// AWS nor HTTP: what it looks at are ports.
package doctor
