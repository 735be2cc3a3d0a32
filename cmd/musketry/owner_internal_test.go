package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/cli"
	"github.com/musketry/musketry/internal/memstore"
)

// owner runs the whole command, with the owner's commands over a store in memory,
// and returns its exit code, standard output and standard error.
func owner(t *testing.T, store *memstore.Store, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	now := func() time.Time { return time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC) }
	a := &admin{
		table: "t-1", main: "t-2", who: desk{}.who, now: now, random: bytes.NewReader(bytes.Repeat([]byte{7}, 1000)),
		open: func(context.Context, string, string) (adminStore, error) { return store, nil },
	}
	var out, told bytes.Buffer
	env := cli.Env{
		Stdout: &out, Stderr: &told, HTTP: http.DefaultClient, Now: now, NewID: func() string { return "1" },
		Width: func() int { return 80 }, Version: "v0.0.0",
	}
	code = cli.Run(t.Context(), env, args, a.keysCommand(), a.modelsCommand(), (&tenants{}).command(), a.logCommand(),
		(&doctorCommand{env: env}).command())
	return code, out.String(), told.String()
}

// Every command of a deployment's owner has its help kept, with examples.
func TestOwnersHelp(t *testing.T) {
	t.Parallel()
	names := []string{"admin", "doctor"}
	for i := 0; i < len(names); i++ {
		code, out, told := owner(t, memstore.NewStore(), append(strings.Fields(names[i]), "--help")...)
		if code != cli.ExitOK || told != "" {
			t.Errorf("%s: code %d, %q", names[i], code, told)
		}
		if names[i] != "admin" && !strings.Contains(out, "Examples:\n  ") {
			t.Errorf("%s shows no example", names[i])
		}
		for _, match := range regexp.MustCompile(`(?m)^  ([a-z-]+)  +[A-Z]`).FindAllStringSubmatch(out, -1) {
			names = append(names, names[i]+" "+match[1])
		}
		path := filepath.Join("testdata", "help", strings.ReplaceAll(names[i], " ", "-")+".golden")
		if os.Getenv("UPDATE_GOLDEN") != "" {
			if err := os.WriteFile(path, []byte(out), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), out); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	if !slices.Contains(names, "admin keys revoke") {
		t.Errorf("the helps are read wrongly: %q", names)
	}
}

// What lists show, scripts read with --json, a line each.
func TestOwnersJSON(t *testing.T) {
	t.Parallel()
	store := memstore.NewStore()
	for _, list := range [][]string{{"keys", "list"}, {"models", "list"}, {"log"}} {
		if code, out, told := owner(t, store, append(append([]string{"admin"}, list...), "--json")...); code != cli.ExitOK || out+told != "" {
			t.Errorf("%q of nothing: code %d, %q, %q", list, code, out, told)
		}
	}
	for _, args := range [][]string{
		{"keys", "create", "--tenant", "acme", "--name", "board", "--read-only", "--expires", "2031-12-31"},
		{"models", "set", "gpt-4o*", "--base-url", "https://api.test/v1", "--auth", "none"},
	} {
		if code, _, told := owner(t, store, append([]string{"admin"}, args...)...); code != cli.ExitOK {
			t.Fatalf("%q: %s", args, told)
		}
	}
	for list, want := range map[string]map[string]any{
		"keys list": {
			"tenant": "acme", "name": "board", "read_only": true, "created_at": "2031-02-03T04:05:06Z", "expires_at": "2032-01-01T00:00:00Z",
			"revoked_at": nil, "last_used": nil,
		},
		"models list": {"pattern": "gpt-4o*"},
		"log":         {"at": "2031-02-03T04:05:06Z", "who": "arn:aws:iam::1:user/ann"},
	} {
		code, out, told := owner(t, store, append(append([]string{"admin"}, strings.Fields(list)...), "--json")...)
		var got map[string]any
		first, _, _ := strings.Cut(out, "\n")
		if err := json.Unmarshal([]byte(first), &got); err != nil || code != cli.ExitOK || told != "" {
			t.Fatalf("%s: code %d, %v, %q, %q", list, code, err, out, told)
		}
		for name := range got {
			if _, ok := want[name]; !ok {
				delete(got, name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", list, diff)
		}
	}
}
