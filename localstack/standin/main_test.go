package main_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/musketry/musketry/localstack/standin/provider"
)

// TestProgram builds the program, calls it and ends it while a call hangs.
func TestProgram(t *testing.T) {
	t.Parallel()
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		dir := t.TempDir()
		program, ready := filepath.Join(dir, "standin"), filepath.Join(dir, "ready")
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
		cmd := exec.CommandContext(t.Context(), program, "-listen", "127.0.0.1:0", "-ready-file", ready, "-max-keys", "10")
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatalf("start: %v", err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		base := await(t, ready, ended)
		if !strings.HasPrefix(base, "http://127.0.0.1:") || !strings.HasSuffix(base, "/v1") {
			t.Errorf("the ready file says %q", base)
		}
		hung := make(chan error, 1)
		go func() {
			res, err := post(t, base, `{"model":"standin:hang","messages":[{"role":"user","content":"x"}]}`)
			if err == nil {
				_ = res.Body.Close()
			}
			hung <- err
		}()
		for inFlight(t, base) == 0 {
			time.Sleep(time.Millisecond) // Bounded by the test's own deadline.
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatalf("signal: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("%s: ended with %v", sig, err)
		}
		if err := <-hung; err == nil {
			t.Errorf("%s: the call that hung was answered", sig)
		}
	}
}

// await returns the ready file's content.
func await(t *testing.T, ready string, ended <-chan error) string {
	t.Helper()
	for {
		select {
		case err := <-ended:
			t.Fatalf("ended early: %v", err)
		case <-time.After(time.Millisecond):
		}
		if raw, err := os.ReadFile(ready); err == nil {
			return string(raw)
		}
	}
}

func inFlight(t *testing.T, base string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.TrimSuffix(base, "/v1")+"/standin/stats", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var stats provider.Stats
	if raw, err := io.ReadAll(res.Body); err != nil || json.Unmarshal(raw, &stats) != nil {
		t.Fatalf("stats: %s, %v", raw, err)
	}
	return stats.InFlight
}

func post(t *testing.T, base, body string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/chat/completions", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(req)
}
