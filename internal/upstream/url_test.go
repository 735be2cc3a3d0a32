package upstream_test

import (
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/upstream"
)

// target returns where a line's url leads below a base.
func target(t *testing.T, base, line string) (*url.URL, error) {
	t.Helper()
	var called *url.URL
	c := newClient(t, config{BaseURL: base, Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		called = r.URL
		return canned(200, "text/plain", "")(r)
	})})
	_, err := c.Call(t.Context(), upstream.Request{Method: http.MethodPost, URL: line})
	return called, err
}

func TestLineJoinsBase(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ base, line, want string }{
		{"https://host/v1", "/v1/chat/completions", "https://host/v1/chat/completions"},
		{"https://host/v1/", "/v1/chat/completions", "https://host/v1/chat/completions"},
		{"https://host/prefix/v1", "/v1/chat/completions", "https://host/prefix/v1/chat/completions"},
		{"https://host/v1beta/openai", "/v1/chat/completions", "https://host/v1beta/openai/chat/completions"},
		{"https://host/v4", "/v1/embeddings", "https://host/v4/embeddings"},
		{"https://host/v1", "/rerank", "https://host/v1/rerank"},
		{"https://host/v1", "/v10/x", "https://host/v1/v10/x"},
		{"https://host/v1", "/v1/v1/x", "https://host/v1/v1/x"},
		{"https://host", "/v1/chat/completions", "https://host/v1/chat/completions"},
		{"https://host/", "/v1/chat/completions", "https://host/v1/chat/completions"},
		{"HTTP://127.0.0.1:8080/v1", "/v1/responses", "http://127.0.0.1:8080/v1/responses"},
		{"http://[::1]:8080/v1", "/v1/responses", "http://[::1]:8080/v1/responses"},
		{"https://host/v1", "/v1/models/a:b@1", "https://host/v1/models/a:b@1"},
		{"https://host/v1", "/v1/x?version=2&y=%2F", "https://host/v1/x?version=2&y=%2F"},
	} {
		got, err := target(t, tc.base, tc.line)
		if err != nil || got.String() != tc.want {
			t.Errorf("%s below %s: %v, %v; want %s", tc.line, tc.base, got, err, tc.want)
		}
	}
}

func TestLineRefused(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"", "/", "v1/x", "/v1", "/v1/", "/v1/x/", "//evil/v1/x", "///", "https://evil/v1/x", "http:/v1/x", `\\evil\x`,
		"/v1/../x", "/v1/./x", "/v1/..", "/../v1/x", "/v1/%2e%2e/x", "/v1/%2E./x", "/v1/a%2fb", "/v1/%", "/v1/..%2f",
		"/v1/x\r\nHost: evil", "/v1/x\nX", "/v1/x\x00", "/v1/x y", "/v1/ä", `/v1/a\b`, "/v1/x#y", "/v1/x#", "/v1//x",
		"/v1/..;/x", "/v1/x?a b", "/v1/x?a\r\nb", "/v1/x?%", "/v1/x?a#b", "/v1/x?ä", "/v1/\xff", "@evil/v1/x",
		"/v1/" + strings.Repeat("x", 2048),
	} {
		got, err := target(t, "https://host/prefix/v1", line)
		build, ok := errors.AsType[*upstream.BuildError](err)
		if !ok || build.Field != "url" {
			t.Errorf("%q led to %v, error %v", line, got, err)
		}
	}
}

func FuzzLineStaysBelowBase(f *testing.F) {
	for _, line := range []string{"/v1/chat/completions", "/v1/../x", "//evil", "/v1/%2e%2e/", "/v1/x?a=b", "https://evil/"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		const base = "https://host/prefix/v1"
		got, err := target(t, base, line)
		if err != nil {
			wantErr[*upstream.BuildError](t, err)
			return
		}
		reread, err := url.Parse(got.String())
		if err != nil || reread.String() != got.String() {
			t.Fatalf("%q led to %q, which reads as %v (%v)", line, got, reread, err)
		}
		if got.Scheme != "https" || got.Host != "host" || got.User != nil || got.Fragment != "" || got.RawPath != "" {
			t.Errorf("%q led to %q", line, got)
		}
		if !strings.HasPrefix(got.Path, "/prefix/v1/") || path.Clean(got.Path) != got.Path {
			t.Errorf("%q led out of the base, to %q", line, got)
		}
	})
}
