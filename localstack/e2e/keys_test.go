//go:build e2e

package e2e_test

import (
	"bytes"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/tenant"
)

// A key that the owner of a deployment makes is good at once, and no more
// within a minute of its being revoked.
func TestKeysAreMadeAndRevoked(t *testing.T) {
	t.Parallel()
	base := variable(t, "OPENAI_BASE_URL")
	bin := filepath.Join(t.TempDir(), "musketry")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/musketry").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	keys := func(args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		cmd := exec.CommandContext(t.Context(), bin, append([]string{"admin", "keys"}, args...)...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("admin keys %v: %v\n%s", args, err, stderr.String())
		}
		return stdout.String()
	}
	secret := strings.TrimSpace(keys("create", "--tenant", "third", "--name", "e2e"))
	if status, body := ask(t, base+"/batches", secret); status != http.StatusOK {
		t.Fatalf("the new key is answered with %d: %s", status, body)
	}
	hash := tenant.Hash(secret)
	list := keys("list", "--tenant", "third")
	if !strings.Contains(list, hash[:12]) || strings.Contains(list, secret) {
		t.Errorf("the list is %q, want the hash %.12s and not the key", list, hash)
	}
	if all := keys("list"); !strings.Contains(all, hash[:12]) || !strings.Contains(all, "first") {
		t.Errorf("the list of every tenant's keys is %q", all)
	}

	keys("revoke", hash)
	revoked := time.Now()
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	for {
		status, _ := ask(t, base+"/batches", secret)
		if status == http.StatusUnauthorized {
			break
		}
		if since := time.Since(revoked); since > 62*time.Second { // its own call's time included
			t.Fatalf("%v after its end the key is still answered with %d", since, status)
		}
		<-ticks.C
	}
	out, err := exec.CommandContext(t.Context(), bin, "admin", "keys", "list", "--table", "there-is-none").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "there is no table there-is-none") {
		t.Errorf("without a table it said %q, %v", out, err)
	}
}
