package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/cli"
)

// A lockedText is standard error, to which several uploads may write.
type lockedText struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written *sync.Cond
}

func newLockedText() *lockedText {
	l := &lockedText{}
	l.written = sync.NewCond(&l.mu)
	return l
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.written.Broadcast()
	return l.text.Write(p)
}

// await returns once l has a text.
func (l *lockedText) await(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !strings.Contains(l.text.String(), text) {
		l.written.Wait()
	}
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A running is a proxy under way.
type running struct {
	base   string // its own base URL, ending in /v1
	stderr *lockedText
	stop   func() int // has it end, and returns its exit code
}

// startProxy has the command proxy pass on to a server, and waits until it listens.
func startProxy(t *testing.T, target, key string, args ...string) running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	stderr, ended := newLockedText(), make(chan int, 1)
	env := cli.Env{
		Stdin: strings.NewReader(""), Stdout: in, Stderr: stderr, BaseURL: target, Key: key, HTTP: &http.Client{},
		Now: time.Now, Random: func() float64 { return 0.5 }, NewID: func() string { return "id" }, Version: "v0.0.0",
	}
	go func() {
		code := cli.Run(ctx, env, append([]string{"proxy", "--listen", "127.0.0.1:0"}, args...))
		_ = in.Close() // never fails
		ended <- code
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		cancel()
		t.Fatalf("%v, exit code %d\n%s", err, <-ended, stderr)
	}
	var code int
	stop := sync.OnceFunc(func() {
		cancel()
		code = <-ended
		if strings.Contains(stderr.String(), testKey) {
			t.Errorf("the key was shown: %s", stderr)
		}
	})
	t.Cleanup(stop)
	return running{base: strings.TrimSpace(line), stderr: stderr, stop: func() int { stop(); return code }}
}

// A reply is an answer, its body apart.
type reply struct {
	status int
	header http.Header
}

// do sends a request and returns its answer and body.
func do(t *testing.T, method, url string, body io.Reader, header http.Header) (reply, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		r.Host = host
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableCompression: true, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header}, string(text)
}

// What is no large upload goes both ways as it is.
func TestProxyPassesOn(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Header()["X-Two"] = []string{"1", "2"}
		w.Header().Set("Location", "https://objects.test/a?b=%2F")
		w.Header().Set("Content-Encoding", "gzip") // it is none of the proxy's business
		w.WriteHeader(http.StatusTemporaryRedirect)
		_, _ = io.WriteString(w, "\x1f\x8bbytes")
	}))
	t.Cleanup(srv.Close)
	p := startProxy(t, srv.URL+"/stage/v1", testKey)
	for path, want := range map[string]string{
		"/v1/models/a%2Fb?x=1&y=%20;z":  "/stage/v1/models/a%2Fb?x=1&y=%20;z",
		"/openai/batches?api-version=1": "/stage/openai/batches?api-version=1",
		"/v1/files/":                    "/stage/v1/files/",
		"/v1/":                          "/stage/v1/",
	} {
		header := http.Header{"X-Own": {"a", "b"}, "Authorization": {"Bearer theirs"}, "Accept-Encoding": {"zstd"}, "User-Agent": {"them/1"}, "Content-Type": {"text/plain"}}
		res, text := do(t, http.MethodPost, strings.TrimSuffix(p.base, "/v1")+path, strings.NewReader("some\x00bytes"), header)
		if res.status != http.StatusTemporaryRedirect || text != "\x1f\x8bbytes" || len(res.header.Values("X-Two")) != 2 ||
			res.header.Get("Location") != "https://objects.test/a?b=%2F" || res.header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: %d %q %v", path, res.status, text, res.header)
		}
		if got.RequestURI != want || string(body) != "some\x00bytes" || got.Host != strings.TrimPrefix(srv.URL, "http://") {
			t.Errorf("%s: went to %s%s, %q", path, got.Host, got.RequestURI, body)
		}
		for name, values := range header {
			if diff := cmp.Diff(values, got.Header[name]); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
	if _, text := do(t, http.MethodGet, p.base+"/models", nil, http.Header{"User-Agent": {""}}); text != "\x1f\x8bbytes" {
		t.Error(text)
	}
	if a := got.Header.Get("Authorization"); a != "Bearer "+testKey || got.Header.Get("X-Forwarded-For") != "" {
		t.Errorf("%v", got.Header)
	}
	if code := p.stop(); code != cli.ExitOK || !strings.Contains(p.stderr.String(), "A request without a key gets this command's.") {
		t.Errorf("code %d: %s", code, p.stderr)
	}
}

func TestProxyKeys(t *testing.T) {
	t.Parallel()
	var got http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	t.Cleanup(srv.Close)
	for name, tt := range map[string]struct {
		own, args, authorization, apiKey string // what the proxy and the client have
		want, wantAPIKey                 string
	}{
		"theirs":        {own: testKey, authorization: "Bearer theirs", want: "Bearer theirs"},
		"Azure's":       {own: testKey, apiKey: "theirs", wantAPIKey: "theirs"},
		"none":          {own: testKey, want: "Bearer " + testKey},
		"own":           {own: testKey, args: "--own-key", authorization: "Bearer theirs", apiKey: "theirs", want: "Bearer " + testKey},
		"none anywhere": {},
	} {
		p := startProxy(t, srv.URL+"/v1", tt.own, strings.Fields(tt.args)...)
		header := http.Header{}
		if tt.authorization != "" {
			header.Set("Authorization", tt.authorization)
		}
		if tt.apiKey != "" {
			header.Set("Api-Key", tt.apiKey)
		}
		if res, text := do(t, http.MethodGet, p.base+"/batches", nil, header); res.status != http.StatusOK {
			t.Fatal(name, res.status, text)
		}
		if got.Get("Authorization") != tt.want || got.Get("Api-Key") != tt.wantAPIKey {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A page in a browser would have the key of whoever runs the proxy.
func TestProxyRefusesBrowsers(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s came through", r.URL) }))
	t.Cleanup(srv.Close)
	p := startProxy(t, srv.URL+"/v1", testKey)
	for name, value := range map[string]string{"Origin": "https://evil.test", "Sec-Fetch-Site": "cross-site", "Host": "evil.test:8080"} {
		res, text := do(t, http.MethodPost, p.base+"/batches", strings.NewReader("{}"), http.Header{name: {value}})
		if res.status != http.StatusForbidden || !strings.Contains(text, `"code":"proxy_`) {
			t.Errorf("%s: %d %s", name, res.status, text)
		}
	}
	for _, args := range [][]string{{"--listen", ":0"}, {"--listen", "0.0.0.0:0"}, {"--listen", "[::]:0"}, {"--listen", "127.0.0.1"}} {
		r := call{args: append([]string{"proxy"}, args...)}.run(t.Context(), t)
		if r.code != cli.ExitError || !strings.Contains(r.stderr, "--listen: ") {
			t.Error(r.session())
		}
	}
}

// A page that has its own name lead to the proxy has it no further where others are let in.
func TestProxyKnowsItsNames(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(srv.Close)
	p := startProxy(t, srv.URL+"/v1", testKey, "--allow-remote", "--host", "batches.example")
	for host, want := range map[string]int{
		"evil.test:8080": http.StatusForbidden, "192.0.2.7.evil.test": http.StatusForbidden, "Batches.example:8080": http.StatusOK,
		"192.0.2.7:8080": http.StatusOK, "[2001:db8::1]:8080": http.StatusOK, "localhost": http.StatusOK,
	} {
		if res, text := do(t, http.MethodGet, p.base+"/batches", nil, http.Header{"Host": {host}}); res.status != want {
			t.Errorf("%s: %d %s, want %d", host, res.status, text, want)
		}
	}
	r := call{args: []string{"proxy", "--host", "batches.example"}}.run(t.Context(), t)
	if r.code != cli.ExitError || !strings.Contains(r.stderr, "--allow-remote") {
		t.Error(r.session())
	}
}

// An answer arrives as it is written, and so does what is asked.
func TestProxyStreams(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if err := c.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		in := bufio.NewReader(r.Body)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			asked <- line
			_, _ = io.WriteString(w, "answer to "+line)
			_ = c.Flush() // the client waits
		}
	}))
	t.Cleanup(srv.Close)
	p := startProxy(t, srv.URL+"/v1", testKey)
	body, in := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.base+"/chat/completions", body)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(in, "one\n") }() // the pipe is read until the test's end
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if line := <-asked; line != "one\n" {
		t.Error(line)
	}
	out := bufio.NewReader(res.Body)
	if line, err := out.ReadString('\n'); line != "answer to one\n" {
		t.Fatal(line, err)
	}
	_ = in.Close() // never fails
	if rest, err := io.ReadAll(out); len(rest) != 0 || err != nil {
		t.Error(string(rest), err)
	}
}

// What is under way when the proxy ends goes on to its end.
func TestProxyEndsGracefully(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan bool), make(chan bool)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- true
		<-release
		_, _ = io.WriteString(w, "done")
	}))
	t.Cleanup(srv.Close)
	p := startProxy(t, srv.URL+"/v1", testKey, "--json")
	var told struct {
		Object  string
		BaseURL string `json:"base_url"`
	}
	if err := json.Unmarshal([]byte(p.base), &told); err != nil || told.Object != "proxy" {
		t.Fatal(p.base, err)
	}
	answered := make(chan string, 1)
	go func() {
		_, text := do(t, http.MethodGet, told.BaseURL+"/models", nil, nil)
		answered <- text
	}()
	<-arrived
	code := make(chan int, 1)
	go func() { code <- p.stop() }()
	p.stderr.await("Ending: ")
	close(release)
	if text, c := <-answered, <-code; text != "done" || c != cli.ExitOK {
		t.Errorf("%q, exit code %d", text, c)
	}
}

func TestProxyWithoutAServer(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	p := startProxy(t, srv.URL+"/v1", testKey)
	res, text := do(t, http.MethodGet, p.base+"/models", nil, nil)
	if res.status != http.StatusBadGateway || !strings.Contains(text, `"type":"server_error"`) || !strings.Contains(text, "cannot reach the server") {
		t.Errorf("%d %s", res.status, text)
	}
}

// formOf returns a form with a file of so many bytes; fields are names and values in turns.
func formOf(t *testing.T, size int, fileFirst bool, fields ...string) (io.Reader, http.Header) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	file := func() {
		part, err := m.CreateFormFile("file", "requests.jsonl")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write(requestLines(size/1_100, 1_000)) // into memory
	}
	if fileFirst {
		file()
	}
	for i := 0; i < len(fields); i += 2 {
		if err := m.WriteField(fields[i], fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if !fileFirst {
		file()
	}
	_ = m.Close() // into memory
	return &b, http.Header{"Content-Type": {m.FormDataContentType()}}
}

// A form that the proxy takes apart is refused as a server refuses it.
func TestProxyRefusesForms(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	p := startProxy(t, srv.URL+"/v1", testKey)
	const large = 6_000_000
	for name, fields := range map[string][]string{
		"purpose":                {},
		"unknown_parameter":      {"purpose", "batch", "color", "red"},
		"expires_after[anchor]":  {"purpose", "batch", "expires_after[seconds]", "3600"},
		"expires_after[seconds]": {"purpose", "batch", "expires_after[seconds]", "soon", "expires_after[anchor]", "created_at"},
		"bad upload":             {"purpose", "nonsense"},
		"too long":               {"purpose", strings.Repeat("x", 100_000)},
	} {
		body, header := formOf(t, large, false, fields...)
		res, text := do(t, http.MethodPost, p.base+"/files", body, header)
		var said struct {
			Error struct{ Message, Type string }
		}
		if err := json.Unmarshal([]byte(text), &said); err != nil || res.status != http.StatusBadRequest || said.Error.Message == "" || !strings.Contains(text, name) {
			t.Errorf("%s: %d %.300s", name, res.status, text)
		}
	}
	for name, body := range map[string]string{"invalid_body": strings.Repeat("x", large), "Missing": fmt.Sprintf("--b\r\nContent-Disposition: form-data; name=purpose\r\n\r\nbatch\r\n--b--\r\n%s", strings.Repeat("x", large))} {
		res, text := do(t, http.MethodPost, p.base+"/files", strings.NewReader(body), http.Header{"Content-Type": {"multipart/form-data; boundary=b"}})
		if res.status != http.StatusBadRequest || !strings.Contains(text, name) {
			t.Errorf("%s: %d %.300s", name, res.status, text)
		}
	}
	if len(s.files) != 0 {
		t.Errorf("%d files were sent", len(s.files))
	}
}
