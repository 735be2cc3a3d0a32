package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/tenant"
)

// A desk is the commands over a store in memory.
type desk struct {
	t     *testing.T
	store *memstore.Store
}

func (d desk) keys(args ...string) (stdout, stderr string, err error) {
	d.t.Helper()
	return d.run((*admin).keysCommand, "", args...)
}

// run runs one of the commands with that standard input.
func (d desk) run(command func(*admin) *cobra.Command, in string, args ...string) (stdout, stderr string, err error) {
	d.t.Helper()
	a := &admin{
		table: "t-1", now: func() time.Time { return time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC) }, random: rand.Reader,
		open: func(context.Context, string) (adminStore, error) { return d.store, nil },
	}
	var out, told bytes.Buffer
	cmd := command(a)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetIn(strings.NewReader(in))
	cmd.SetOut(&out)
	cmd.SetErr(&told)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(d.t.Context())
	return out.String(), told.String(), err
}

func TestKeys(t *testing.T) {
	t.Parallel()
	d := desk{t, memstore.NewStore()}
	if out, told, err := d.keys("list"); out != "" || !strings.Contains(told, "There are no keys") || err != nil {
		t.Errorf("an empty list is %q, %q, %v", out, told, err)
	}
	out, told, err := d.keys("create", "--tenant", "acme", "--name", "ci\x1b[2J")
	secret := strings.TrimSpace(out)
	if err != nil || secret+"\n" != out || strings.Contains(told, secret) {
		t.Fatalf("create: %q, %q, %v", out, told, err)
	}
	key, err := d.store.Key(t.Context(), tenant.Hash(secret))
	if err != nil || key.Tenant != "acme" {
		t.Fatalf("the key is not kept: %+v, %v", key, err)
	}
	if _, _, err := d.keys("create", "--tenant", "other"); err != nil {
		t.Fatal(err)
	}
	list, _, err := d.keys("list", "--tenant", "acme")
	want := [][]string{
		{"TENANT", "NAME", "HASH", "HINT", "CREATED", "REVOKED"},
		{"acme", `"ci\x1b[2J"`, key.Hash[:12], "…" + key.Hint, "2031-02-03T04:05:06Z", "-"},
	}
	if diff := cmp.Diff(want, cells(list)); diff != "" || err != nil || strings.Contains(list, secret) {
		t.Error(err, diff)
	}
	if list, _, _ := d.keys("list"); len(cells(list)) != 3 {
		t.Errorf("all keys are %q", list)
	}

	told, _, err = d.keys("revoke", key.Hash[:8])
	if err != nil || !strings.Contains(told, "within 60 seconds") || !strings.Contains(told, "acme") {
		t.Errorf("revoke: %q, %v", told, err)
	}
	if _, err := d.store.Key(t.Context(), key.Hash); !errors.Is(err, tenant.ErrUnknownKey) {
		t.Errorf("the revoked key: %v", err)
	}
	list, _, _ = d.keys("list", "--tenant", "acme")
	if rows := cells(list); rows[1][5] != "2031-02-03T04:05:06Z" {
		t.Errorf("the revoked key is listed as %q", list)
	}
}

func cells(table string) [][]string {
	var rows [][]string
	for line := range strings.Lines(table) {
		rows = append(rows, strings.Fields(line))
	}
	return rows
}

func TestFind(t *testing.T) {
	t.Parallel()
	over := time.Unix(1, 0)
	keys := []tenant.Key{
		{Hash: "aaaa1111bbbb", Hint: "wxyz"},
		{Hash: "aaaa1111cccc", Hint: "same"},
		{Hash: "dddd2222eeee", Hint: "same"},
		{Hash: "ffff3333eeee", Hint: "gone", RevokedAt: over},
		{Hash: "ffff3333ffff", Hint: "wxyz", RevokedAt: over},
	}
	for word, want := range map[string]string{
		"wxyz": "aaaa1111bbbb", "AAAA1111B": "aaaa1111bbbb", "dddd2222": "dddd2222eeee",
		"aaaa1111": "2 keys are named", "same": "2 keys are named", "gone": "was revoked before",
		"ffff3333": "was revoked before", "dddd222": "no key is named", "": "no key is named", "WXYZ": "no key is named",
	} {
		key, err := find(keys, word)
		if err == nil && key.Hash != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("find(%q) = %+v, %v, want %s", word, key, err, want)
		}
	}
}
