package upstream

import (
	"bytes"
	"strings"
)

const (
	// concealed stands where an answer had a secret.
	concealed = "[redacted]"

	// shortestKey is the shortest secret in bytes that is looked for: a shorter one is no secret, and may be a word.
	shortestKey = 8
)

// conceal strikes the secrets that a call carried out of what a tenant reads. Some providers, and proxies before them,
// quote in an error what they were sent: AWS quotes all that was signed, the session's token in it. A secret in another
// coding is not found: whoever has it can send it anyhow.
func (r *Response) conceal(secrets []string) {
	for _, secret := range secrets {
		if len(secret) < shortestKey {
			continue
		}
		for _, form := range []string{secret, strings.ReplaceAll(secret, "/", `\/`)} { // as JSON may write a slash
			if bytes.Contains(r.Body, []byte(form)) {
				r.Body = bytes.ReplaceAll(r.Body, []byte(form), []byte(concealed))
			}
		}
		r.RequestID = strings.ReplaceAll(r.RequestID, secret, concealed)
	}
}
