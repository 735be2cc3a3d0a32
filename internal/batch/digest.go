package batch

import (
	"crypto/sha256"
	"encoding"
	"encoding/base64"
	"encoding/hex"
)

// A Digest is the SHA-256 of the first bytes of a file in the making: what the
// hash has come to, in base64, so that whoever writes the file's next part goes
// on from it. The empty Digest is that of no bytes, or a lost one.
type Digest string

// Append returns the digest of the written bytes that d is of, and p. It is
// lost, and stays so, if d is of other bytes than none and cannot be read, as
// when another version of this code wrote them: a file without a digest is
// better than none.
func (d Digest) Append(written int64, p []byte) Digest {
	hash := sha256.New()
	if written > 0 {
		state, err := base64.StdEncoding.DecodeString(string(d))
		into, ok := hash.(encoding.BinaryUnmarshaler)
		if err != nil || !ok || into.UnmarshalBinary(state) != nil {
			return ""
		}
	}
	_, _ = hash.Write(p) // never fails
	from, ok := hash.(encoding.BinaryMarshaler)
	if !ok {
		return ""
	}
	state, err := from.MarshalBinary()
	if err != nil {
		return ""
	}
	return Digest(base64.StdEncoding.EncodeToString(state))
}

// Sum returns the SHA-256 in hex, as a File has it, and "" of a lost digest.
func (d Digest) Sum() string {
	hash := sha256.New()
	state, err := base64.StdEncoding.DecodeString(string(d))
	into, ok := hash.(encoding.BinaryUnmarshaler)
	if err != nil || !ok || into.UnmarshalBinary(state) != nil {
		return ""
	}
	return hex.EncodeToString(hash.Sum(nil))
}
