package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/tenant"
)

// errLog is a log's that cannot be written.
var errLog = errors.New("the log cannot be written")

// A brokenLog is a store whose log, or whose models, cannot be written.
type brokenLog struct {
	*memstore.Store

	log, models bool
}

func (b *brokenLog) PutAct(ctx context.Context, act tenant.Act) error {
	if b.log {
		return errLog
	}
	return b.Store.PutAct(ctx, act)
}

func (b *brokenLog) PutModel(ctx context.Context, m route.Model) error {
	if b.models {
		return route.ErrConflict
	}
	return b.Store.PutModel(ctx, m)
}

// log runs "musketry admin log".
func (d desk) log(args ...string) (stdout, stderr string, err error) {
	d.t.Helper()
	return d.run((*admin).logCommand, "", args...)
}

// acts returns the log's lines without their times, sorted as they are shown.
func (d desk) acts() []string {
	d.t.Helper()
	out, _, err := d.log("--limit", "1000")
	if err != nil {
		d.t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(out) {
		at, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if at != "2031-02-03T04:05:06Z" {
			d.t.Errorf("the line %q has no time", line)
		}
		lines = append(lines, rest)
	}
	return lines
}

// TestActsAreLogged does everything to keys and models that can be done.
func TestActsAreLogged(t *testing.T) {
	t.Parallel()
	d := desk{t: t, store: memstore.NewStore()}
	if out, told, err := d.log(); out != "" || !strings.Contains(told, "Nothing was done") || err != nil {
		t.Errorf("an empty log is %q, %q, %v", out, told, err)
	}
	var want []string
	did := func(line string, told ...string) {
		t.Helper()
		line = "arn:aws:iam::1:user/ann " + line
		if !strings.Contains(strings.Join(told, ""), "2031-02-03T04:05:06Z "+line+"\n") {
			t.Errorf("standard error is %q, want the line %q", told, line)
		}
		want = append(want, line)
	}
	secret, told, err := d.keys("create", "--tenant", "acme", "--name", "ci\x1b[2J", "--read-only", "--expires", "90d")
	if err != nil {
		t.Fatal(err)
	}
	hash := tenant.Hash(strings.TrimSpace(secret))[:12]
	key := " acme key=" + hash + ` name="ci\x1b[2J" read-only expires=2031-05-04T04:05:06Z`
	did("keys create"+key, told)
	_, told, _ = d.keys("revoke", hash)
	did("keys revoke"+key, told)
	const base = "https://api.example.com/v1"
	_, told, _ = d.models("", "set", "gpt-4o*", "--base-url", base, "--auth", "none", "--header", "x-secret=s3cret")
	did("models set gpt-4o* revision=0 main="+base+" flags=auth,base-url,header", told)
	_, told, _ = d.models("", "set", "gpt-4o*", "--route", "eu", "--base-url", "https://eu.example.com", "--auth", "none")
	did("models set gpt-4o* revision=1 main="+base+" eu=https://eu.example.com flags=auth,base-url,route", told)
	_, told, _ = d.models("", "remove", "gpt-4o*", "--route", "eu")
	did("models remove route gpt-4o* route=eu revision=2 main="+base+" flags=route", told)
	_, told, _ = d.models("", "remove", "gpt-4o*")
	did("models remove gpt-4o* revision=3 main="+base, told)
	got := d.acts()
	sorted := cmp.Transformer("sorted", func(in []string) map[string]int {
		out := map[string]int{}
		for _, s := range in {
			out[s]++
		}
		return out
	})
	if diff := cmp.Diff(want, got, sorted); diff != "" { // of one millisecond, so in no order
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if all := strings.Join(got, "\n"); strings.Contains(all, "s3cret") || strings.Contains(all, strings.TrimSpace(secret)) {
		t.Errorf("the log has a secret: %s", all)
	}
	// What is refused, or only read, is no act.
	_, _, _ = d.keys("create", "--tenant", "acme", "--expires", "2001-01-01")
	_, _, _ = d.keys("revoke", hash)
	_, _, _ = d.keys("list")
	_, _, _ = d.models("", "set", "o3", "--base-url", "https://user:s3cret@x.example.com", "--auth", "none")
	_, _, _ = d.models("", "list")
	if after := d.acts(); len(after) != len(got) {
		t.Errorf("the log has %d lines, want %d: %q", len(after), len(got), after)
	}
}

func TestWhatCannotBeLoggedIsNotDone(t *testing.T) {
	t.Parallel()
	d := desk{t: t, store: memstore.NewStore()}
	d.broken = &brokenLog{Store: d.store, log: true}
	for _, try := range []func() (string, string, error){
		func() (string, string, error) { return d.keys("create", "--tenant", "acme") },
		func() (string, string, error) {
			return d.models("", "set", "o3", "--base-url", "https://x.example.com", "--auth", "none")
		},
	} {
		out, _, err := try()
		if !errors.Is(err, errLog) || !strings.Contains(err.Error(), "without which it is not done") || out != "" {
			t.Errorf("%q, %v", out, err)
		}
	}
	keys, _ := d.store.Keys(t.Context(), "")
	models, _ := d.store.Models(t.Context())
	if len(keys)+len(models) > 0 {
		t.Errorf("kept are %v and %v", keys, models)
	}
	// An act that fails has a second line.
	d.broken.log, d.broken.models = false, true
	if _, _, err := d.models("", "set", "o3", "--base-url", "https://x.example.com", "--auth", "none"); !errors.Is(err, route.ErrConflict) {
		t.Errorf("a conflict: %v", err)
	}
	if acts := strings.Join(d.acts(), "\n"); strings.Count(acts, "models set o3") != 1 || strings.Count(acts, "models set failed o3") != 1 {
		t.Errorf("the log is %q", acts)
	}
}

func TestActsOfNobodyKnown(t *testing.T) {
	t.Parallel()
	d := desk{t: t, store: memstore.NewStore(), nobody: true}
	_, told, err := d.keys("create", "--tenant", "acme")
	if acts := d.acts(); err != nil || !strings.Contains(told, "will not know who you are: AWS does not answer") ||
		len(acts) != 1 || !strings.HasPrefix(acts[0], "unknown keys create acme") {
		t.Errorf("%q, %q, %v", acts, told, err)
	}
}

func TestLogPages(t *testing.T) {
	t.Parallel()
	d := desk{t: t, store: memstore.NewStore()}
	for _, owner := range []string{"a", "b", "c"} {
		if _, _, err := d.keys("create", "--tenant", owner); err != nil {
			t.Fatal(err)
		}
	}
	out, told, err := d.log("--limit", "2")
	if strings.Count(out, "\n") != 2 || told != "There are more: --before 2031-02-03T04:05:06.001Z\n" || err != nil {
		t.Errorf("two are %q, %q, %v", out, told, err)
	}
	for before, want := range map[string]int{"2031-02-03": 0, "2031-02-04": 3, "2031-02-03T04:05:06Z": 0, "2031-02-03T05:05:06.001+01:00": 3} {
		if out, _, err := d.log("--before", before); strings.Count(out, "\n") != want || err != nil {
			t.Errorf("before %s there are %q, %v, want %d", before, out, err, want)
		}
	}
	for _, args := range [][]string{{"--limit", "0"}, {"--limit", "1001"}, {"--before", "yesterday"}} {
		if _, _, err := d.log(args...); err == nil || !strings.Contains(err.Error(), args[0]+": ") {
			t.Errorf("%v: %v", args, err)
		}
	}
}
