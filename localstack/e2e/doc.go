// Package e2e holds the tests that drive a deployed local cloud from outside,
// as users do: with OpenAI's own clients, over HTTP, knowing the addresses and
// keys of `make -s env` and nothing else of Musketry.
package e2e
