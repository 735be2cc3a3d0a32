// Package upstream sends one request of a batch by a route and brings back what was answered.
//
// It knows HTTP: where a line's url leads below the route's base, who calls, the headers, which addresses may be called, how
// long each part of an exchange may take, how large an answer may be, and how a streamed answer is put together again. It
// makes exactly one attempt a call. It must not know what an outcome means for a request: which route is taken, which
// statuses are retried, how long to wait, what is stored and when are decided by its caller, from [Response] and from the
// types of the errors.
//
// Neither an error nor a log line of this package carries a key, a header, a query or a body. net/http logs by package log
// what comes unasked on a kept connection, its words included, and no transport can have it say less: a program that has
// clients leads package log elsewhere, as boot.CatchLog does.
//
// # What is sent of a request
//
// The body as it is, but for its `model` where the route has another name for it. `Idempotency-Key` is the same for every
// attempt of a request, and `traceparent` has one trace for all of them, of which each attempt is a span. A route's own
// headers come besides, and never in place of those or of what the protocol needs.
//
// # Connections
//
// They are kept, and bounded over all hosts. Over HTTP/2, few carry many calls, of which each holds little while nobody reads.
// A route may lead to addresses of the internet alone unless it says otherwise: all addresses of a name are looked at before
// it is dialed, and each once more right before it is connected to.
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
