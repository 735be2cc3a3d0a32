package batch_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/batch"
)

// TestDigestOfParts demands that parts of any size have the digest of the whole.
func TestDigestOfParts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var whole []byte
		d := batch.Digest("").Append(0, nil)
		for _, part := range rapid.SliceOf(rapid.SliceOf(rapid.Byte())).Draw(rt, "parts") {
			d = d.Append(int64(len(whole)), part)
			whole = append(whole, part...)
		}
		want := sha256.Sum256(whole)
		if got := d.Sum(); got != hex.EncodeToString(want[:]) {
			rt.Fatalf("digest of %q is %s, want %x", whole, got, want)
		}
	})
}

// TestLostDigest demands that a digest that does not cover all of a file is
// never told as if it did.
func TestLostDigest(t *testing.T) {
	t.Parallel()
	for _, d := range []batch.Digest{"", "?", "c2hhAwAA", batch.Digest("").Append(0, []byte("a"))[:20]} {
		if got := d.Append(1, []byte("b")).Append(2, []byte("c")).Sum(); got != "" {
			t.Errorf("%q becomes %s", d, got)
		}
	}
}
