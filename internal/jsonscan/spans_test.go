package jsonscan_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/jsonscan"
)

func TestSpans(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		`{"a":1,"model":"x"}`:                       {`"x"`},
		` { "model" : {"model":"y"} , "b":[{}] } `:  {`{"model":"y"}`},
		`{"mod\u0065l":null,"model":[1, 2],"m":{}}`: {`null`, `[1, 2]`},
		`{"Model":1,"models":2,"":3}`:               nil,
		`{}`:                                        nil,
	} {
		spans, err := jsonscan.Spans([]byte(text), "model", 2)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		var got []string
		for _, at := range spans {
			got = append(got, text[at[0]:at[1]])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	for _, text := range []string{``, `null`, `["model"]`, `{"model":1`, `{"model":1} x`, "{\"model\":1,\"a\":\"\xff\"}"} {
		if spans, err := jsonscan.Spans([]byte(text), "model", 2); !errors.Is(err, jsonscan.ErrSyntax) {
			t.Errorf("%q has %v, %v", text, spans, err)
		}
	}
}

func TestSpansOfMany(t *testing.T) {
	t.Parallel()
	for n, want := range []error{nil, nil, nil, jsonscan.ErrMany, jsonscan.ErrMany} {
		text := `{"a":0` + strings.Repeat(`,"model":"m"`, n) + "}"
		if spans, err := jsonscan.Spans([]byte(text), "model", 2); !errors.Is(err, want) || err == nil && len(spans) != n {
			t.Errorf("%d members: %d, %v", n, len(spans), err)
		}
	}
}
