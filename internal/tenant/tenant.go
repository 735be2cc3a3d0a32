// Package tenant is who may use a deployment, and how much of it: tenants, their
// API keys, their limits, and the [Quota] that says what each has unfinished and
// stored. It knows how keys are made and recognised, and no store or transport.
package tenant

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

var (
	// ErrUnknownKey reports a key that no tenant has, or has no more.
	ErrUnknownKey = errors.New("tenant: unknown key")
	// ErrName reports a tenant's name that cannot be one.
	ErrName = errors.New("tenant: a name is 1 to 64 lower-case letters, digits and hyphens, a letter or digit first")
)

const (
	keyPrefix = "sk-musketry-"
	keyBytes  = 32 // 256 bits of randomness: a plain hash of it cannot be guessed
)

// A Key is what is stored of an API key: never the key itself.
type Key struct {
	Hash      string // SHA-256 of the key, in hex
	Tenant    string
	Name      string // the person's name for it
	Hint      string // the key's last four characters
	CreatedAt time.Time
	RevokedAt time.Time // zero: in force
	ExpiresAt time.Time // from then on it is refused; zero: never
	ReadOnly  bool      // it may change nothing
}

// Expired reports whether k's life is over.
func (k Key) Expired(now time.Time) bool { return !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt) }

// NewKey makes an API key of a tenant from 32 random bytes. It returns the
// key itself, to be shown once, and what may be stored of it, and ErrName if
// tenant cannot be a tenant's name.
func NewKey(tenant, name string, random io.Reader, now time.Time) (string, Key, error) {
	if !nameForm().MatchString(tenant) {
		return "", Key{}, fmt.Errorf("%w: %.64q", ErrName, tenant)
	}
	raw := make([]byte, keyBytes)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", Key{}, fmt.Errorf("tenant: random bytes: %w", err)
	}
	secret := keyPrefix + base64.RawURLEncoding.EncodeToString(raw)
	return secret, Key{
		Hash: Hash(secret), Tenant: tenant, Name: name, Hint: secret[len(secret)-4:],
		CreatedAt: now.UTC().Truncate(time.Millisecond),
	}, nil
}

// HasForm reports whether key could have come from NewKey: whoever guesses
// anything else is refused without a look at any store.
func HasForm(key string) bool {
	text, ok := strings.CutPrefix(key, keyPrefix)
	if !ok || len(text) != base64.RawURLEncoding.EncodedLen(keyBytes) {
		return false
	}
	_, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && !strings.ContainsAny(text, "\r\n") // which decoding skips
}

// Hash returns what a key is stored and found under.
func Hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

func nameForm() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`) }
