package answer_test

import (
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/answer"
)

// delta writes a chunk with what a choice has grown by, the last with its reason to finish.
func delta(grown string, finish ...string) string {
	reason := ""
	for _, f := range finish {
		reason = `,"finish_reason":"` + f + `"`
	}
	return `{"choices":[{"index":0,"delta":{` + grown + `}` + reason + `}]}`
}

// TestPieces has pieces put together by what they say.
func TestPieces(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		deltas []string
		want   string // the message
	}{
		"halves of an emoji": {
			[]string{delta(`"content":"\ud83d"`), delta(`"content":"\ude00!"`, "stop")},
			`{"role":"assistant","content":"😀!"}`,
		},
		"halves of an emoji in arguments, over three deltas": {
			[]string{
				delta(`"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":\"\ud83d"}}]`),
				delta(`"tool_calls":[{"index":0,"function":{"arguments":""}}]`),
				delta(`"tool_calls":[{"index":0,"function":{"arguments":"\ude00\"}"}}]`, "tool_calls"),
			},
			`{"role":"assistant","content":null,"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x\":\"😀\"}"}}]}`,
		},
		"thoughts, refusals and what nobody knows": {
			[]string{
				delta(`"role":"assistant","reasoning_content":"h","refusal":"n","a_new_one":"x"`),
				delta(`"role":"assistant","reasoning_content":"m","refusal":"o","a_new_one":"y","n":1`, "stop"),
			},
			`{"role":"assistant","content":null,"reasoning_content":"hm","refusal":"no","a_new_one":"xy","n":1}`,
		},
		"a role that is empty": {
			[]string{delta(`"role":"","content":"a"`), delta(`"role":null`, "stop")}, `{"role":"assistant","content":"a"}`,
		},
		"another role": {
			[]string{delta(`"role":"tool","content":"a"`, "stop")}, `{"role":"tool","content":"a"}`,
		},
		"two calls of one index": {
			[]string{
				delta(`"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":"}}]`),
				delta(`"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]`),
				delta(`"tool_calls":[{"index":0,"id":"b","type":"function","function":{"name":"f","arguments":"{\"x\":"}}]`),
				delta(`"tool_calls":[{"index":0,"function":{"arguments":"2}"}}]`, "tool_calls"),
			},
			`{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},
				{"id":"b","type":"function","function":{"name":"f","arguments":"{\"x\":2}"}}]}`,
		},
		"two calls of one index in one delta": {
			[]string{delta(`"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}},{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}]`, "stop")},
			`{"role":"assistant","content":null,"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"{}"}}]}`,
		},
		"two calls of one index, side by side": {
			[]string{
				delta(`"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}},{"index":0,"id":"b","function":{"name":"g","arguments":"["}}]`),
				delta(`"tool_calls":[{"index":0,"id":"a","function":{"arguments":"}"}},{"index":0,"id":"b","function":{"arguments":"]"}}]`, "stop"),
			},
			`{"role":"assistant","content":null,"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"[]"}}]}`,
		},
		"calls without an index, Google": {
			[]string{
				delta(`"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"s"}}}]`),
				delta(`"tool_calls":[{"id":"b","function":{"name":"f","arguments":"{}"}}]`, "stop"),
			},
			`{"role":"assistant","content":null,"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"s"}}},
				{"id":"b","function":{"name":"f","arguments":"{}"}}]}`,
		},
		"calls without index and id, each whole": {
			[]string{
				delta(`"tool_calls":[{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"f","arguments":"{}"}}]`),
				delta(`"tool_calls":[{"function":{"name":"g","arguments":"{}"}}]`, "stop"),
			},
			`{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"f","arguments":"{}"}},
				{"function":{"name":"g","arguments":"{}"}}]}`,
		},
		"a call whose id comes again": {
			[]string{
				delta(`"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":"}}]`),
				delta(`"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"1}"}}]`),
				delta(`"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]`, "tool_calls"),
			},
			`{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]}`,
		},
		"a call of the old kind": {
			[]string{delta(`"function_call":{"name":"f","arguments":"{"}`), delta(`"function_call":{"arguments":"}"}`, "function_call")},
			`{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}}`,
		},
		"details of thoughts, OpenRouter": {
			[]string{
				delta(`"content":"","reasoning_details":[{"type":"reasoning.text","text":"h","format":"f","index":0}]`),
				delta(`"content":"","reasoning_details":[{"type":"reasoning.text","text":"m","format":"f","index":0,"signature":"s"}]`),
				delta(`"content":"a","reasoning_details":[{"type":"reasoning.encrypted","data":"d","index":0}]`, "stop"),
			},
			`{"role":"assistant","content":"a","reasoning_details":[{"type":"reasoning.text","text":"hm","format":"f","index":0,"signature":"s"},
				{"type":"reasoning.encrypted","data":"d","index":0}]}`,
		},
		"thoughts and then a text, Mistral": {
			[]string{
				delta(`"role":"assistant","content":""`),
				delta(`"content":[{"type":"thinking","thinking":[{"type":"text","text":"h"}]}]`),
				delta(`"content":[{"type":"thinking","thinking":[{"type":"text","text":"m"}]}]`),
				delta(`"content":"a\ud83d"`), delta(`"content":""`), delta(`"content":"\ude00"`),
				delta(`"content":[{"type":"reference","reference_ids":[1]}]`), delta(`"content":"b"`), delta(`"content":""`, "stop"),
			},
			`{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"h"}]},{"type":"thinking","thinking":[{"type":"text","text":"m"}]},
				{"type":"text","text":"a😀"},{"type":"reference","reference_ids":[1]},{"type":"text","text":"b"}]}`,
		},
		"an empty list of calls": {
			[]string{delta(`"content":"a","tool_calls":[]`), delta(`"tool_calls":null`, "stop")}, `{"role":"assistant","content":"a","tool_calls":[]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := assemble(chat, stream(append(tc.deltas, "[DONE]")...), 0)
			if err != nil {
				t.Fatal(err)
			}
			whole, _ := value(t, string(got.body)).(map[string]any)
			choices, _ := whole["choices"].([]any)
			choice, _ := choices[0].(map[string]any)
			if diff := gocmp.Diff(value(t, tc.want), choice["message"]); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if got.verdict.Sense != answer.Usable {
				t.Errorf("the verdict is %+v", got.verdict)
			}
		})
	}
}

// TestUnclearPieces has events that do not go together: no answer comes of them.
func TestUnclearPieces(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		deltas []string
		why    string
	}{
		"two names of one call": {
			[]string{
				delta(`"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{"}}]`),
				delta(`"tool_calls":[{"index":0,"function":{"name":"g","arguments":"}"}}]`, "stop"),
			},
			"cannot be told apart",
		},
		"arguments behind their end": {
			[]string{
				delta(`"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{\"a\":1}"}}]`),
				delta(`"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{\"b\":1}"}}]`, "stop"),
			},
			"more arguments",
		},
		"a piece of nobody's": {
			[]string{
				delta(`"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{"}},{"id":"b","function":{"name":"f","arguments":"{"}}]`),
				delta(`"tool_calls":[{"function":{"arguments":"}"}}]`, "stop"),
			},
			"do not say of which",
		},
		"a text and then a list": {
			[]string{delta(`"content":"a"`), delta(`"content":[{"type":"text"}]`, "stop")}, "two things of one member",
		},
		"a list and then a text": {
			[]string{delta(`"refusal":[{"type":"text"}]`), delta(`"refusal":"a"`, "stop")}, "two things of one member",
		},
		"a text and then a number": {
			[]string{delta(`"content":"a"`), delta(`"content":5`, "stop")}, "two things of one member",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := assemble(chat, stream(append(tc.deltas, "[DONE]")...), 0)
			if e := unclear(t, err); !strings.Contains(e.Why, tc.why) {
				t.Error(e)
			}
		})
	}
}

// TestResponseOfItems has a response whose last event leaves out what was said to be done.
func TestResponseOfItems(t *testing.T) {
	t.Parallel()
	got, err := assemble(responses, stream(
		`{"type":"response.created","response":{"id":"r","status":"in_progress","output":[]}}`,
		`{"type":"response.output_item.done","output_index":1,"item":{"type":"message"}}`,
		`{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning"}}`,
		`{"type":"response.completed","response":{"id":"r","output":[],"status":"completed","usage":{"input_tokens":1}}}`), 0)
	want := `{"id":"r","status":"completed","usage":{"input_tokens":1},"output":[{"type":"reasoning"},{"type":"message"}]}`
	if err != nil || string(got.body) != want || got.verdict.Sense != answer.Usable {
		t.Errorf("%s, %+v, %v", got.body, got.verdict, err)
	}
}

// TestErrorEvents has errors in the midst of streams, as providers spell them.
func TestErrorEvents(t *testing.T) {
	t.Parallel()
	begun := "data: " + delta(`"content":"a"`) + "\n\n"
	for name, tc := range map[string]struct {
		path, event string
		want        answer.Verdict
	}{
		"OpenAI's":            {chat, stream(`{"error":{"message":"m","type":"server_error","code":null}}`), means(500, "server_error", "m")},
		"a number":            {completions, stream(`{"error":{"code":429,"message":"m"}}`), means(429, "429", "m")},
		"Anthropic's":         {chat, "event: error\n" + stream(`{"type":"error","error":{"type":"overloaded_error","message":"m"}}`), means(503, "overloaded_error", "m")},
		"vLLM's":              {chat, stream(`{"object":"error","message":"m","type":"InternalServerError","param":null,"code":500}`), means(500, "InternalServerError", "m")},
		"TGI's":               {chat, stream(`{"error":"m","error_type":"overloaded"}`), means(503, "overloaded", "m")},
		"OpenRouter's":        {chat, stream(`{"id":"x","error":{"code":502,"message":"m"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}`), means(502, "502", "m")},
		"the Responses API's": {responses, "event: error\n" + stream(`{"type":"error","code":"rate_limit_exceeded","message":"m","param":null}`), means(429, "rate_limit_exceeded", "m")},
		"in words":            {chat, stream(`{"error":"m"}`), answer.Verdict{Sense: answer.Invalid, Why: noCode, Message: "m"}},
		"in bare words":       {chat, "event: error\ndata: upstream gone\n\n", answer.Verdict{Sense: answer.Invalid, Why: noCode, Message: "upstream gone"}},
		"a reason to finish":  {chat, stream(delta(``, "insufficient_system_resource"), "[DONE]"), means(503, "insufficient_system_resource", "")},
		"an abort":            {chat, stream(delta(``, "abort"), "[DONE]"), invalid("a choice was broken off")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := assemble(tc.path, begun+tc.event, 0)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(tc.want, got.verdict); diff != "" {
				t.Errorf("%s (-want +got):\n%s", got.body, diff)
			}
		})
	}
}
