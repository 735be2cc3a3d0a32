package answer_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/answer"
	"github.com/musketry/musketry/internal/state"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]state.Tokens{
		`{"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,` +
			`"prompt_tokens_details":{"cached_tokens":8,"audio_tokens":0},` +
			`"completion_tokens_details":{"reasoning_tokens":4}}}`: {Input: 19, Cached: 8, Output: 10, Reasoning: 4, Total: 29},
		`{"usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":1},` +
			`"output_tokens":87,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":123}}`: {
			Input: 36, Cached: 1, Output: 87, Reasoning: 2, Total: 123,
		},
		`{"usage":{"prompt_tokens":8,"total_tokens":8}}`:                                   {Input: 8, Total: 8},
		`{"usage":{"input_tokens":8,"output_tokens":3}}`:                                   {Input: 8, Output: 3, Total: 11},
		`{"usage":{"prompt_tokens":-8,"completion_tokens":1.5,"total_tokens":1000000001}}`: {},
		`{"usage":{"prompt_tokens":"8","completion_tokens":2,"prompt_tokens_details":7}}`:  {Output: 2, Total: 2},
		`{"usage":{"prompt_tokens":99999999999999999999,"completion_tokens":null}}`:        {},
		`{"u\u0073age":{"prompt_tokens":8}}`:                                               {Input: 8, Total: 8},
		`{"usage":null}`:                                                                   {},
		`{"usage":[1]}`:                                                                    {},
		`{"choices":[{"usage":{"a":1}}]}`:                                                  {},
		`{"usage":{"prompt_tokens":1}`:                                                     {},
		`["usage"]`:                                                                        {},
		``:                                                                                 {},
	} {
		if diff := cmp.Diff(want, answer.Read(answer.Answer{Body: []byte(body)}).Tokens); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

func TestModel(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("m", 256)
	for body, want := range map[string]string{
		`{"model":"gpt-x","id":"y"}`:             "gpt-x",
		`{"choices":[],"model":"\u0067pt"}`:      "gpt",
		`{"model":7}`:                            "",
		`{"model":null}`:                         "",
		`{"model":{"name":"x"}}`:                 "",
		`{"id":"y"}`:                             "",
		`{"nested":{"model":"x"}}`:               "",
		`["model"]`:                              "",
		`no JSON`:                                "",
		``:                                       "",
		`{"model":"` + long + `"}`:               long,
		`{"model":"` + long + `m"}`:              "",
		`{"model":"` + long + long + long + `"}`: "",
	} {
		if got := answer.Read(answer.Answer{Body: []byte(body)}).Model; got != want {
			t.Errorf("model of %.60s is %q, want %q", body, got, want)
		}
	}
}
