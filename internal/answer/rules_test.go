package answer_test

import (
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/answer"
)

// Shorthand of the table below.
func usable() answer.Verdict            { return answer.Verdict{} }
func invalid(why string) answer.Verdict { return answer.Verdict{Sense: answer.Invalid, Why: why} }
func held(why string) answer.Verdict    { return answer.Verdict{Sense: answer.Held, Why: why} }
func means(status int, code, message string) answer.Verdict {
	return answer.Verdict{Sense: answer.Refused, Status: status, Code: code, Message: message}
}

const (
	chat, completions, responses     = "/v1/chat/completions", "/v1/completions", "/v1/responses"
	embeddings, moderations, images  = "/v1/embeddings", "/v1/moderations", "/v1/images/generations"
	extra, noChoices                 = "/v1/rerank", "it has no `choices`"
	cutOff, page                     = "it is not JSON, or JSON that is cut off", "it is a page, not JSON"
	isEmpty, emptyChoice, unfinished = "it is empty", "a choice is empty, and does not say why", "its `status` says that it is not done yet"
	malformed                        = "a choice is empty, since its call was malformed"
	noCode                           = "it is an error whose code says nothing"
)

// TestJudge judges answers as providers really give them, of each kind.
func TestJudge(t *testing.T) {
	t.Parallel()
	said := func(v answer.Verdict, code, message string) answer.Verdict {
		v.Code, v.Message = code, message
		return v
	}
	for _, tc := range []struct {
		name, path  string
		contentType string // application/json if empty
		status      int    // 200 if 0
		body        string
		want        answer.Verdict
	}{
		// Results.
		{name: "a chat", path: chat, body: `{"choices":[{"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"error":null}`, want: usable()},
		{name: "a chat of another content type", path: chat, contentType: "text/plain", body: `{"choices":[{"message":{"content":"a"}}]}`, want: usable()},
		{name: "a text that is empty", path: chat, body: `{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}`, want: usable()},
		{name: "tool calls", path: chat, body: `{"choices":[{"message":{"content":null,"tool_calls":[{"id":"a"}]},"finish_reason":"tool_calls"}]}`, want: usable()},
		{name: "a function call", path: chat, body: `{"choices":[{"message":{"content":null,"function_call":{"name":"f"}}}]}`, want: usable()},
		{name: "a refusal", path: chat, body: `{"choices":[{"message":{"content":null,"refusal":"no"},"finish_reason":"stop"}]}`, want: usable()},
		{name: "thoughts alone", path: chat, body: `{"choices":[{"message":{"content":null,"reasoning_content":"hm"},"finish_reason":"stop"}]}`, want: usable()},
		{name: "audio", path: chat, body: `{"choices":[{"message":{"content":null,"audio":{"data":"AA=="}},"finish_reason":"stop"}]}`, want: usable()},
		{name: "too long", path: chat, body: `{"choices":[{"message":{"content":null},"finish_reason":"length"}]}`, want: usable()},
		{name: "too long, no content", path: chat, body: `{"choices":[{"message":{"role":"assistant"},"finish_reason":"length"}]}`, want: usable()},
		{name: "filtered", path: chat, body: `{"choices":[{"message":{"content":""},"finish_reason":"content_filter"}]}`, want: usable()},
		{name: "filtered, Google", path: chat, body: `{"choices":[{"finish_reason":"content_filter: PROHIBITED_CONTENT","index":0}]}`, want: usable()},
		{name: "filtered, Bedrock", path: chat, body: `{"choices":[{"message":{"content":null},"finish_reason":"guardrail_intervened"}]}`, want: usable()},
		{name: "filtered, Cohere", path: chat, body: `{"choices":[{"message":{"content":"par"},"finish_reason":"ERROR_TOXIC"}]}`, want: usable()},
		{name: "filtered, no content, Cohere", path: chat, body: `{"choices":[{"message":{"role":"assistant"},"finish_reason":"ERROR_TOXIC"}]}`, want: usable()},
		{name: "a text before a call that is malformed", path: chat, body: `{"choices":[{"message":{"content":"a"},"finish_reason":"malformed_function_call"}]}`, want: usable()},
		{name: "blank lines, then JSON", path: chat, body: "\n\n  \n" + `{"choices":[{"message":{"content":"a"}}]}`, want: usable()},
		{name: "an error beside a result", path: chat, body: `{"error":{"code":1},"choices":[{"message":{"content":"a"}}]}`, want: usable()},
		{name: "a completion", path: completions, body: `{"choices":[{"text":"","finish_reason":"stop"}]}`, want: usable()},
		{name: "a response", path: responses, body: `{"status":"completed","output":[{"type":"message"}],"error":null}`, want: usable()},
		{name: "an incomplete response", path: responses, body: `{"status":"incomplete","output":[],"incomplete_details":{"reason":"max_output_tokens"}}`, want: usable()},
		{name: "a response without status", path: responses, body: `{"output":[{}]}`, want: usable()},
		{name: "embeddings", path: embeddings, body: `{"data":[{"embedding":[0.1]}]}`, want: usable()},
		{name: "embeddings in base64", path: embeddings, body: `{"data":[{"embedding":"AAAA"}]}`, want: usable()},
		{name: "moderations", path: moderations, body: `{"results":[{"flagged":false}]}`, want: usable()},
		{name: "images", path: images, body: `{"data":[{"b64_json":"AA=="},{"url":"https://x"}]}`, want: usable()},
		{name: "a stream of images", path: images, contentType: "text/event-stream", body: "data: {}\n\n", want: usable()},
		{name: "a text of an extra endpoint", path: extra, contentType: "text/plain; charset=utf-8", body: "a b", want: usable()},
		{name: "JSON of an extra endpoint", path: extra, body: `{"anything":1}`, want: usable()},
		{name: "a list of an extra endpoint", path: extra, body: `[[0.1]]`, want: usable()},
		{name: "a status of no job", path: extra, body: `{"status":"processing","score":1}`, want: usable()},
		{name: "a status beside results", path: extra, body: `{"id":"a","status":"running","results":[1]}`, want: usable()},
		{name: "a job that has ended", path: extra, body: `{"output":{"task_id":"t","task_status":"SUCCEEDED"},"id":"a","status":"succeeded"}`, want: usable()},
		{name: "a job in a text", path: extra, contentType: "text/plain", body: `{"id":"a","status":"running"}`, want: usable()},
		{name: "codes beside a result", path: chat, body: `{"statusCode":500,"code":500,"type":"server_error","status":500,"errors":["m"],"base_resp":{"status_code":1},"choices":[{"message":{"content":"a"}}]}`, want: usable()},
		{name: "codes of an extra endpoint", path: extra, body: `{"statusCode":429,"error_code":5,"errors":["m"],"status":"error"}`, want: usable()},
		{name: "an error that is none", path: extra, body: `{"error":"","ok":1}`, want: usable()},
		{name: "an error that is false", path: extra, body: `{"error":false,"ok":1}`, want: usable()},

		// Errors that mean a status.
		{name: "a number", path: chat, body: `{"error":{"code":429,"message":"slow"}}`, want: means(429, "429", "slow")},
		{name: "a number in quotes", path: embeddings, body: `{"error":{"code":"503"}}`, want: means(503, "503", "")},
		{name: "a number, TGI", path: chat, body: `{"error":{"message":"m","http_status_code":422}}`, want: means(422, "422", "m")},
		{name: "a number in place of an error", path: chat, body: `{"error":503,"message":"m"}`, want: means(503, "503", "m")},
		{name: "a number at the beginning of a text", path: chat, body: `{"error":"503 Service Unavailable"}`, want: means(503, "", "503 Service Unavailable")},
		{name: "a number before a colon", path: chat, body: `{"error":"429: slow down"}`, want: means(429, "", "429: slow down")},
		{name: "a list of errors, Cloudflare", path: chat, body: `{"success":false,"error":[{"code":429,"message":"m"},{"code":500}]}`, want: means(429, "429", "m")},
		{name: "a list of texts", path: chat, body: `{"error":["m","n"]}`, want: said(invalid(noCode), "", "m")},
		{name: "another number at the beginning", path: chat, body: `{"error":"500000 tokens are too many"}`, want: said(invalid(noCode), "", "500000 tokens are too many")},
		{name: "Moonshot's", path: chat, body: `{"error":{"type":"rate_limit_reached_error","message":"m"}}`, want: means(429, "rate_limit_reached_error", "m")},
		{name: "Alibaba's", path: chat, body: `{"error":{"code":"Throttling.RateQuota"}}`, want: means(429, "Throttling.RateQuota", "")},
		{name: "Alibaba's filter", path: chat, body: `{"error":{"code":"data_inspection_failed","type":"data_inspection_failed"}}`, want: means(400, "data_inspection_failed", "")},
		{name: "a bad request", path: chat, body: `{"error":{"code":400}}`, want: means(400, "400", "")},
		{name: "OpenAI's", path: responses, body: `{"error":{"type":"server_error","code":null,"message":"m"}}`, want: means(500, "server_error", "m")},
		{name: "OpenAI's rate", path: chat, body: `{"error":{"type":"tokens","code":"rate_limit_exceeded"}}`, want: means(429, "rate_limit_exceeded", "")},
		{name: "OpenAI's, an unknown code of a known type", path: chat, body: `{"error":{"type":"invalid_request_error","code":"some_new_one"}}`, want: means(400, "some_new_one", "")},
		{name: "Anthropic's", path: chat, body: `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, want: means(503, "overloaded_error", "Overloaded")},
		{name: "Google's", path: chat, body: `[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]`, want: means(429, "RESOURCE_EXHAUSTED", "m")},
		{name: "vLLM's", path: chat, body: `{"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}`, want: means(400, "BadRequestError", "too long")},
		{name: "TGI's", path: chat, body: `{"error":"Model is overloaded","error_type":"overloaded"}`, want: means(503, "overloaded", "Model is overloaded")},
		{name: "litellm's", path: chat, body: `{"error":{"message":"m","type":"RateLimitError","param":null,"code":"429"}}`, want: means(429, "RateLimitError", "m")},
		{name: "Bedrock's", path: chat, body: `{"error":{"type":"ThrottlingException","message":"m"}}`, want: means(429, "ThrottlingException", "m")},
		{name: "Mistral's", path: chat, body: `{"object":"error","message":"m","type":"service_tier_capacity_exceeded","code":"3505"}`, want: means(503, "service_tier_capacity_exceeded", "m")},
		{name: "OpenRouter's in a choice", path: chat, body: `{"choices":[{"error":{"code":502,"message":"m"},"message":{"content":"par"},"finish_reason":"error"}]}`, want: means(502, "502", "m")},
		{name: "OpenRouter's beside a choice", path: chat, body: `{"error":{"code":"server_error"},"choices":[{"message":{"content":""},"finish_reason":"error"}]}`, want: means(500, "server_error", "")},
		{name: "DeepSeek's", path: chat, body: `{"choices":[{"message":{"content":"par"},"finish_reason":"insufficient_system_resource"}]}`, want: means(503, "insufficient_system_resource", "")},
		{name: "a response that failed", path: responses, body: `{"status":"failed","error":{"code":"rate_limit_exceeded","message":"m"},"output":[{}]}`, want: means(429, "rate_limit_exceeded", "m")},
		{name: "a response that failed for its input", path: responses, body: `{"status":"failed","error":{"code":"invalid_prompt"},"output":[]}`, want: means(400, "invalid_prompt", "")},
		{name: "an extra endpoint's", path: extra, body: `{"error":{"status":"UNAVAILABLE"}}`, want: means(503, "UNAVAILABLE", "")},
		{name: "a word", path: chat, body: `{"error":"Internal Server Error"}`, want: means(500, "", "Internal Server Error")},
		{name: "a spent quota", path: chat, body: `{"error":{"code":"insufficient_quota","type":"insufficient_quota"}}`, want: means(429, "insufficient_quota", "")},
		{name: "a gateway's, Azure", path: chat, body: `{"statusCode":429,"message":"Rate limit is exceeded."}`, want: means(429, "429", "Rate limit is exceeded.")},
		{name: "a service's, AWS", path: chat, body: `{"__type":"com.amazon.coral#ThrottlingException","message":"m"}`, want: means(429, "ThrottlingException", "m")},
		{name: "a type alone", path: responses, body: `{"type":"server_error","message":"m"}`, want: means(500, "server_error", "m")},
		{name: "a problem", path: embeddings, contentType: "application/problem+json", body: `{"type":"https://x.y/rate","title":"t","status":429,"detail":"m"}`, want: means(429, "429", "m")},
		{name: "a problem without detail", path: chat, body: `{"type":"about:blank","title":"t","status":503}`, want: means(503, "503", "t")},
		{name: "a status and a code", path: images, body: `{"status":"error","code":503,"msg":"m"}`, want: means(503, "503", "m")},
		{name: "a code alone", path: completions, body: `{"code":"rate_limit_exceeded","message":"m"}`, want: means(429, "rate_limit_exceeded", "m")},
		{name: "an error_code", path: chat, body: `{"error_code":"429","error_msg":"m"}`, want: means(429, "429", "m")},
		{name: "errors, of which the first counts", path: chat, body: `{"success":false,"errors":[{"code":429,"message":"m"},{"code":500}],"result":null}`, want: means(429, "429", "m")},

		// Statuses that speak for themselves.
		{name: "a gateway's by status", path: chat, status: 429, body: `{"statusCode":429,"message":"m"}`, want: means(429, "429", "m")},
		{name: "a refusal by status", path: chat, status: 400, body: `{"error":{"code":"x","message":"m"}}`, want: means(400, "x", "m")},
		{name: "a page of a gateway by status", path: chat, contentType: "text/html", status: 502, body: "<html>", want: means(502, "", "")},
		{name: "vLLM's by status", path: chat, status: 404, body: `{"object":"error","message":"no","type":"NotFoundError","code":404}`, want: means(404, "NotFoundError", "no")},
		{name: "FastAPI's by status", path: chat, status: 500, body: `{"detail":"boom"}`, want: means(500, "", "boom")},
		{name: "a redirect", path: chat, status: 302, want: means(302, "", "")},

		// No answers.
		{name: "an error without a code", path: chat, body: `{"error":{"message":"m"}}`, want: said(invalid(noCode), "", "m")},
		{name: "an error of another code", path: chat, body: `{"error":{"code":1300,"message":"m"}}`, want: said(invalid(noCode), "1300", "m")},
		{name: "an error_code that nobody knows", path: chat, body: `{"error_code":336003,"error_msg":"m"}`, want: said(invalid(noCode), "336003", "m")},
		{name: "MiniMax's", path: chat, body: `{"choices":null,"base_resp":{"status_code":1002,"status_msg":"m"}}`, want: said(invalid(noCode), "1002", "m")},
		{name: "errors in words", path: chat, body: `{"errors":["m"]}`, want: said(invalid(noCode), "", "m")},
		{name: "a status of error", path: chat, body: `{"status":"error","message":"m"}`, want: said(invalid(noCode), "", "m")},
		{name: "an error in words", path: chat, body: `{"error": "Model is overloaded"}`, want: said(invalid(noCode), "", "Model is overloaded")},
		{name: "an error in words, an extra endpoint", path: extra, body: `{"error":"busy now"}`, want: said(invalid(noCode), "", "busy now")},
		{name: "nothing", path: chat, body: "", want: invalid(isEmpty)},
		{name: "blank lines", path: chat, body: "\n\n \r\n", want: invalid(isEmpty)},
		{name: "blank lines, an extra endpoint", path: extra, contentType: "text/plain", body: "\n", want: invalid(isEmpty)},
		{name: "cut off", path: chat, body: `{"choices":[{"message":{"content":"a`, want: invalid(cutOff)},
		{name: "two objects", path: chat, body: `{} {}`, want: invalid(cutOff)},
		{name: "cut off, an extra endpoint", path: extra, body: `{"results":[`, want: invalid(cutOff)},
		{name: "cut off, problem+json", path: extra, contentType: "application/problem+json", body: `{"results":[`, want: invalid(cutOff)},
		{name: "a page", path: embeddings, contentType: "text/html", body: "<!DOCTYPE html>", want: invalid(page)},
		{name: "plain words", path: moderations, contentType: "text/plain", body: "upstream connect error", want: invalid("it is not JSON")},
		{name: "NaN", path: embeddings, body: `{"data":[{"embedding":[NaN]}]}`, want: invalid("it is not JSON: it holds NaN or Infinity, or is cut off")},
		{name: "codes that say that all is well", path: chat, body: `{"code":200,"error_code":0,"errors":[],"base_resp":{"status_code":0,"status_msg":"success"}}`, want: invalid(noChoices)},
		{name: "a list", path: chat, body: `[1]`, want: invalid(noChoices)},
		{name: "a null", path: chat, body: `null`, want: invalid(noChoices)},
		{name: "no choices", path: chat, body: `{"choices":[]}`, want: invalid(noChoices)},
		{name: "choices null", path: completions, body: `{"choices":null,"usage":{}}`, want: invalid(noChoices)},
		{name: "choices absent", path: chat, body: `{"id":"x"}`, want: invalid(noChoices)},
		{name: "a choice null", path: chat, body: `{"choices":[null]}`, want: invalid("a choice is no object")},
		{name: "a choice without a message", path: chat, body: `{"choices":[{"index":0,"finish_reason":"stop"}]}`, want: invalid("a choice has no message")},
		{name: "a message null", path: chat, body: `{"choices":[{"message":null,"finish_reason":"stop"}]}`, want: invalid("a choice has no message")},
		{name: "a message of nothing", path: chat, body: `{"choices":[{"message":{"role":"assistant","content":null,"tool_calls":[]},"finish_reason":"stop"}]}`, want: invalid(emptyChoice)},
		{name: "a completion of nothing", path: completions, body: `{"choices":[{"text":null,"finish_reason":"stop"}]}`, want: invalid(emptyChoice)},
		{name: "an abort", path: chat, body: `{"choices":[{"message":{"content":"par"},"finish_reason":"abort"}]}`, want: invalid("a choice was broken off")},
		{name: "an error, Cohere", path: chat, body: `{"choices":[{"message":{"content":"par"},"finish_reason":"ERROR"}]}`, want: invalid("a choice was broken off")},
		{name: "a timeout, Cohere", path: chat, body: `{"choices":[{"message":{"content":"par"},"finish_reason":"TIMEOUT"}]}`, want: invalid("a choice was broken off")},
		{name: "a malformed call", path: chat, body: `{"choices":[{"message":{"role":"assistant","content":""},"finish_reason":"malformed_function_call"}]}`, want: invalid(malformed)},
		{name: "a malformed call, Google", path: chat, body: `{"choices":[{"message":{"role":"assistant"},"finish_reason":"function_call_filter: MALFORMED_FUNCTION_CALL"}]}`, want: invalid(malformed)},
		{name: "a malformed call without a message", path: chat, body: `{"choices":[{"finish_reason":"function_call_filter: MALFORMED_FUNCTION_CALL"}]}`, want: invalid(malformed)},
		{name: "an error of no code in a choice", path: chat, body: `{"choices":[{"message":{"content":"par"},"finish_reason":"error"}]}`, want: invalid(noCode)},
		{name: "no output", path: responses, body: `{"status":"completed","output":[]}`, want: invalid("it has no `output`")},
		{name: "a chat for a response", path: responses, body: `{"choices":[{"message":{"content":"a"}}]}`, want: invalid("it has no `output`")},
		{name: "queued", path: responses, body: `{"status":"queued","output":[]}`, want: invalid(unfinished)},
		{name: "in progress", path: responses, body: `{"status":"in_progress","output":[{}]}`, want: invalid(unfinished)},
		{name: "a video", path: "/v1/videos", body: `{"object":"video","status":"queued","progress":0}`, want: invalid(unfinished)},
		{name: "a queue of fal.ai", path: extra, body: `{"status":"IN_QUEUE"}`, want: invalid(unfinished)},
		{name: "a prediction of Replicate", path: extra, body: `{"id":"p","status":"starting","output":null,"error":null}`, want: invalid(unfinished)},
		{name: "a job", path: extra, body: `{"task_id":"t","status":"PROCESSING"}`, want: invalid(unfinished)},
		{name: "a task of Alibaba", path: extra, body: `{"output":{"task_id":"t","task_status":"PENDING"},"request_id":"r"}`, want: invalid(unfinished)},
		{name: "cancelled", path: responses, body: `{"status":"cancelled","output":[]}`, want: invalid("its `status` says that it is not complete")},
		{name: "no embeddings", path: embeddings, body: `{"data":[]}`, want: invalid("it has no `data`")},
		{name: "an embedding of nothing", path: embeddings, body: `{"data":[{"embedding":[1]},{"embedding":[]}]}`, want: invalid("a part of its `data` is empty")},
		{name: "no moderations", path: moderations, body: `{"results":null}`, want: invalid("it has no `results`")},
		{name: "an image of nothing", path: images, body: `{"data":[{"revised_prompt":"x"}]}`, want: invalid("a part of its `data` is empty")},
		{name: "accepted", path: chat, status: 202, body: `{"choices":[{"message":{"content":"a"}}]}`, want: invalid("its status says that it is not done yet")},
		{name: "no content", path: extra, status: 204, want: invalid("its status says that there is none")},

		// Filters.
		{name: "choices that a filter held back", path: chat, body: `{"choices":[],"prompt_filter_results":[{"content_filter_results":{"hate":{"filtered": true}}}]}`, want: held(noChoices + ", and names a filter")},
		{name: "choices that no filter held back", path: chat, body: `{"choices":[],"prompt_filter_results":[{"content_filter_results":{"hate":{"filtered":false}}}]}`, want: invalid(noChoices)},
		{name: "a block reason", path: chat, body: `{"choices":null,"promptFeedback":{"blockReason":"SAFETY"}}`, want: held(noChoices + ", and names a filter")},
	} {
		t.Run(strings.TrimPrefix(tc.path, "/v1/")+"/"+tc.name, func(t *testing.T) {
			t.Parallel()
			a := answer.Answer{Kind: answer.KindOf(tc.path), Status: tc.status, ContentType: tc.contentType, Body: []byte(tc.body)}
			if a.Status == 0 {
				a.Status = 200
			}
			if a.ContentType == "" {
				a.ContentType = "application/json"
			}
			if diff := gocmp.Diff(tc.want, answer.Read(a).Verdict); diff != "" {
				t.Errorf("%s: the verdict (-want +got):\n%s", tc.body, diff)
			}
		})
	}
}

// TestTooLarge tells a refusal for what one request asks from those for what all ask together.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]bool{
		"Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 35000.":                   true,
		"Request too large for model `llama` on tokens per minute (TPM): Limit 6000, Requested 7000, please reduce your message size": true,
		"Tokens per minute: Limit: 10,000, Requested: 12,000":                                                                         true,
		"limit=100 requested=101": true,
		"Your request of 120000 tokens exceeds the limit of 100000 tokens per minute.":                                            true,
		"Requested 200000 tokens, but the limit is 100000":                                                                        true,
		"Request body too large for gpt-4o model. Max size: 8000 tokens.":                                                         true,
		"Your request of 2000 tokens exceeds what is left of the limit of 100000 a minute.":                                       false,
		"Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 2s.": false,
		"Rate limit reached: Limit 3 / min. Please try again in 20s.":                                                             false,
		"You requested 5 images": false,
		"":                       false,
	} {
		if got := answer.TooLarge([]byte(`{"error":{"message":"` + message + `"}}`)); got != want {
			t.Errorf("%q: %t", message, got)
		}
	}
}

// TestCodesAreUnique demands that no name means two statuses, and that each is written as it is looked for.
func TestCodesAreUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for _, c := range answer.Codes() {
		for _, name := range c.Names {
			if other, ok := seen[name]; ok {
				t.Errorf("%s means %d and %d", name, other, c.Status)
			}
			seen[name] = c.Status
			if got := answer.Read(answer.Answer{Kind: answer.Chat, Status: 200, Body: []byte(`{"error":{"code":"` + name + `"}}`)}).Verdict; got.Status != c.Status {
				t.Errorf("%s means %d, and not %d", name, got.Status, c.Status)
			}
		}
	}
}
