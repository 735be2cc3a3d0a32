package answer

import (
	"bytes"
	"strings"

	"github.com/musketry/musketry/internal/jsonscan"
)

// maxName is the longest model name or error code in bytes that is taken from an answer: both end up in small items.
const maxName = 256

// choicesKey, callsKey and contentKey are the members that a completion's results, and a message's tool calls and text, come in.
const choicesKey, callsKey, contentKey = "choices", "tool_calls", "content"

// member returns an object's member, or nil if there is none, or no object.
func member(raw []byte, name string) []byte {
	return pickAll(raw, name)[0]
}

// pickAll returns an object's members, each nil if there is none, or no object.
func pickAll(raw []byte, names ...string) [][]byte {
	values, err := jsonscan.Pick(raw, names...)
	if err != nil {
		return make([][]byte, len(names))
	}
	return values
}

// name reads a short string; any other value reads as "".
func name(raw []byte) string {
	s, _ := jsonscan.Text(raw, maxName)
	return s
}

// object reports whether a value is an object.
func object(raw []byte) bool { return len(raw) > 0 && raw[0] == '{' }

// list reports whether a value is a list with something in it.
func list(raw []byte) bool { return len(raw) > 0 && raw[0] == '[' && some(raw) }

// text reports whether a value is a string, which may be empty.
func text(raw []byte) bool { return len(raw) > 0 && raw[0] == '"' }

// some reports whether a value is there and neither null, false nor an empty array, object or string.
func some(raw []byte) bool {
	if jsonscan.Null(raw) {
		return false
	}
	switch raw[0] {
	case '{', '[', '"':
		return len(bytes.TrimSpace(raw[1:len(raw)-1])) > 0
	default:
		return raw[0] != 'f'
	}
}

// plain returns a word as its many spellings have it in common: "IN_PROGRESS" and "in-progress" are in_progress,
// "RateLimitError" is rate_limit_error.
func plain(word string) string {
	var b strings.Builder
	small := false
	for _, r := range strings.TrimSpace(word) {
		switch {
		case 'A' <= r && r <= 'Z':
			if small {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
			small = false
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
			small = true
		default:
			r, small = '_', false
		}
		b.WriteRune(r)
	}
	return b.String()
}
