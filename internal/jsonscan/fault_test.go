package jsonscan_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/jsonscan"
)

func TestFindFault(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for text, want := range map[string]jsonscan.Fault{
		`{"a":[1,null]} `:             {},
		` "x"`:                        {},
		`7`:                           {},
		deep(jsonscan.MaxDepth):       {},
		deep(jsonscan.MaxDepth + 1):   {Kind: jsonscan.TooDeep, At: jsonscan.MaxDepth},
		deep(20_000):                  {Kind: jsonscan.TooDeep, At: jsonscan.MaxDepth},
		"":                            {Kind: jsonscan.EndsEarly},
		"  ":                          {Kind: jsonscan.EndsEarly, At: 2},
		"{":                           {Kind: jsonscan.EndsEarly, At: 1},
		`{"a":`:                       {Kind: jsonscan.EndsEarly, At: 5},
		`{"a":"x`:                     {Kind: jsonscan.EndsEarly, At: 7},
		`{"a":tr`:                     {Kind: jsonscan.EndsEarly, At: 7},
		`{"a":1}x`:                    {Kind: jsonscan.GoesOn, At: 7},
		`{"a":1} , `:                  {Kind: jsonscan.GoesOn, At: 8},
		`1,2`:                         {Kind: jsonscan.GoesOn, At: 1},
		`{"a":NaN}`:                   {Kind: jsonscan.NoToken, At: 5},
		`{"a":1,}`:                    {Kind: jsonscan.NoToken, At: 6},
		`custom_id,method`:            {Kind: jsonscan.NoToken},
		"{\"a\":\"\t\"}":              {Kind: jsonscan.NoToken, At: 6},
		"{\"a\":\"\xe9\"}":            {Kind: jsonscan.NotUTF8, At: 6},
		"é\xff":                       {Kind: jsonscan.NotUTF8, At: 2},
		"\xff\xfe{\x00":               {Kind: jsonscan.NotUTF8},
		"\uFEFF{}":                    {Kind: jsonscan.NoToken},
		`{"a":"\ud83d","a":"\ud83e"}`: {},
	} {
		if got := jsonscan.FindFault([]byte(text)); got != want {
			t.Errorf("%.40q: %+v, want %+v", text, got, want)
		}
	}
}

// TestFindFaultAgreesWithValid demands that what is valid has no fault, and that everything else has one.
func TestFindFaultAgreesWithValid(t *testing.T) {
	t.Parallel()
	piece := rapid.SampledFrom([]string{
		"{", "}", "[", "]", ",", ":", `"a"`, `"`, "1", "-", "e", ".", "tru", "true", "null", "NaN", " ", "\n", "\xff", "é", `\u00`, "\x00",
	})
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "pieces"), ""))
		fault := jsonscan.FindFault(text)
		if valid := jsonscan.Valid(text); valid != (fault.Kind == jsonscan.NoFault) {
			t.Fatalf("%q: valid is %v, its fault %+v", text, valid, fault)
		}
		if fault.At < 0 || fault.At > len(text) {
			t.Fatalf("%q: a fault at %d", text, fault.At)
		}
	})
}
