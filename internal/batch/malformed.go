package batch

import (
	"bytes"
	"fmt"

	"github.com/musketry/musketry/internal/jsonscan"
)

// Malformed says why a line of an input file is no JSON, and how to mend it, in a sentence or two that quote nothing of
// it; empty if it is JSON. Bytes of the line are counted from 1.
func Malformed(line []byte) string {
	fault := jsonscan.FindFault(line)
	at := fault.At + 1
	switch fault.Kind {
	case jsonscan.NoFault:
		return ""
	case jsonscan.NotUTF8:
		return notUTF8(line, at)
	case jsonscan.EndsEarly:
		return "It ends before its value does. A request stands on one line: write it without indentation, and a line break " +
			`within a text as \n (json.dumps(request) does both).`
	case jsonscan.TooDeep:
		return fmt.Sprintf("At byte %d it is nested deeper than the %d levels that can be read. Send it with fewer.",
			at, jsonscan.MaxDepth)
	case jsonscan.GoesOn:
		return goesOn(line, at)
	case jsonscan.NoToken:
	}
	return noToken(line, fault.At)
}

func notUTF8(line []byte, at int) string {
	const mend = "Save the file as UTF-8 (in Python: open(path, 'w', encoding='utf-8'))."
	if wide := WideEncoding(line); wide != "" {
		return fmt.Sprintf("It is no UTF-8 but looks like %s. %s", wide, mend)
	}
	return fmt.Sprintf("It is not UTF-8: byte %d is none, as in a file saved as Windows-1252 or Latin-1. %s", at, mend)
}

// WideEncoding returns the encoding that text looks like if that has more than one byte a letter, which is found by its
// byte order mark, or by its zero bytes; else it is empty.
func WideEncoding(text []byte) string {
	for _, known := range [...]struct{ start, name string }{
		{"\xff\xfe\x00\x00", "UTF-32"},
		{"\x00\x00\xfe\xff", "UTF-32"},
		{"\xff\xfe", "UTF-16"},
		{"\xfe\xff", "UTF-16"},
		{"\x00\x00\x00", "UTF-32"},
	} {
		if bytes.HasPrefix(text, []byte(known.start)) {
			return known.name
		}
	}
	switch {
	case len(text) < 2:
	case bytes.Equal(text[1:min(4, len(text))], []byte{0, 0, 0}):
		return "UTF-32"
	case text[0] == 0 || text[1] == 0:
		return "UTF-16"
	}
	return ""
}

func goesOn(line []byte, at int) string {
	switch begin := bytes.TrimLeft(line, " \t\r"); {
	case !startsWith(begin, '{') && !startsWith(begin, '['):
		return fmt.Sprintf("It goes on behind its first value, at byte %d, as a line of CSV does. Write an object on each line, "+
			"with the members custom_id, method, url and body.", at)
	case line[at-1] == ',' && len(bytes.TrimSpace(line[at:])) == 0:
		return fmt.Sprintf("It ends with a comma, at byte %d. Lines are separated by line breaks alone: leave it out.", at)
	}
	return fmt.Sprintf("It goes on behind the end of its value, at byte %d. Write one request on each line, and nothing else.", at)
}

// noToken explains what stands in line at a place, counted from 0, where JSON has nothing such.
func noToken(line []byte, place int) string {
	found, at := line[place:], place+1
	starts := func(words ...string) bool {
		for _, word := range words {
			if bytes.HasPrefix(found, []byte(word)) {
				return true
			}
		}
		return false
	}
	wide := WideEncoding(line)
	switch {
	case wide != "":
		return notUTF8(line, at)
	case starts("NaN", "Infinity", "-Infinity", "I") || place > 0 && line[place-1] == '-' && starts("Infinity"):
		return fmt.Sprintf("At byte %d stands NaN or Infinity, which JSON has not. Write null or leave it out "+
			"(json.dumps(request, allow_nan=False) finds it).", at)
	case starts("None", "True", "False", "'"):
		return fmt.Sprintf("At byte %d stands Python, not JSON. Write the request with json.dumps(request), not with str().", at)
	case starts("\uFEFF"):
		return fmt.Sprintf("At byte %d stands a byte order mark, which only a file may begin with. Leave it out.", at)
	case found[0] < ' ':
		return fmt.Sprintf("At byte %d a text has a control character as it is. Escape it, as json.dumps does.", at)
	case starts(",", "}", "]"):
		return fmt.Sprintf("At byte %d stands a comma, or the end of an object or array, that has no place there. A comma "+
			"separates two members, and none follows the last.", at)
	case len(bytes.TrimSpace(line[:place])) == 0:
		return "It does not begin as JSON does: a line of CSV or plain text is no request. Write an object on each line, with the " +
			"members custom_id, method, url and body."
	}
	return fmt.Sprintf("At byte %d stands something that JSON has not. Write the request with a JSON library (in Python: "+
		"json.dumps(request)).", at)
}
