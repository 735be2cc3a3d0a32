package jsonscan

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrSyntax reports a text that is not one JSON value of the kind asked for, in
// UTF-8 and with nothing behind it. It quotes nothing.
var ErrSyntax = errors.New("jsonscan: not valid JSON")

// maxEscaped is the most bytes in which a string has one byte: \u0000.
const maxEscaped = 6

// Valid reports whether text is one JSON value in UTF-8 with nothing behind it.
func Valid(text []byte) bool {
	if !utf8.Valid(text) {
		return false
	}
	if isShallow(text) {
		return validHere(text)
	}
	var valid bool
	apart(func() { valid = validHere(text) })
	return valid
}

// validHere is Valid on the caller's stack, of a text in UTF-8.
func validHere(text []byte) bool {
	d := newDecoder(text)
	defer d.done()
	return d.SkipValue() == nil && d.atEnd()
}

// Pick returns the values of the members called names of a JSON object, in the
// order of names: nil where there is none. They are parts of text, without the
// space around them. It returns ErrSyntax if text is no object.
func Pick(text []byte, names ...string) ([][]byte, error) {
	values := make([][]byte, len(names))
	var scratch []byte
	err := Members(text, func(name, value []byte) error {
		scratch = AppendName(scratch[:0], name)
		for i, want := range names {
			if string(scratch) == want {
				values[i] = value
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return values, nil
}

// Members calls f with every member of a JSON object in turn: its name as it is
// written, with quotes and escapes, and its value without the space around it,
// both parts of text. It returns ErrSyntax if text is no object, of which f may
// have seen some by then, and f's error as it is.
func Members(text []byte, f func(name, value []byte) error) error {
	return walk(text, '{', func(d *decoder) error {
		name, err := d.next(text)
		if err != nil {
			return err
		}
		value, err := d.next(text)
		if err != nil {
			return err
		}
		return f(name, value)
	})
}

// Items calls f with every value of a JSON array in turn, as Members does.
func Items(text []byte, f func(value []byte) error) error {
	return walk(text, '[', func(d *decoder) error {
		value, err := d.next(text)
		if err != nil {
			return err
		}
		return f(value)
	})
}

// walk reads text, which begins with open, and has one read each part of it.
func walk(text []byte, open jsontext.Kind, one func(*decoder) error) error {
	if !utf8.Valid(text) {
		return ErrSyntax
	}
	if isShallow(text) {
		return walkHere(text, open, one)
	}
	var err error
	apart(func() { err = walkHere(text, open, one) })
	return err
}

// walkHere is walk on the caller's stack, of a text in UTF-8.
func walkHere(text []byte, open jsontext.Kind, one func(*decoder) error) error {
	d := newDecoder(text)
	defer d.done()
	if d.PeekKind() != open {
		return ErrSyntax
	}
	if _, err := d.ReadToken(); err != nil {
		return ErrSyntax
	}
	for d.PeekKind() != open+2 { // '}' and ']' are two behind what they close
		if err := one(d); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil || !d.atEnd() {
		return ErrSyntax
	}
	return nil
}

// longestName is the most bytes of a written name that AppendName reads.
const longestName = 1 << 10

// AppendName appends what name, of Members, stands for; nothing for one of more
// than 1 KiB, which nobody looks for.
func AppendName(dst, name []byte) []byte {
	switch {
	case len(name) > longestName:
		return dst
	case bytes.IndexByte(name, '\\') < 0:
		return append(dst, name[1:len(name)-1]...)
	}
	return AppendText(dst, name)
}

// Text returns the string that value, of Members or Items, is if it is one of at
// most so many bytes. The result does not hold on to value.
func Text(value []byte, most int) (string, bool) {
	if last := len(value) - 1; last < 1 || value[0] != '"' || value[last] != '"' || last > maxEscaped*most+1 {
		return "", false
	}
	if plain := value[1 : len(value)-1]; bytes.IndexByte(plain, '\\') < 0 && utf8.Valid(plain) {
		if len(plain) > most {
			return "", false
		}
		return string(plain), true
	}
	var text string
	if json.Unmarshal(value, &text) != nil || len(text) > most {
		return "", false
	}
	return text, true
}

// AppendText appends the string that value, or a name, of Members or Items, is.
func AppendText(dst, value []byte) []byte {
	dst, _ = jsontext.AppendUnquote(dst, value) // half a surrogate pair becomes U+FFFD
	return dst
}

// AppendQuoted appends text as a JSON string, in which each byte that is no UTF-8
// becomes U+FFFD.
func AppendQuoted(dst, text []byte) []byte {
	dst, _ = jsontext.AppendQuote(dst, text)
	return dst
}

// Null reports whether value is JSON's null, or nil as of a member that there
// is not.
func Null(value []byte) bool { return len(value) == 0 || value[0] == 'n' }

// HalfPair reports whether value, a string of Members or Items, escapes half of a surrogate pair, such as \ud83d: that is
// JSON, but no text, and U+FFFD stands for it in what Text returns.
func HalfPair(value []byte) bool {
	if !bytes.Contains(value, []byte(`\u`)) {
		return false
	}
	_, err := jsontext.AppendUnquote(nil, value)
	return err != nil
}

// Kind says what value is, of Members or Items, as OpenAI's messages do: "a string", "an integer". A number with a point or
// an exponent is "a decimal", and nil "nothing".
func Kind(value []byte) string {
	if len(value) == 0 {
		return "nothing"
	}
	switch value[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	if bytes.ContainsAny(value, ".eE") {
		return "a decimal"
	}
	return "an integer"
}
