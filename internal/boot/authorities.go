package boot

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
)

// errAuthorities goes on after the name of what has them.
var errAuthorities = errors.New("has no certificates: want a PEM bundle, or one in base64 on a line")

// Authorities returns the system's authorities and those of a bundle: certificates as PEM, or the same in base64, which is
// one word. The error goes on after the bundle's name.
func Authorities(bundle string) (*x509.CertPool, error) {
	text := []byte(bundle)
	if !strings.HasPrefix(bundle, "-----BEGIN") {
		var err error
		if text, err = base64.StdEncoding.DecodeString(bundle); err != nil {
			return nil, errAuthorities
		}
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // no files of them here
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, errAuthorities
	}
	return pool, nil
}
