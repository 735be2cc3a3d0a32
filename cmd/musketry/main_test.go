package main_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// build builds the command and returns its path.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "musketry")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// Ctrl-C in a real process: the batch goes on, the user learns how to come back.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("processes cannot be interrupted by others there")
	}
	looked := make(chan string, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer sk-test" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		looked <- r.Method + " " + r.URL.Path
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"id": "batch_a", "object": "batch", "status": "in_progress", "created_at": 1, "endpoint": "/v1/embeddings",
			"input_file_id": "file-a", "completion_window": "24h",
			"request_counts": map[string]int{"total": 2, "completed": 1, "failed": 0},
		})
	}))
	defer srv.Close()
	cmd := exec.CommandContext(t.Context(), build(t), "watch", "batch_a")
	cmd.Env = append(os.Environ(), "OPENAI_BASE_URL="+srv.URL+"/v1", "OPENAI_API_KEY=sk-test")
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case call := <-looked:
		if call != "GET /v1/batches/batch_a" {
			t.Errorf("call %s", call)
		}
	case <-time.After(30 * time.Second):
		t.Error("the command looked at nothing")
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("it ended with %v, want exit code 130", err)
	}
	if !strings.Contains(stderr.String(), "come back:  musketry watch batch_a") {
		t.Errorf("it said %q", stderr.String())
	}
	srv.Close() // no call is under way any more
	close(looked)
	for call := range looked {
		if !strings.HasPrefix(call, http.MethodGet) {
			t.Errorf("it called %s", call)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), build(t), "--version").Output()
	if err != nil || !strings.HasPrefix(string(out), "musketry version ") {
		t.Errorf("%q, %v", out, err)
	}
}
