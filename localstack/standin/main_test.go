package main_test

import (
	"crypto/tls"
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

	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/upstream"
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
	return statsOf(t, base).InFlight
}

func statsOf(t *testing.T, base string) provider.Stats {
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
	return stats
}

func post(t *testing.T, base, body string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/chat/completions", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(req)
}

// TestProgramServesTLS calls the program by HTTPS as a worker does, trusting the authority whose certificate it wrote, and finds
// the call counted, and held to the limits of the file that it was started with.
func TestProgramServesTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", in("standin"), ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if err := os.WriteFile(in("limits"), []byte(`{"standin":{"rpm":1}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), in("standin"), "-ready-file", in("ready"), "-limits", in("limits"),
		"-tls-listen", "127.0.0.1:0", "-tls-ready-file", in("tls"), "-ca-file", in("ca.pem"))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("start: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	plain := await(t, in("ready"), ended)
	base, bundle := await(t, in("tls"), ended), await(t, in("ca.pem"), ended)
	trusted, err := boot.Authorities(bundle)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/models", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.Proto != "HTTP/2.0" {
		t.Errorf("it speaks %s", res.Proto)
	}
	client := upstream.New(upstream.Config{RootCAs: trusted})
	t.Cleanup(client.CloseIdleConnections)
	for _, want := range []int{200, 429} {
		got, err := client.Call(t.Context(), upstream.Request{
			Route:  route.Route{BaseURL: base, AllowPrivate: true},
			Method: http.MethodPost, URL: "/v1/chat/completions", Body: []byte(`{"model":"standin","messages":[{}]}`),
		})
		if err != nil || got.Status != want {
			t.Errorf("%d, %v; want %d", got.Status, err, want)
		}
	}
	if stats := statsOf(t, plain); stats.Calls != 2 || stats.Limits["standin"].Refused != 1 {
		t.Errorf("%+v", stats)
	}
	if _, err := upstream.New(upstream.Config{}).Call(t.Context(), upstream.Request{
		Route: route.Route{BaseURL: base, AllowPrivate: true}, Method: http.MethodPost, URL: "/v1/chat/completions",
	}); err == nil {
		t.Error("a client that does not know the authority trusts it")
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}
