package cli

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/musketry/musketry/internal/jsonscan"
)

// textPerToken is how many bytes of text are taken for a token: OpenAI's own rule
// of thumb for English
// (https://help.openai.com/en/articles/4936856-what-are-tokens-and-how-to-count-them).
const textPerToken = 4

// texts are the members of a body that a model reads; the last of them as JSON.
func texts() []string {
	return []string{"messages", "input", "instructions", "prompt", "system", "tools"}
}

// bounds are the members that say how many tokens may come back, in the order in
// which they are looked for.
func bounds() []string { return []string{"max_completion_tokens", "max_output_tokens", "max_tokens"} }

// weigh returns what one request asks, its bytes left out. body is a JSON object.
func weigh(body []byte) load {
	one := load{Calls: 1, Unbounded: 1}
	names := slices.Concat(texts(), bounds(), []string{"n"})
	values, err := jsonscan.Pick(body, names...)
	if err != nil { // the line that it is a part of was read
		return one
	}
	var text, tokens int64
	for _, value := range values[:len(texts())-1] {
		t, n := countText(value)
		text, tokens = text+t, tokens+n
	}
	text += int64(len(values[len(texts())-1]))
	one.TokensIn = tokens + (text+textPerToken-1)/textPerToken
	for _, value := range values[len(texts()) : len(names)-1] {
		if most, ok := whole(value); ok {
			each, ok := whole(values[len(names)-1])
			if !ok {
				each = 1
			}
			one.TokensOut, one.Unbounded = most*each, 0
			break
		}
	}
	return one
}

// whole returns a JSON number that is whole, not negative and not beyond reason.
func whole(value []byte) (int64, bool) {
	var n int64
	if json.Unmarshal(value, &n) != nil || n < 0 || n > math.MaxInt32 || jsonscan.Null(value) {
		return 0, false
	}
	return n, true
}

// countText returns how many bytes of text a JSON value has, and how many numbers
// that stand for tokens. Members that no model reads as text are left out, and so
// are data in base64.
func countText(value []byte) (text, tokens int64) {
	if len(value) == 0 {
		return 0, 0
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(value), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		token, err := d.ReadToken()
		if err != nil {
			return text, tokens
		}
		outer, n := d.StackIndex(d.StackDepth())
		name := outer == jsontext.KindBeginObject && n%2 == 1
		switch {
		case name && untold(token.String()):
			if d.SkipValue() != nil {
				return text, tokens
			}
		case token.Kind() == '"' && !name:
			text += int64(len(token.String()))
		case token.Kind() == '0' && outer == jsontext.KindBeginArray:
			tokens++
		}
	}
}

// untold reports whether a member is no text that a model reads.
func untold(name string) bool {
	return slices.Contains([]string{
		"role", "type", "id", "call_id", "tool_call_id", "image_url", "input_audio", "audio", "file", "file_data", "file_id", "file_url",
		"data", "source", "encrypted_content", "cache_control", "strict",
	}, name)
}
