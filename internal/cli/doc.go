// Package cli is the musketry command: it submits files, watches batches and
// brings their answers home, at a terminal and in scripts.
//
// What a command is asked for goes to standard output, one thing a line; what
// happens meanwhile (progress, hints, errors) goes to standard error. With
// --json, standard output holds JSON objects, one a line, and nothing else.
//
// The commands for files of requests (validate, estimate, make-batch) send
// nothing: they ask the code of internal/batch that a server runs. The proxy
// listens, on loopback unless told otherwise, and is a client of the same API.
//
// The package knows the OpenAI Files, Uploads and Batches API as the official
// SDK speaks it, and the form of batches and their lines (internal/batch). It
// must not know how a server does its work: no AWS, no store, no use case. It
// reads no environment; what it needs comes in an Env.
package cli
