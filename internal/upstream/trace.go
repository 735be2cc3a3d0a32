package upstream

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
)

// traceparent returns W3C's header of a call (https://www.w3.org/TR/trace-context/#traceparent-header). The trace's id is made
// of the idempotency key, so all attempts of a request are one trace, which whoever knows the request's id can look up; each
// attempt is a span of its own. It is sampled, since a gateway in between otherwise keeps nothing of it.
func traceparent(idempotencyKey string) string {
	var span [8]byte
	_, _ = rand.Read(span[:]) // It never fails.
	trace := sha256.Sum256([]byte("musketry trace " + idempotencyKey))
	return "00-" + hex.EncodeToString(trace[:16]) + "-" + hex.EncodeToString(span[:]) + "-01"
}
