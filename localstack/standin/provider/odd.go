package provider

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An odd is an answer as providers give it now and then, in place of the one that is due.
type odd struct {
	status      int    // 200 if 0
	contentType string // application/json if empty
	header      map[string]string

	// body returns the body, and as a stream, if that is wanted and there is one, made of the answer that is due.
	body     func(due string) string
	streamed func(due []string) string
}

// odds returns the answers of the directive `odd`, by name.
func odds() map[string]odd {
	says := func(text string) func(string) string { return func(string) string { return text } }
	// carried is an error in a body of status 200, and in an event of a stream that has begun.
	carried := func(text string) odd {
		return odd{body: says(text), streamed: func(due []string) string { return due[0] + "data: " + text + "\n\n" }}
	}
	chunks := func(deltas ...string) odd {
		var b strings.Builder
		for i, delta := range deltas {
			finish := "null"
			if i == len(deltas)-1 {
				finish = `"stop"`
			}
			fmt.Fprintf(&b, `data: {"id":"odd","object":"chat.completion.chunk","model":"standin","choices":[{"index":0,"delta":%s,"finish_reason":%s}]}`+"\n\n", delta, finish)
		}
		return odd{
			body: func(due string) string { return due }, streamed: func([]string) string { return b.String() + "data: [DONE]\n\n" },
		}
	}
	const tooLarge = `{"error":{"message":"Request too large for standin on tokens per min (TPM): Limit 30000, Requested 35000.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`
	return map[string]odd{
		"error-429":  carried(`{"error":{"code":429,"message":"The stand-in is odd: slow down."}}`),
		"error-400":  carried(`{"error":{"code":400,"message":"The stand-in is odd: bad request."}}`),
		"error-name": carried(`{"type":"error","error":{"type":"overloaded_error","message":"The stand-in is odd: overloaded."}}`),
		"error-none": carried(`{"error":{"message":"The stand-in is odd."}}`),
		"error-text": carried(`{"error": "Model is overloaded"}`),

		"blank":      {body: says("\n\n \r\n")},
		"blank-json": {body: func(due string) string { return "\n\n\n" + due }},
		"cut":        {body: func(due string) string { return due[:len(due)/2] }, streamed: func(due []string) string { return due[0] }},
		"html":       {contentType: "text/html", body: says("<html><body>The stand-in is odd.</body></html>\n")},
		"no-choices": {
			body: says(`{"object":"chat.completion","model":"standin","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}`),
			streamed: func([]string) string {
				return `data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}` + "\n\ndata: [DONE]\n\n"
			},
		},
		"null-choices": {body: says(`{"object":"chat.completion","choices":null}`)},
		"nan":          {body: says(`{"choices":[{"message":{"content":"x"},"logprobs":{"content":[{"logprob":NaN}]}}]}`)},
		"bom":          {body: func(due string) string { return "\ufeff" + due }},
		"accepted":     {status: http.StatusAccepted, body: says(`{"id":"job","status":"queued"}`)},
		"nothing":      {status: http.StatusNoContent, body: says("")},
		"queued":       {body: says(`{"id":"job","object":"response","status":"queued","output":[]}`)},
		"in-progress":  {body: says(`{"id":"job","object":"response","status":"in_progress","output":[]}`)},
		"filtered":     {body: says(`{"choices":[],"prompt_filter_results":[{"content_filter_results":{"hate":{"filtered":true}}}]}`)},
		"tools":        {body: says(`{"choices":[{"message":{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`)},
		"length":       {body: says(`{"choices":[{"message":{"role":"assistant","content":""},"finish_reason":"length"}],"error":null}`)},

		"too-large": {status: http.StatusTooManyRequests, body: says(tooLarge)},
		"again":     {status: http.StatusBadRequest, header: map[string]string{"X-Should-Retry": "true"}, body: says(`{"error":{"message":"The stand-in is odd: try again."}}`)},
		"never":     {status: http.StatusInternalServerError, header: map[string]string{"X-Should-Retry": "false"}, body: says(`{"error":{"message":"The stand-in is odd: for good."}}`)},
		"unix-time": {status: http.StatusTooManyRequests, header: map[string]string{"Retry-After": "UNIX"}, body: says(`{"error":{"code":"rate_limit_exceeded"}}`)},
		"two-calls": chunks(`{"role":"assistant","tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":"}}]}`, `{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}`, `{"tool_calls":[{"index":0,"id":"b","type":"function","function":{"name":"f","arguments":"{}"}}]}`),
		"emoji":     chunks(`{"role":"assistant","content":"\ud83d"}`, `{"content":"\ude00"}`),
		"no-role":   chunks(`{"content":"Hello"}`, `{"content":"!"}`),
	}
}

// addOdd takes an odd answer, by its name and the number of calls behind an x.
func (p *plan) addOdd(value string) string {
	name, calls := value, 0
	if at := strings.LastIndexByte(value, 'x'); at > 0 {
		if n, err := strconv.Atoi(value[at+1:]); err == nil && n >= 0 {
			name, calls = value[:at], n
		}
	}
	if _, ok := odds()[name]; !ok {
		return "must be one of " + strings.Join(slices.Sorted(maps.Keys(odds())), ", ") + ", and a number of calls after an x"
	}
	p.steps = append(p.steps, step{effect: effectOdd, odd: name, calls: calls})
	return ""
}

// beOdd sends an odd answer.
func (x *exchange) beOdd(name string, answer reply, streamed bool) {
	o := odds()[name]
	raw, err := answer.bytes(x.plan.size)
	if err != nil {
		x.fail(http.StatusInternalServerError, "The answer could not be written.", "", "")
		return
	}
	body, contentType := o.body(string(raw)), o.contentType
	if streamed && answer.events != nil && o.streamed != nil {
		events, err := answer.events()
		if err != nil {
			x.fail(http.StatusInternalServerError, "The stream could not be written.", "", "")
			return
		}
		body, contentType = o.streamed(events), "text/event-stream"
	}
	if contentType == "" {
		contentType = "application/json"
	}
	for key, value := range o.header {
		if value == "UNIX" {
			value = strconv.FormatInt(x.now().Add(oddWait).Unix(), 10)
		}
		x.w.Header().Set(key, value)
	}
	status := max(o.status, http.StatusOK)
	x.w.Header().Set("Content-Type", contentType)
	x.call.end(status, time.Time{})
	x.w.WriteHeader(status)
	_, _ = x.w.Write([]byte(body)) // A client that has gone is no concern of ours.
}

// oddWait is how long the Retry-After of `unix-time` asks to wait.
const oddWait = 2 * time.Second
