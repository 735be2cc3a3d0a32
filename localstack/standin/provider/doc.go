// Package provider is a stand-in for an LLM provider: an HTTP handler that answers in OpenAI's shapes, misbehaves as it
// is told, and keeps count of who called it how often. It is for demos, tests and benches, and thinks up nothing: the
// same request gets the same text.
//
// It serves POST /v1/chat/completions, /v1/completions, /v1/responses (these three streamed, if the body asks for it),
// /v1/embeddings and /v1/moderations, and GET /v1/models. It knows nothing of Musketry. A chat that asks for a JSON schema is
// answered with an object: the properties that are strings all have the same text.
//
// # Models are directives
//
// The name of the model says how a call goes: a base name that begins with "standin", then, after a colon, directives
// with "+" or "," between them, like "standin:latency=200ms+status=429x2+retry-after=1". Different base names
// ("standin-a", "standin-b") are counted as different models. Any other model's name ("gpt-4o-mini") means nothing and
// is answered at once. A directive that is not known is answered with 400 and an error that names it.
//
//	directive             effect
//	latency=200ms         every call waits so long before its answer begins
//	latency=50ms..2s      it waits for a time in between, always the same for the same request
//	latency=10s~0.5       it waits for a time around 10 s, always the same for the same request: the logarithms are spread
//	                      normally with this deviation, so that half of the calls wait longer and few wait for very long
//	status=503            every call is answered with that status (300 to 599) and an error in OpenAI's shape
//	status=429x2          the first two calls of the request are, then it goes on with the next directive
//	retry-after=1.5       what `status` answers carries `retry-after: 1.5` (seconds)
//	retry-after=date:2    the same as a date, at least 2 seconds ahead and up to one more, since dates have no fractions
//	retry-after=ms:1500   the same as `retry-after-ms: 1500`
//	insufficient-quota    429 with code insufficient_quota
//	error-in-body         200 with an error in the body (or, streamed, an error event)
//	odd=NAME              an answer as providers give it now and then (odds tells all of them): error-429, blank, html, cut, queued,
//	                      two-calls, unix-time, …
//	odd=NAMEx2            the first two calls get it
//	nonjson               200 with a body of plain text
//	reset                 the connection is reset (RST) in the midst of the answer
//	hang                  no answer until the client goes away
//	size=1500000          the answer is padded to that many bytes, if it is shorter (before it is made a stream)
//	slow-body             the body is sent in ten pieces over a second
//	slow-body=10s         or over that time
//
// `insufficient-quota`, `error-in-body`, `nonjson`, `reset` and `hang` take a number of calls too: `reset=1` resets the
// first call only. Without a number, with =0 or x0, they and `status` mean every call. Several of them follow one
// another: with "status=429x2+reset=1" the first two calls are refused, the third is reset and the fourth succeeds.
//
// A request is known again by its Idempotency-Key header or, lacking that, by its path and body. A certain number of
// requests is remembered (a million by default); beyond it the oldest is forgotten and begins anew.
//
// # Limits
//
// A model may have limits, by its whole name or what is before its first colon: calls in flight, calls and tokens within a
// sliding window of a minute. The stand-in holds them itself, whatever its client believes: what is beyond is answered with 429
// and code rate_limit_exceeded, with or without Retry-After, and counted. A refused call takes nothing of a window. Tokens
// are charged when a call arrives, for its prompt and the most that it lets the model answer. Limits are switched on by
// Config.Limits, the program's -limits FILE, or while it runs:
//
//	PUT /standin/limits {"standin-a":{"rpm":20,"retry_after":"2s"},"gpt-4o":{"max_concurrency":5,"tpm":1000,"retry_after":"fits"},
//	                     "standin-dead":{"hang":true},"standin-b":{"rpm":600,"observe":true}}
//
// which replaces all of them and forgets what was counted; GET answers them. [Limit] has the fields, among them `hang` (a dead
// model: no call is answered) and `observe` (count, and refuse nothing). [LimitStats] is what GET /standin/stats counts of each
// under `limits`: calls accepted and refused, beyond which limit, the most in flight and within a window, and those that came before
// the time of the last Retry-After.
//
// # Signatures
//
// With Config.SigV4, or the program's -sigv4 KEYID:SECRET:SERVICE:REGION, each call must be signed by AWS's Signature Version 4, for
// that service and region; one that is not is answered with 403.
//
// # What it counts
//
// GET /standin/stats returns [Stats]: calls, calls in flight and their maximum, overall and by model, calls by status,
// and calls that came earlier than the Retry-After which the stand-in itself had told for that request. With
// ?key=K it has also the one request whose Idempotency-Key or custom id (the header X-Custom-Id) is K, or that has no
// Idempotency-Key and whose key K was reported by /standin/calls. GET /standin/calls?contains=M&limit=N returns [Calls]:
// the requests whose marker contains M. A request's marker is the `user` of its body. POST /standin/reset forgets
// everything but the calls that are in flight.
package provider
