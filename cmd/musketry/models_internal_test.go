package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/route"
)

// models runs "musketry admin models" with that standard input.
func (d desk) models(in string, args ...string) (stdout, stderr string, err error) {
	d.t.Helper()
	return d.run((*admin).modelsCommand, in, args...)
}

// set is "models set", which must succeed.
func (d desk) set(args ...string) {
	d.t.Helper()
	out, _, err := d.models("", append([]string{"set"}, args...)...)
	if err != nil || !strings.Contains(out, "is set") || !strings.Contains(out, "5 seconds") {
		d.t.Fatalf("set %v: %q, %v", args, out, err)
	}
}

func (d desk) want(want ...route.Model) {
	d.t.Helper()
	got, err := d.store.Models(d.t.Context())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		d.t.Fatalf("%v, models (-want +got):\n%s", err, diff)
	}
}

func TestModels(t *testing.T) {
	t.Parallel()
	d := desk{t: t, store: memstore.NewStore()}
	if out, told, err := d.models("", "list"); out != "" || !strings.Contains(told, "There are no models") || err != nil {
		t.Errorf("an empty list is %q, %q, %v", out, told, err)
	}
	d.set("gpt-4o*", "--base-url", "https://api.example.com/v1", "--auth", "bearer", "--key", "ssm:openai", "--rpm", "500")
	m := route.Model{Pattern: "gpt-4o*", Revision: 1, Routes: []route.Route{{
		Name: "main", BaseURL: "https://api.example.com/v1", Auth: route.Auth{Kind: "bearer", Key: "ssm:openai"}, RPM: 500,
	}}}
	d.want(m)

	d.set("gpt-4o*", "--rpm", "300", "--max-concurrency", "40") // and the rest stays as it is
	m.Revision, m.Routes[0].RPM, m.Routes[0].MaxConcurrency = 2, 300, 40
	d.want(m)

	d.set("gpt-4o*", "--route", "eu", "--base-url", "https://eu.example.com", "--auth", "header", "--auth-header", "api-key",
		"--key", "secretsmanager:eu", "--header", "x-team=batch", "--upstream-model", "dep-4o", "--weight", "3", "--tpm", "90000",
		"--connect", "5s", "--first-byte", "30s", "--total", "5m", "--answer-limit", "1048576")
	m.Revision++
	m.Routes = append(m.Routes, route.Route{
		Name: "eu", BaseURL: "https://eu.example.com", Auth: route.Auth{Kind: "header", Header: "api-key", Key: "secretsmanager:eu"},
		Headers: map[string]string{"x-team": "batch"}, Model: "dep-4o", Weight: 3, TPM: 90_000, Connect: 5 * time.Second,
		FirstByte: 30 * time.Second, Total: 5 * time.Minute, AnswerLimit: 1 << 20,
	})
	d.want(m)

	d.set("gpt-4o*", "--spent-quota", "fail", "--retryable", "429,5xx", "--escalate-to", "o3", "--escalate-before", "1h")
	m.Revision, m.SpentQuota, m.Retryable = 4, "fail", []string{"429", "5xx"}
	m.Escalation = &route.Escalation{Model: "o3", Before: time.Hour}
	d.want(m)
	d.set("gpt-4o*", "--escalate-to", "", "--retryable", "", "--route", "eu", "--upstream-model", "", "--weight", "0")
	m.Revision, m.Escalation, m.Retryable, m.Routes[1].Model, m.Routes[1].Weight = 5, nil, nil, "", 0
	d.want(m)

	d.set("local", "--base-url", "http://10.0.0.7:8000", "--auth", "none", "--allow-private")
	list, _, err := d.models("", "list")
	want := [][]string{
		{"PATTERN", "ROUTE", "BASE", "URL", "AUTH", "WEIGHT", "MAX", "CONCURRENCY", "RPM", "TPM"},
		{"local", "main", "http://10.0.0.7:8000", "none", "1", "-", "-", "-"},
		{"gpt-4o*", "main", "https://api.example.com/v1", "bearer", "1", "40", "300", "-"},
		{"gpt-4o*", "eu", "https://eu.example.com", "header", "1", "-", "-", "90000"},
	}
	if diff := cmp.Diff(want, cells(list)); diff != "" || err != nil {
		t.Error(err, diff)
	}

	if out, _, err := d.models("", "remove", "gpt-4o*", "--route", "main"); err != nil || !strings.Contains(out, "is removed") {
		t.Errorf("remove a route: %q, %v", out, err)
	}
	if out, _, err := d.models("", "remove", "local"); err != nil || !strings.Contains(out, "is removed") {
		t.Errorf("remove: %q, %v", out, err)
	}
	m.Revision, m.Routes = 6, m.Routes[1:]
	d.want(m)
}

// TestModelsByFile shows that what "show" prints is what "set" reads.
func TestModelsByFile(t *testing.T) {
	t.Parallel()
	d := desk{t: t, store: memstore.NewStore()}
	d.set("o3", "--base-url", "https://bedrock.example.com", "--auth", "sigv4", "--service", "bedrock", "--region", "eu-central-1")
	m := route.Model{Pattern: "o3", Revision: 1, Routes: []route.Route{{
		Name: "main", BaseURL: "https://bedrock.example.com",
		Auth: route.Auth{Kind: "sigv4", Service: "bedrock", Region: "eu-central-1"},
	}}}
	d.want(m)
	text, _, err := d.models("", "show", "o3")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.json")
	if err := os.WriteFile(path, []byte(strings.Replace(text, `"o3"`, `"o3-mini"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	d.set("--file", path)
	d.set("o3-mini", "--file", path)
	mini := m
	mini.Pattern, mini.Revision = "o3-mini", 2
	d.want(m, mini)
	if out, _, err := d.models(text, "set", "--file", "-"); err != nil {
		t.Errorf("from standard input: %q, %v", out, err)
	}
	m.Revision = 2
	d.want(m, mini)
}

func TestModelsRefuses(t *testing.T) {
	t.Parallel()
	d := desk{t: t, store: memstore.NewStore()}
	d.set("gpt-4o*", "--base-url", "https://api.example.com/v1", "--auth", "none")
	path := filepath.Join(t.TempDir(), "model.json")
	if err := os.WriteFile(path, []byte(`{"pattern":"o3","routes":[],"rpm":5}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args string
		want []string // in the error
	}{
		"nothing":           {"set", []string{"gpt-4o*", "--file"}},
		"no URL":            {"set o3 --auth none", []string{"routes[0].base_url", "is missing", "https://api.openai.com/v1"}},
		"no auth":           {"set o3 --base-url https://x.example.com", []string{"routes[0].auth.kind", "none"}},
		"a key itself":      {"set o3 --base-url https://x.example.com --auth bearer --key sk-secret", []string{"ssm:NAME"}},
		"a limit":           {"set gpt-4o* --rpm -5", []string{"routes[0].rpm", "0 to"}},
		"file and flags":    {"set --file " + path + " --rpm 5", []string{"--rpm", "write it there"}},
		"an unknown field":  {"set --file " + path, []string{path, `"rpm"`, "unknown"}},
		"no file":           {"set --file " + path + "x", []string{"--file", "no such file"}},
		"two patterns":      {"set a b", []string{"at most 1 arg"}},
		"no such model":     {"show o3", []string{"no such model", `"o3"`}},
		"by another":        {"show gpt-4o-mini", []string{"no such model", "go by gpt-4o*"}},
		"remove none":       {"remove o3", []string{"no such model"}},
		"remove no route":   {"remove gpt-4o* --route eu", []string{`no route "eu"`}},
		"remove last route": {"remove gpt-4o* --route main", []string{"remove the model"}},
	} {
		out, _, err := d.models("", strings.Fields(c.args)...)
		if err == nil || out != "" {
			t.Errorf("%s: %q, %v", name, out, err)
			continue
		}
		for _, part := range c.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q does not say %q", name, err, part)
			}
		}
		if strings.Contains(err.Error(), "sk-secret") {
			t.Errorf("%s: %q quotes a key", name, err)
		}
	}
}

// TestModelsAreBounded holds a deployment to what its workers take.
func TestModelsAreBounded(t *testing.T) {
	t.Parallel()
	d := desk{t: t, store: memstore.NewStore()}
	for i := range route.MaxModels {
		m := route.Model{Pattern: fmt.Sprintf("model-%04d", i), Routes: []route.Route{{
			Name: "main", BaseURL: "https://api.example.com/v1", Auth: route.Auth{Kind: "none"},
		}}}
		if err := d.store.PutModel(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	d.set("model-0007", "--rpm", "5")
	_, _, err := d.models("", "set", "model-x", "--base-url", "https://api.example.com/v1", "--auth", "none")
	if err == nil || !strings.Contains(err.Error(), "takes 1000 models") {
		t.Errorf("one model more: %v", err)
	}
}
