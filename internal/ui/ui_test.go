package ui_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/ui"
)

// get asks for a path below /v1/ui as the API does: the file's name is a value of the path.
func get(t *testing.T, path, known string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(path, "/v1/ui"), "/"), "?")
	r.SetPathValue("file", name)
	if known != "" {
		r.Header.Set("If-None-Match", known)
	}
	w := httptest.NewRecorder()
	ui.Handler(http.NotFoundHandler()).ServeHTTP(w, r)
	return w
}

func TestFilesAreServed(t *testing.T) {
	t.Parallel()
	for path, kind := range map[string]string{
		"/v1/ui/": "text/html; charset=utf-8", "/v1/ui/?x=1": "text/html; charset=utf-8", "/v1/ui/index.html": "text/html; charset=utf-8", "/v1/ui/app.js": "text/javascript; charset=utf-8",
		"/v1/ui/style.css": "text/css; charset=utf-8", "/v1/ui/icon.svg": "image/svg+xml",
	} {
		w := get(t, path, "")
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != kind || w.Body.Len() == 0 {
			t.Errorf("%s: %d, %v", path, w.Code, w.Header())
		}
		again := get(t, path, w.Header().Get("ETag"))
		if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s, known already: %d, %d bytes", path, again.Code, again.Body.Len())
		}
	}
	for _, path := range []string{"/v1/ui/none.js", "/v1/ui/assets/app.js", "/v1/ui/../ui.go"} {
		if w := get(t, path, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// TestAddressWithoutItsSlash has the page found by who leaves it out: relative addresses would lead elsewhere.
func TestAddressWithoutItsSlash(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"/v1/ui": "ui/", "/v1/ui?x=1": "ui/", "/base/v1/ui": "ui/"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
		w := httptest.NewRecorder()
		ui.Handler(http.NotFoundHandler()).ServeHTTP(w, r)
		if w.Code != http.StatusFound || w.Header().Get("Location") != want || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, %v", path, w.Code, w.Header())
		}
	}
}

// TestRules demands what keeps the page from harm in a browser: nothing of another origin, nothing that stands in the page
// itself, no text as markup, no frame around it, no address told to others.
func TestRules(t *testing.T) {
	t.Parallel()
	h := get(t, "/v1/ui/", "").Header()
	policy := map[string]string{}
	for rule := range strings.SplitSeq(h.Get("Content-Security-Policy"), ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(rule), " ")
		policy[name] = value
	}
	for name, want := range map[string]string{
		"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self'", "connect-src": "'self'", "base-uri": "'none'",
		"form-action": "'none'", "frame-ancestors": "'none'", "require-trusted-types-for": "'script'", "trusted-types": "'none'",
	} {
		if policy[name] != want {
			t.Errorf("%s is %q, want %q", name, policy[name], want)
		}
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "Cache-Control": "no-cache",
		"Cross-Origin-Opener-Policy": "same-origin",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// TestFilesNameOnlyEachOther demands that each address in the page's files is relative and leads to one of them, and that no
// script uses what makes markup or programs of text.
func TestFilesNameOnlyEachOther(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("assets/*")
	if err != nil || len(names) < 10 {
		t.Fatal(err, names)
	}
	refers := regexp.MustCompile(`(?:from |href=|src=|url\()"([^"#]+)"`)
	elsewhere := regexp.MustCompile(`https?://[^\s"'` + "`" + `]+`)
	dangerous := regexp.MustCompile(`innerHTML\s*\+?=|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setTimeout\("|localStorage|document\.cookie|createContextualFragment|parseFromString|setHTML`)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range refers.FindAllSubmatch(text, -1) {
			to := strings.TrimPrefix(string(found[1]), "./")
			if !slices.Contains(names, "assets/"+to) {
				t.Errorf("%s refers to %s", name, to)
			}
		}
		for _, found := range elsewhere.FindAll(text, -1) {
			if string(found) != "http://www.w3.org/2000/svg" { // a name, which nobody asks
				t.Errorf("%s names %s", name, found)
			}
		}
		if found := dangerous.Find(text); found != nil {
			t.Errorf("%s uses %s", name, found)
		}
		if strings.HasSuffix(name, ".html") && regexp.MustCompile(`(?i)<style|style=|\son\w+=|<script[^>]*>[^<]`).Match(text) {
			t.Errorf("%s has a style or a script in itself, which the page's rules forbid", name)
		}
	}
}
