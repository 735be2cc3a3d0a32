// Package prompts makes a batch of requests out of Go's standard library: it
// lists the packages of the Go installation, reads their documentation from
// the source and writes a JSONL line for each.
//
// It knows the go command and the form of a batch's lines, and nothing of
// Musketry: whatever speaks the Batches API takes the file.
package prompts
