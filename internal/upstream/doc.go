// Package upstream sends one request of a batch to the provider and brings back what it answered.
//
// It knows HTTP: where a line's url leads below the configured base, the headers, how long each part of an exchange may
// take, how large an answer may be, and how a streamed answer is put together again. It makes exactly one attempt a
// call. It must not know what an outcome means for a request: which statuses are retried, how long to wait, what is
// stored and when are decided by its caller, from [Response] and from the types of the errors.
//
// Neither an error nor a log line of this package carries a key, a header, a query or a body.
//
// # Where a line's url leads
//
// The base URL plays the part that `base_url` plays in OpenAI's SDKs, and every line says `/v1/…`:
//
//	base URL                      line                   called
//	https://host/v1               /v1/chat/completions   https://host/v1/chat/completions
//	https://host/prefix/v1        /v1/chat/completions   https://host/prefix/v1/chat/completions
//	https://host/v1beta/openai    /v1/chat/completions   https://host/v1beta/openai/chat/completions
//	https://host/v1               /rerank                https://host/v1/rerank
//	https://host                  /v1/chat/completions   https://host/v1/chat/completions
//
// So the base's path takes the place of the line's leading `/v1`, whatever that path is called, and a bare origin, which
// says nothing about a prefix, leaves the line's url whole.
package upstream
