package provider_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musketry/musketry/localstack/standin/provider"
)

// A standin is a stand-in on loopback.
type standin struct {
	*provider.Provider
	url    string
	client *http.Client
}

// start returns a stand-in that ends with the test.
func start(t *testing.T, cfg provider.Config) standin {
	t.Helper()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p, err := provider.New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	return standin{Provider: p, url: srv.URL, client: srv.Client()}
}

// answered is what a call brought.
type answered struct {
	status int
	header http.Header
	body   string
}

// try makes a call; headers come in pairs.
func (s standin) try(ctx context.Context, method, path, body string, headers ...string) (answered, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return answered{}, err
	}
	for pair := range slices.Chunk(headers, 2) {
		// In lower case: net/http would send a request with an "Idempotency-Key" again by itself when its connection breaks.
		req.Header[strings.ToLower(pair[0])] = pair[1:]
	}
	res, err := s.client.Transport.RoundTrip(req)
	if err != nil {
		return answered{}, err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	return answered{status: res.StatusCode, header: res.Header, body: string(raw)}, err
}

// post makes a call that must be answered.
func (s standin) post(t *testing.T, path, body string, headers ...string) answered {
	t.Helper()
	got, err := s.try(t.Context(), http.MethodPost, path, body, headers...)
	if err != nil {
		t.Fatalf("POST %s %.200s: %v", path, body, err)
	}
	return got
}

// chat returns the body of a chat with a model.
func chat(model string) string {
	return `{"model":"` + model + `","messages":[{"role":"system","content":"be kind"},{"role":"user","content":"say ahoy"}]}`
}

// read decodes JSON.
func read[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%.300s: %v", text, err)
	}
	return v
}

// failed is OpenAI's error envelope.
type failed struct {
	Error struct {
		Message, Type string
		Param, Code   *string
	}
}

func (f failed) code() string {
	if f.Error.Code == nil {
		return ""
	}
	return *f.Error.Code
}
