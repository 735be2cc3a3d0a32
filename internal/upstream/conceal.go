package upstream

import (
	"bytes"
	"strings"
)

const (
	// concealed stands where an answer had the provider's key.
	concealed = "[redacted]"

	// shortestKey is the shortest key in bytes that is looked for: a shorter one is no secret, and may be a word.
	shortestKey = 8
)

// conceal strikes the key of an Authorization header out of what a tenant reads. Some providers, and proxies before
// them, quote in an error what they were sent. A key in another coding is not found: whoever has it can send it anyhow.
func (r *Response) conceal(authorization string) {
	key := strings.TrimPrefix(authorization, "Bearer ")
	if len(key) < shortestKey {
		return
	}
	for _, form := range []string{key, strings.ReplaceAll(key, "/", `\/`)} { // as JSON may write a slash
		if bytes.Contains(r.Body, []byte(form)) {
			r.Body = bytes.ReplaceAll(r.Body, []byte(form), []byte(concealed))
		}
	}
	r.RequestID = strings.ReplaceAll(r.RequestID, key, concealed)
}
