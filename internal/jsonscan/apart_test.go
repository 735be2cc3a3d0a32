package jsonscan_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/jsonscan"
)

var errStop = errors.New("stop")

// TestDeepTexts has a text that is read in a goroutine of its own: its error, its fault and a panic come to who reads it.
func TestDeepTexts(t *testing.T) {
	t.Parallel()
	deep := func(n int) []byte { return []byte(`{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`) }
	for _, depth := range []int{199, 200, 5000, jsonscan.MaxDepth - 1} {
		text := deep(depth)
		if values, err := jsonscan.Pick(text, "a"); err != nil || len(values[0]) != 2*depth || !jsonscan.Valid(text) {
			t.Errorf("a text of %d levels is not read: %v", depth, err)
		}
		if err := jsonscan.Members(text, func(_, _ []byte) error { return errStop }); !errors.Is(err, errStop) {
			t.Errorf("%d levels: the error became %v", depth, err)
		}
		if _, err := jsonscan.Pick(text[:len(text)-1], "a"); !errors.Is(err, jsonscan.ErrSyntax) || jsonscan.Valid(text[:len(text)-1]) {
			t.Errorf("%d levels that are cut off: %v", depth, err)
		}
		func() {
			defer func() {
				if v := recover(); v != "stop" {
					t.Errorf("%d levels: the panic became %v", depth, v)
				}
			}()
			_ = jsonscan.Members(text, func(_, _ []byte) error { panic("stop") })
		}()
	}
	if jsonscan.Valid(deep(jsonscan.MaxDepth)) {
		t.Error("a text deeper than may be is valid")
	}
}

// TestTextIsAWholeString demands both quotes of a string.
func TestTextIsAWholeString(t *testing.T) {
	t.Parallel()
	for _, value := range []string{``, `"`, `"ab`, `ab"`, `7`, `"\"`} {
		if text, ok := jsonscan.Text([]byte(value), 64); ok {
			t.Errorf("%s is the text %q", value, text)
		}
	}
}
