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
	main  string // the other table's name

	nobody bool       // AWS does not say who asks
	broken *brokenLog // if any: what is written to
}

// who is nobody for whom AWS does not say.
func (d desk) who(context.Context) (string, error) {
	if d.nobody {
		return "", errors.New("AWS does not answer")
	}
	return "arn:aws:iam::1:user/ann", nil
}

func (d desk) keys(args ...string) (stdout, stderr string, err error) {
	d.t.Helper()
	return d.run((*admin).keysCommand, "", args...)
}

// run runs one of the commands with that standard input.
func (d desk) run(command func(*admin) *cobra.Command, in string, args ...string) (stdout, stderr string, err error) {
	d.t.Helper()
	a := &admin{
		table: "t-1", main: d.main, who: d.who, now: func() time.Time { return time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC) }, random: rand.Reader,
		open: func(context.Context, string, string) (adminStore, error) {
			if d.broken != nil {
				return d.broken, nil
			}
			return d.store, nil
		},
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
	d := desk{t: t, store: memstore.NewStore()}
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
		{"TENANT", "NAME", "HASH", "HINT", "ACCESS", "CREATED", "EXPIRES", "USED", "REVOKED"},
		{"acme", `"ci\x1b[2J"`, key.Hash[:12], "…" + key.Hint, "full", "2031-02-03T04:05:06Z", "-", "?", "-"},
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
	if rows := cells(list); rows[1][8] != "2031-02-03T04:05:06Z" {
		t.Errorf("the revoked key is listed as %q", list)
	}
}

// TestKeysWithTerms makes keys that end, and one that may only read.
func TestKeysWithTerms(t *testing.T) {
	t.Parallel()
	d := desk{t: t, store: memstore.NewStore(), main: "t-2"}
	at := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	var hashes []string
	for _, c := range []struct {
		args []string
		want tenant.Key
		told string
	}{
		{[]string{"--expires", "90d", "--read-only"}, tenant.Key{ExpiresAt: at.AddDate(0, 0, 90), ReadOnly: true}, ", read-only, expires 2031-05-04T04:05:06Z. It is shown only now"},
		{[]string{"--expires", "2031-02-03"}, tenant.Key{ExpiresAt: time.Date(2031, 2, 4, 0, 0, 0, 0, time.UTC)}, ", expires 2031-02-04T00:00:00Z. It"},
		{[]string{"--expires", "3660d"}, tenant.Key{ExpiresAt: at.AddDate(0, 0, 3660)}, ", expires 2041"},
	} {
		out, told, err := d.keys(append([]string{"create", "--tenant", "acme"}, c.args...)...)
		k, err2 := d.store.Key(t.Context(), tenant.Hash(strings.TrimSpace(out)))
		if err != nil || err2 != nil || !k.ExpiresAt.Equal(c.want.ExpiresAt) || k.ReadOnly != c.want.ReadOnly || !strings.Contains(told, c.told) {
			t.Errorf("%v: %+v, %q, %v, %v", c.args, k, told, err, err2)
		}
		hashes = append(hashes, k.Hash)
	}
	if err := d.store.NoteKeyUse(t.Context(), tenant.KeyUse{Tenant: "acme", Hash: hashes[1], Day: at}); err != nil {
		t.Fatal(err)
	}
	list, told, err := d.keys("list")
	rows := map[string][]string{}
	for _, row := range cells(list)[1:] {
		rows[row[2]] = row[4:]
	}
	want := map[string][]string{
		hashes[0][:12]: {"read-only", "2031-02-03T04:05:06Z", "2031-05-04T04:05:06Z", "-", "-"},
		hashes[1][:12]: {"full", "2031-02-03T04:05:06Z", "2031-02-04T00:00:00Z", "2031-02-03", "-"},
		hashes[2][:12]: {"full", "2031-02-03T04:05:06Z", "2041-02-10T04:05:06Z", "-", "-"},
	}
	if diff := cmp.Diff(want, rows); diff != "" || err != nil || told != "" {
		t.Errorf("%v, %q, list (-want +got):\n%s", err, told, diff)
	}
	for expires, want := range map[string]string{
		"2031-02-02": "is over", "0d": "is neither", "-1d": "is neither", "3661d": "is neither", "90": "is neither", "d": "is neither",
		"2031-02-30": "is neither", "tomorrow": "is neither",
	} {
		out, _, err := d.keys("create", "--tenant", "acme", "--expires", expires)
		if err == nil || out != "" || !strings.Contains(err.Error(), "--expires: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("--expires %s: %q, %v, want %s", expires, out, err, want)
		}
	}
	if _, _, err := d.keys("create", "--tenant", "acme", "--name", strings.Repeat("ä", 65)); err == nil || !strings.Contains(err.Error(), "at most 64") {
		t.Errorf("a long name: %v", err)
	}
	if keys, err := d.store.Keys(t.Context(), ""); len(keys) != 3 || err != nil {
		t.Errorf("%d keys are kept, want 3: %v", len(keys), err)
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
