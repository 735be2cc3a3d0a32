package provider

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// clockSkew is how far a signature's time may be off, as at AWS.
const clockSkew = 5 * time.Minute

// A Signer is whose signature, by AWS's Signature Version 4, a stand-in wants on every call.
type Signer struct {
	AccessKeyID, SecretAccessKey string
	SessionToken                 string // "" if the credentials have none
	Service, Region              string
}

// ParseSigner reads one as KEYID:SECRET:SERVICE:REGION.
func ParseSigner(text string) (*Signer, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 4 || slices.Contains(parts, "") {
		return nil, errors.New("a signer is KEYID:SECRET:SERVICE:REGION")
	}
	return &Signer{AccessKeyID: parts[0], SecretAccessKey: parts[1], Service: parts[2], Region: parts[3]}, nil
}

// Check returns what is wrong with a call's signature. It signs what the call says that it has signed once more, by AWS's own
// library, and compares.
func (s Signer) Check(r *http.Request, body []byte, now time.Time) error {
	given := r.Header.Get("Authorization")
	fields, ok := strings.CutPrefix(given, "AWS4-HMAC-SHA256 ")
	if !ok {
		return errors.New("the call is not signed")
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || at.Sub(now).Abs() > clockSkew {
		return errors.New("the signature's time is off")
	}
	_, names, _ := strings.Cut(fields, "SignedHeaders=")
	names, _, _ = strings.Cut(names, ",")
	signed := strings.Split(names, ";")
	if !slices.Contains(signed, "host") || !slices.Contains(signed, "x-amz-date") {
		return errors.New("the signature leaves out the host or the time")
	}
	for name := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") && !slices.Contains(signed, name) {
			return errors.New("the signature leaves out " + name)
		}
	}
	again := copyOf(r, signed, int64(len(body)))
	sum := sha256.Sum256(body)
	err = v4.NewSigner().SignHTTP(r.Context(), aws.Credentials{
		AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey, SessionToken: s.SessionToken,
	}, again, hex.EncodeToString(sum[:]), s.Service, s.Region, at)
	if err != nil || !hmac.Equal([]byte(again.Header.Get("Authorization")), []byte(given)) {
		return errors.New("the signature does not match")
	}
	return nil
}

// copyOf returns what of r is signed: as much of its headers as signed names. The session's token is the signer's own.
func copyOf(r *http.Request, signed []string, length int64) *http.Request {
	again := &http.Request{Method: r.Method, Host: r.Host, Header: http.Header{}, URL: &url.URL{
		Scheme: "https", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery,
	}}
	for _, name := range signed {
		if name == "content-length" {
			again.ContentLength = length
		} else if values := r.Header.Values(name); name != "host" && name != "x-amz-security-token" {
			again.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	return again
}
