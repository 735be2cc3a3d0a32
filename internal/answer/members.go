package answer

import (
	"bytes"
	"slices"

	"github.com/musketry/musketry/internal/jsonscan"
)

// members are what is looked at of an answer.
type members struct {
	of   Kind
	json bool // it is JSON

	err, errors, status, class, kind           []byte
	choices, data, output, results, incomplete []byte

	codes, messages [][]byte // of an error that stands for itself
	telling         [][]byte // those of the codes that an error alone has

	model, usage []byte // of an answer that is an object itself

	lack   *string  // what of a result it lacks; nil: not looked for yet
	failed *failure // the error that it carries in place of a result; nil: not looked for yet
}

// read reads an answer of a kind. A list of one error is read as that error, as Google writes it.
func read(body []byte, of Kind) *members {
	m := &members{of: of}
	if m.json = m.take(body); m.json {
		return m
	}
	if m.json = jsonscan.Valid(body); !m.json {
		return m
	}
	if body = bytes.TrimSpace(body); body[0] == '[' && len(body) < maxErrorList {
		var failed []byte
		_ = jsonscan.Items(body, func(item []byte) error { // It is valid.
			if object(item) && some(member(item, "error")) {
				failed = item
			}
			return nil
		})
		m.take(failed)
		m.model, m.usage = nil, nil
	}
	return m
}

// take takes an object's members, and reports whether it is one.
func (m *members) take(body []byte) bool {
	v, err := jsonscan.Pick(body, "error", "status", "object", "type", "choices", "data", "output", "results", "incomplete_details",
		"errors", "error_code", "base_resp", "code", "error_type", "statusCode", "status_code", "__type",
		"message", "detail", "msg", "error_msg", "error_message", "title", "model", "usage")
	if err != nil {
		return false
	}
	v, m.model, m.usage = v[:len(v)-2], v[len(v)-2], v[len(v)-1]
	m.err, m.status, m.class, m.kind = v[0], v[1], v[2], v[3]
	m.choices, m.data, m.output, m.results, m.incomplete, m.errors = v[4], v[5], v[6], v[7], v[8], v[9]
	base := pickAll(v[11], "status_code", "status_msg") // MiniMax's.
	m.telling = [][]byte{v[10], base[0]}
	m.codes = slices.Concat(v[12:17], [][]byte{m.kind}, m.telling)
	m.messages = slices.Concat(v[17:], base[1:])
	return true
}

// lacks returns what of a result the answer lacks; "" if it has one.
func (m *members) lacks() string {
	if m.lack == nil {
		lack := m.of.lacks(m)
		m.lack = &lack
	}
	return *m.lack
}

// fails returns the error that the answer carries in place of a result.
func (m *members) fails() failure {
	if m.failed == nil {
		f := m.failure(false)
		m.failed = &f
	}
	return *m.failed
}

// maxErrorList is the longest list in bytes in which an error is looked for.
const maxErrorList = 16 << 10
