package answer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/answer"
)

// paths are the endpoints that the fuzzer tries.
func paths() []string {
	return []string{chat, completions, responses, embeddings, moderations, images, extra}
}

// types are the Content-Types that the fuzzer tries.
func types() []string {
	return []string{"application/json", "text/event-stream", "text/plain", "", "text/html; charset=utf-8"}
}

// FuzzAnswers mutates real answers and streams, in chunks that are cut at any byte. What comes out is exactly what was said,
// or a failure, and the same whatever the chunks.
func FuzzAnswers(f *testing.F) {
	const head = `"id":"c1","object":"chat.completion.chunk","created":1774437191,"model":"m"`
	for _, seed := range []struct {
		path, kind byte
		body       string
	}{
		{0, 0, `{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi \ud83d\ude00","tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`},
		{0, 0, `{"error":{"message":"slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}`},
		{0, 0, `{"object":"error","message":"m","type":"BadRequestError","param":null,"code":400}`},
		{0, 0, "\ufeff\n\n{\"choices\":[{\"message\":{\"content\":null,\"refusal\":\"no\"},\"finish_reason\":\"content_filter\"}]}"},
		{0, 4, "<html><body>502 Bad Gateway</body></html>"},
		{1, 0, `{"object":"text_completion","choices":[{"text":"a","index":0,"logprobs":null,"finish_reason":"length"}]}`},
		{2, 0, `{"id":"r","object":"response","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"error":null,"output":[]}`},
		{2, 0, `{"object":"response","status":"failed","error":{"code":"server_error","message":"m"},"output":[]}`},
		{3, 0, `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,-2e-7]},{"index":1,"embedding":"AAAA"}],"usage":{"prompt_tokens":8,"total_tokens":8}}`},
		{4, 0, `{"id":"m","results":[{"flagged":false,"categories":{}}]}`},
		{5, 0, `{"created":1,"data":[{"b64_json":"AA=="},{"url":"https://x/y"}]}`},
		{6, 0, `{"results":[{"index":0,"relevance_score":0.5}]}`},
		{0, 1, ": OPENROUTER PROCESSING\n\n" + stream(
			`{`+head+`,"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}`,
			`{`+head+`,"choices":[{"index":0,"delta":{"content":"Hel\ud83d"},"finish_reason":null}]}`,
			`{`+head+`,"choices":[{"index":0,"delta":{"content":"\ude00lo","reasoning_content":"x"},"finish_reason":null}]}`,
			`{`+head+`,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
			`{`+head+`,"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`, `[DONE]`)},
		{0, 1, stream(
			`{`+head+`,"choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"t0","type":"function","function":{"name":"f","arguments":""}}]}}]}`,
			`{`+head+`,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":1}"}}]}}]}`,
			`{`+head+`,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t1","type":"function","function":{"name":"g","arguments":"{}"}}]}}]}`,
			`{`+head+`,"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`, `[DONE]`)},
		{0, 1, stream(`{"choices":[{"index":1,"delta":{"content":"b"}}]}`, `{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"length"}]}`,
			`{"choices":[{"index":1,"delta":{"content":"c"},"finish_reason":"stop"}]}`)},
		{0, 1, stream(`{"choices":[{"index":0,"delta":{"content":"a"}}]}`, `{"error":{"message":"overloaded","code":503}}`)},
		{0, 1, stream(`{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}`, `{"choices":[],"x_groq":{"error":"over capacity"}}`, `[DONE]`)},
		{0, 1, stream(`{"model":"","created":0,"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"h"}]}]}}]}`,
			`{"choices":[{"index":0,"delta":{"content":"a\ud83d"}}]}`, `{"choices":[{"index":0,"delta":{"content":"\ude00"},"finish_reason":"stop"}]}`, `[DONE]`)},
		{0, 0, `{"choices":null,"statusCode":429,"errors":[{"code":5}],"base_resp":{"status_code":1002,"status_msg":"m"}}`},
		{6, 0, `{"id":"a","status":"starting","output":{"task_id":"t","task_status":"PENDING"}}`},
		{1, 1, stream(`{"choices":[{"index":0,"text":"one ","logprobs":{"tokens":["one "]},"finish_reason":null}]}`, `{"choices":[{"index":0,"text":"two","finish_reason":"stop"}]}`, `[DONE]`)},
		{2, 1, "event: response.output_item.done\r\n" + stream(`{"type":"response.output_item.done","output_index":0,"item":{"type":"message"}}`) +
			"event: response.completed\n" + stream(`{"type":"response.completed","response":{"id":"r","status":"completed","error":null,"output":[]}}`)},
		{2, 1, "event: error\n" + stream(`{"type":"error","code":"rate_limit_exceeded","message":"m","param":null}`)},
	} {
		f.Add(seed.path, seed.kind, uint8(7), []byte(seed.body))
	}
	f.Fuzz(func(t *testing.T, path, kind, cut uint8, body []byte) {
		k := answer.KindOf(paths()[int(path)%len(paths())])
		contentType := types()[int(kind)%len(types())]
		if !k.Streams() || !answer.IsStream(contentType) && !answer.LooksStreamed(body) {
			judged(t, k, contentType, body)
			return
		}
		const limit = 20_000
		room := func(int64) error { return nil }
		whole, err := answer.Assemble(bytes.NewReader(body), k, limit, room)
		again, err1 := answer.Assemble(&chunks{rest: body, step: int(cut)}, k, limit, room)
		for _, err := range []error{err, err1} { // How much was read by then depends on the chunks.
			if unclear, ok := errors.AsType[*answer.UnclearError](err); ok {
				if !bytes.HasPrefix(body, unclear.Came) {
					t.Fatalf("%q is kept of %q", unclear.Came, body)
				}
				unclear.Came = nil
			}
		}
		if !bytes.Equal(whole, again) || !reflect.DeepEqual(err, err1) {
			t.Fatalf("in chunks %q, %v; at once %q, %v", again, err1, whole, err)
		}
		if err != nil {
			_, unclear := errors.AsType[*answer.UnclearError](err)
			_, large := errors.AsType[*answer.TooLargeError](err)
			if !unclear && !large {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if !json.Valid(whole) || len(whole) > limit {
			t.Fatalf("%d bytes: %s", len(whole), whole)
		}
		if judged(t, k, "application/json", whole).Sense == answer.Usable && k != answer.Responses && !bytes.Equal(whole, body) {
			exact(t, body, whole)
		}
	})
}

// chunks read as a connection brings them: step bytes, then one, and so on.
type chunks struct {
	rest []byte
	step int
	odd  bool
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := 1
	if c.odd = !c.odd; c.odd {
		n = max(c.step, 1)
	}
	n = copy(p, c.rest[:min(n, len(c.rest))])
	c.rest = c.rest[n:]
	return n, nil
}

// judged holds a verdict against the answer itself.
func judged(t *testing.T, k answer.Kind, contentType string, body []byte) answer.Verdict {
	t.Helper()
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	v := answer.Read(answer.Answer{Kind: k, Status: 200, ContentType: contentType, Body: body}).Verdict
	switch v.Sense {
	case answer.Refused:
		if v.Status < 400 || v.Status > 599 {
			t.Fatalf("an error means %d", v.Status)
		}
	case answer.Invalid, answer.Held:
		if v.Why == "" {
			t.Fatalf("no reason: %s", body)
		}
	case answer.Usable:
		if len(bytes.TrimSpace(body)) == 0 {
			t.Fatal("nothing is a result")
		}
		member := map[answer.Kind]string{
			answer.Chat: "choices", answer.Completions: "choices", answer.Embeddings: "data", answer.Moderations: "results", answer.Images: "data",
			answer.Responses: "", answer.Extra: "", // they may be without
		}[k]
		if member == "" || k == answer.Images && answer.IsStream(contentType) || k != answer.Chat && answer.IsStream(contentType) {
			break
		}
		var m map[string]json.RawMessage
		var items []json.RawMessage
		if json.Unmarshal(body, &m) != nil || json.Unmarshal(m[member], &items) != nil || len(items) == 0 {
			t.Fatalf("%s is a result of %s", body, k)
		}
	}
	return v
}

// exact holds what a stream was put together to against what its events say, read by encoding/json: each choice's text is all
// of its pieces, each call's arguments are those that were said under its id, and nothing else is in it.
func exact(t *testing.T, body, whole []byte) {
	t.Helper()
	said, ok := gather(body)
	if !ok {
		return // Something is in it that this reader does not follow.
	}
	for at, raw := range listOf(fieldsOf(whole)["choices"]) {
		c := fieldsOf(raw)
		index, ok := numberOf(c["index"])
		if !ok {
			return
		}
		want := said[index]
		if want == nil {
			t.Fatalf("nobody said choice %d: %s", at, whole)
		}
		message := fieldsOf(c["message"])
		if had := inside(c["text"]) + inside(message["content"]); had != want.text.String() {
			t.Fatalf("the text is %q, and was %q", had, want.text.String())
		}
		if finish := string(c["finish_reason"]); finish != want.finish && (want.finish != "" || finish != "null") {
			t.Fatalf("it ends with %s, and did with %s", finish, want.finish)
		}
		calls := listOf(message["tool_calls"])
		for _, raw := range calls {
			call := fieldsOf(raw)
			args, ok := want.calls[inside(call["id"])]
			if had := inside(fieldsOf(call["function"])["arguments"]); !ok || had != args.String() {
				t.Fatalf("call %s has arguments %q, and had %v", call["id"], had, args)
			}
		}
		if len(calls) != len(want.calls) {
			t.Fatalf("%d calls, and %d were made: %s", len(calls), len(want.calls), whole)
		}
	}
}

// fieldsOf, listOf and numberOf read values by encoding/json; what is none reads as nothing.
func fieldsOf(raw []byte) (m map[string]json.RawMessage) {
	_ = json.Unmarshal(raw, &m)
	return m
}

func listOf(raw []byte) (all []json.RawMessage) {
	_ = json.Unmarshal(raw, &all)
	return all
}

func numberOf(raw []byte) (int, bool) {
	n, err := strconv.Atoi(string(raw))
	return n, err == nil
}

// inside returns what is between a string's quotes.
func inside(raw json.RawMessage) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(string(raw), "null"), `"`), `"`)
}

// A spoken is what a stream says of a choice.
type spoken struct {
	text   strings.Builder
	finish string
	calls  map[string]*strings.Builder // arguments by id
	last   map[int]string              // the id that an index had last
	marks  map[string]string           // the index and type that an id had
}

// gather reads a stream's events. It reports false for what it does not follow.
func gather(body []byte) (map[int]*spoken, bool) {
	said := map[int]*spoken{}
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(body))
	for _, block := range strings.Split(text, "\n\n") {
		var data []string
		for line := range strings.SplitSeq(block, "\n") {
			if d, ok := strings.CutPrefix(strings.TrimPrefix(line, "\ufeff"), "data:"); ok {
				data = append(data, strings.TrimPrefix(d, " "))
			} else if strings.Contains(line, "data") {
				return nil, false
			}
		}
		event := strings.Join(data, "\n")
		if event == "[DONE]" {
			return said, true
		}
		if event != "" && !follow(said, event) {
			return nil, false
		}
	}
	return said, true
}

// follow reads one chunk.
func follow(said map[int]*spoken, event string) bool {
	if fieldsOf([]byte(event)) == nil {
		return false
	}
	for _, raw := range listOf(fieldsOf([]byte(event))["choices"]) {
		c := fieldsOf(raw)
		index, ok := numberOf(c["index"])
		delta := fieldsOf(c["delta"])
		if !ok || len(c["message"]) > 0 || !isText(c["text"]) || !isText(delta["content"]) || !isText(c["finish_reason"]) {
			return false
		}
		s := said[index]
		if s == nil {
			s = &spoken{calls: map[string]*strings.Builder{}, last: map[int]string{}, marks: map[string]string{}}
			said[index] = s
		}
		s.text.WriteString(inside(c["text"]) + inside(delta["content"]))
		if finish := string(c["finish_reason"]); finish != "null" && finish != `""` && finish != "" {
			s.finish = finish
		}
		if !s.call(delta["tool_calls"]) {
			return false
		}
	}
	return true
}

// isText reports whether a value is a string, or none.
func isText(raw json.RawMessage) bool { return len(raw) == 0 || raw[0] == '"' || string(raw) == "null" }

// call reads a delta's tool calls.
func (s *spoken) call(raw json.RawMessage) bool {
	for _, raw := range listOf(raw) {
		c := fieldsOf(raw)
		index, ok := numberOf(c["index"])
		args := fieldsOf(c["function"])["arguments"]
		if !ok || !isText(c["id"]) || !isText(args) || strings.Contains(string(c["id"]), `\`) || strings.Contains(string(c["type"]), `\`) {
			return false
		}
		id := inside(c["id"])
		if id == "" {
			id = s.last[index]
		}
		if id == "" || len(id) > 250 || len(c["type"]) > 250 {
			return false
		}
		mark := strconv.Itoa(index) + string(c["type"])
		if had, ok := s.marks[id]; ok && had != mark && had != strconv.Itoa(index) && len(c["type"]) > 0 {
			return false // one id of two indexes or types
		} else if ok && !strings.HasPrefix(had, strconv.Itoa(index)) {
			return false
		}
		if s.marks[id] == "" || len(c["type"]) > 0 {
			s.marks[id] = mark
		}
		s.last[index] = id
		if s.calls[id] == nil {
			s.calls[id] = &strings.Builder{}
		}
		_, _ = s.calls[id].WriteString(inside(args))
	}
	return true
}
