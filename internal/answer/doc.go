// Package answer says what a provider's answer is: a result, an error and what that means as a status, or none of both,
// and why. It puts streams together.
//
// A reader begins with [Rules], the one table by which [Read] decides for all endpoints, streamed or not; docs/answers.md
// says the same in words, and a test holds them together. The files, from there to what they stand on:
//
//	rules.go       the table, and who goes through it
//	stream.go      a stream becomes the one answer that it stands for
//	completion.go  of chat completions and completions
//	response.go    of the Responses API
//	node.go        a value that grows by deltas
//	calls.go       items of lists, and tool calls, that come in pieces
//	events.go      the events of a stream
//	kinds.go       the endpoints, and what of each is a result
//	failure.go     the error that an answer carries
//	members.go     what is looked at of an answer
//	codes.go       what an error's code means as a status
//	tokens.go      the tokens that an answer says it took
//	read.go        members of JSON that others wrote
//	errors.go      why a stream is no answer
//
// A stream is put together by what its events say, never by guess: what cannot be is an [UnclearError], and then no
// answer. What nobody here knows of comes out as it came in.
//
// The package is pure: it knows no network, no clock and no request. Who is called again, and when, is for its callers to
// decide by [Verdict].
package answer
