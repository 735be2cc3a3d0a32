package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/jsonscan"
)

// texts are JSON texts, and what is none.
func texts() []string {
	return []string{
		"", " ", "{}", " {} ", "[]", "null", "1", `"a"`, "{", "}", "{]", "[}", "{}{}", "{}x", "{},", "[1,]", `{"a":1,}`, `{"a"}`, `{"a":}`,
		`{a:1}`, `{"a" 1}`, `{,}`, `{"a":1 "b":2}`, "[1 2]", "\ufeff{}", `{"a":1}`, ` { "a" : [ 1 , 2 ] , "b" : { } } `,
		`{"a":1,"a":2}`, `{"\u0061":1}`, `{"a":"\ud800"}`, `{"\ud800":1}`, `{"a":"\ud83d\ude00"}`, "{\"a\":\"\xff\"}", "{\"\xff\":1}",
		"{\"a\":\"\x01\"}", `{"a":01}`, `{"a":-}`, `{"a":1e999}`, `{"a":.5}`, `{"a":tru}`, `{"a":nul}`, `{"":1}`, `{"A":1}`, `["a",{"b":[]},null]`,
		strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999), strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001),
		`{"a":` + strings.Repeat(`{"a":`, 9_998) + "1" + strings.Repeat("}", 9_999), `{"a":"` + strings.Repeat("x", 5000) + `","b":0}`,
	}
}

// TestAsEncodingJSON demands that what is taken, and what values are found, is
// what encoding/json takes and finds.
func TestAsEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, text := range texts() {
		compare(t, []byte(text))
	}
}

func FuzzAsEncodingJSON(f *testing.F) {
	for _, text := range texts() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) { compare(t, text) })
}

func compare(t *testing.T, text []byte) {
	t.Helper()
	valid := utf8.Valid(text) && json.Valid(text)
	if got := jsonscan.Valid(text); got != valid {
		t.Errorf("Valid(%.60q) = %v", text, got)
	}
	comparePick(t, text, valid)
	var want []json.RawMessage
	if valid && bytes.TrimSpace(text)[0] == '[' {
		_ = json.Unmarshal(text, &want) // valid
	}
	var got []json.RawMessage
	err := jsonscan.Items(text, func(value []byte) error {
		got = append(got, value)
		return nil
	})
	if (err == nil) != (valid && bytes.TrimSpace(text)[0] == '[') {
		t.Errorf("Items(%.60q): %v", text, err)
	}
	if diff := cmp.Diff(len(want), len(got)); err == nil && diff != "" {
		t.Errorf("Items(%.60q) (-want +got):\n%s", text, diff)
	}
	for i := range want {
		if err == nil && !bytes.Equal(want[i], got[i]) {
			t.Errorf("Items(%.60q) has %.60q at %d, want %.60q", text, got[i], i, want[i])
		}
	}
}

func comparePick(t *testing.T, text []byte, valid bool) {
	t.Helper()
	values, err := jsonscan.Pick(text, "a", "b", "")
	object := valid && bytes.TrimSpace(text)[0] == '{'
	if (err == nil) != object {
		t.Errorf("Pick(%.60q): %v", text, err)
	}
	if err != nil {
		if !errors.Is(err, jsonscan.ErrSyntax) || values != nil {
			t.Errorf("Pick(%.60q) = %q, %v", text, values, err)
		}
		return
	}
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(text, &fields) // an object
	for i, name := range []string{"a", "b", ""} {
		if !bytes.Equal(values[i], fields[name]) || (values[i] == nil) != (fields[name] == nil) {
			t.Errorf("Pick(%.60q) has %.60q as %q, want %.60q", text, values[i], name, fields[name])
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`"abc"`: "abc", `"\u0061bc"`: "abc", `""`: "", `"abcd"`: "-", `1`: "-", ``: "-", `null`: "-", `"` + strings.Repeat(`\u0061`, 4) + `"`: "-",
		`"ä"`: "ä", `"\ud800"`: "\ufffd", `["a"]`: "-",
	} {
		got, ok := jsonscan.Text([]byte(value), 3)
		if !ok {
			got = "-"
		}
		if got != want {
			t.Errorf("Text(%q, 3) = %q, want %q", value, got, want)
		}
	}
}

func TestErrorsOfVisitors(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	if err := jsonscan.Items([]byte("[1,2]"), func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Items: %v", err)
	}
	if err := jsonscan.Members([]byte(`{"a":1}`), func(_, _ []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Members: %v", err)
	}
}
