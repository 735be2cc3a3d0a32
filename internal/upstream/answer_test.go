package upstream_test

import (
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/upstream"
)

func TestErrorInBody(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		`{"error":{"message":"no"}}`:                             true,
		` { "error" : { } } `:                                    true,
		`{"error":{"code":1},"id":"x","choices":[],"data":null}`: true,
		`{"error":{"code":1},"choices":[ ],"output":""}`:         true,
		`{"object":"response","status":"failed","error":{"code":"server_error"},"output":[{"a":1}]}`: true,
		`{"error":null,"choices":[{}]}`:                          false,
		`{"error":null}`:                                         false,
		`{"error":"text"}`:                                       false,
		`{"error":[{"code":1}]}`:                                 false,
		`{"error":{"code":1},"choices":[{}]}`:                    false,
		`{"error":{"code":1},"data":[1]}`:                        false,
		`{"error":{"code":1},"output":[1],"status":"completed"}`: false,
		`{"error":{"code":1},"results":[1]}`:                     false,
		`{"choices":[{"error":{}}]}`:                             false,
		`[{"error":{}}]`:                                         false,
		`"error"`:                                                false,
		`{"error":{}`:                                            false,
		``:                                                       false,
	} {
		for status, counts := range map[int]bool{200: true, 201: true, 302: false, 400: false, 500: false} {
			c := newClient(t, upstream.Config{BaseURL: "http://host", Transport: canned(status, "application/json", body)})
			got, err := c.Call(t.Context(), chat(`{}`))
			if err != nil {
				t.Fatalf("Call: %v", err)
			}
			if got.ErrorInBody != (want && counts) {
				t.Errorf("%d %s: ErrorInBody is %t", status, body, got.ErrorInBody)
			}
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
		if got := upstream.Model([]byte(body)); got != want {
			t.Errorf("model of %.60s is %q, want %q", body, got, want)
		}
	}
}

func TestErrorCode(t *testing.T) {
	t.Parallel()
	const limited = `{"error":{"message":"m","type":"t","param":null,"code":"rate_limit_exceeded"}}`
	tooLong := `{"error":{"code":"` + strings.Repeat("x", 257) + `"}}`
	for body, want := range map[string]string{
		limited: "rate_limit_exceeded",
		`{"error":{"code":"insufficient_quota"},"x":1}`: "insufficient_quota",

		`{"error":{"code":429}}`:   "",
		`{"error":{"code":null}}`:  "",
		`{"error":{"type":"t"}}`:   "",
		`{"error":"rate_limit"}`:   "",
		`{"error":[{"code":"x"}]}`: "",
		`{"error":null}`:           "",
		`[{"error":{"code":"x"}}]`: "",
		`{"code":"x"}`:             "",
		`<html>`:                   "",
		``:                         "",
		tooLong:                    "",
	} {
		if got := upstream.ErrorCode([]byte(body)); got != want {
			t.Errorf("code of %.60s is %q, want %q", body, got, want)
		}
	}
}
