//go:build e2e

package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"

	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/localstack/standin/provider"
)

// A second stand-in, and what it was called with.
type second struct {
	*provider.Provider

	mu    sync.Mutex
	calls []called
}

type called struct{ Model, Team, Authorization string }

func (s *second) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "cut short", http.StatusBadRequest)
		return
	}
	var request struct{ Model string }
	_ = json.Unmarshal(body, &request) // the provider answers what is none
	s.mu.Lock()
	s.calls = append(s.calls, called{request.Model, r.Header.Get("X-Team"), r.Header.Get("Authorization")})
	s.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.Provider.ServeHTTP(w, r)
}

// TestModelsRoute has requests for one model go to a second upstream, under another name and with a header, without a deploy.
// Those of the same batch for another model go by the default route.
func TestModelsRoute(t *testing.T) {
	t.Parallel()
	c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
	standin, err := provider.New(provider.Config{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	other := &second{Provider: standin}
	server := httptest.NewServer(other)
	t.Cleanup(server.Close)
	bin := filepath.Join(t.TempDir(), "musketry")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/musketry").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	models := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), bin, append([]string{"admin", "models"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("admin models %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	name := strings.ToLower(m)
	models("set", name, "--base-url", server.URL+"/v1", "--auth", "none", "--allow-private", "--upstream-model", "standin",
		"--header", "x-team=e2e")
	if shown := models("show", name); !strings.Contains(shown, server.URL) {
		t.Errorf("the model is shown as %s", shown)
	}
	listed := func(c openai.Client) bool {
		page, err := c.Models.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(page.Data, func(m openai.Model) bool { return m.ID == name })
	}
	within10s(t, "the model is listed", func() bool { return listed(c) })

	time.Sleep(5 * time.Second) // by then each worker has it, too
	b := create(t.Context(), t, c, upload(t.Context(), t, c, jsonl(t, chat("mine", name, m), chat("usual", "standin", m))), "30m")
	b = await(t.Context(), t, c, b.ID, patience, ended)
	output := results(t.Context(), t, c, b.OutputFileID)
	if diff := cmp.Diff([]string{"mine", "usual"}, customIDs(output)); diff != "" || b.Status != openai.BatchStatusCompleted {
		t.Fatalf("batch ended %s (-want +got):\n%s", describe(b), diff)
	}
	other.mu.Lock()
	defer other.mu.Unlock()
	if diff := cmp.Diff([]called{{Model: "standin", Team: "e2e"}}, other.calls); diff != "" {
		t.Errorf("calls of the second upstream (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"usual": 1}, calls(t.Context(), t, m)); diff != "" {
		t.Errorf("calls of the first (-want +got):\n%s", diff)
	}
	models("remove", name)
	within10s(t, "the model is gone", func() bool { return !listed(c) })
}

// within10s waits until what is so.
func within10s(t *testing.T, what string, is func() bool) {
	t.Helper()
	ticks := time.NewTicker(200 * time.Millisecond)
	defer ticks.Stop()
	for start := time.Now(); !is(); <-ticks.C {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// ownRoute gives model a route of its own to the stand-in: what pauses it pauses no other test's.
func ownRoute(t *testing.T, model string) {
	t.Helper()
	ownRouteBy(t, model, route.Auth{Kind: route.None})
}

// ownRouteBy is ownRoute, with calls that prove who makes them.
func ownRouteBy(t *testing.T, model string, auth route.Auth) {
	t.Helper()
	putRoute(t, model, auth)
	time.Sleep(routesKnown)
}

// routesKnown is how long it takes at most until each worker has a route.
const routesKnown = 5 * time.Second

// putRoute gives a model a route of its own, which workers do not have at once.
func putRoute(t *testing.T, model string, auth route.Auth) {
	t.Helper()
	own := toStandin(t, "own", "")
	own.Auth = auth
	putModel(t, route.Model{Pattern: model, Routes: []route.Route{own}})
}

// toStandin returns a route to the stand-in, which is called for model there; empty: for the line's.
func toStandin(t *testing.T, name, model string) route.Route {
	t.Helper()
	base, err := url.Parse(variable(t, "STANDIN_URL"))
	if err != nil {
		t.Fatal(err)
	}
	return route.Route{
		Name: name, BaseURL: base.Scheme + "://" + base.Host + "/v1", Auth: route.Auth{Kind: route.None}, Model: model, AllowPrivate: true,
	}
}

// adminStore returns the table of keys and models, as its owner has it.
func adminStore(t *testing.T) *dynamostore.Store {
	t.Helper()
	cfg, err := boot.AWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	store, err := dynamostore.New(dynamostore.NewClient(cfg), dynamostore.Config{Table: variable(t, boot.EnvAdminTable), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// putModel stores a model, which workers do not have at once.
func putModel(t *testing.T, m route.Model) {
	t.Helper()
	if err := adminStore(t).PutModel(t.Context(), m); err != nil && !errors.Is(err, route.ErrConflict) { // another test has
		t.Fatal(err)
	}
}
