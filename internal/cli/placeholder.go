package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/musketry/musketry/internal/jsonscan"
)

// A pattern is a text with placeholders:
//
//	{{.name}}  what the record has under this name; {{.a.b}} is b within a
//	{{.}}      the whole record
//	{{#}}      the record's number, counted from 1
//	{{"{{"}}   two braces
//
// What a record has is never read as a pattern again.
type pattern []patternPiece

// A patternPiece is a text, or what stands in its place.
type patternPiece struct {
	text string
	kind byte // 0: text as it is; '.': a value by its name, empty for the whole; '#': the number
}

func parsePattern(text string) (pattern, error) {
	var p pattern
	for {
		before, after, found := strings.Cut(text, "{{")
		if before != "" {
			p = append(p, patternPiece{text: before})
		}
		if !found {
			return p, nil
		}
		if rest, braces := strings.CutPrefix(after, `"{{"}}`); braces {
			p, text = append(p, patternPiece{text: "{{"}), rest
			continue
		}
		inside, rest, closed := strings.Cut(after, "}}")
		if !closed {
			return nil, errors.New(`a "{{" has no "}}" behind it; write {{.name}} for a value, and {{"{{"}} for two braces`)
		}
		inside = strings.TrimSpace(inside)
		name, value := strings.CutPrefix(inside, ".")
		switch {
		case inside == "#":
			p = append(p, patternPiece{kind: '#'})
		case value:
			p = append(p, patternPiece{kind: '.', text: strings.TrimSpace(name)})
		default:
			return nil, fmt.Errorf("{{%.40s}} is no placeholder; write {{.name}} for a value, {{.}} for the whole record, "+
				`{{#}} for its number, and {{"{{"}} for two braces`, inside)
		}
		text = rest
	}
}

// names returns the values that p asks for; "" is the whole record.
func (p pattern) names() []string {
	var names []string
	for _, piece := range p {
		if piece.kind == '.' {
			names = append(names, piece.text)
		}
	}
	return names
}

// fill appends p with a record's values in place.
func (p pattern) fill(dst []byte, r record) ([]byte, error) {
	for _, piece := range p {
		switch piece.kind {
		case '#':
			dst = fmt.Appendf(dst, "%d", r.number)
		case '.':
			value, err := r.value(piece.text)
			if err != nil {
				return nil, err
			}
			dst = append(dst, value...)
		default:
			dst = append(dst, piece.text...)
		}
	}
	return dst, nil
}

// A bodyPattern is a JSON object whose strings are patterns. Whatever a record
// holds, what it makes is the same object with other strings.
type bodyPattern []bodyPiece

// A bodyPiece is JSON as it stands, or a string that is a pattern.
type bodyPiece struct {
	json []byte
	text pattern // where json is nil
}

// parseBody reads a body. The names of its members are no patterns.
func parseBody(text []byte) (bodyPattern, error) {
	body := jsontext.Value(bytes.Clone(bytes.TrimPrefix(text, []byte("\uFEFF"))))
	if !body.IsValid() {
		fault := jsonscan.FindFault(body)
		if fault.Kind == jsonscan.NoFault {
			return nil, errors.New("an object in it has two members of one name; leave one out")
		}
		return nil, fmt.Errorf("it is no JSON: look at line %d", 1+bytes.Count(body[:fault.At], []byte("\n")))
	}
	if body.Kind() != jsontext.KindBeginObject {
		return nil, fmt.Errorf("it is %s and no object, which a request's body is", jsonscan.Kind(bytes.TrimSpace(body)))
	}
	if err := body.Compact(); err != nil { // it is valid
		return nil, err
	}
	return splitBody(body)
}

// splitBody takes the strings that are patterns out of a compact, valid body.
func splitBody(body []byte) (bodyPattern, error) {
	var b bodyPattern
	d := jsontext.NewDecoder(bytes.NewBuffer(body))
	from := 0
	for {
		outer, n := d.StackIndex(d.StackDepth())
		if name := outer == jsontext.KindBeginObject && n%2 == 0; name || d.PeekKind() != jsontext.KindString {
			if _, err := d.ReadToken(); errors.Is(err, io.EOF) {
				return append(b, bodyPiece{json: body[from:]}), nil
			} else if err != nil {
				return nil, err
			}
			continue
		}
		value, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		if !bytes.Contains(value, []byte("{{")) {
			continue
		}
		p, err := parsePattern(string(jsonscan.AppendText(nil, value)))
		if err != nil {
			return nil, err
		}
		end := int(d.InputOffset())
		b = append(b, bodyPiece{json: body[from : end-len(value)]}, bodyPiece{text: p})
		from = end
	}
}

// names returns the values that b asks for.
func (b bodyPattern) names() []string {
	var names []string
	for _, piece := range b {
		names = append(names, piece.text.names()...)
	}
	return names
}

// fill appends b with a record's values in its strings, as JSON.
func (b bodyPattern) fill(dst []byte, r record) ([]byte, error) {
	for _, piece := range b {
		if piece.json != nil {
			dst = append(dst, piece.json...)
			continue
		}
		text, err := piece.text.fill(nil, r)
		if err != nil {
			return nil, err
		}
		dst = jsonscan.AppendQuoted(dst, text)
	}
	return dst, nil
}
