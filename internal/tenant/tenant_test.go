package tenant_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/tenant"
)

func noon() time.Time {
	return time.Date(2031, 5, 17, 12, 0, 0, 123_456_789, time.FixedZone("odd", 5*3600+1800))
}

// TestNewKey holds the very key that known bytes make.
func TestNewKey(t *testing.T) {
	t.Parallel()
	secret, key, err := tenant.NewKey("acme", "laptop", bytes.NewReader(make([]byte, 33)), noon())
	if err != nil {
		t.Fatal(err)
	}
	if want := "sk-musketry-" + strings.Repeat("A", 43); secret != want {
		t.Errorf("key %q, want %q", secret, want)
	}
	want := tenant.Key{
		Hash:   "ec1a520afca9da0405b0736a22259ec2258bcf0c7451884bb88a199df9de0992",
		Tenant: "acme", Name: "laptop", Hint: "AAAA",
		CreatedAt: time.Date(2031, 5, 17, 6, 30, 0, 123_000_000, time.UTC),
	}
	if diff := cmp.Diff(want, key); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

func TestHash(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{ // https://csrc.nist.gov/projects/cryptographic-standards-and-guidelines/example-values
		"":    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	} {
		if got := tenant.Hash(key); got != want {
			t.Errorf("Hash(%q) = %s, want %s", key, got, want)
		}
	}
}

func TestKeysTellNothing(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^sk-musketry-[A-Za-z0-9_-]{43}$`)
	seen := map[string]bool{}
	for range 100 {
		secret, key, err := tenant.NewKey("acme", "", rand.Reader, noon())
		if err != nil {
			t.Fatal(err)
		}
		if !form.MatchString(secret) || seen[secret] || seen[key.Hash] {
			t.Fatalf("key %q is no key, or was made before", secret)
		}
		seen[secret], seen[key.Hash] = true, true
		if key.Hash != tenant.Hash(secret) || !strings.HasSuffix(secret, key.Hint) || len(key.Hint) != 4 {
			t.Errorf("hash %s and hint %q are not the key's", key.Hash, key.Hint)
		}
		for _, kept := range []string{key.Hash, key.Tenant, key.Name, key.Hint} {
			if strings.Contains(kept, secret[:20]) {
				t.Errorf("%q gives the key away", kept)
			}
		}
		if !key.RevokedAt.IsZero() {
			t.Error("a new key is revoked")
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for name, good := range map[string]bool{
		"a": true, "7": true, "acme": true, "acme-2": true, "a-": true, strings.Repeat("a", 64): true,
		"": false, "-a": false, "Acme": false, "ac me": false, "acme\n": false, "\nacme": false, "a/b": false, "a#b": false,
		"..": false, "a.b": false, "a_b": false, "ä": false, "a\x00": false, strings.Repeat("a", 65): false,
		strings.Repeat("x/", 1000): false,
	} {
		secret, key, err := tenant.NewKey(name, "", rand.Reader, noon())
		if good {
			if err != nil || key.Tenant != name {
				t.Errorf("NewKey(%q): %+v, %v", name, key, err)
			}
			continue
		}
		if !errors.Is(err, tenant.ErrName) || secret != "" || key != (tenant.Key{}) || len(err.Error()) > 400 {
			t.Errorf("NewKey(%.70q) = %+v, %v, want ErrName and nothing else", name, key, err)
		}
	}
}

// TestNamesAreKeySafe holds what stands between a tenant's name and the keys of
// items and objects, in which '#' and '/' part one thing from another.
func TestNamesAreKeySafe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z0-9#/.\n-]{1,70}`)).Draw(t, "name")
		_, key, err := tenant.NewKey(name, "", rand.Reader, noon())
		if err == nil && (strings.ContainsAny(name, "#/. \n\x00") || len(name) > 64 || key.Tenant != name) {
			t.Fatalf("%q is a tenant's name", name)
		}
	})
}

func TestRandomnessThatFails(t *testing.T) {
	t.Parallel()
	for name, random := range map[string]io.Reader{
		"none": bytes.NewReader(nil), "too little": bytes.NewReader(make([]byte, 31)),
	} {
		secret, key, err := tenant.NewKey("acme", "", random, noon())
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) || secret != "" || key != (tenant.Key{}) {
			t.Errorf("%s: key %q, %+v, %v", name, secret, key, err)
		}
	}
	torn := iotest.OneByteReader(bytes.NewReader(make([]byte, 32)))
	if _, _, err := tenant.NewKey("acme", "", torn, noon()); err != nil {
		t.Errorf("a byte at a time: %v", err)
	}
}

func TestHasForm(t *testing.T) {
	t.Parallel()
	key, _, err := tenant.NewKey("acme", "", rand.Reader, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if !tenant.HasForm(key) {
		t.Error("a new key has not the form of one")
	}
	for _, other := range []string{
		"", "sk-musketry-", key[1:], key[:len(key)-1], key + "A", "SK" + key[2:], "sk-proj-" + key[len("sk-musketry-"):],
		key[:20] + "+" + key[21:], key[:20] + "\n" + key[21:], key[:len(key)-1] + "B", // bits beyond the last byte
	} {
		if tenant.HasForm(other) {
			t.Errorf("%q has the form of a key", other)
		}
	}
}
