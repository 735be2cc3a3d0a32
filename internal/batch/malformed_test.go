package batch_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/musketry/musketry/internal/batch"
)

// TestMalformedLinesAreExplained has what people send for JSONL: each is told what is wrong with it and how to mend it.
func TestMalformedLinesAreExplained(t *testing.T) {
	t.Parallel()
	const unparseable = "This line is not parseable as valid JSON. "
	wide := func(text string, swap bool) string {
		var b strings.Builder
		for _, unit := range utf16.Encode([]rune(text)) {
			low, high := byte(unit&0xff), byte(unit>>8)
			if swap {
				low, high = high, low
			}
			b.WriteByte(low)
			b.WriteByte(high)
		}
		return b.String()
	}
	for name, c := range map[string]struct {
		line string
		want []string
	}{
		"UTF-16":                         {"\xff\xfe" + wide(line(), false), []string{unparseable, "looks like UTF-16", "encoding='utf-8'"}},
		"UTF-16, the other way":          {"\xfe\xff" + wide(line(), true), []string{"looks like UTF-16"}},
		"UTF-16 without a mark":          {wide(line(), false), []string{"looks like UTF-16"}},
		"UTF-16, other way, no mark":     {wide(line(), true), []string{"looks like UTF-16"}},
		"UTF-32":                         {"\xff\xfe\x00\x00{\x00\x00\x00", []string{"looks like UTF-32"}},
		"UTF-32 without a mark":          {"{\x00\x00\x00\"\x00\x00\x00", []string{"looks like UTF-32"}},
		"UTF-32, the other way":          {"\x00\x00\x00{", []string{"looks like UTF-32"}},
		"Windows-1252":                   {line(`[]`, "[{\"content\":\"caf\xe9\"}]"), []string{"not UTF-8: byte 110 ", "Windows-1252", "encoding='utf-8'"}},
		"a title row":                    {"custom_id,method,url,body", []string{unparseable, "CSV", "custom_id, method, url and body"}},
		"a row":                          {`1,POST,/v1/chat/completions`, []string{"CSV", "byte 2"}},
		"a quoted row":                   {`"a";"POST"`, []string{"CSV", "byte 4"}},
		"the start of pretty-printed":    {"{", []string{"ends before", "without indentation"}},
		"more of it":                     {`  "custom_id": "a",`, []string{"byte 14"}},
		"its list's start":               {"[", []string{"ends before", "without indentation"}},
		"a text with a line break":       {`{"custom_id":"a`, []string{"ends before", `\n`}},
		"NaN":                            {line(`[]`, `[],"temperature":NaN`), []string{"NaN or Infinity", "null", "allow_nan=False"}},
		"Infinity":                       {line(`[]`, `[],"temperature":Infinity`), []string{"NaN or Infinity"}},
		"minus Infinity":                 {line(`[]`, `[],"temperature":-Infinity`), []string{"NaN or Infinity"}},
		"trailing garbage":               {line() + " x", []string{"byte 99", "one request on each line"}},
		"two requests":                   {line() + line(), []string{"byte 98", "one request on each line"}},
		"a comma behind":                 {line() + ",", []string{"comma, at byte 98", "leave it out"}},
		"a comma within":                 {line(`[]`, `[],`), []string{"a comma, or the end"}},
		"Python's None":                  {line(`[]`, "None"), []string{"Python, not JSON", "json.dumps"}},
		"Python's True":                  {line(`[]`, "[],\"stream\":True"), []string{"Python, not JSON"}},
		"a Python dict":                  {`{'custom_id': 'a'}`, []string{"byte 2", "Python, not JSON"}},
		"20,000 levels":                  {line(`[]`, strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000)), []string{"deeper than the 10000 levels"}},
		"a tab in a text":                {line(`"a"`, "\"a\tb\""), []string{"byte 16", "control character", "Escape it"}},
		"a mark in the midst":            {"\uFEFF" + line(), []string{"byte order mark"}},
		"a comment":                      {"// a comment", []string{"does not begin as JSON does"}},
		"a word":                         {line(`[]`, "[undefined]"), []string{"byte 95", "JSON library"}},
		"an array":                       {"[1,2,3]", []string{"This line is valid JSON, but an array and no object. Write one request on each line"}},
		"null":                           {"null", []string{"valid JSON, but null and no object"}},
		"a string":                       {` "{}" `, []string{"valid JSON, but a string and no object"}},
		"a number":                       {"7", []string{"valid JSON, but an integer and no object"}},
		"a model that is a number":       {line(`"m"`, "5"), []string{"Model parameter is required. It must be a string, but got an integer instead."}},
		"a model that is an object":      {line(`"m"`, "{}"), []string{"Model parameter is required. It must be a string, but got an object instead."}},
		"a custom_id that is a number":   {line(`"a"`, "5.5"), []string{"Invalid type for 'custom_id': expected a string, but got a decimal instead."}},
		"a body in a string":             {line(`{"model":"m","messages":[]}`, `"{}"`), []string{"Invalid type for 'body': expected an object, but got a string instead."}},
		"a custom_id with half an emoji": {line(`"a"`, `"\ud83d"`), []string{`'custom_id' has half of a surrogate pair`, "Write both halves"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := batch.ParseInput([]byte(c.line), chat)
			refused, ok := errors.AsType[*batch.LineError](err)
			if !ok {
				t.Fatalf("it is taken, or refused without a reason: %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(refused.Message, want) {
					t.Errorf("told %q, want %q in it", refused.Message, want)
				}
			}
		})
	}
}
