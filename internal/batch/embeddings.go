package batch

import "github.com/musketry/musketry/internal/jsonscan"

// EmbeddingInputs returns how many inputs the body of a request for embeddings
// has, which must be a JSON object: as many as its array of texts or of lists of
// tokens has entries, and otherwise one, since a list of tokens is one text.
func EmbeddingInputs(body []byte) int {
	values, err := jsonscan.Pick(body, "input")
	if err != nil || !startsWith(values[0], '[') {
		return 1
	}
	return entries(values[0])
}

// entries counts the entries of a JSON array, which is valid. It stops at a
// number, which stands for a token: then they are one text.
func entries(array []byte) int {
	commas, depth, some := 0, 0, false
	for i := 0; i < len(array); i++ {
		switch c := array[i]; {
		case c == '"':
			i = stringEnd(array, i)
			some = true
		case c == '[' || c == '{':
			some = some || depth > 0
			depth++
		case c == ']' || c == '}':
			depth--
		case c == ',' && depth == 1:
			commas++
		case depth == 1 && (c == '-' || c >= '0' && c <= '9'):
			return 1
		}
	}
	if !some {
		return 1
	}
	return commas + 1
}

// stringEnd returns where the string ends that begins at i.
func stringEnd(text []byte, i int) int {
	for i++; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i
}
