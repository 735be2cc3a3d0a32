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
	admin := func(args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		cmd := exec.CommandContext(t.Context(), bin, append([]string{"admin"}, args...)...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("admin %v: %v\n%s", args, err, stderr.String())
		}
		return stdout.String()
	}
	keys := func(args ...string) string { return admin(append([]string{"keys"}, args...)...) }
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

	reader := strings.TrimSpace(keys("create", "--tenant", "third", "--name", "looks on", "--read-only", "--expires", "1d"))
	if status, body := ask(t, base+"/usage", reader); status != http.StatusOK || !strings.Contains(body, `"read_only":true`) ||
		!strings.Contains(body, `"last_used":"`+time.Now().UTC().Format("2006-")) {
		t.Errorf("of a read-only key that was used: %d, %s", status, body)
	}
	if status, body := send(t, http.MethodPost, base+"/batches", reader, "application/json", []byte("{}")); status != http.StatusForbidden ||
		!strings.Contains(string(body), "read_only_api_key") {
		t.Errorf("a read-only key creates a batch: %d, %s", status, body)
	}
	for line := range strings.Lines(keys("list", "--tenant", "third")) { // both were used today, or a moment before
		if fields := strings.Fields(line); fields[0] == "third" && fields[len(fields)-1] == "-" {
			if used, err := time.Parse(time.DateOnly, fields[len(fields)-2]); err != nil || time.Since(used) > 25*time.Hour {
				t.Errorf("the list has %q, want the day of its use", line)
			}
		}
	}

	keys("revoke", hash)
	acts := admin("log", "--limit", "1000")
	for _, act := range []string{"keys revoke third key=" + hash[:12], "keys create third key=" + hash[:12], "keys create third key=" + tenant.Hash(reader)[:12]} {
		if !strings.Contains(acts, " arn:aws:") || !strings.Contains(acts, act) || strings.Contains(acts, reader) {
			t.Errorf("the log is %q, want %q in it, and no key", acts, act)
		}
	}
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
