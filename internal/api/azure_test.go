package api_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestAzuresClientsAreServed asks as AzureOpenAI does: below /openai, which the gateway's stage may have taken off the path or
// not, with an api-version, and with the key in a header of its own.
func TestAzuresClientsAreServed(t *testing.T) {
	t.Parallel()
	for _, below := range []string{"", "/openai", "/openai/v1", "/v1/openai", "/v1/openai/v1"} {
		t.Run(below, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			azure := func(a ask) reply {
				a.path = below + a.path + "?api-version=2024-10-21"
				if a.header == nil {
					a.header = map[string]string{"Api-Key": w.alice}
				}
				return w.ask(a)
			}
			body, kind := formOf(t, "a.jsonl", line, "purpose", "batch")
			file := azure(ask{method: "POST", path: "/files", kind: kind, body: body}).want(200).text("id")
			r := azure(ask{
				method: "POST", path: "/batches", kind: "application/json",
				body: strings.Replace(orderOf(file), "/v1/chat/completions", "/chat/completions", 1),
			}).want(200).suits("Batch")
			if got := r.text("endpoint"); got != "/v1/chat/completions" {
				t.Errorf("the batch's endpoint is %s", got)
			}
			id := r.text("id")
			azure(ask{method: "GET", path: "/batches/" + id}).want(200)
			azure(ask{method: "GET", path: "/batches"}).want(200)
			if got := azure(ask{method: "GET", path: "/files/" + file + "/content"}).want(200).Body.String(); got != line {
				t.Errorf("content is %q", got)
			}
			azure(ask{method: "POST", path: "/batches/" + id + "/cancel"}).want(200)
			azure(ask{method: "GET", path: "/batches", header: map[string]string{"X-Api-Key": w.alice}}).
				refused(401, "", "invalid_api_key", "'api-key: YOUR_KEY'")
			azure(ask{method: "GET", path: "/batches", header: map[string]string{"Api-Key": "sk-msk-wrong"}}).
				refused(401, "", "invalid_api_key", "Incorrect API key")
		})
	}
	w := newWorld(t)
	for _, path := range []string{"/openai", "/openai/openai/batches", "/openaifiles", "/openai//batches", "/azure/batches"} {
		w.get(path).refused(404, "", "unknown_url", "Invalid URL")
	}
}

// TestKeysOfTwoHeaders demands that a bearer key goes before Azure's header, and that what is no bearer key does not.
func TestKeysOfTwoHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.order(w.alice)
	for name, c := range map[string]struct {
		authorization, key string
		want               int
	}{
		"a bearer key":            {"Bearer " + w.alice, "", 200},
		"Azure's":                 {"", w.alice, 200},
		"both, the same":          {"Bearer " + w.alice, w.alice, 200},
		"a bearer key first":      {"Bearer " + w.alice, w.bob, 200},
		"another's bearer first":  {"Bearer " + w.bob, w.alice, 404},
		"a bad bearer key first":  {"Bearer nonsense", w.alice, 401},
		"another scheme":          {"Basic abc", w.alice, 200},
		"no key behind the word":  {"Bearer ", w.alice, 200},
		"spaces only":             {"", "  ", 401},
		"a bearer in the other":   {"", "Bearer " + w.alice, 401},
		"a key without a scheme ": {w.alice, "", 401},
	} {
		header := map[string]string{}
		if c.authorization != "" {
			header["Authorization"] = c.authorization
		}
		if c.key != "" {
			header["api-key"] = c.key
		}
		if r := w.ask(ask{method: http.MethodGet, path: "/v1/batches/" + id, header: header}); r.Code != c.want {
			t.Errorf("%s: %d, want %d", name, r.Code, c.want)
		}
	}
}
