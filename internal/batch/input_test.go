package batch_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/batch"
)

const chat = "/v1/chat/completions"

// line returns a good line of a chat batch in which old is replaced by others.
func line(replace ...string) string {
	const good = `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}`
	return strings.NewReplacer(replace...).Replace(good)
}

func TestParseInput(t *testing.T) {
	t.Parallel()
	good := func(change func(*batch.Input)) batch.Input {
		in := batch.Input{CustomID: "a", URL: chat, Model: "m", Body: json.RawMessage(`{"model":"m","messages":[]}`)}
		change(&in)
		return in
	}
	same := func(*batch.Input) {}
	long := strings.Repeat("c", batch.MaxCustomID)
	cases := map[string]struct {
		line string
		want batch.Input
	}{
		"good":                   {line(), good(same)},
		"with a carriage return": {line() + "\r", good(same)},
		"spaced":                 {" \t" + line(":", " : ", `{"custom_id"`, `{ "custom_id"`) + " \r\n", good(func(in *batch.Input) { in.Body = json.RawMessage(`{"model" : "m","messages" : []}`) })},
		"Azure's url":            {line(chat, "/chat/completions"), good(same)},
		"fields in any order":    {`{"body":{"messages":[],"model":"m"},"url":"` + chat + `","method":"POST","custom_id":"a"}`, good(func(in *batch.Input) { in.Body = json.RawMessage(`{"messages":[],"model":"m"}`) })},
		"a field more":           {line(`"method"`, `"x":{"y":[1]},"method"`), good(same)},
		"the last of two counts": {line(`"method":"POST"`, `"method":"GET","method":"POST"`), good(same)},
		"an escaped id":          {line(`"a"`, `"\u00e4\n"`), good(func(in *batch.Input) { in.CustomID = "ä\n" })},
		"an id of two halves":    {line(`"a"`, `"\ud83d\ude00\\ud83d"`), good(func(in *batch.Input) { in.CustomID = `😀\ud83d` })},
		"the longest id":         {line(`"a"`, `"`+long+`"`), good(func(in *batch.Input) { in.CustomID = long })},
		"the longest model": {line(`"m"`, `"`+long+`"`), good(func(in *batch.Input) {
			in.Model, in.Body = long, json.RawMessage(`{"model":"`+long+`","messages":[]}`)
		})},
		"an escaped name": {line(`"model"`, `"mod\u0065l"`), good(func(in *batch.Input) { in.Body = json.RawMessage(`{"mod\u0065l":"m","messages":[]}`) })},
		"a huge number": {line(`[]}`, `[],"seed":123456789012345678901234567890.5e999}`), good(func(in *batch.Input) {
			in.Body = json.RawMessage(`{"model":"m","messages":[],"seed":123456789012345678901234567890.5e999}`)
		})},
		"streaming is taken": {line(`[]}`, `[],"stream":true}`), good(func(in *batch.Input) { in.Body = json.RawMessage(`{"model":"m","messages":[],"stream":true}`) })},
		"names are exact":    {line(`"messages"`, `"Model":"other","messages"`), good(func(in *batch.Input) { in.Body = json.RawMessage(`{"model":"m","Model":"other","messages":[]}`) })},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := batch.ParseInput([]byte(c.line), chat)
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("ParseInput(%.200s): %v (-want +got):\n%s", c.line, err, diff)
			}
		})
	}
}

func TestParseInputRefuses(t *testing.T) {
	t.Parallel()
	type want struct{ code, param string }
	missing := func(param string) want { return want{batch.CodeMissingParameter, param} }
	invalid := func(param string) want { return want{batch.CodeInvalidType, param} }
	notJSON := want{batch.CodeInvalidJSON, ""}
	badURL := want{batch.CodeInvalidURL, "url"}
	badMethod := want{batch.CodeInvalidMethod, "method"}
	cases := map[string]struct {
		line string
		want want
	}{
		"nothing":                  {"", notJSON},
		"spaces":                   {"   ", notJSON},
		"broken":                   {line(`}}`, `}`), notJSON},
		"two objects":              {line() + line(), notJSON},
		"a trailing comma":         {line(`}}`, `},}`), notJSON},
		"a comment":                {line() + "// why", notJSON},
		"an array":                 {"[" + line() + "]", notJSON},
		"null":                     {"null", notJSON},
		"a string":                 {`"custom_id"`, notJSON},
		"a number":                 {"1", notJSON},
		"a byte order mark":        {"\ufeff" + line(), notJSON},
		"not UTF-8":                {line(`"a"`, "\"\xff\""), notJSON},
		"not UTF-8 in the body":    {line(`"m"`, "\"\xc0\xaf\""), notJSON},
		"a control character":      {line(`"a"`, "\"\x00\""), notJSON},
		"nested too deep":          {line(`[]`, strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000)), notJSON},
		"an empty object":          {"{}", missing("custom_id")},
		"no custom_id":             {line(`"custom_id":"a",`, ""), missing("custom_id")},
		"no method":                {line(`"method":"POST",`, ""), missing("method")},
		"no url":                   {line(`"url":"/v1/chat/completions",`, ""), missing("url")},
		"no body":                  {line(`,"body":{"model":"m","messages":[]}`, ""), missing("body")},
		"a null custom_id":         {line(`"a"`, "null"), missing("custom_id")},
		"a null method":            {line(`"POST"`, "null"), missing("method")},
		"a null url":               {line(`"`+chat+`"`, "null"), missing("url")},
		"a null body":              {line(`{"model":"m","messages":[]}`, "null"), missing("body")},
		"an empty custom_id":       {line(`"a"`, `""`), missing("custom_id")},
		"an empty url":             {line(chat, ""), missing("url")},
		"an empty method":          {line("POST", ""), missing("method")},
		"another spelling":         {line("custom_id", "Custom_ID"), missing("custom_id")},
		"another spelling of body": {line(`"body"`, `"Body"`), missing("body")},
		"a number as custom_id":    {line(`"a"`, "1"), invalid("custom_id")},
		"an object as custom_id":   {line(`"a"`, "{}"), invalid("custom_id")},
		"a list as method":         {line(`"POST"`, `["POST"]`), invalid("method")},
		"a number as url":          {line(`"`+chat+`"`, "7"), invalid("url")},
		"a list as body":           {line(`{"model":"m","messages":[]}`, "[]"), invalid("body")},
		"a string as body":         {line(`{"model":"m","messages":[]}`, `"{}"`), invalid("body")},
		"a number as body":         {line(`{"model":"m","messages":[]}`, "1"), invalid("body")},
		"too long an id":           {line(`"a"`, `"`+strings.Repeat("c", batch.MaxCustomID+1)+`"`), want{batch.CodeInvalidValue, "custom_id"}},
		"too long an id in bytes":  {line(`"a"`, `"`+strings.Repeat("ä", batch.MaxCustomID/2+1)+`"`), want{batch.CodeInvalidValue, "custom_id"}},
		"too long a model":         {line(`"m"`, `"`+strings.Repeat("m", batch.MaxModel+1)+`"`), want{batch.CodeInvalidValue, "body.model"}},
		"too long a url":           {line(chat, "/"+strings.Repeat("u", batch.MaxURL)), want{batch.CodeInvalidValue, "url"}},
		"a method without end":     {line("POST", strings.Repeat("P", 1000)), badMethod},
		"another method":           {line("POST", "GET"), badMethod},
		"a small method":           {line("POST", "post"), badMethod},
		"half a pair as custom_id": {line(`"a"`, `"x\ud83d"`), want{batch.CodeInvalidValue, "custom_id"}},
		"the other half":           {line(`"a"`, `"\udE00"`), want{batch.CodeInvalidValue, "custom_id"}},
		"two halves apart":         {line(`"a"`, `"\ud83d-\ude00"`), want{batch.CodeInvalidValue, "custom_id"}},
		"half a pair in the model": {line(`"m"`, `"m\ud83e"`), want{batch.CodeInvalidValue, "body.model"}},
		"another endpoint":         {line(chat, "/v1/embeddings"), badURL},
		"a whole url":              {line(chat, "https://api.openai.com"+chat), badURL},
		"a slash more":             {line(chat, chat+"/"), badURL},
		"Azure's other endpoint":   {line(chat, "/embeddings"), badURL},
		"a part of it":             {line(chat, "/completions"), badURL},
		"without the first slash":  {line(chat, "chat/completions"), badURL},
		"the version twice":        {line(chat, "/v1"+chat), badURL},
		"a query":                  {line(chat, chat+"?a=b"), badURL},
		"no model":                 {line(`"model":"m",`, ""), want{batch.CodeInvalidRequest, "body.model"}},
		"an empty model":           {line(`"m"`, `""`), want{batch.CodeInvalidRequest, "body.model"}},
		"a null model":             {line(`"m"`, "null"), want{batch.CodeInvalidRequest, "body.model"}},
		"a number as model":        {line(`"m"`, "4"), want{batch.CodeInvalidRequest, "body.model"}},
		"another spelling of it":   {line(`"model"`, `"Model"`), want{batch.CodeInvalidRequest, "body.model"}},
		"no messages":              {line(`,"messages":[]`, ""), want{batch.CodeInvalidRequest, "body.messages"}},
		"null messages":            {line(`[]`, "null"), want{batch.CodeInvalidRequest, "body.messages"}},
		"an empty body":            {line(`"model":"m","messages":[]`, ""), want{batch.CodeInvalidRequest, "body.messages"}},
		"missing before wrong":     {line(`"custom_id":"a",`, "", "POST", "GET"), missing("custom_id")},
		"the first of two missing": {line(`"custom_id":"a","method":"POST",`, ""), missing("custom_id")},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := batch.ParseInput([]byte(c.line), chat)
			var refused *batch.LineError
			if !errors.As(err, &refused) {
				t.Fatalf("ParseInput(%.200s) = %+v, %v, want a *LineError", c.line, got, err)
			}
			if is := (want{refused.Code, refused.Param}); is != c.want || refused.Line != 0 || refused.Message == "" {
				t.Errorf("ParseInput(%.200s): %+v, want %+v", c.line, refused, c.want)
			}
			if diff := cmp.Diff(batch.Input{}, got); diff != "" {
				t.Errorf("an input besides the error:\n%s", diff)
			}
		})
	}
}

// TestMessages holds the texts that OpenAI has, which users search for.
func TestMessages(t *testing.T) {
	t.Parallel()
	for bad, want := range map[string]string{
		"{":                            "This line is not parseable as valid JSON.",
		line(`"custom_id":"a",`, ""):   "Missing required parameter: 'custom_id'.",
		line(`"model":"m",`, ""):       "Model parameter is required.",
		line(`,"messages":[]`, ""):     "Messages parameter is required.",
		line(chat, "/v1/embeddings"):   "The URL provided for this request does not match the batch endpoint",
		line(`"a"`, `7`):               "Invalid type for 'custom_id': expected a string, but got an integer instead.",
		line(`"m","messages":[]`, "1"): "Messages parameter is required.",
	} {
		_, err := batch.ParseInput([]byte(bad), chat)
		var refused *batch.LineError
		if !errors.As(err, &refused) || !strings.HasPrefix(refused.Message, want) {
			t.Errorf("ParseInput(%s): %v, want %s", bad, err, want)
		}
	}
}

func TestEndpointsDemands(t *testing.T) {
	t.Parallel()
	cases := []struct {
		endpoint string
		body     string
		param    string // of the error; empty if none
	}{
		{"/v1/responses", `{"model":"m","input":"hi"}`, ""},
		{"/v1/responses", `{"input":"hi"}`, "body.model"},
		{"/v1/embeddings", `{"model":"m"}`, ""},
		{"/v1/embeddings", `{}`, "body.model"},
		{"/v1/completions", `{}`, "body.model"},
		{"/v1/images/generations", `{}`, "body.model"},
		{"/v1/images/edits", `{}`, "body.model"},
		{"/v1/responses", `{"model":"m","background":true}`, "body.background"},
		{"/v1/responses", `{"model":"m","background":false}`, ""},
		{"/v1/responses", `{"model":"m","background":null}`, ""},
		{chat, `{"model":"m","messages":[],"background":true}`, ""},
		{"/v1/moderations", `{}`, ""},
		{"/v1/rerank", `{}`, ""},
		{chat, `{"model":"m"}`, "body.messages"},
		{chat, `{"messages":[]}`, "body.model"},
	}
	for _, c := range cases {
		t.Run(c.endpoint+c.body, func(t *testing.T) {
			t.Parallel()
			text := `{"custom_id":"a","method":"POST","url":"` + c.endpoint + `","body":` + c.body + `}`
			_, err := batch.ParseInput([]byte(text), c.endpoint)
			var refused *batch.LineError
			if c.param == "" && err != nil || c.param != "" && (!errors.As(err, &refused) || refused.Param != c.param) {
				t.Errorf("ParseInput: %v, want one about %q", err, c.param)
			}
			if in, err := batch.DecodeInput([]byte(text)); err != nil || in.URL != c.endpoint {
				t.Errorf("DecodeInput, which demands less: %+v, %v", in, err)
			}
		})
	}
}

func TestLineErrorText(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"batch: line 3: invalid_url: no":  &batch.LineError{Code: batch.CodeInvalidURL, Line: 3, Message: "no"},
		"batch: empty_file: no line here": &batch.LineError{Code: batch.CodeEmptyFile, Message: "no line here"},
	} {
		if err.Error() != want {
			t.Errorf("got %s, want %s", err, want)
		}
	}
}

// secret is what no error may quote.
const secret = "swordfish"

// checkInput holds what DecodeInput and ParseInput made of a line against what
// they promise of every line.
func checkInput(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, raw []byte, endpoint string,
) {
	t.Helper()
	decoded, err := batch.DecodeInput(raw)
	parsed, parseErr := batch.ParseInput(raw, endpoint)
	for _, err := range []error{err, parseErr} {
		var refused *batch.LineError
		if err != nil && (!errors.As(err, &refused) || refused.Code == "" || refused.Line != 0) {
			t.Fatalf("error %#v, want a *LineError with a code and no line", err)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Fatalf("the error quotes the line: %v", err)
		}
	}
	if err != nil && parseErr == nil {
		t.Fatalf("ParseInput takes what DecodeInput refuses: %v", err)
	}
	if err != nil {
		return
	}
	if decoded.CustomID == "" || len(decoded.CustomID) > batch.MaxCustomID || !utf8.ValidString(decoded.CustomID) ||
		decoded.URL == "" || !json.Valid(decoded.Body) || decoded.Body[0] != '{' {
		t.Fatalf("took %+v", decoded)
	}
	if decoded.ResolveURL(endpoint) == nil != (decoded.URL == endpoint) {
		t.Fatalf("it goes to %q, and is said to go to %q", decoded.URL, endpoint)
	}
	if parseErr == nil && (parsed.URL != endpoint || !cmp.Equal(parsed, decoded)) {
		t.Fatalf("parsed %+v, decoded %+v", parsed, decoded)
	}
	again, err := json.Marshal(map[string]any{
		"custom_id": decoded.CustomID, "method": "POST", "url": decoded.URL, "body": decoded.Body,
	})
	if err != nil {
		t.Fatalf("what was taken does not encode: %v", err)
	}
	second, err := batch.DecodeInput(again)
	if err != nil || second.CustomID != decoded.CustomID || second.URL != decoded.URL || second.Model != decoded.Model {
		t.Fatalf("decoded again: %+v, %v, want %+v", second, err, decoded)
	}
}

func FuzzParseInput(f *testing.F) {
	for _, seed := range []string{
		line(), "", "{}", "null", "[]", `{"custom_id":1}`, line(`"a"`, `"\ud800"`), line(`"a"`, "\"\xff\""),
		line(`"m"`, `"\u2028"`), line(`[]`, "[[[[]]]]"), line(`"custom_id"`, `"CUSTOM_ID"`), line(`}}`, `}`), line() + "\r\n",
		line(`"body"`, `"x":1,"body"`), line(`[]`, `1e999`), line(`"a"`, `"<&>"`), line("POST", secret), "\x00", `{"":{}}`,
	} {
		f.Add([]byte(seed), chat)
	}
	f.Add([]byte(line(chat, "/v1/moderations")), "/v1/moderations")
	f.Fuzz(func(t *testing.T, raw []byte, endpoint string) { checkInput(t, raw, endpoint) })
}

func TestInputHolds(t *testing.T) {
	t.Parallel()
	value := rapid.SampledFrom([]string{
		`"a"`, `""`, `null`, `1`, `{}`, `[]`, `"POST"`, `"` + chat + `"`, `{"model":"m","messages":[]}`, `{"model":7}`,
		`"` + secret + `"`, `{"` + secret + `":1}`, `"\ud83d"`, `1e400`, `tru`, `"`, "\"\xff\"", `{"model":"` + secret + `"}`,
	})
	name := rapid.SampledFrom([]string{"custom_id", "method", "url", "body", "Custom_ID", "other", "URL"})
	rapid.Check(t, func(t *rapid.T) {
		var fields []string
		for range rapid.IntRange(0, 6).Draw(t, "fields") {
			fields = append(fields, `"`+name.Draw(t, "name")+`":`+value.Draw(t, "value"))
		}
		checkInput(t, []byte("{"+strings.Join(fields, ",")+"}"), chat)
	})
}

// TestMostRequests holds that no file has more requests than it says.
func TestMostRequests(t *testing.T) {
	t.Parallel()
	shortest := len(`{"custom_id":"a","method":"POST","url":"/","body":{}}`) + 1
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.IntRange(0, 2_000_000).Draw(t, "lines")
		size := int64(max(lines*shortest-1, 0)) // the last line may end without a newline
		if got := batch.MostRequests(size, 10_000_000); got < lines {
			t.Fatalf("%d bytes can have %d lines, not only %d", size, lines, got)
		} else if got > 2*lines+1 {
			t.Fatalf("%d bytes of %d lines are taken for %d", size, lines, got)
		}
		if got := batch.MostRequests(size, 1000); got > 1000 {
			t.Fatalf("%d is above the most of a batch", got)
		}
	})
}
