package jsonscan

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is the most levels of objects and arrays in each other that are read, the library's own bound.
const MaxDepth = 10_000

// space is what JSON allows between its tokens.
const space = " \t\r\n"

// A FaultKind says in what way a text is not one JSON value.
type FaultKind int

// The kinds. Those that a text has are looked for in this order.
const (
	NoFault   FaultKind = iota
	NotUTF8             // a byte that is no UTF-8
	EndsEarly           // the end, where its value goes on; also of a text without a value
	TooDeep             // more levels than MaxDepth
	GoesOn              // something behind its value
	NoToken             // something that has no place there, or is nothing of JSON
)

// A Fault is why a text is not one JSON value.
type Fault struct {
	Kind FaultKind
	At   int // the byte at which that shows, counted from 0
}

// FindFault looks for why text is not one JSON value; NoFault where it is one. It takes no memory that grows with text,
// and is for texts that were refused: Valid is quicker.
func FindFault(text []byte) Fault {
	if !utf8.Valid(text) {
		return Fault{NotUTF8, len(text) - len(fromInvalid(text))}
	}
	d := newDecoder(text)
	defer d.done()
	for {
		_, err := d.ReadToken()
		begun := d.InputOffset() > 0
		if whole := begun && d.StackDepth() == 0; whole && err == nil {
			return behind(text, int(d.InputOffset()))
		}
		if err == nil {
			continue
		}
		at := int(d.InputOffset())
		if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
			at = int(syntax.ByteOffset)
		}
		switch {
		case len(bytes.TrimLeft(text[at:], space)) == 0:
			return Fault{EndsEarly, len(text)}
		case d.StackDepth() >= MaxDepth && (text[at] == '{' || text[at] == '['):
			return Fault{TooDeep, at}
		}
		return Fault{NoToken, at}
	}
}

// behind returns what is wrong with text once its value has ended at a byte.
func behind(text []byte, end int) Fault {
	rest := bytes.TrimLeft(text[end:], space)
	if len(rest) == 0 {
		return Fault{}
	}
	return Fault{GoesOn, len(text) - len(rest)}
}

// fromInvalid returns text from its first byte that is no UTF-8.
func fromInvalid(text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 {
			break
		}
		text = text[n:]
	}
	return text
}
