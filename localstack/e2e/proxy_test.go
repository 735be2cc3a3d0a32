//go:build e2e

package e2e_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
)

// TestProxy has the unchanged openai SDK of Python upload 50 MB as one file, which the API alone refuses, through "musketry
// proxy", and waits for the batch of it to end. Ctrl-C ends the proxy.
func TestProxy(t *testing.T) {
	t.Parallel()
	bin := filepath.Join(t.TempDir(), "musketry")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/musketry").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	proxy := exec.CommandContext(t.Context(), bin, "proxy", "--listen", "127.0.0.1:0")
	var problems strings.Builder
	proxy.Stderr = &problems
	out, err := proxy.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	base, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %v\n%s", err, proxy.Wait(), problems.String())
	}
	script := exec.CommandContext(t.Context(), variable(t, "MUSKETRY_E2E_PYTHON"), "testdata/proxy.py", marker(t))
	script.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "OPENAI_BASE_URL="+strings.TrimSpace(base))
	var stderr strings.Builder
	script.Stderr = &stderr
	began := time.Now()
	said, err := script.Output()
	t.Logf("the client took %v", time.Since(began))
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if err := proxy.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := proxy.Wait(); err != nil {
		t.Errorf("%v\n%s", err, problems.String())
	}
	if usage, ok := proxy.ProcessState.SysUsage().(*syscall.Rusage); ok {
		t.Logf("the proxy had %d MB at most", usage.Maxrss>>10) // kilobytes on Linux
	}
	c := newClient(t, "OPENAI_API_KEY")
	b := await(t.Context(), t, c, strings.TrimSpace(string(said)), patience, ended)
	if b.Status != openai.BatchStatusCompleted || b.RequestCounts.Completed != 50 {
		t.Errorf("batch is %s", describe(b))
	}
}
