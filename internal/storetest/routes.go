package storetest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/route"
)

func routeTrials() []trial[Store] {
	return []trial[Store]{
		{"Model/life", modelLife},
		{"Model/comes back as it was", modelRoundTrips},
		{"Model/refuses what is not valid", modelRefused},
		{"Model/of no pattern", modelOdd},
		{"Model/race", modelRace},
		{"Model/more than a page", modelPages},
	}
}

func aModel(pattern string) route.Model {
	return route.Model{Pattern: pattern, Routes: []route.Route{{
		Name: "main", BaseURL: "https://api.example.com/v1", Auth: route.Auth{Kind: route.None},
	}}}
}

// stored returns the models that are stored of patterns that begin with prefix:
// the trials share a partition.
func stored(t *testing.T, s Store, prefix string) []route.Model {
	t.Helper()
	all, err := s.Models(t.Context())
	ok(t, err)
	return slices.DeleteFunc(all, func(m route.Model) bool { return !strings.HasPrefix(m.Pattern, prefix) })
}

func modelLife(t *testing.T, s Store) {
	m := aModel(unique("model-"))
	wantErr(t, s.DeleteModel(t.Context(), m.Pattern, 1), route.ErrNotFound)
	late := m
	late.Revision = 1
	wantErr(t, s.PutModel(t.Context(), late), route.ErrConflict) // of a model that is gone
	ok(t, s.PutModel(t.Context(), m))
	wantErr(t, s.PutModel(t.Context(), m), route.ErrConflict) // which thinks that there is none
	m.Revision = 1
	same(t, "models", stored(t, s, m.Pattern), []route.Model{m})

	m.Routes[0].RPM = 500
	ok(t, s.PutModel(t.Context(), m))
	wantErr(t, s.PutModel(t.Context(), m), route.ErrConflict)
	wantErr(t, s.DeleteModel(t.Context(), m.Pattern, 1), route.ErrConflict)
	m.Revision = 2
	same(t, "models after a change", stored(t, s, m.Pattern), []route.Model{m})

	other := aModel(m.Pattern + "*")
	ok(t, s.PutModel(t.Context(), other))
	other.Revision = 1
	same(t, "two models", stored(t, s, m.Pattern), []route.Model{m, other})
	ok(t, s.DeleteModel(t.Context(), m.Pattern, 2))
	wantErr(t, s.DeleteModel(t.Context(), m.Pattern, 2), route.ErrNotFound)
	same(t, "models after a deletion", stored(t, s, m.Pattern), []route.Model{other})
}

func modelRoundTrips(t *testing.T, s Store) {
	m := aModel(unique("model-") + "/*:0")
	m.Routes[0] = route.Route{
		Name: "eu", BaseURL: "http://10.0.0.7/v1", Auth: route.Auth{Kind: route.Header, Header: "api-key", Key: "secretsmanager:a/b"},
		Headers: map[string]string{"x-team": `a "quoted" \ <value>`}, Model: "other", Weight: 3, AllowPrivate: true, MaxConcurrency: 4,
		RPM: 5, TPM: 6, Connect: 7 * time.Second, FirstByte: 8 * time.Millisecond, Total: 9 * time.Minute, AnswerLimit: 1 << 20,
	}
	m.Routes = append(m.Routes, route.Route{
		Name: "us", BaseURL: "https://b.example.com", Auth: route.Auth{Kind: route.SigV4, Service: "bedrock", Region: "us-east-1"},
	})
	m.Retryable, m.SpentQuota = []string{"429", "5xx"}, route.Fail
	m.Escalation = &route.Escalation{Model: "gpt-4o-mini", Before: 90 * time.Minute}
	given := m
	given.Routes = slices.Clone(m.Routes)
	given.Routes[0].ID = "what a table adds is not kept"
	given.Routes[0].Headers = maps.Clone(m.Routes[0].Headers)
	ok(t, s.PutModel(t.Context(), given))
	m.Revision = 1
	same(t, "model", stored(t, s, m.Pattern), []route.Model{m})
	given.Routes[0].Headers["x-team"] = "changed"
	stored(t, s, m.Pattern)[0].Routes[0].Headers["x-team"] = "changed"
	same(t, "model after a change of a copy", stored(t, s, m.Pattern), []route.Model{m})
}

func modelRefused(t *testing.T, s Store) {
	m := aModel(unique("model-"))
	m.Routes[0].Auth.Kind = ""
	wantErr(t, s.PutModel(t.Context(), m), route.ErrInvalid)
	same(t, "models", len(stored(t, s, m.Pattern)), 0)
}

func modelOdd(t *testing.T, s Store) {
	for _, pattern := range []string{"", "none of this name", strings.Repeat("long", 1000)} {
		wantErr(t, s.DeleteModel(t.Context(), pattern, 1), route.ErrNotFound)
	}
}

func modelRace(t *testing.T, s Store) {
	const n = 8
	m := aModel(unique("model-"))
	for revision := range int64(3) {
		m.Revision = revision
		won := 0
		for _, err := range atOnce(n, func(int) error { return s.PutModel(t.Context(), m) }) {
			if err == nil {
				won++
				continue
			}
			wantErr(t, err, route.ErrConflict)
		}
		same(t, "writers that won", won, 1)
	}
	m.Revision = 3
	same(t, "models", stored(t, s, m.Pattern), []route.Model{m})
}

func modelPages(t *testing.T, s Store) {
	prefix := unique("model-")
	want := make([]string, 0, 205)
	for i := range 205 {
		m := aModel(prefix + string(rune('a'+i/26)) + string(rune('a'+i%26)))
		want = append(want, m.Pattern)
		ok(t, s.PutModel(t.Context(), m))
	}
	got := make([]string, 0, len(want))
	for _, m := range stored(t, s, prefix) {
		got = append(got, m.Pattern)
	}
	same(t, "patterns", got, want)
}

func patterns() []string { return []string{"gpt-4o", "gpt-4o*"} }

// putModel writes a model over one of any age.
func (p *pair) putModel(rt *rapid.T) {
	m := aModel(mostly(rt, "pattern", patterns()))
	m.Revision = int64(upTo(rt, "revision", 0, 2))
	if seldom(rt, "invalid") {
		m.SpentQuota = "else"
	}
	m.Routes[0].RPM = upTo(rt, "rpm", 0, 2)
	m.Routes[0].Headers = one(rt, "headers", nil, map[string]string{}, map[string]string{"x-a": "b"})
	m.Retryable = one(rt, "retryable", nil, []string{}, []string{"429"})
	if rapid.Bool().Draw(rt, "escalates") {
		m.Escalation = &route.Escalation{Model: "o3", Before: time.Minute}
	}
	write(rt, p, "PutModel", func(ctx context.Context, s Store) error { return s.PutModel(ctx, m) })
}

func (p *pair) deleteModel(rt *rapid.T) {
	pattern, revision := aName(rt, patterns()), int64(upTo(rt, "revision", 0, 2))
	write(rt, p, "DeleteModel", func(ctx context.Context, s Store) error { return s.DeleteModel(ctx, pattern, revision) })
}

func (p *pair) models(rt *rapid.T) {
	both(rt, p, "Models", func(ctx context.Context, s Store) ([]route.Model, error) { return s.Models(ctx) })
}
