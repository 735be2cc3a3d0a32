package batch

import "unicode/utf8"

// appendText appends s as a JSON string.
func appendText(dst []byte, s string) []byte { return appendWritten(dst, s, true) }

// appendWritten appends a text as it is written into a line. Bytes that are no
// UTF-8 become U+FFFD each, since a JSON text is UTF-8
// (https://www.rfc-editor.org/rfc/rfc8259#section-8.1).
func appendWritten[T string | []byte](dst []byte, text T, quote bool) []byte {
	w := writer{dst: dst, appends: true}
	write(&w, text, quote)
	return w.dst
}

// lengthWritten returns how many bytes appendWritten appends.
func lengthWritten[T string | []byte](text T, quote bool) int {
	w := writer{}
	write(&w, text, quote)
	return w.n
}

// A writer counts what is written, and appends it if it is to.
type writer struct {
	dst     []byte
	appends bool
	n       int
}

func put[T string | []byte](w *writer, piece T) {
	w.n += len(piece)
	if w.appends {
		w.dst = append(w.dst, piece...)
	}
}

// write writes text as a JSON string, or, without quote, what is JSON already.
func write[T string | []byte](w *writer, text T, quote bool) {
	if quote {
		put(w, `"`)
	}
	from, inside := 0, quote
	for i := 0; i < len(text); {
		if isPlain(text[i], quote, inside) {
			i++
			continue
		}
		char, size := rune(text[i]), 1
		if char >= utf8.RuneSelf {
			char, size = decodeRune(text[i:])
		}
		by, keep := "", true
		switch {
		case quote, char >= utf8.RuneSelf:
			by, keep = escape(char, size)
		case char == '"':
			inside = !inside
		case inside && char == '\\':
			size = 2 // whatever is escaped, a quote too
		case !inside && (char == ' ' || char == '\t' || char == '\n' || char == '\r'):
			keep = false
		}
		if !keep {
			put(w, text[from:i])
			put(w, by)
			from = i + size
		}
		i += size
	}
	put(w, text[from:])
	if quote {
		put(w, `"`)
	}
}

// isPlain reports whether a byte is written as it is, wherever it stands.
func isPlain(c byte, quote, inside bool) bool {
	switch {
	case c >= utf8.RuneSelf || c == '"':
		return false
	case quote:
		return c >= ' ' && c != '\\'
	case inside:
		return c != '\\'
	}
	return c > ' '
}

// decodeRune decodes the first character of text.
func decodeRune[T string | []byte](text T) (rune, int) {
	return utf8.DecodeRuneInString(string(text[:min(len(text), utf8.UTFMax)]))
}

// escape returns what stands for a character in a JSON string, unless that is
// the character itself. Three of them may stand in one, and are taken by some
// readers for the end of a line: Python's splitlines, and so the iter_lines of
// the openai SDK's answers, split at U+0085, U+2028 and U+2029
// (https://docs.python.org/3/library/stdtypes.html#str.splitlines).
func escape(char rune, size int) (by string, keep bool) {
	switch char {
	case '"':
		return `\"`, false
	case '\\':
		return `\\`, false
	case '\u0085':
		return `\u0085`, false
	case '\u2028':
		return `\u2028`, false
	case '\u2029':
		return `\u2029`, false
	case utf8.RuneError:
		return "\uFFFD", size > 1
	}
	if char < ' ' {
		return controls()[char], false
	}
	return "", true
}

// controls returns what stands for the characters below the space.
func controls() *[' ']string {
	return &[' ']string{
		`\u0000`, `\u0001`, `\u0002`, `\u0003`, `\u0004`, `\u0005`, `\u0006`, `\u0007`,
		`\b`, `\t`, `\n`, `\u000b`, `\f`, `\r`, `\u000e`, `\u000f`,
		`\u0010`, `\u0011`, `\u0012`, `\u0013`, `\u0014`, `\u0015`, `\u0016`, `\u0017`,
		`\u0018`, `\u0019`, `\u001a`, `\u001b`, `\u001c`, `\u001d`, `\u001e`, `\u001f`,
	}
}
