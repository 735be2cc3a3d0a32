package answer

import (
	"bytes"
	"slices"

	"github.com/musketry/musketry/internal/jsonscan"
)

// members are what is looked at of an answer.
type members struct {
	of     Kind
	json   bool // it is JSON
	object bool // and an object

	err, errors, status, class, kind           []byte
	choices, data, output, results, incomplete []byte

	codes, messages [][]byte // of an error that stands for itself
	telling         [][]byte // those of the codes that an error alone has
}

// read reads an answer of a kind. A list of one error is read as that error, as Google writes it.
func read(body []byte, of Kind) *members {
	m := &members{of: of, json: jsonscan.Valid(body)}
	if !m.json {
		return m
	}
	body = bytes.TrimSpace(body)
	if body[0] == '[' && len(body) < maxErrorList {
		_ = jsonscan.Items(body, func(item []byte) error { // It is valid.
			if object(item) && some(member(item, "error")) {
				body = item
			}
			return nil
		})
	}
	v, err := jsonscan.Pick(body, "error", "status", "object", "type", "choices", "data", "output", "results", "incomplete_details",
		"errors", "error_code", "base_resp", "code", "error_type", "statusCode", "status_code", "__type",
		"message", "detail", "msg", "error_msg", "error_message", "title")
	if err != nil {
		return m
	}
	m.object = true
	m.err, m.status, m.class, m.kind = v[0], v[1], v[2], v[3]
	m.choices, m.data, m.output, m.results, m.incomplete, m.errors = v[4], v[5], v[6], v[7], v[8], v[9]
	base := pickAll(v[11], "status_code", "status_msg") // MiniMax's.
	m.telling = [][]byte{v[10], base[0]}
	m.codes = slices.Concat(v[12:17], [][]byte{m.kind}, m.telling)
	m.messages = slices.Concat(v[17:], base[1:])
	return m
}

// maxErrorList is the longest list in bytes in which an error is looked for.
const maxErrorList = 16 << 10
