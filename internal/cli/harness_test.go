package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/musketry/musketry/internal/cli"
)

// A call is one run of the command.
type call struct {
	args     []string
	stdin    io.Reader
	terminal bool
	asks     bool
	http     *http.Client
	noEnv    bool // no address and no key in the environment
	baseURL  string
	admin    []*cobra.Command
}

type result struct {
	code           int
	stdout, stderr string
}

func (c call) run(ctx context.Context, t *testing.T) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	ids := 0
	env := cli.Env{
		Stdin: c.stdin, Stdout: &stdout, Stderr: &stderr, Terminal: c.terminal, Asks: c.asks,
		Width:   func() int { return 120 },
		BaseURL: "http://musketry.test/v1", Key: testKey, HTTP: c.http,
		Now: time.Now, Random: func() float64 { return 0.5 },
		NewID:   func() string { ids++; return fmt.Sprintf("id-%d", ids) },
		Version: "v0.0.0",
	}
	if c.noEnv {
		env.BaseURL, env.Key = "", ""
	}
	if c.baseURL != "" {
		env.BaseURL = c.baseURL
	}
	code := cli.Run(ctx, env, c.args, c.admin...)
	r := result{code: code, stdout: stdout.String(), stderr: stderr.String()}
	if strings.Contains(r.stdout+r.stderr, testKey) {
		t.Errorf("the API key was shown:\n%s%s", r.stdout, r.stderr)
	}
	return r
}

// golden compares a text with the one that is kept under a name. With
// UPDATE_GOLDEN set it keeps the text instead.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// session returns a result as it looks to a person, each stream with a mark.
func (r result) session() string {
	var text strings.Builder
	mark := func(sign, stream string) {
		for line := range strings.Lines(stream) {
			text.WriteString(sign + line)
		}
	}
	mark("out| ", r.stdout)
	mark("err| ", r.stderr)
	fmt.Fprintf(&text, "exit %d\n", r.code)
	return text.String()
}

// requestFile writes a file of n requests and returns its path.
func requestFile(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "requests.jsonl")
	if err := os.WriteFile(path, requestLines(n, 10), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func requestLines(n, promptBytes int) []byte {
	var lines bytes.Buffer
	prompt := strings.Repeat("x", promptBytes)
	for i := range n {
		fmt.Fprintf(&lines, `{"custom_id":"r%d","method":"POST","url":"/v1/chat/completions",`+
			`"body":{"model":"m","messages":[{"role":"user","content":"%s"}]}}`+"\n", i, prompt)
	}
	return lines.Bytes()
}
