package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/doctor"
	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/route"
)

// A site is a deployment in which all is well, until a test changes it.
type site struct {
	concurrency doctor.Concurrency
	quotas      doctor.Quotas
	functions   []doctor.Function
	sources     []doctor.Source
	queue       doctor.Depths
	dead        doctor.Depths
	models      []route.Model
	defaults    []route.Model
	unknown     error // why defaults are not known
	limits      map[string]limit.Record
	runnings    []batch.Running
	flows       map[string]bool
	states      map[string]batch.FlowState
	noKey       map[string]error // by what a route's Auth.Key says
	answers     map[string]int   // by a route's id
	refused     map[string]error // what cannot be reached, by a route's id
	fails       map[string]error // by the name of what is asked
	asked       []string
}

var (
	errBroken = errors.New("the wire is cut")
	noon      = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func newSite() *site {
	return &site{
		concurrency: doctor.Concurrency{Limit: 1000, Unreserved: 1000}, quotas: doctor.Quotas{TableReads: 40_000, TableWrites: 40_000},
		functions: []doctor.Function{{Name: "submit", State: "Active", Update: "Successful", Reserved: -1}},
		sources:   []doctor.Source{{ID: "source-1", State: "Enabled", Invocations: 10}},
		defaults:  []route.Model{route.DefaultModel("https://p.example/v1", false)},
		limits:    map[string]limit.Record{}, flows: map[string]bool{}, states: map[string]batch.FlowState{},
		noKey: map[string]error{}, answers: map[string]int{}, refused: map[string]error{}, fails: map[string]error{},
	}
}

func (s *site) Concurrency(context.Context) (doctor.Concurrency, error) {
	return s.concurrency, s.fails["concurrency"]
}
func (s *site) Quotas(context.Context) (doctor.Quotas, error) { return s.quotas, s.fails["quotas"] }

func (s *site) Functions(context.Context) ([]doctor.Function, error) {
	return s.functions, s.fails["functions"]
}

func (s *site) Sources(context.Context) ([]doctor.Source, error) {
	return s.sources, s.fails["source"]
}
func (s *site) Queue(context.Context) (doctor.Depths, error) { return s.queue, s.fails["queue"] }
func (s *site) DeadLetters(context.Context) (doctor.Depths, error) {
	return s.dead, s.fails["dead-letters"]
}
func (s *site) Bucket(context.Context) error { return s.fails["bucket"] }

func (s *site) Models(context.Context) ([]route.Model, error) { return s.models, s.fails["table"] }

func (s *site) Limit(_ context.Context, id string) (limit.Record, error) {
	return s.limits[id], s.fails["pauses"]
}

func (s *site) Runnings(_ context.Context, after string, most int) ([]batch.Running, bool, error) {
	at := slices.IndexFunc(s.runnings, func(r batch.Running) bool { return r.ID > after })
	if at < 0 {
		return nil, false, s.fails["batches"]
	}
	return s.runnings[at:min(len(s.runnings), at+most)], at+most < len(s.runnings), s.fails["batches"]
}

type flows struct{ *site }

func (f flows) Running(context.Context) (map[string]bool, error) { return f.flows, f.fails["flows"] }

func (f flows) State(_ context.Context, id string, n int) (batch.FlowState, error) {
	f.asked = append(f.asked, id)
	return f.states[batch.FlowName(id, n)], f.fails["state"]
}

type provider struct{ *site }

func (p provider) Key(_ context.Context, a route.Auth) error { return p.noKey[a.Key] }

func (p provider) Models(_ context.Context, r route.Route) (int, error) {
	if status, ok := p.answers[r.ID]; ok {
		return status, nil
	}
	return 200, p.refused[r.ID]
}

// check returns all findings.
func (s *site) check(ctx context.Context) []doctor.Finding {
	var found []doctor.Finding
	doctor.New(doctor.Deps{
		Account: s, Stack: s, Store: s, Flows: flows{s}, Provider: provider{s}, Clock: func() time.Time { return noon },
	}, doctor.Config{Name: "Musketry", Defaults: s.defaults, Unknown: s.unknown}).Check(ctx, func(f doctor.Finding) { found = append(found, f) })
	return found
}

func model(pattern, key string) route.Model {
	return route.Model{Pattern: pattern, Routes: []route.Route{{
		Name: "main", BaseURL: "https://m.example/v1", Auth: route.Auth{Kind: route.Bearer, Key: key},
	}}}
}

func paused(why limit.Why) limit.Record {
	return limit.Record{Pause: limit.Pause{Why: why, Since: limit.At(noon), Until: limit.At(noon.Add(time.Minute))}}
}

// id returns the id of a batch that was made so long before noon.
func id(t *testing.T, ago time.Duration) string {
	t.Helper()
	made, err := batch.NewID(batch.PrefixBatch, noon.Add(-ago), strings.NewReader(strings.Repeat("x", 100)))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// All that is well is told as well, once for each check, and with no remedy.
func TestAHealthyDeployment(t *testing.T) {
	t.Parallel()
	var checks []string
	for _, f := range newSite().check(t.Context()) {
		if f.Status != doctor.OK || f.Remedy != "" || f.Message == "" {
			t.Errorf("%+v", f)
		}
		checks = append(checks, f.Check)
	}
	want := "table bucket functions source concurrency quotas queue dead-letters batches models pauses providers"
	if got := strings.Join(checks, " "); got != want {
		t.Errorf("checks %s, want %s", got, want)
	}
}

// Each thing that is wrong is found by its check alone, and told with what to do.
func TestWhatIsWrong(t *testing.T) {
	t.Parallel()
	old, late := id(t, time.Hour), id(t, 2*time.Hour)
	for name, c := range map[string]struct {
		change         func(s *site)
		check, message string
		status         doctor.Status
	}{
		"no table":                    {func(s *site) { s.fails["table"] = errBroken }, "table", "cannot be read", doctor.Failure},
		"no bucket":                   {func(s *site) { s.fails["bucket"] = errBroken }, "bucket", "cannot be reached", doctor.Failure},
		"a function that may not run": {func(s *site) { s.functions[0].Reserved = 0 }, "functions", "concurrency is 0", doctor.Failure},
		"a function that failed":      {func(s *site) { s.functions[0].Update = "Failed" }, "functions", "Failed", doctor.Failure},
		"a function that begins":      {func(s *site) { s.functions[0].State = "Pending" }, "functions", "Pending", doctor.Warning},
		"no functions":                {func(s *site) { s.functions = nil }, "functions", "no functions", doctor.Failure},
		"a disabled source":           {func(s *site) { s.sources[0].State = "Disabled" }, "source", "is Disabled", doctor.Failure},
		"a source that begins":        {func(s *site) { s.sources[0].State = "Enabling" }, "source", "is Enabling", doctor.Warning},
		"no source":                   {func(s *site) { s.sources = nil }, "source", "no event source mapping", doctor.Failure},
		"a new account": {
			func(s *site) { s.concurrency = doctor.Concurrency{Limit: 10, Unreserved: 10} }, "concurrency",
			"has 10 invocations at once here, of which 10 are unreserved, and execute may take 10", doctor.Failure,
		},
		"reserved by others": {func(s *site) { s.concurrency.Unreserved = 14 }, "concurrency", "starve", doctor.Failure},
		"tight":              {func(s *site) { s.concurrency.Unreserved = 150 }, "concurrency", "less than a fifth", doctor.Warning},
		"no bound":           {func(s *site) { s.sources[0].Invocations = 0 }, "concurrency", "may take all 1000", doctor.Warning},
		"a slow table":       {func(s *site) { s.quotas.TableWrites = 3_999 }, "quotas", "3999 write units", doctor.Warning},
		"a full queue":       {func(s *site) { s.queue.InFlight = 120_000 }, "queue", "hands out none", doctor.Failure},
		"a queue that fills": {func(s *site) { s.queue.InFlight = 100_000 }, "queue", "100000 messages", doctor.Warning},
		"a dead letter":      {func(s *site) { s.dead.Visible = 1 }, "dead-letters", "1 messages are", doctor.Failure},
		"a hidden one":       {func(s *site) { s.dead.InFlight = 2 }, "dead-letters", "2 messages are", doctor.Failure},
		"an overdue batch": {func(s *site) {
			s.runnings, s.flows[late] = []batch.Running{{Ref: batch.Ref{ID: late}, Deadline: noon.Add(-time.Hour), Flow: 1}}, true
		}, "batches", "passed 1h0m0s ago", doctor.Failure},
		"a batch without a flow": {func(s *site) {
			s.runnings = []batch.Running{{Ref: batch.Ref{ID: old}, Deadline: noon.Add(time.Hour), Flow: 2}}
			s.states[old+"-2"] = batch.FlowEnded
		}, "batches", "flow 2 is ended", doctor.Failure},
		"nowhere to go":    {func(s *site) { s.defaults = nil }, "models", "model_not_found", doctor.Failure},
		"an invalid model": {func(s *site) { s.models = []route.Model{{Pattern: "m"}} }, "models", "is invalid", doctor.Failure},
		"a refused key, known": {
			func(s *site) { s.limits["*#default"] = paused(limit.Unauthorized) }, "pauses",
			"paused (unauthorized) until 12:01:00Z", doctor.Failure,
		},
		"a spent quota": {func(s *site) { s.limits["*#default"] = paused(limit.QuotaSpent) }, "pauses", "quota_spent", doctor.Failure},
		"a bad route":   {func(s *site) { s.limits["*#default"] = paused(limit.Misconfigured) }, "pauses", "misconfigured", doctor.Failure},
		"a rate limit":  {func(s *site) { s.limits["*#default"] = paused(limit.RateLimited) }, "pauses", "rate_limited", doctor.Warning},
		"a missing key": {func(s *site) {
			s.models, s.noKey["ssm:k"] = []route.Model{model("m", "ssm:k")}, fmt.Errorf("%w in /musketry/keys/k", doctor.ErrNoKey)
		}, "providers", "/musketry/keys/k", doctor.Failure},
		"a refused key":       {func(s *site) { s.answers["*#default"] = 401 }, "providers", "refuses its key", doctor.Failure},
		"a key without right": {func(s *site) { s.answers["*#default"] = 403 }, "providers", "refuses its key", doctor.Failure},
		"no key, and one is wanted": {func(s *site) {
			s.noKey[route.DefaultKey], s.answers["*#default"] = doctor.ErrNoKey, 401
		}, "providers", "there is no key", doctor.Failure},
		"unpaid":         {func(s *site) { s.answers["*#default"] = 402 }, "providers", "quota is spent", doctor.Failure},
		"no list":        {func(s *site) { s.answers["*#default"] = 404 }, "providers", "not known", doctor.Warning},
		"too many calls": {func(s *site) { s.answers["*#default"] = 429 }, "providers", "for their number", doctor.Warning},
		"ill":            {func(s *site) { s.answers["*#default"] = 500 }, "providers", "answers 500", doctor.Failure},
		"unreachable":    {func(s *site) { s.refused["*#default"] = errBroken }, "providers", "cannot be reached from here", doctor.Failure},
		"signed":         {func(s *site) { s.refused["*#default"] = doctor.ErrElsewhere }, "providers", "was not asked", doctor.Warning},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite()
			c.change(s)
			found := false
			for _, f := range s.check(t.Context()) {
				switch {
				case f.Check == c.check && f.Status == c.status && strings.Contains(f.Message, c.message):
					found = true
					if f.Remedy == "" {
						t.Errorf("nothing is said of what to do: %+v", f)
					}
				case f.Status == doctor.Failure:
					t.Errorf("found too: %+v", f)
				}
			}
			if !found {
				t.Errorf("not found: %+v", s.check(t.Context()))
			}
		})
	}
}

// What cannot be looked at is a warning that says so, and keeps nothing else from being looked at.
func TestWhatCannotBeLookedAt(t *testing.T) {
	t.Parallel()
	s := newSite()
	all := []string{"table", "bucket", "functions", "source", "concurrency", "quotas", "queue", "dead-letters", "batches", "flows", "pauses"}
	for _, what := range all {
		s.fails[what] = fmt.Errorf("%w: it takes x:Y", doctor.ErrDenied)
	}
	seen := map[string]bool{}
	for _, f := range s.check(t.Context()) {
		if f.Status == doctor.Warning && strings.Contains(f.Message, "could not be looked at: not permitted: it takes x:Y") {
			seen[f.Check] = true
		} else if f.Status == doctor.Failure {
			t.Errorf("%+v", f)
		}
	}
	for _, check := range []string{
		"table", "bucket", "functions", "source", "concurrency", "quotas", "queue", "dead-letters", "batches", "models", "pauses", "providers",
	} {
		if !seen[check] {
			t.Errorf("%s does not say that it could not look", check)
		}
	}
}

// Who may not read what the functions were given does not learn of the default route, which is no failure.
func TestDefaultsThatAreNotKnown(t *testing.T) {
	t.Parallel()
	s := newSite()
	s.defaults, s.unknown = nil, fmt.Errorf("%w: it takes lambda:GetFunction", doctor.ErrDenied)
	told := ""
	for _, f := range s.check(t.Context()) {
		if f.Check == "models" {
			told += string(f.Status) + " " + f.Message
		}
		if f.Status == doctor.Failure {
			t.Errorf("%+v", f)
		}
	}
	if want := "lambda:GetFunction"; !strings.Contains(told, want) {
		t.Errorf("of the models it says %q, want %q in it", told, want)
	}
}

// A provider that wants no key has none, and all is well.
func TestNoKeyIsWanted(t *testing.T) {
	t.Parallel()
	s := newSite()
	s.noKey[route.DefaultKey] = doctor.ErrNoKey
	for _, f := range s.check(t.Context()) {
		if f.Status != doctor.OK {
			t.Errorf("%+v", f)
		}
	}
}

// A batch that was made just now has no flow yet, and of many the state of few is asked for.
func TestFlowsThatAreAskedFor(t *testing.T) {
	t.Parallel()
	s := newSite()
	young := id(t, time.Minute)
	s.runnings = []batch.Running{{Ref: batch.Ref{ID: young}, Deadline: noon.Add(time.Hour), Flow: 1}}
	for _, f := range s.check(t.Context()) {
		if f.Status != doctor.OK {
			t.Errorf("%+v", f)
		}
	}
	if len(s.asked) > 0 {
		t.Errorf("asked for %v", s.asked)
	}
	s.runnings = nil
	for i := range 60 {
		old := id(t, time.Duration(100-i)*time.Hour)
		s.runnings = append(s.runnings, batch.Running{Ref: batch.Ref{ID: old}, Deadline: noon.Add(time.Hour), Flow: 1})
		s.states[old] = batch.FlowRunning
	}
	s.check(t.Context())
	if len(s.asked) != 25 {
		t.Errorf("asked for %d flows, want 25", len(s.asked))
	}
}
