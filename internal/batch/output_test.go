package batch_test

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

func key() state.Key { return state.Key{Batch: "batch_01abc", Line: 7, Shard: 3} }

func TestRequestID(t *testing.T) {
	t.Parallel()
	if got, want := batch.RequestID(key()), "batch_req_01abc_7"; got != want {
		t.Errorf("RequestID = %q, want %q", got, want)
	}
}

// TestLines holds the very bytes of the lines.
func TestLines(t *testing.T) {
	t.Parallel()
	const head = `{"id":"batch_req_01abc_7","custom_id":"a",`
	answer := func(body string) []byte {
		return batch.AppendAnswer(nil, key(), "a", batch.Answer{StatusCode: 200, RequestID: "req-1", Body: []byte(body)}, batch.Failing{})
	}
	answered := func(body string) string {
		return head + `"response":{"status_code":200,"request_id":"req-1","body":` + body + `},"error":null}` + "\n"
	}
	failure := func(r state.Reason) []byte { return batch.AppendFailure(nil, key(), "a", batch.Failing{Reason: r}) }
	failed := func(code, message string) string {
		return head + `"response":null,"error":{"code":"` + code + `","message":"` + message + `"}}` + "\n"
	}
	cases := map[string]struct {
		got  []byte
		want string
	}{
		"an object":               {answer(`{"a":1}`), answered(`{"a":1}`)},
		"indented":                {answer("{\n  \"a\" : [ 1,\r\n\t2 ]\n}\n"), answered(`{"a":[1,2]}`)},
		"spaces in strings":       {answer(`{"a b":"c  d"}`), answered(`{"a b":"c  d"}`)},
		"an escaped newline":      {answer(`"a\nb"`), answered(`"a\nb"`)},
		"a JSON string":           {answer(`"done"`), answered(`"done"`)},
		"null":                    {answer("null"), answered("null")},
		"a huge number":           {answer(`{"n":123456789012345678901234567890,"f":1.10e+999,"z":-0}`), answered(`{"n":123456789012345678901234567890,"f":1.10e+999,"z":-0}`)},
		"the order of its fields": {answer(`{"z":1,"a":2,"z":3}`), answered(`{"z":1,"a":2,"z":3}`)},
		"HTML":                    {answer(`{"h":"<a href='x'>&amp;</a>"}`), answered(`{"h":"<a href='x'>&amp;</a>"}`)},
		"escapes as they are":     {answer(`{"e":"\u003c\/\ud83d\ude00\ud800"}`), answered(`{"e":"\u003c\/\ud83d\ude00\ud800"}`)},
		"other scripts":           {answer(`{"t":"ä €🙂"}`), answered(`{"t":"ä €🙂"}`)},
		"not UTF-8":               {answer("{\"a\":\"x\xffy\"}"), answered("{\"a\":\"x\uFFFDy\"}")},
		"line ends of others":     {answer("{\"a\":\"x\u2028\u2029\u0085y\"}"), answered(`{"a":"x\u2028\u2029\u0085y"}`)},
		"their neighbours":        {answer("{\"a\":\"\u2027\u202a\u0084\u0086\"}"), answered("{\"a\":\"\u2027\u202a\u0084\u0086\"}")},
		"no JSON":                 {answer("<html>\n<b>502 & bad</b>\t\x01</html>"), answered(`"<html>\n<b>502 & bad</b>\t\u0001</html>"`)},
		"no JSON nor UTF-8":       {answer("\xff\xfeoops"), answered("\"\uFFFD\uFFFDoops\"")},
		"no JSON, line ends":      {answer("a\u2028b\u2029c\u0085d\r\ne\v\f\x1c"), answered(`"a\u2028b\u2029c\u0085d\r\ne\u000b\f\u001c"`)},
		"half an object":          {answer(`{"a":`), answered(`"{\"a\":"`)},
		"two objects":             {answer(`{} {}`), answered(`"{} {}"`)},
		"server-sent events":      {answer("data: {}\n\n"), answered(`"data: {}\n\n"`)},
		"nothing":                 {answer(""), answered(`""`)},
		"spaces alone":            {answer(" \n"), answered(`" \n"`)},
		"nested too deep":         {answer(strings.Repeat("[", 20_000)), answered(`"` + strings.Repeat("[", 20_000) + `"`)},
		"an error status": {
			batch.AppendAnswer(nil, key(), "a", batch.Answer{StatusCode: 400, Body: []byte(`{"error":{}}`)}, batch.Failing{Reason: state.NonRetryableHTTPStatus{Status: 400}}),
			head + `"response":{"status_code":400,"request_id":"","body":{"error":{}}},"error":null}` + "\n",
		},
		"a denied error status": {
			batch.AppendAnswer(nil, key(), "a", batch.Answer{StatusCode: 429, Body: []byte(`{}`)}, batch.Failing{Reason: state.RetryableHTTPStatus{Status: 429}}),
			head + `"response":{"status_code":429,"request_id":"","body":{}},"error":null}` + "\n",
		},
		"an error in the body": {
			batch.AppendAnswer(nil, key(), "a", batch.Answer{StatusCode: 200, RequestID: "r", Body: []byte(`{"error":1}`)}, batch.Failing{Reason: state.ErrorInBody{Status: 200}}),
			head + `"response":{"status_code":200,"request_id":"r","body":{"error":1}},"error":{"code":"error_in_body","message":"the upstream answered with status 200 and an error in the body"}}` + "\n",
		},
		"expired":         {failure(state.Expired{}), failed("batch_expired", "This request could not be executed before the completion window expired.")},
		"timed out":       {failure(state.Timeout{Error: "30 s"}), failed("request_timeout", "the call timed out: 30 s")},
		"broken off":      {failure(state.NetworkError{Error: `a "b"`}), failed("network_error", `the call broke off: a \"b\"`)},
		"unsendable":      {failure(state.RequestBuilderError{Error: "<x>"}), failed("invalid_request", "the request cannot be sent: <x>")},
		"panicked":        {failure(state.TaskTerminated{Error: "boom"}), failed("task_terminated", "the call panicked: boom")},
		"given up":        {failure(state.TaskTerminated{Deaths: 5}), failed("task_terminated", "5 workers died over this request")},
		"too large":       {failure(state.ResponseTooLarge{Limit: 9}), failed("response_too_large", "the answer is larger than 9 bytes")},
		"error, no body":  {failure(state.ErrorInBody{Status: 200}), failed("error_in_body", "the upstream answered with status 200 and an error in the body")},
		"status, no body": {failure(state.RetryableHTTPStatus{Status: 503}), failed("http_503", "the upstream answered with status 503")},
		"and for good":    {failure(state.NonRetryableHTTPStatus{Status: 404}), failed("http_404", "the upstream answered with status 404")},
		"a late retry":    {failure(state.RetryTooLate{Last: "status 500"}), failed("retry_too_late", "it was too late for another attempt after the last one failed: status 500")},
		"for no reason":   {failure(nil), failed("internal_error", "The request failed.")},
		"a bad message":   {failure(state.Timeout{Error: "a\u2028\nb"}), failed("request_timeout", `the call timed out: a\u2028\nb`)},
		"expired in flight": {
			failure(state.Expired{Called: true}), failed("batch_expired", "This request could not be completed before the completion window expired: a call was in flight."),
		},
		"expired after a failure": {
			failure(state.Expired{Called: true, Last: "the call timed out: 30 s"}),
			failed("batch_expired", "This request could not be completed before the completion window expired. The last attempt that failed: the call timed out: 30 s."),
		},
		"canceled after a failure": {
			batch.AppendCanceled(nil, key(), "a", state.Canceled{Attempt: 1, Last: "the call timed out: 30 s"}, true),
			failed("batch_cancelled", "This request was not completed because the batch was cancelled. The last attempt that failed: the call timed out: 30 s."),
		},
		"canceled in flight": {
			batch.AppendCanceled(nil, key(), "a", state.Canceled{StartedAt: time.Unix(1, 0)}, true),
			failed("batch_cancelled", "This request was not completed because the batch was cancelled. A call was in flight."),
		},
		"canceled by itself, in flight after a failure": {
			batch.AppendCanceled(nil, key(), "a", state.Canceled{Attempt: 1, Last: "status 500", StartedAt: time.Unix(1, 0)}, false),
			failed("batch_cancelled", "This request was cancelled before it was completed. The last attempt that failed: status 500. A call was in flight."),
		},
		"no answer": {
			batch.AppendAnswer(nil, key(), "a", batch.Answer{StatusCode: 200, Body: []byte("<html>")}, batch.Failing{
				Reason: state.InvalidAnswer{Status: 200, Error: "it is a page", Again: true}, Said: "m", Denied: "why",
			}),
			head + `"response":{"status_code":200,"request_id":"","body":"<html>"},"error":{"code":"invalid_answer",` +
				`"message":"the upstream's answer with status 200 cannot be used: it is a page: m. It was not tried again: why."}}` + "\n",
		},
		"no answer, and a sentence": {
			batch.AppendAnswer(nil, key(), "a", batch.Answer{StatusCode: 200, Body: []byte("<html>")}, batch.Failing{
				Reason: state.InvalidAnswer{Status: 200, Error: "it is a page", Again: true}, Said: "Slow down.", Denied: "why",
			}),
			head + `"response":{"status_code":200,"request_id":"","body":"<html>"},"error":{"code":"invalid_answer",` +
				`"message":"the upstream's answer with status 200 cannot be used: it is a page: Slow down. It was not tried again: why."}}` + "\n",
		},
		"a denied error status, and why": {
			batch.AppendAnswer(nil, key(), "a", batch.Answer{StatusCode: 429, Body: []byte(`{}`)}, batch.Failing{Reason: state.RetryableHTTPStatus{Status: 429}, Denied: "why"}),
			head + `"response":{"status_code":429,"request_id":"","body":{}},"error":{"code":"http_429","message":"the upstream answered with status 429. It was not tried again: why."}}` + "\n",
		},
		"canceled": {
			batch.AppendCanceled(nil, key(), "a", state.Canceled{}, true),
			failed("batch_cancelled", "This request was not executed because the batch was cancelled."),
		},
		"a strange id": {
			batch.AppendCanceled(nil, key(), "<\"\\\n\u2028\u0085ä>", state.Canceled{}, true),
			strings.Replace(failed("batch_cancelled", "This request was not executed because the batch was cancelled."),
				`"a"`, `"<\"\\\n\u2028\u0085ä>"`, 1),
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, string(c.got)); diff != "" {
				t.Errorf("line (-want +got):\n%s", diff)
			}
			checkLine(t, c.got)
		})
	}
}

// TestLinesAreAppended holds what stood in the destination before, though it
// holds the very characters that lines escape, and has room to spare.
func TestLinesAreAppended(t *testing.T) {
	t.Parallel()
	const before = "\u2028\u0085 before \n"
	dst := append(make([]byte, 0, 1<<16), before...)
	for _, grow := range []func([]byte) []byte{
		func(dst []byte) []byte { return batch.AppendCanceled(dst, key(), "a\u2028", state.Canceled{}, true) },
		func(dst []byte) []byte {
			return batch.AppendFailure(dst, key(), "a\u2028", batch.Failing{Reason: state.Expired{}})
		},
		func(dst []byte) []byte {
			return batch.AppendAnswer(dst, key(), "a\u2028", batch.Answer{Body: []byte("b\u2028")}, batch.Failing{})
		},
		func(dst []byte) []byte {
			return batch.AppendAnswer(slices.Clip(dst), key(), "a", batch.Answer{Body: []byte("{\"b\":\"\u2028\"}")}, batch.Failing{})
		},
	} {
		grown := grow(dst)
		line, ok := bytes.CutPrefix(grown, []byte(before))
		if !ok {
			t.Fatalf("%q does not begin with what was there", grown)
		}
		checkLine(t, line)
	}
}

// A failer is any test that can be ended.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// An outLine is a line of a result file as its reader decodes it.
type outLine struct {
	ID       string `json:"id"`
	CustomID string `json:"custom_id"`
	Response *struct {
		StatusCode int             `json:"status_code"`
		RequestID  string          `json:"request_id"`
		Body       json.RawMessage `json:"body"`
	} `json:"response"`
	Error *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// checkLine demands one line by anyone's reckoning, and exactly OpenAI's
// fields, and returns it decoded.
func checkLine(t failer, raw []byte) outLine {
	t.Helper()
	body, ended := bytes.CutSuffix(raw, []byte("\n"))
	if !ended || !utf8.Valid(raw) || bytes.ContainsAny(body, "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029") {
		t.Fatalf("not one line of UTF-8: %q", raw)
	}
	fieldsOf := func(raw json.RawMessage) []string {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(raw, &fields); err != nil {
			t.Fatalf("not JSON: %v: %q", err, raw)
		}
		names := make([]string, 0, len(fields))
		for name := range fields {
			names = append(names, name)
		}
		slices.Sort(names)
		return names
	}
	var top map[string]json.RawMessage
	var line outLine
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&line); err != nil {
		t.Fatalf("not JSON: %v: %q", err, raw)
	}
	if _, err := dec.Token(); err != io.EOF {
		t.Fatalf("more than an object: %v", err)
	}
	_ = json.Unmarshal(body, &top)
	if got := fieldsOf(body); !slices.Equal(got, []string{"custom_id", "error", "id", "response"}) {
		t.Fatalf("fields %q", got)
	}
	if line.Response != nil && !slices.Equal(fieldsOf(top["response"]), []string{"body", "request_id", "status_code"}) {
		t.Fatalf("response %s", top["response"])
	}
	if line.Error != nil && !slices.Equal(fieldsOf(top["error"]), []string{"code", "message"}) {
		t.Fatalf("error %s", top["error"])
	}
	if line.Response == nil && line.Error == nil {
		t.Fatalf("neither response nor error: %q", raw)
	}
	return line
}

// checkAnswer demands that an answer's line brings back what went in.
func checkAnswer(t failer, customID, requestID string, status int, body []byte) {
	t.Helper()
	raw := batch.AppendAnswer([]byte("x"), key(), customID, batch.Answer{StatusCode: status, RequestID: requestID, Body: body}, batch.Failing{})
	line := checkLine(t, raw[1:])
	if line.Response == nil || line.Error != nil || line.ID != batch.RequestID(key()) ||
		line.CustomID != valid(customID) || line.Response.RequestID != valid(requestID) || line.Response.StatusCode != status {
		t.Fatalf("line %s of %q, %q, %d", raw, customID, requestID, status)
	}
	text := []byte(valid(string(body)))
	if !json.Valid(text) {
		var got string
		if err := json.Unmarshal(line.Response.Body, &got); err != nil || got != string(text) {
			t.Fatalf("body %s (%v), want the string %q", line.Response.Body, err, text)
		}
		return
	}
	if !cmp.Equal(tokens(t, text), tokens(t, line.Response.Body)) {
		t.Fatalf("body %s, want %s", line.Response.Body, text)
	}
}

// valid returns s as encoding/json writes it: each byte that is no UTF-8 is one
// U+FFFD.
func valid(s string) string { return string([]rune(s)) }

// tokens returns a JSON text's tokens, numbers as they are spelt.
func tokens(t failer, raw []byte) []json.Token {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var all []json.Token
	for {
		token, err := dec.Token()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("tokens of %q: %v", raw, err)
		}
		all = append(all, token)
	}
}

func FuzzAppendAnswer(f *testing.F) {
	for _, seed := range []string{
		"", "{}", `{"a":[1,2.50,-0,1e999,"x"]}`, "{\n}\n", "<b>", "\xff", "\"\xff\"", "\u2028", "\"\u2028\u0085\"", `"\u2028"`,
		`{"a":1}{"b":2}`, `"\ud800"`, "null", "\x00", "[[[[", "data: x\n\n", "12345678901234567890123456789", `"\\u2028"`,
	} {
		f.Add("a", "req", 200, []byte(seed))
		f.Add(seed, seed, 500, []byte("{}"))
	}
	f.Fuzz(func(t *testing.T, customID, requestID string, status int, body []byte) {
		checkAnswer(t, customID, requestID, status, body)
	})
}

func TestAnswersComeBack(t *testing.T) {
	t.Parallel()
	strange := rapid.OneOf(
		rapid.String(),
		rapid.StringOf(rapid.RuneFrom([]rune("\u2028\u2029\u0085\n\r\t\v\f\x1c\x1e\x00\"\\<>&'/ä€🙂\u2027\uFFFDu2028"))),
		rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) }),
	)
	rapid.Check(t, func(t *rapid.T) {
		text := strange.Draw(t, "text")
		body := []byte(text)
		if rapid.Bool().Draw(t, "as JSON") {
			var buf bytes.Buffer
			enc := json.NewEncoder(&buf)
			enc.SetEscapeHTML(rapid.Bool().Draw(t, "escape"))
			if err := enc.Encode(map[string]any{text: []any{text, 1.5, nil, map[string]any{}}}); err != nil {
				t.Fatal(err)
			}
			body = buf.Bytes()
			if rapid.Bool().Draw(t, "raw") { // as an upstream writes them that escapes less than Go does
				body = bytes.ReplaceAll(body, []byte(`\u2028`), []byte("\u2028"))
			}
		}
		checkAnswer(t, strange.Draw(t, "custom_id"), strange.Draw(t, "request id"), rapid.Int().Draw(t, "status"), body)

		for _, raw := range [][]byte{
			batch.AppendCanceled(nil, key(), text, state.Canceled{}, true),
			batch.AppendFailure(nil, key(), text, batch.Failing{Reason: state.NetworkError{Error: text}}),
			batch.AppendFailure(nil, key(), text, batch.Failing{Reason: state.TaskTerminated{Error: text}}),
		} {
			if line := checkLine(t, raw); line.CustomID != valid(text) || line.Response != nil || line.Error.Message == "" {
				t.Fatalf("line %q of %q", raw, text)
			}
		}
	})
}
