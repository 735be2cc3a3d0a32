package route_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/route"
)

// openai returns a valid model of one route.
func openai(pattern string) route.Model {
	return route.Model{Pattern: pattern, Routes: []route.Route{{
		Name: "main", BaseURL: "https://api.example.com/v1", Auth: route.Auth{Kind: route.Bearer, Key: "ssm:openai"},
	}}}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	table := route.NewTable(openai("*"), openai("gpt-4o*"), openai("gpt-4o"), openai("gpt-*-mini"), openai("*claude*:0"))
	for name, want := range map[string]string{
		"gpt-4o": "gpt-4o", "gpt-4o-2024-08-06": "gpt-4o*", "gpt-4o-mini": "gpt-*-mini", "gpt-4.1-mini": "gpt-*-mini",
		"gpt--mini": "gpt-*-mini", "gpt-mini": "*", "anthropic.claude-3:0": "*claude*:0", "claude:0": "*claude*:0", "claude": "*",
		"GPT-4o": "*", "": "*", "*": "*",
	} {
		if got, ok := table.Match(name); !ok || got.Pattern != want {
			t.Errorf("%q goes to %q, want %q", name, got.Pattern, want)
		}
	}
	if got, ok := route.NewTable(openai("gpt-4o*")).Match("o3"); ok {
		t.Errorf("o3 goes to %q, and no pattern matches it", got.Pattern)
	}
	if _, ok := (route.Table{}).Match("o3"); ok {
		t.Error("a table of nothing matches")
	}
}

// TestMatchAgrees holds Match against the meaning of a pattern: a star is any text.
func TestMatchAgrees(t *testing.T) {
	t.Parallel()
	var means func(pattern, name string) bool
	means = func(pattern, name string) bool {
		switch {
		case pattern == "":
			return name == ""
		case pattern[0] == '*':
			return means(pattern[1:], name) || name != "" && means(pattern, name[1:])
		}
		return name != "" && name[0] == pattern[0] && means(pattern[1:], name[1:])
	}
	rapid.Check(t, func(t *rapid.T) {
		pattern := strings.ReplaceAll(rapid.StringMatching(`[ab*]{1,6}`).Draw(t, "pattern"), "**", "*")
		pattern = strings.ReplaceAll(pattern, "**", "*")
		name := rapid.StringMatching(`[ab]{0,8}`).Draw(t, "name")
		if _, got := route.NewTable(openai(pattern)).Match(name); got != means(pattern, name) {
			t.Fatalf("%q matches %q: %v", pattern, name, got)
		}
	})
}

func TestTable(t *testing.T) {
	t.Parallel()
	broken, other := openai("o3"), openai("gpt-4o")
	broken.Routes[0].BaseURL, broken.Revision = "ftp://x", 4
	other.Routes[0].Name = "second"
	table := route.NewTable(openai("gpt-4o"), broken, openai("gpt-*"), other)
	if diff := cmp.Diff([]string{"gpt-4o", "o3"}, table.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	got, ok := table.Match("o3")
	if diff := cmp.Diff(route.Model{Pattern: "o3", SpentQuota: route.Pause, Revision: 4}, got); diff != "" || !ok {
		t.Errorf("an invalid model keeps its pattern and no route (-want +got):\n%s", diff)
	}
	got, _ = table.Match("gpt-4o")
	want := openai("gpt-4o")
	want.SpentQuota = route.Pause
	want.Routes[0].ID, want.Routes[0].Weight, want.Routes[0].Connect, want.Routes[0].AnswerLimit = "gpt-4o#main", 1, 10*time.Second, 64<<20
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the first of a pattern stands, with its defaults (-want +got):\n%s", diff)
	}
	for name, label := range map[string]string{"gpt-4o": "gpt-4o", "gpt-5": "gpt-*", "o3": "o3", "a tenant's text": "other"} {
		if got := table.Label(name); got != label {
			t.Errorf("the label of %q is %q, want %q", name, got, label)
		}
	}
	if got := route.NewTable(openai("*")).Label("a tenant's text"); got != "other" {
		t.Errorf("the default route's label is %q", got)
	}
}

func TestPick(t *testing.T) {
	t.Parallel()
	m := openai("gpt-4o")
	m.Routes = append(m.Routes, m.Routes[0], m.Routes[0])
	for i, name := range []string{"a", "b", "c"} {
		m.Routes[i].Name, m.Routes[i].Weight = name, i+1
	}
	count := map[string]int{}
	for i := range 600 {
		r, ok := m.Pick(float64(i) / 600)
		if !ok {
			t.Fatal("no route")
		}
		count[r.Name]++
	}
	if diff := cmp.Diff(map[string]int{"a": 100, "b": 200, "c": 300}, count); diff != "" {
		t.Errorf("shares (-want +got):\n%s", diff)
	}
	if _, ok := (route.Model{}).Pick(0); ok {
		t.Error("a model without routes has one")
	}
}

func TestEscalates(t *testing.T) {
	t.Parallel()
	m := openai("gpt-4o")
	if m.Escalates(0) {
		t.Error("a model without an escalation has one")
	}
	m.Escalation = &route.Escalation{Model: "gpt-4o-mini", Before: time.Hour}
	if m.Escalates(time.Hour) || !m.Escalates(time.Hour-1) || !m.Escalates(-time.Hour) {
		t.Error("it must be when less than an hour remains")
	}
}

// TestGoes has late requests go by the model to which theirs escalates them, unless
// that has no routes, and once: that one's own escalation is not followed.
func TestGoes(t *testing.T) {
	t.Parallel()
	slow, quick, lost := openai("slow"), openai("quick-*"), openai("lost")
	slow.Escalation = &route.Escalation{Model: "quick-1", Before: time.Hour}
	quick.Escalation = &route.Escalation{Model: "slow", Before: 2 * time.Hour}
	lost.Escalation = &route.Escalation{Model: "nowhere", Before: time.Hour}
	table := route.NewTable(slow, quick, lost)
	for _, tt := range []struct {
		model     string
		remaining time.Duration
		name, by  string
	}{
		{"slow", time.Hour, "slow", "slow"},
		{"slow", time.Minute, "quick-1", "quick-*"},
		{"lost", time.Minute, "lost", "lost"},
		{"unknown", time.Minute, "unknown", ""},
	} {
		name, m, ok := table.Goes(tt.model, tt.remaining)
		if name != tt.name || m.Pattern != tt.by || ok != (tt.by != "") {
			t.Errorf("%s with %v left goes by %q as %q (%v), want %q as %q", tt.model, tt.remaining, m.Pattern, name, ok, tt.by, tt.name)
		}
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	m := openai("gpt-4o")
	if diff := cmp.Diff(retry.Default(), m.Policy(retry.Default())); diff != "" {
		t.Errorf("a model that says nothing changes the policy:\n%s", diff)
	}
	m.Retryable = []string{"404", "5xx"}
	want := retry.Default()
	want.Retryable = retry.Statuses{{From: 404, To: 404}, {From: 500, To: 599}}
	if diff := cmp.Diff(want, m.Policy(retry.Default())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

const whole = `{
  "pattern": "gpt-4o*",
  "routes": [
    {"name": "eu", "base_url": "https://eu.example.com/openai/v1", "auth": {"kind": "header", "header": "api-key", "key": "secretsmanager:azure/eu"},
     "headers": {"x-team": "batch"}, "model": "gpt-4o-eu", "weight": 3, "max_concurrency": 50, "rpm": 500, "tpm": 200000,
     "connect": "5s", "first_byte": "30s", "total": "10m0s", "answer_limit": 1048576},
    {"name": "own", "base_url": "http://10.0.0.7:8000", "auth": {"kind": "none"}, "allow_private": true},
    {"name": "bedrock", "base_url": "https://bedrock-runtime.eu-central-1.amazonaws.com/openai/v1",
     "auth": {"kind": "sigv4", "service": "bedrock", "region": "eu-central-1"}}
  ],
  "retryable_statuses": ["429", "5xx"],
  "spent_quota": "fail",
  "escalation": {"model": "gpt-4o-mini", "before": "30m0s"}
}`

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := route.Parse([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	want := route.Model{
		Pattern: "gpt-4o*",
		Routes: []route.Route{
			{
				Name: "eu", BaseURL: "https://eu.example.com/openai/v1",
				Auth:    route.Auth{Kind: route.Header, Header: "api-key", Key: "secretsmanager:azure/eu"},
				Headers: map[string]string{"x-team": "batch"}, Model: "gpt-4o-eu", Weight: 3, MaxConcurrency: 50, RPM: 500, TPM: 200_000,
				Connect: 5 * time.Second, FirstByte: 30 * time.Second, Total: 10 * time.Minute, AnswerLimit: 1 << 20,
			},
			{Name: "own", BaseURL: "http://10.0.0.7:8000", Auth: route.Auth{Kind: route.None}, AllowPrivate: true},
			{
				Name: "bedrock", BaseURL: "https://bedrock-runtime.eu-central-1.amazonaws.com/openai/v1",
				Auth: route.Auth{Kind: route.SigV4, Service: "bedrock", Region: "eu-central-1"},
			},
		},
		Retryable: []string{"429", "5xx"}, SpentQuota: route.Fail,
		Escalation: &route.Escalation{Model: "gpt-4o-mini", Before: 30 * time.Minute},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	again, err := route.Parse(text)
	if diff := cmp.Diff(want, again); diff != "" || err != nil {
		t.Errorf("%v, written and read again (-want +got):\n%s", err, diff)
	}
}

// TestParseRefuses shows that what is wrong is named with its place and its mending.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const secret = "sk-very-secret"
	for name, c := range map[string]struct{ old, new, where, mend string }{
		"an unknown field":        {`"weight": 3`, `"wieght": 3`, `"wieght"`, "docs/configuration.md"},
		"a number as text":        {`"rpm": 500`, `"rpm": "500"`, "routes.rpm", "docs/configuration.md"},
		"a duration":              {`"5s"`, `"5 sec"`, `"5 sec"`, "90s"},
		"no pattern":              {`"pattern": "gpt-4o*"`, `"pattern": ""`, "pattern", "gpt-4o*"},
		"a pattern with spaces":   {`"pattern": "gpt-4o*"`, `"pattern": "gpt 4o"`, "pattern", "gpt-4o*"},
		"two stars":               {`"pattern": "gpt-4o*"`, `"pattern": "gpt**"`, "pattern", "write one"},
		"a status":                {`"5xx"`, `"6xx"`, "retryable_statuses", "5xx"},
		"a quota":                 {`"fail"`, `"stop"`, "spent_quota", "pause"},
		"an escalation's pattern": {`"gpt-4o-mini"`, `"gpt*"`, "escalation.model", "gpt-4o-mini"},
		"an escalation in a year": {`"30m0s"`, `"8760h"`, "escalation.before", "168h"},
		"a route's name":          {`"eu"`, `"eu#1"`, "routes[0].name", "eu-west-1"},
		"a name twice":            {`"own"`, `"eu"`, "routes[1].name", "differently"},
		"another scheme":          {`https://eu.`, `ftp://eu.`, "routes[0].base_url", "https"},
		"a password":              {`https://eu.`, `https://me:` + secret + `@eu.`, "routes[0].base_url", "auth"},
		"a query":                 {`openai/v1`, `openai/v1?key=` + secret, "routes[0].base_url", "leave it out"},
		"a dot segment":           {`openai/v1`, `openai/../v1`, "routes[0].base_url", "https://api.openai.com/v1"},
		"http":                    {`https://eu.`, `http://eu.`, "routes[0].base_url", "allow_private"},
		"no authentication":       {`{"kind": "none"}`, `{}`, "routes[1].auth.kind", "none"},
		"another one":             {`"kind": "none"`, `"kind": "basic"`, "routes[1].auth.kind", "sigv4"},
		"a key itself":            {`secretsmanager:azure/eu`, secret, "routes[0].auth.key", "ssm:NAME"},
		"a key elsewhere":         {`secretsmanager:azure/eu`, `ssm:/other/key`, "routes[0].auth.key", "prefix"},
		"a key above":             {`secretsmanager:azure/eu`, `ssm:a/../../b`, "routes[0].auth.key", "ssm:openai/eu"},
		"a header for a key":      {`"api-key"`, `"authorization"`, "routes[0].auth.header", "x-api-key"},
		"no region":               {`, "region": "eu-central-1"`, ``, "routes[2].auth.region", "eu-central-1"},
		"a key in a header":       {`"x-team": "batch"`, `"Authorization": "Bearer ` + secret + `"`, "routes[0].headers", "auth"},
		"the key's header":        {`"x-team": "batch"`, `"Api-Key": "` + secret + `"`, "routes[0].headers", "auth"},
		"two lines in a header":   {`"batch"`, `"a\r\nx-evil: ` + secret + `"`, "routes[0].headers", "ASCII"},
		"a weight":                {`"weight": 3`, `"weight": -3`, "routes[0].weight", "0 to 1000"},
		"a limit":                 {`"rpm": 500`, `"rpm": -1`, "routes[0].rpm", "0 to"},
		"a time":                  {`"10m0s"`, `"16m"`, "routes[0].total", "15m0s"},
		"an answer":               {`1048576`, `1`, "routes[0].answer_limit", "1024 to"},
		"a half":                  {`"escalation": {"model": "gpt-4o-mini", "before": "30m0s"}` + "\n}", ``, "JSON", "JSON"},
		"too much":                {`"batch"`, `"` + strings.Repeat("x", 40<<10) + `"`, "bytes", "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(whole, c.old, c.new, 1)
			if text == whole {
				t.Fatalf("the model has no %q", c.old)
			}
			_, err := route.Parse([]byte(text))
			if !errors.Is(err, route.ErrInvalid) {
				t.Fatalf("error %v, want ErrInvalid", err)
			}
			if !strings.Contains(err.Error(), c.where) || !strings.Contains(err.Error(), c.mend) {
				t.Errorf("%q names not both %q and %q", err, c.where, c.mend)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%q quotes a secret", err)
			}
		})
	}
}

// TestEveryFieldIsKept shows that no field of a model is lost in its JSON.
func TestEveryFieldIsKept(t *testing.T) {
	t.Parallel()
	text := rapid.StringMatching(`[a-z]{1,8}`)
	number := rapid.IntRange(1, 1000)
	lasting := rapid.Map(number, func(n int) time.Duration { return time.Duration(n) * time.Millisecond })
	rapid.Check(t, func(t *rapid.T) {
		want := route.Model{
			Pattern: text.Draw(t, "pattern"), Retryable: []string{text.Draw(t, "retryable")}, SpentQuota: text.Draw(t, "quota"),
			Escalation: &route.Escalation{Model: text.Draw(t, "escalation"), Before: lasting.Draw(t, "before")},
		}
		for range rapid.IntRange(1, 3).Draw(t, "routes") {
			want.Routes = append(want.Routes, route.Route{
				Name: text.Draw(t, "name"), BaseURL: text.Draw(t, "url"), Model: text.Draw(t, "model"), Weight: number.Draw(t, "weight"),
				Auth: route.Auth{
					Kind: text.Draw(t, "kind"), Header: text.Draw(t, "header"), Key: text.Draw(t, "key"), Service: text.Draw(t, "service"),
					Region: text.Draw(t, "region"),
				},
				Headers: map[string]string{text.Draw(t, "header"): text.Draw(t, "value")}, AllowPrivate: rapid.Bool().Draw(t, "private"),
				MaxConcurrency: number.Draw(t, "concurrency"), RPM: number.Draw(t, "rpm"), TPM: number.Draw(t, "tpm"),
				Connect: lasting.Draw(t, "connect"), FirstByte: lasting.Draw(t, "first byte"), Total: lasting.Draw(t, "total"),
				AnswerLimit: int64(number.Draw(t, "answer")),
			})
		}
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got route.Model
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}
