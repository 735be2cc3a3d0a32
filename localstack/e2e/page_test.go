//go:build e2e

package e2e_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/tenant"
)

// pagePatience bounds the drive through the page, which takes half a minute on a machine that has time.
const pagePatience = 10 * time.Minute

// hostileMarkup does harm wherever it is taken for markup.
const hostileMarkup = `"><img src=x onerror="globalThis.harm=1"><script>globalThis.harm=1</script><b>`

// TestPage has a real browser drive the status page on the running stack. What it is to show of hostile names is told here, and
// its pictures are kept in build/screenshots.
func TestPage(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	m := marker(t)
	var lines []any
	for _, id := range []string{"refused-1", "refused-2", "refused-3"} {
		lines = append(lines, chat(id, "standin:status=400", m))
	}
	ids := []string{hostileMarkup, "\u202egnp.exe", "javascript:alert(1)"}
	for _, id := range ids {
		lines = append(lines, hostileChat(id, m))
	}
	for i := len(lines); i < 60; i++ {
		lines = append(lines, chat("plain-"+string(rune('a'+i/10))+string(rune('0'+i%10)), "standin:latency=100ms..2s", m))
	}
	keep(t, folder, "good.jsonl", jsonl(t, lines...))
	keep(t, folder, "bad.jsonl", jsonl(t, chat("a", "standin", m), `{"custom_id": "b", <b>`, chat("c", "standin", m), `{"custom_id":"d"}`, chat("e", "standin", m)))
	var large []any
	for i := range 24 {
		request := chat("large-"+string(rune('a'+i)), "standin:hang", m)
		request.Body.(map[string]any)["padding"] = strings.Repeat("x", 400_000)
		large = append(large, request)
	}
	keep(t, folder, "large.jsonl", jsonl(t, large...))
	hostile, err := json.Marshal(map[string]any{
		"name": hostileMarkup,
		"ids": []map[string]string{
			{"search": ids[0], "shown": ids[0], "story": hostileMarkup}, {"search": ids[1], "shown": `\u{202e}gnp.exe`}, {"search": ids[2], "shown": ids[2]},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	keep(t, folder, "hostile.json", string(hostile))
	pictures, err := filepath.Abs("../../build/screenshots")
	if err != nil {
		t.Fatal(err)
	}
	what, err := json.Marshal(map[string]string{
		"modules": variable(t, "MUSKETRY_E2E_NODE_MODULES"), "browser": chromium(t), "page": variable(t, "OPENAI_BASE_URL") + "/ui/",
		"key": variable(t, "OPENAI_API_KEY"), "reader": readOnlyKey(t), "files": folder, "pictures": pictures,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), pagePatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "testdata/page.mjs", string(what))
	cmd.Env = append(os.Environ(), "HOME="+folder, "TMPDIR="+folder)
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// hostileChat is a request whose answer quotes its custom_id.
func hostileChat(id, marker string) line {
	l := chat(id, "standin", marker)
	l.Body.(map[string]any)["messages"] = []map[string]string{{"role": "user", "content": id}}
	return l
}

// readOnlyKey returns a new key of the first tenant that may look, and change nothing.
func readOnlyKey(t *testing.T) string {
	t.Helper()
	secret, key, err := tenant.NewKey("first", "looks on", rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key.ReadOnly = true
	if err := adminStore(t).PutKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	return secret
}

func keep(t *testing.T, folder, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// chromium returns the browser: CHROME_BIN, or what the PATH has, or what make has installed.
func chromium(t *testing.T) string {
	t.Helper()
	if program := os.Getenv("CHROME_BIN"); program != "" {
		return program
	}
	if program, err := exec.LookPath("chromium"); err == nil {
		return program
	}
	program, err := filepath.Abs(cmp.Or(os.Getenv("MUSKETRY_E2E_CHROMIUM"), "../../.tools/chromium/chromium"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("no Chromium: set CHROME_BIN, or run `make .tools/chromium/.installed` (%v)", err)
	}
	return program
}

// TestPageIsServed demands that the page comes through the gateway as the function answers it: its rules, its types, its bytes,
// and the way to it for who leaves out the slash.
func TestPageIsServed(t *testing.T) {
	t.Parallel()
	for path, kind := range map[string]string{"/ui/": "text/html", "/ui/index.html": "text/html", "/ui/app.js": "text/javascript", "/ui/style.css": "text/css", "/ui/icon.svg": "image/svg+xml"} {
		status, h, body := fetch(t, path)
		want, err := os.ReadFile(filepath.Join("../../internal/ui/assets", cmp.Or(strings.TrimPrefix(path, "/ui/"), "index.html")))
		if err != nil {
			t.Fatal(err)
		}
		if status != http.StatusOK || !strings.HasPrefix(h.Get("Content-Type"), kind) || body != string(want) ||
			!strings.Contains(h.Get("Content-Security-Policy"), "script-src 'self'") || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d, %d bytes, header %v", path, status, len(body), h)
		}
	}
	if status, h, _ := fetch(t, "/ui"); status != http.StatusFound || h.Get("Location") != "ui/" {
		t.Errorf("without its slash: %d, %v", status, h)
	}
}

// fetch gets a path of the API without a key, and follows nothing.
func fetch(t *testing.T, path string) (int, http.Header, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, variable(t, "OPENAI_BASE_URL")+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(body)
}
