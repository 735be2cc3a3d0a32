package api

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/tenant"
)

const (
	// knownFor is how long a key is believed without looking: a revoked one
	// works for so long at most.
	knownFor = 60 * time.Second
	// unknownFor is the same of keys that are refused, so that a client with a
	// wrong key does not read the store at each call. A key just made is not
	// refused for long.
	unknownFor = 5 * time.Second
	// cachedKeys bounds each kind, so that refused keys cannot displace the
	// ones in use.
	cachedKeys = 1024
)

// Why a request is not let in, as the metric auth_failures_total has it.
const (
	reasonMissing   = "missing"   // no key, or none as a Bearer
	reasonMalformed = "malformed" // no key of ours looks like this
	reasonUnknown   = "unknown"   // nobody has it, or nobody has it any more
	reasonExpired   = "expired"   // its life is over
)

const (
	codeExpiredKey  = "expired_api_key"
	codeReadOnlyKey = "read_only_api_key"
)

// shownHash is how much of a key's hash is logged, in hexadecimal digits: it
// tells one guess from another, and nothing of the key.
const shownHash = 8

// An authError is a 401.
type authError struct {
	refusalError

	reason string
	hash   string // the beginning of the key's hash; empty without a key
}

// Unwrap returns what is answered.
func (e *authError) Unwrap() error { return &e.refusalError }

func notLetIn(reason, key string) *authError {
	e := &authError{reason: reason, refusalError: refusalError{
		status: http.StatusUnauthorized, code: "invalid_api_key",
		message: "Incorrect API key provided. It is unknown here, or was revoked.",
	}}
	if reason == reasonMissing {
		e.message = "No API key was given. Send it as the header 'Authorization: Bearer YOUR_KEY', or as 'api-key: YOUR_KEY'."
	}
	if reason == reasonExpired {
		e.code, e.message = codeExpiredKey, "This API key has expired. Ask whoever runs this deployment for a new one."
	}
	if key != "" {
		e.hash = tenant.Hash(key)[:shownHash]
	}
	return e
}

// keyOf returns the key that r carries as OpenAI's clients send it, or else as
// Azure's do; empty if it has none.
func keyOf(r *http.Request) string {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if key = strings.TrimSpace(key); strings.EqualFold(scheme, "Bearer") && key != "" {
		return key
	}
	return strings.TrimSpace(r.Header.Get("Api-Key"))
}

// authenticate returns what is stored of the key that r carries, or an *authError.
func (a *api) authenticate(r *http.Request) (tenant.Key, error) {
	secret := keyOf(r)
	switch {
	case secret == "":
		return tenant.Key{}, notLetIn(reasonMissing, "")
	case !tenant.HasForm(secret):
		return tenant.Key{}, notLetIn(reasonMalformed, secret)
	}
	key, err := a.keys.key(r.Context(), tenant.Hash(secret))
	if errors.Is(err, tenant.ErrUnknownKey) {
		return tenant.Key{}, notLetIn(reasonUnknown, secret)
	}
	if err == nil && key.Expired(a.Clock()) { // at each call: what is remembered of it may be older than its end
		return tenant.Key{}, notLetIn(reasonExpired, secret)
	}
	return key, err
}

// admits returns a 403 if key may not call the route of pattern: one that is read-only
// calls none that changes anything. Every route but GET's is taken to, and that of
// links, which download what it may read.
func admits(key tenant.Key, pattern string) error {
	method, _, _ := strings.Cut(pattern, " ")
	if !key.ReadOnly || method == http.MethodGet || pattern == linkPattern {
		return nil
	}
	return &refusalError{
		status: http.StatusForbidden, code: codeReadOnlyKey,
		message: "This API key is read-only, and this call changes something. Use a key that is not; GET /v1/usage says what a key is.",
	}
}

// source is the address that r came from, as the gateway or the connection has
// it: no header, which anybody can write.
func source(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return clip(r.RemoteAddr)
}

// A keyring looks up keys and remembers them for a while.
type keyring struct {
	store KeyStore
	clock func() time.Time

	mu      sync.Mutex
	known   map[string]cachedKey
	unknown map[string]cachedKey
	notes   map[string]note // by hash
}

type cachedKey struct {
	key   tenant.Key
	err   error // tenant.ErrUnknownKey of one that is refused
	until time.Time
}

func newKeyring(store KeyStore, clock func() time.Time) *keyring {
	return &keyring{store: store, clock: clock, known: map[string]cachedKey{}, unknown: map[string]cachedKey{}, notes: map[string]note{}}
}

// key returns the key of this hash. It returns tenant.ErrUnknownKey if there is
// none, or if it was revoked.
func (k *keyring) key(ctx context.Context, hash string) (tenant.Key, error) {
	if c, ok := k.cached(hash); ok {
		return c.key, c.err
	}
	now := k.clock() // before the read: what is read is at least as fresh
	key, err := k.store.Key(ctx, hash)
	switch {
	case errors.Is(err, tenant.ErrUnknownKey):
	case err != nil:
		return tenant.Key{}, fmt.Errorf("api: look up key: %w", err)
	case key.RevokedAt.IsZero() && subtle.ConstantTimeCompare([]byte(key.Hash), []byte(hash)) == 1:
		k.remember(k.known, hash, cachedKey{key: key, until: now.Add(knownFor)})
		return key, nil
	}
	k.remember(k.unknown, hash, cachedKey{err: tenant.ErrUnknownKey, until: now.Add(unknownFor)})
	return tenant.Key{}, tenant.ErrUnknownKey
}

// cached returns what is remembered of a hash, and whether anything is.
func (k *keyring) cached(hash string) (cachedKey, bool) {
	now := k.clock()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, in := range []map[string]cachedKey{k.known, k.unknown} {
		if c, ok := in[hash]; ok && now.Before(c.until) {
			return c, true
		}
	}
	return cachedKey{}, false
}

func (k *keyring) remember(in map[string]cachedKey, hash string, c cachedKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(in) >= cachedKeys {
		clear(in) // cheaper than an order of use, and costs one read a key at worst
	}
	in[hash] = c
}
