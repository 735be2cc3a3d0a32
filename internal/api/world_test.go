package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/inspect"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/submit"
	"github.com/musketry/musketry/internal/tenant"
)

// errStore is what a store that fails returns.
var errStore = errors.New("the store is down")

// A world is the API over stores in memory, with the keys of two tenants.
type world struct {
	t       *testing.T
	store   *memstore.Store
	files   *memstore.Files
	flow    *memstore.Flow
	deps    api.Deps
	config  api.Config
	handler http.Handler
	alice   string // a key
	bob     string
	log     *lockedBuffer
	stats   *stats

	mu  sync.Mutex
	now time.Time
}

// stats are counters, by name and labels.
type stats struct {
	mu     sync.Mutex
	counts map[string]int
}

func (s *stats) Count(name string, n int, labels ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[name+"{"+strings.Join(labels, ",")+"}"] += n
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t *testing.T, tune ...func(*api.Deps, *api.Config)) *world {
	t.Helper()
	w := &world{
		t: t, store: memstore.NewStore(), files: memstore.NewFiles(), flow: memstore.NewFlow(),
		now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), log: &lockedBuffer{},
		stats: &stats{counts: map[string]int{}},
	}
	w.alice, w.bob = w.key("alice"), w.key("bob")
	acceptor := submit.NewAcceptor(submit.AcceptDeps{
		Store: w.store, Flow: w.flow, Receipts: w.store, Clock: w.clock, Random: rand.Reader, Log: slog.New(slog.DiscardHandler),
	}, submit.AcceptConfig{Policy: retry.Default(), ExtraEndpoints: []string{"/v1/rerank"}})
	inspector := inspect.New(inspect.Deps{
		Requests: w.store, Batches: w.store, Objects: w.files, Flow: w.flow, Clock: w.clock,
	})
	w.deps = api.Deps{
		Keys: w.store, Files: w.store, Batches: w.store, Objects: w.files, Contents: w.files, Parts: w.files, Uploads: w.store, Quotas: w.store,
		Acceptor: acceptor, Requests: inspector, Logger: slog.New(slog.NewJSONHandler(w.log, nil)), Metrics: w.stats, Clock: w.clock, Random: rand.Reader,
	}
	w.config = api.Config{Models: []string{"fast", "vendor/slow"}}
	for _, f := range tune {
		f(&w.deps, &w.config)
	}
	w.handler = api.New(w.deps, w.config)
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) key(name string) string {
	w.t.Helper()
	secret, key, err := tenant.NewKey(name, "test", rand.Reader, w.clock())
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.store.PutKey(context.Background(), key); err != nil {
		w.t.Fatal(err)
	}
	return secret
}

// An ask is a request.
type ask struct {
	method string
	path   string
	key    string // empty: none
	kind   string // Content-Type
	body   string
	header map[string]string
}

// A reply is an answer, its JSON decoded.
type reply struct {
	*httptest.ResponseRecorder

	t    *testing.T
	json map[string]any
}

// ask sends a request and checks what holds of every answer.
func (w *world) ask(a ask) reply {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), a.method, a.path, strings.NewReader(a.body))
	if a.key != "" {
		r.Header.Set("Authorization", "Bearer "+a.key)
	}
	if a.kind != "" {
		r.Header.Set("Content-Type", a.kind)
	}
	for name, value := range a.header {
		r.Header.Set(name, value)
	}
	out := reply{ResponseRecorder: httptest.NewRecorder(), t: w.t}
	w.handler.ServeHTTP(out, r)
	if _, ok := batch.ParseID("req_", out.Header().Get("X-Request-Id")); !ok {
		w.t.Errorf("%s %s: x-request-id is %q", a.method, a.path, out.Header().Get("X-Request-Id"))
	}
	if out.Header().Get("Content-Type") == "application/json" {
		if err := json.Unmarshal(out.Body.Bytes(), &out.json); err != nil {
			w.t.Errorf("%s %s: answer is no JSON: %v", a.method, a.path, err)
		}
	}
	if out.Code >= 400 && a.method != http.MethodHead {
		out.suits("ErrorResponse")
		// What a library says of itself, of Go's types or of hosts is nothing that a tenant could mend.
		if inner := innerWords().FindString(out.errorMessage()); inner != "" {
			w.t.Errorf("%s %s: %q tells a tenant %q", a.method, a.path, out.errorMessage(), inner)
		}
	}
	out.documented(a)
	if out.Code >= 400 && out.Code < 500 && out.Header().Get("X-Should-Retry") != "false" {
		w.t.Errorf("%s %s: %d without x-should-retry: false", a.method, a.path, out.Code)
	}
	return out
}

func innerWords() *regexp.Regexp {
	return regexp.MustCompile(`\bGo \w|\b(json|gzip|flate|multipart|mime|strconv|http|net|dial|lookup|dynamo\w*|s3\w*|batch|api|submit): |` +
		`\*\w+\.[A-Z]|\b\d+\.\d+\.\d+\.\d+\b|goroutine|\b0x[0-9a-f]{6}`)
}

func (r reply) errorMessage() string {
	e, _ := r.json["error"].(map[string]any)
	message, _ := e["message"].(string)
	return message
}

// get sends a request of tenant alice without a body.
func (w *world) get(path string) reply {
	w.t.Helper()
	return w.ask(ask{method: http.MethodGet, path: path, key: w.alice})
}

// post sends a JSON body for tenant alice.
func (w *world) post(path, body string) reply {
	w.t.Helper()
	return w.ask(ask{method: http.MethodPost, path: path, key: w.alice, kind: "application/json", body: body})
}

// upload sends a file for batches and returns its id.
func (w *world) upload(key, content string) string {
	w.t.Helper()
	body, kind := formOf(w.t, "requests.jsonl", content, "purpose", "batch")
	r := w.ask(ask{method: http.MethodPost, path: "/v1/files", key: key, kind: kind, body: body})
	r.want(http.StatusOK).suits("OpenAIFile")
	return r.text("id")
}

// order creates a batch of a new file and returns its id.
func (w *world) order(key string) (batchID, fileID string) {
	w.t.Helper()
	fileID = w.upload(key, `{"custom_id":"a"}`+"\n")
	r := w.ask(ask{
		method: http.MethodPost, path: "/v1/batches", key: key, kind: "application/json", body: orderOf(fileID),
	})
	r.want(http.StatusOK).suits("Batch")
	return r.text("id"), fileID
}

func orderOf(fileID string) string {
	return fmt.Sprintf(`{"input_file_id":%q,"endpoint":"/v1/chat/completions","completion_window":"24h"}`, fileID)
}

// change changes a stored batch of alice's.
func (w *world) change(id string, change func(*batch.Batch)) {
	w.t.Helper()
	_, err := w.store.UpdateBatch(w.t.Context(), batch.Ref{Tenant: "alice", ID: id}, func(b *batch.Batch) error {
		change(b)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (r reply) want(status int) reply {
	r.t.Helper()
	if r.Code != status {
		r.t.Fatalf("status is %d, want %d: %.500s", r.Code, status, r.Body.String())
	}
	return r
}

// refused checks an error's parts; "*" stands for anything.
func (r reply) refused(status int, param, code, message string) {
	r.t.Helper()
	r.want(status)
	e, _ := r.json["error"].(map[string]any)
	for name, want := range map[string]string{"param": param, "code": code} {
		got, _ := e[name].(string)
		if got != want && want != "*" {
			r.t.Errorf("error.%s is %q, want %q (%v)", name, got, want, e["message"])
		}
	}
	if got, _ := e["message"].(string); !strings.Contains(got, message) {
		r.t.Errorf("error.message is %q, want it to contain %q", got, message)
	}
	kind := "invalid_request_error"
	if status >= 500 {
		kind = "server_error"
	}
	if e["type"] != kind {
		r.t.Errorf("error.type is %v, want %s", e["type"], kind)
	}
}

func (r reply) text(name string) string {
	r.t.Helper()
	s, ok := r.json[name].(string)
	if !ok {
		r.t.Fatalf("%s is %v, want a string", name, r.json[name])
	}
	return s
}

func (r reply) number(name string) int64 {
	r.t.Helper()
	n, ok := r.json[name].(float64)
	if !ok {
		r.t.Fatalf("%s is %v, want a number", name, r.json[name])
	}
	return int64(n)
}

// ids returns the ids of a list.
func (r reply) ids() []string {
	r.t.Helper()
	data, _ := r.json["data"].([]any)
	ids := []string{}
	for _, v := range data {
		object, _ := v.(map[string]any)
		id, _ := object["id"].(string)
		ids = append(ids, id)
	}
	return ids
}

// schemas keeps what was compiled.
var schemas sync.Map

func schemaOf(name string) (*jsonschema.Schema, error) {
	if known, ok := schemas.Load(name); ok {
		return known.(*jsonschema.Schema), nil
	}
	schema, err := jsonschema.NewCompiler().Compile("testdata/openai.schema.json#/$defs/" + name)
	if err != nil {
		return nil, err
	}
	schemas.Store(name, schema)
	return schema, nil
}

// suits checks the answer against OpenAI's own schema of this name.
func (r reply) suits(name string) reply {
	r.t.Helper()
	schema, err := schemaOf(name)
	if err != nil {
		r.t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(r.Body.Bytes()))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		r.t.Errorf("the answer is no %s: %v\n%.500s", name, err, r.Body.String())
	}
	return r
}

// formOf returns a multipart body and its Content-Type: fields (names and
// values in turns), then the file.
func formOf(t *testing.T, filename, content string, fields ...string) (body, kind string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for pair := range slices.Chunk(fields, 2) {
		if err := m.WriteField(pair[0], pair[1]); err != nil {
			t.Fatal(err)
		}
	}
	part, err := m.CreateFormFile("file", filename)
	if err == nil {
		_, err = io.WriteString(part, content)
	}
	if err = errors.Join(err, m.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String(), m.FormDataContentType()
}

// chunked sends a request whose length is not said.
func (w *world) chunked(a ask) reply {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), a.method, a.path, io.NopCloser(strings.NewReader(a.body)))
	r.ContentLength = -1
	r.Header.Set("Authorization", "Bearer "+a.key)
	r.Header.Set("Content-Type", a.kind)
	out := reply{ResponseRecorder: httptest.NewRecorder(), t: w.t}
	w.handler.ServeHTTP(out, r)
	if err := json.Unmarshal(out.Body.Bytes(), &out.json); err != nil {
		w.t.Fatal(err)
	}
	return out
}

// A presigner makes addresses of a host that is not there.
type presigner struct{}

func (presigner) Presign(_ context.Context, key string, d batch.Download, life time.Duration) (string, error) {
	return fmt.Sprintf("https://objects.test/%s?name=%s&for=%s", key, d.Name, life), nil
}
