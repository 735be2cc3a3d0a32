package answer_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/answer"
)

const chunkHead = `{"id":"c1","object":"chat.completion.chunk","created":1774437191,"model":"m",`

// stream writes events as a provider does.
func stream(data ...string) string {
	var b strings.Builder
	for _, d := range data {
		b.WriteString("data: " + d + "\n\n")
	}
	return b.String()
}

// A streamed is what became of a stream.
type streamed struct {
	body    []byte
	verdict answer.Verdict
}

// assemble returns what becomes of an event stream of an endpoint.
func assemble(url, body string, limit int64) (streamed, error) {
	kind := answer.KindOf(url)
	whole, err := answer.Assemble(strings.NewReader(body), kind, cmp.Or(limit, 1<<20), func(int64) error { return nil })
	if err != nil {
		return streamed{}, err
	}
	return streamed{whole, answer.Read(answer.Answer{Kind: kind, Status: 200, ContentType: "application/json", Body: whole}).Verdict}, nil
}

// unclear returns err's UnclearError.
func unclear(t *testing.T, err error) *answer.UnclearError {
	t.Helper()
	e, ok := errors.AsType[*answer.UnclearError](err)
	if !ok {
		t.Fatalf("%v is no *UnclearError", err)
	}
	return e
}

func TestStreamReassembled(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		url, body, want string
		failed          bool
	}{
		"a chat": {
			url: "/v1/chat/completions",
			body: ": a comment\r\n\r\n" + stream(
				chunkHead+`"system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}`,
				chunkHead+`"choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}`,
				chunkHead+`"choices":[{"index":0,"delta":{"content":"lo <b> \u00e4"},"finish_reason":null}]}`,
				chunkHead+`"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
				chunkHead+`"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`,
				`[DONE]`),
			want: `{"id":"c1","object":"chat.completion","created":1774437191,"model":"m","system_fingerprint":"fp",
				"choices":[{"index":0,"message":{"role":"assistant","content":"Hello <b> ä","refusal":null},
				"logprobs":null,"finish_reason":"stop"}],
				"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`,
		},
		"tool calls": {
			url: "/v1/chat/completions",
			body: stream(
				chunkHead+`"choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"t0","type":"function","function":{"name":"f","arguments":""}}]}}]}`,
				chunkHead+`"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"t1","type":"function","function":{"name":"g","arguments":"{}"}}]}}]}`,
				chunkHead+`"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t0","function":{"name":"f","arguments":"{\"a\":"}}]}}]}`,
				chunkHead+`"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]},"finish_reason":"tool_calls"}]}`,
				`[DONE]`),
			want: `{"id":"c1","object":"chat.completion","created":1774437191,"model":"m","choices":[{"index":0,
				"message":{"role":"assistant","content":null,"tool_calls":[
				{"id":"t0","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},
				{"id":"t1","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`,
		},
		"choices side by side, log probabilities, no DONE": {
			url: "/v1/chat/completions",
			body: stream(
				chunkHead+`"choices":[{"index":1,"delta":{"content":"b"},"logprobs":{"content":[{"token":"b","logprob":-0.10}]}}]}`,
				chunkHead+`"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"length"}]}`,
				chunkHead+`"choices":[{"index":1,"delta":{"content":"c"},"logprobs":{"content":[{"token":"c","logprob":-2e-7}]},"finish_reason":"stop"}]}`),
			want: `{"id":"c1","object":"chat.completion","created":1774437191,"model":"m","choices":[
				{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"length"},
				{"index":1,"message":{"role":"assistant","content":"bc"},"logprobs":{"content":[{"token":"b","logprob":-0.10},{"token":"c","logprob":-2e-7}]},"finish_reason":"stop"}]}`,
		},
		"a provider's first chunk without names, choices without index, signs of life": {
			url: "/v1/chat/completions",
			body: stream(
				`{"id":"","object":"","model":"","choices":[],"prompt_filter_results":[{"prompt_index":0}]}`,
				`{"type":"ping"}`,
				chunkHead+`"choices":[{"delta":{"content":"a"}}]}`,
				chunkHead+`"choices":[{"delta":{"content":"b","reasoning_content":"why"},"finish_reason":"stop"}]}`,
				`[DONE]`, `{"choices":"after the end"}`),
			want: `{"id":"c1","object":"chat.completion","created":1774437191,"model":"m","prompt_filter_results":[{"prompt_index":0}],
				"choices":[{"message":{"role":"assistant","content":"ab","reasoning_content":"why"},"finish_reason":"stop"}]}`,
		},
		"older completions": {
			url: "/v1/completions",
			body: stream(
				`{"id":"p","object":"text_completion","model":"m","choices":[{"index":0,"text":"one ","logprobs":{"tokens":["one "]},"finish_reason":null}]}`,
				`{"id":"p","object":"text_completion","model":"m","choices":[{"index":0,"text":"two","logprobs":{"tokens":["two"]},"finish_reason":"stop"}]}`,
				`[DONE]`),
			want: `{"id":"p","object":"text_completion","model":"m","choices":[{"index":0,"text":"one two","logprobs":{"tokens":["one ","two"]},"finish_reason":"stop"}]}`,
		},
		"a response": {
			url: "/v1/responses",
			body: "event: response.created\n" + stream(`{"type":"response.created","response":{"id":"r","status":"in_progress"}}`) +
				stream(`{"type":"response.output_text.delta","delta":"x"}`) +
				"event: response.completed\n" + stream(`{"type":"response.completed","response":{"id":"r","status":"completed","error":null,"output":[1]}}`),
			want: `{"id":"r","status":"completed","error":null,"output":[1]}`,
		},
		"a response by the event's name only": {
			url:  "/v1/responses",
			body: "event: response.incomplete\n" + stream(`{"response":{"id":"r","status":"incomplete","output":[]}}`),
			want: `{"id":"r","status":"incomplete","output":[]}`,
		},
		"a failed response": {
			url:    "/v1/responses",
			body:   stream(`{"type":"response.failed","response":{"id":"r","status":"failed","error":{"code":"server_error"},"output":[1]}}`),
			want:   `{"id":"r","status":"failed","error":{"code":"server_error"},"output":[1]}`,
			failed: true,
		},
		"an error instead of a response": {
			url:    "/v1/responses",
			body:   "event: error\n" + stream(`{"type":"error","code":"rate_limit_exceeded","message":"m","param":null}`),
			want:   `{"error":{"type":"error","code":"rate_limit_exceeded","message":"m","param":null}}`,
			failed: true,
		},
		"an error in the midst of a chat": {
			url: "/v1/chat/completions",
			body: stream(chunkHead+`"choices":[{"index":0,"delta":{"content":"a"}}]}`,
				`{"error":{"message":"overloaded","code":"x"}}`, `[DONE]`),
			want: `{"error":{"message":"overloaded","code":"x"}}`, failed: true,
		},
		"an error of one word": {
			url:    "/v1/chat/completions",
			body:   stream(`{"error":"overloaded"}`),
			want:   `{"error":"overloaded"}`,
			failed: true,
		},
		"data over several lines, a byte order mark, the old line ends": {
			url:  "/v1/completions",
			body: "\ufeffid: 1\rdata: {\"choices\":\rdata:[{\"index\":0,\"text\":\"a\",\rdata:  \"finish_reason\":\"stop\"}]}\r\rdata:\r\r",
			want: `{"choices":[{"index":0,"text":"a","finish_reason":"stop"}]}`,
		},
		"the last blank line missing": {
			url:  "/v1/completions",
			body: `data: {"choices":[{"index":0,"text":"a","finish_reason":"stop"}]}`,
			want: `{"choices":[{"index":0,"text":"a","finish_reason":"stop"}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := assemble(tc.url, tc.body, 0)
			if err != nil {
				t.Fatalf("Call: %v", err)
			}
			if diff := gocmp.Diff(value(t, tc.want), value(t, string(got.body))); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if (got.verdict.Sense != answer.Usable) != tc.failed {
				t.Errorf("the verdict is %+v", got.verdict)
			}
		})
	}
}

// value reads JSON with its numbers as they are written.
func value(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestStreamCutShort(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ url, body string }{
		"nothing":               {"/v1/chat/completions", ""},
		"no reason to end":      {"/v1/chat/completions", stream(chunkHead + `"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}`)},
		"one of two":            {"/v1/chat/completions", stream(`{"choices":[{"index":0,"finish_reason":"stop"},{"index":1,"delta":{}}]}`)},
		"no choice":             {"/v1/chat/completions", stream(`{"choices":[]}`)},
		"an end alone":          {"/v1/chat/completions", stream(`[DONE]`)},
		"half a chunk":          {"/v1/chat/completions", stream(`{"choices":[{"index":0,"finish_reason":"stop"}]}`, `{"choi`)},
		"a chunk of no object":  {"/v1/chat/completions", stream(`[1]`)},
		"a null":                {"/v1/chat/completions", stream(`null`)},
		"no JSON":               {"/v1/chat/completions", stream(`hello`)},
		"a wild index":          {"/v1/chat/completions", stream(`{"choices":[{"index":1000000000}]}`)},
		"a negative index":      {"/v1/chat/completions", stream(`{"choices":[{"index":-1}]}`)},
		"a response's start":    {"/v1/responses", stream(`{"type":"response.created","response":{"id":"r"}}`)},
		"a response's DONE":     {"/v1/responses", stream(`[DONE]`)},
		"completed, but not so": {"/v1/responses", stream(`{"type":"response.completed"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := assemble(tc.url, tc.body, 0)
			if e := unclear(t, err); string(e.Came) != tc.body {
				t.Errorf("it keeps %q", e.Came)
			}
		})
	}
}

func TestIndexOutOfBounds(t *testing.T) {
	t.Parallel()
	for _, index := range []string{"-1", "128", "1000000000"} {
		for _, event := range []string{
			`{"choices":[{"index":` + index + `,"delta":{}}]}`,
			`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":` + index + `}]}}]}`,
		} {
			_, err := assemble("/v1/chat/completions", stream(event, "[DONE]"), 0)
			if e := unclear(t, err); e.Why != "its stream has an index out of bounds" {
				t.Error(e)
			}
		}
	}
}

func TestStreamBounded(t *testing.T) {
	t.Parallel()
	const limit = 4096
	chunk := func(content string) string {
		return `{"choices":[{"index":0,"delta":{"content":"` + content + `"}}]}`
	}
	long := strings.Repeat("x", 100)
	for name, tc := range map[string]struct {
		events []string
		fits   bool
	}{
		"an answer below, a stream beyond": {
			events: append(repeat(chunk("x"), 1000), `{"choices":[{"index":0,"finish_reason":"stop"}]}`), fits: true,
		},
		"an answer beyond":         {events: append(repeat(chunk(long), 50), `[DONE]`)},
		"an event beyond":          {events: []string{chunk(strings.Repeat("x", limit)), `[DONE]`}},
		"signs of life for ever":   {events: repeat(`{"type":"ping","x":"`+long+`"}`, 70*limit/100)},
		"a list of many":           {events: append(repeat(`{"choices":[{"index":0,"l":[1,2,3,4,5,6,7,8,9]}]}`, 500), `[DONE]`)},
		"many members":             {events: append(repeat(`{"choices":[],"`+long+`":1}`, 1), manyMembers(200)...)},
		"a response beyond":        {events: []string{`{"type":"response.completed","response":{"x":"` + strings.Repeat("x", limit) + `"}}`}},
		"many indexes, each empty": {events: []string{`{"choices":[` + strings.Repeat(`{},`, 100) + `{}]}`, `[DONE]`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := "/v1/chat/completions"
			if strings.Contains(name, "response") {
				url = "/v1/responses"
			}
			got, err := assemble(url, stream(tc.events...), limit)
			if tc.fits {
				if err != nil || !strings.Contains(string(got.body), strings.Repeat("x", 1000)) {
					t.Errorf("%q, %v", got.body, err)
				}
				return
			}
			if _, ok := errors.AsType[*answer.TooLargeError](err); !ok {
				t.Errorf("%v is no *TooLargeError", err)
			}
		})
	}
}

func repeat(s string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = s
	}
	return all
}

func manyMembers(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = `{"choices":[],"` + strings.Repeat("k", i+1) + `":1}`
	}
	return append(all, `[DONE]`)
}

func FuzzStream(f *testing.F) {
	f.Add(true, stream(chunkHead+`"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}`, `[DONE]`))
	f.Add(true, stream(`{"choices":[{"index":2,"delta":{"a":[{"index":1,"b":{}}],"c":[[]],"d":{"e":"f"}}}]}`, `[DONE]`))
	f.Add(true, "event: error\ndata: {\"message\":\"x\"}\n\n")
	f.Add(false, stream(`{"type":"response.completed","response":{}}`))
	f.Add(false, "data:\r\ndata\r\r\n:\n\xff\n")
	f.Fuzz(func(t *testing.T, chats bool, body string) {
		const limit = 2000
		url := "/v1/responses"
		if chats {
			url = "/v1/chat/completions"
		}
		got, err := assemble(url, body, limit)
		if err != nil {
			_, network := errors.AsType[*answer.UnclearError](err)
			_, large := errors.AsType[*answer.TooLargeError](err)
			if !network && !large {
				t.Errorf("%T: %v", err, err)
			}
			return
		}
		if !json.Valid(got.body) || len(got.body) > limit {
			t.Errorf("%d bytes: %s", len(got.body), got.body)
		}
	})
}

// TestStreamsAsServersWriteThem has what servers that people run themselves write into streams.
func TestStreamsAsServersWriteThem(t *testing.T) {
	t.Parallel()
	const hello = `{"choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":"stop"}]}`
	const said = `{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"Hello","role":"assistant"}}]}`
	call := func(id, function string) string {
		return `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"` + id + `","type":"function","function":{` + function + `}}]}}]}`
	}
	for name, tc := range map[string]struct {
		url, body, want, why string
	}{
		"an error in a line of its own name": {
			url: chat, body: stream(hello) + `error: {"code":503,"message":"Loading model","type":"unavailable_error"}` + "\n\n",
			want: `{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}`,
		},
		"an error of Groq's own": {
			url: chat, body: stream(`{"choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}],"x_groq":{"id":"r"}}`,
				`{"choices":[],"x_groq":{"id":"r","error":"over capacity"}}`, "[DONE]"),
			want: `{"error":"over capacity"}`,
		},
		"an end in mid-answer": {
			url: chat, body: stream(`{"choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}`, "[DONE]"),
			why: "its stream ended before the answer did",
		},
		"an end of one of two choices": {
			url: chat, body: stream(`{"choices":[{"index":1,"delta":{"content":"Hel"}}]}`, hello, "[DONE]"),
			why: "its stream ended before the answer did",
		},
		"ends of which nobody tells": {
			url: chat, body: stream(`{"choices":[{"index":0,"delta":{"content":"Hel"}}]}`, `{"choices":[{"index":0,"delta":{"content":"lo"}}]}`, "[DONE]"),
			want: `{"choices":[{"index":0,"message":{"content":"Hello","role":"assistant"}}]}`,
		},
		"names that come once, Azure": {
			url: chat, body: stream(`{"model":"","created":0,"choices":[]}`, `{"model":"m","created":5,"choices":[]}`,
				`{"model":"","created":0,"choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":"stop"}]}`, "[DONE]"),
			want: `{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"Hello","role":"assistant"}}],"created":5,"model":"m"}`,
		},
		"space around the end":  {url: chat, body: stream(hello, " [DONE] "), want: said},
		"a ping that is a text": {url: chat, body: "event: ping\ndata: ping\n\n" + stream(hello, "[DONE]"), want: said},
		"a ping that is null":   {url: chat, body: stream("null", hello, "[DONE]"), want: said},
		"no end but for a ping": {url: chat, body: "event: ping\ndata: ping\n\n", why: "its stream ended before the answer did"},
		"another id at each piece": {
			url: chat, body: stream(call("a", `"name":"f","arguments":""`), call("b", `"arguments":"{\"x\":"`), call("c", `"arguments":"1}"`), hello, "[DONE]"),
			why: "its stream has pieces of tool calls that do not say of which",
		},
		"an item without an index, and a whole end": {
			url:  responses,
			body: stream(`{"type":"response.output_item.done","item":{}}`, `{"type":"response.completed","response":{"status":"completed","output":[{}]}}`),
			want: `{"status":"completed","output":[{}]}`,
		},
		"an item without an index, and an end without output": {
			url:  responses,
			body: stream(`{"type":"response.output_item.done","item":{}}`, `{"type":"response.completed","response":{"status":"completed"}}`),
			why:  "its stream has an item of the output that does not say where it belongs",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := assemble(tc.url, tc.body, 0)
			if tc.why != "" {
				if e := unclear(t, err); e.Why != tc.why {
					t.Fatalf("%q, want %q", e.Why, tc.why)
				}
				return
			}
			if err != nil || string(got.body) != tc.want {
				t.Fatalf("%s, %v, want %s", got.body, err, tc.want)
			}
		})
	}
}
