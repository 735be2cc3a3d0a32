package jsonscan

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// A decoder reads a text where it lies.
type decoder struct {
	jsontext.Decoder

	text bytes.Buffer
}

// decoders are those that nobody uses: an answer is looked at a dozen times, and a
// new decoder takes as much memory as a short answer.
//
//nolint:gochecknoglobals // it keeps nothing but memory
var decoders = sync.Pool{New: func() any { return new(decoder) }}

// newDecoder returns a decoder of text, which its caller gives back with done. What
// encoding/json takes is allowed: two members with one name, which else the decoder
// would have to remember, and the escape of half a surrogate pair. Callers have
// looked at the UTF-8.
func newDecoder(text []byte) *decoder {
	d, ok := decoders.Get().(*decoder)
	if !ok {
		d = new(decoder)
	}
	d.text = *bytes.NewBuffer(text)
	d.Reset(&d.text, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return d
}

// done gives d back, which holds on to nothing of its text.
func (d *decoder) done() {
	d.text = bytes.Buffer{}
	d.Reset(&d.text)
	decoders.Put(d)
}

// next passes over the next value and returns it, a part of text.
func (d *decoder) next(text []byte) ([]byte, error) {
	value, err := d.ReadValue()
	if err != nil {
		return nil, ErrSyntax
	}
	end := int(d.InputOffset())
	return text[end-len(value) : end : end], nil
}

// atEnd reports whether nothing follows but space.
func (d *decoder) atEnd() bool {
	_, err := d.ReadToken()
	return errors.Is(err, io.EOF)
}
