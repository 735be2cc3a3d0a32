package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/tenant"
)

// listTenants runs "tenants list" below a root that has --json.
func listTenants(t *testing.T, store tenantStore, s boot.Settings, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	all := &tenants{open: func(_ context.Context, stack string) (tenantStore, boot.Settings, error) {
		if stack != defaultStack {
			return nil, boot.Settings{}, errors.New("there is no such stack")
		}
		return store, s, nil
	}, now: func() time.Time { return time.Date(2031, 3, 1, 0, 0, 0, 0, time.UTC) }}
	cmd := all.command()
	cmd.PersistentFlags().Bool("json", false, "")
	var out, told bytes.Buffer
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetOut(&out)
	cmd.SetErr(&told)
	cmd.SetArgs(append([]string{"list"}, args...))
	err = cmd.ExecuteContext(t.Context())
	return out.String(), told.String(), err
}

func TestTenants(t *testing.T) {
	t.Parallel()
	store := memstore.NewStore()
	limits := boot.Settings{TenantBatches: 100, TenantRequests: 2_000, TenantBytes: 1_000_000}
	if out, told, err := listTenants(t, store, limits); out != "" || !strings.Contains(told, "There are no tenants") || err != nil {
		t.Errorf("without a key: %q, %q, %v", out, told, err)
	}
	at := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	for i, owner := range []string{"zeta", "acme", "acme"} {
		_, key, err := tenant.NewKey(owner, "", bytes.NewReader(bytes.Repeat([]byte{byte(i + 1)}, 32)), at.AddDate(0, 0, i))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			key.ExpiresAt = at.AddDate(0, 0, 3)
		}
		if i == 2 {
			key.RevokedAt = at.AddDate(0, 0, 9)
		}
		if err := store.PutKey(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	_, err := store.UpdateQuota(t.Context(), "acme", func(q *tenant.Quota) error {
		q.Recount(map[string]int64{"file-1": 1_234}, time.Time{}, at)
		return q.AddBatch("batch_1", 500, tenant.Limits{Batches: 100})
	})
	if err != nil {
		t.Fatal(err)
	}
	out, told, err := listTenants(t, store, limits)
	want := `TENANT  KEYS  ENDED  NEWEST KEY            BATCHES   REQUESTS     STORED BYTES
acme    1     1      2031-02-05T04:05:06Z  1 of 100  500 of 2000  1234 of 1000000
zeta    0     1      2031-02-03T04:05:06Z  0 of 100  0 of 2000    - of 1000000
`
	if diff := cmp.Diff(want, out); diff != "" || told != "" || err != nil {
		t.Errorf("%s %q %v", diff, told, err)
	}
	out, _, err = listTenants(t, store, boot.Settings{}, "--json")
	want = `{"tenant":"acme","keys":1,"ended_keys":1,"newest_key_at":"2031-02-05T04:05:06Z",` +
		`"in_use":{"batches":null,"requests":null,"stored_bytes":null},"limits":{"batches":null,"requests":null,"stored_bytes":null}}` + "\n"
	if first, _, _ := strings.Cut(out, "\n"); first+"\n" != want || err != nil {
		t.Errorf("%v %s", err, cmp.Diff(want, first+"\n"))
	}
	if _, _, err := listTenants(t, store, limits, "--stack", "Other"); err == nil || !strings.Contains(err.Error(), "no such stack") {
		t.Errorf("another stack: %v", err)
	}
}
