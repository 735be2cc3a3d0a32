package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
)

// A streamRecorder records what a transport that streams is given.
type streamRecorder struct {
	*httptest.ResponseRecorder

	limit int64
}

func (s streamRecorder) MaxStream() int64 { return s.limit }

// stream asks for a file's content over a transport that streams up to limit
// bytes, and reports what the handler panics with.
func (w *world) stream(id string, limit int64, header map[string]string) (answer reply, cause any) {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), http.MethodGet, "/v1/files/"+id+"/content", nil)
	r.Header.Set("Authorization", "Bearer "+w.alice)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	rec := httptest.NewRecorder()
	defer func() { cause = recover() }()
	answer = reply{ResponseRecorder: rec, t: w.t}
	w.handler.ServeHTTP(streamRecorder{rec, limit}, r)
	return answer, nil
}

func TestContentIsStreamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *api.Deps, c *api.Config) { c.MaxAnswer = 10 })
	content := strings.Repeat(line, 1000)
	id := w.upload(w.alice, content)
	size, tag := len(content), `"`+id+`"`
	sum := sha256.Sum256([]byte(content))
	digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	for name, c := range map[string]struct {
		header   map[string]string
		limit    int
		status   int
		from, to int
	}{
		"whole":                   {nil, size, 200, 0, size},
		"a range":                 {map[string]string{"Range": "bytes=100-60099"}, size, 206, 100, 60100},
		"the end":                 {map[string]string{"Range": "bytes=-7"}, size, 206, size - 7, size},
		"more than a stream":      {map[string]string{"Range": "bytes=5-"}, 100, 206, 5, 105},
		"of the same file":        {map[string]string{"Range": "bytes=5-9", "If-Range": tag}, size, 206, 5, 10},
		"of another file":         {map[string]string{"Range": "bytes=5-9", "If-Range": `"file-x"`}, size, 200, 0, size},
		"of a file at some time":  {map[string]string{"Range": "bytes=5-9", "If-Range": "Tue, 03 Mar 2026 05:06:07 GMT"}, size, 200, 0, size},
		"of a weakly same file":   {map[string]string{"Range": "bytes=5-9", "If-Range": "W/" + tag}, size, 200, 0, size},
		"the same file, no range": {map[string]string{"If-Range": tag}, size, 200, 0, size},
	} {
		got, cause := w.stream(id, int64(c.limit), c.header)
		h := got.Header()
		named := ""
		if c.status == http.StatusPartialContent {
			named = fmt.Sprintf("bytes %d-%d/%d", c.from, c.to-1, size)
		}
		if cause != nil || got.Code != c.status || got.Body.String() != content[c.from:c.to] ||
			h.Get("Content-Length") != fmt.Sprint(c.to-c.from) || h.Get(api.HeaderLength) != fmt.Sprint(c.to-c.from) ||
			h.Get(api.HeaderDigest) != digest || h.Get("Content-Range") != named ||
			h.Get("ETag") != tag || h.Get("Accept-Ranges") != "bytes" || h.Get("X-Request-Id") == "" {
			t.Errorf("%s: %d, %d bytes, %v, panic %v", name, got.Code, got.Body.Len(), h, cause)
		}
	}
	if got, _ := w.stream(id, int64(size), map[string]string{"Range": fmt.Sprintf("bytes=%d-", size)}); got.Code != 416 {
		t.Errorf("a range behind the end: %d", got.Code)
	}
	if got, _ := w.stream(id, int64(size-1), nil); got.Code != 413 || !strings.Contains(got.Body.String(), "Range: bytes=0-") {
		t.Errorf("a file larger than a stream: %d %s", got.Code, got.Body)
	}
	if got, _ := w.stream("file-none", 1, nil); got.Code != 404 {
		t.Errorf("no file: %d", got.Code)
	}
}

// TestContentOfUnknownDigest demands that a file whose record has no digest is
// served without one.
func TestContentOfUnknownDigest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.upload(w.alice, line)
	_, err := w.store.UpdateFile(t.Context(), "alice", id, func(f *batch.File) error {
		f.SHA256 = ""
		return nil
	})
	got, cause := w.stream(id, 1<<20, nil)
	if _, told := got.Header()[api.HeaderDigest]; err != nil || cause != nil || told || got.Header().Get(api.HeaderLength) == "" {
		t.Errorf("%v, %v, %v", got.Header(), cause, err)
	}
}

func TestContentHead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *api.Deps, c *api.Config) { c.MaxAnswer, d.Presigner = 50, presigner{} })
	id := w.upload(w.alice, line)
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	r := asked(t, server.URL+"/v1/files/"+id+"/content", w.alice)
	r.Method = http.MethodHead
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.ContentLength != int64(len(line)) || res.Header.Get("ETag") != `"`+id+`"` {
		t.Errorf("%d, %d bytes, %v", res.StatusCode, res.ContentLength, res.Header)
	}
}

// A breaking store opens objects whose bodies break off after good bytes each.
type breaking struct {
	api.ContentStore

	good   int64
	opened []int64 // where
}

var errBroken = errors.New("the connection is gone")

func (b *breaking) Open(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	b.opened = append(b.opened, offset)
	body, err := b.ContentStore.Open(ctx, key, offset)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(body, b.good), iotest.ErrReader(errBroken)), body}, nil
}

func TestStreamGoesOnWhereItBroke(t *testing.T) {
	t.Parallel()
	broken := &breaking{good: 40_000}
	w := newWorld(t, func(d *api.Deps, _ *api.Config) { broken.ContentStore, d.Contents = d.Contents, broken })
	content := strings.Repeat(line, 2000)
	id := w.upload(w.alice, content)
	got, cause := w.stream(id, 1<<20, nil)
	if cause != nil || got.Body.String() != content {
		t.Errorf("%d of %d bytes, panic %v", got.Body.Len(), len(content), cause)
	}
	if want := []int64{0, 40_000, 80_000, 120_000}; fmt.Sprint(broken.opened) != fmt.Sprint(want) {
		t.Errorf("opened at %v, want %v", broken.opened, want)
	}
}

// TestStreamIsCutOff demands that a stream that cannot be ended is broken off,
// not ended early, and that the log says so.
func TestStreamIsCutOff(t *testing.T) {
	t.Parallel()
	broken := &breaking{good: 1000}
	w := newWorld(t, func(d *api.Deps, _ *api.Config) { broken.ContentStore, d.Contents = d.Contents, broken })
	content := strings.Repeat(line, 1000)
	id := w.upload(w.alice, content)
	got, cause := w.stream(id, 1<<20, nil)
	if cause != http.ErrAbortHandler || got.Body.String() != content[:4000] { //nolint:errorlint // a panic's very value
		t.Errorf("%d bytes, panic %v", got.Body.Len(), cause)
	}
	if log := w.log.String(); !strings.Contains(log, `"cut":true`) || !strings.Contains(log, errBroken.Error()) {
		t.Errorf("the log says %s", log)
	}
	// An object that has less than its record says: over a connection.
	if err := w.files.Put(t.Context(), batch.FileKey("alice", id), []byte(content[:50_000])); err != nil {
		t.Fatal(err)
	}
	broken.good = 1 << 20
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.handler.ServeHTTP(connection{rw}, r)
	}))
	t.Cleanup(server.Close)
	res, err := http.DefaultClient.Do(asked(t, server.URL+"/v1/files/"+id+"/content", w.alice))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.HasPrefix([]byte(content), body) {
		t.Errorf("%d bytes and %v, want %v", len(body), err, io.ErrUnexpectedEOF)
	}
}

func asked(t *testing.T, url, key string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	return r
}

// A connection streams what a server's connection takes, which is everything.
type connection struct{ http.ResponseWriter }

func (connection) MaxStream() int64 { return 1 << 40 }

// TestRedirectsSpareGo demands that openai-go, which refuses a redirect to
// another origin, is told how to read in ranges instead.
func TestRedirectsSpareGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *api.Deps, c *api.Config) { c.MaxAnswer, d.Presigner = 50, presigner{} })
	id := w.upload(w.alice, line)
	client := newClient(t, w)
	_, err := client.Files.Content(t.Context(), id) //nolint:bodyclose // there is none
	var refused *openai.Error
	if !errors.As(err, &refused) || refused.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(refused.Message, "Range: bytes=0-") {
		t.Errorf("openai-go 3 is told %v", err)
	}
	res, err := client.Files.Content(t.Context(), id, option.WithHeader("Range", "bytes=0-9"))
	if err != nil || res.StatusCode != http.StatusPartialContent {
		t.Fatalf("a range: %v", err)
	}
	if err := res.Body.Close(); err != nil {
		t.Error(err)
	}
	for version, want := range map[string]int{"1.12.0": 302, "2.7.1": 302, "3.0.0": 413, "10.1.0": 413} {
		got := w.ask(ask{method: "GET", path: "/v1/files/" + id + "/content", key: w.alice, header: map[string]string{
			"X-Stainless-Lang": "go", "X-Stainless-Package-Version": version,
		}})
		if got.Code != want {
			t.Errorf("openai-go %s is answered %d, want %d", version, got.Code, want)
		}
	}
	got := w.ask(ask{method: "GET", path: "/v1/files/" + id + "/content", key: w.alice, header: map[string]string{
		"X-Stainless-Lang": "python", "X-Stainless-Package-Version": "3.54.0",
	}})
	got.want(302)
}
