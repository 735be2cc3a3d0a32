//go:build e2e

package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
)

// The columns and rows of the terminal that tests sit at.
const (
	columns = 80
	rows    = 24
)

// A terminal is a program that runs at a terminal of its own.
type terminal struct {
	t    *testing.T
	cmd  *exec.Cmd
	pty  *os.File
	over chan struct{} // it shows nothing any more

	mu    sync.Mutex
	shown bytes.Buffer
}

// sit starts a program at a terminal.
func sit(t *testing.T, bin string, args ...string) *terminal {
	t.Helper()
	term := &terminal{t: t, cmd: exec.CommandContext(t.Context(), bin, args...), over: make(chan struct{})}
	term.cmd.Env = append(os.Environ(), "TERM=xterm")
	var err error
	if term.pty, err = pty.StartWithSize(term.cmd, &pty.Winsize{Rows: rows, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = term.pty.Close() })
	go func() {
		defer close(term.over)
		buf := make([]byte, 4096)
		for {
			n, err := term.pty.Read(buf)
			term.mu.Lock()
			term.shown.Write(buf[:n])
			term.mu.Unlock()
			if err != nil { // EIO: nobody holds the other end any more
				return
			}
		}
	}()
	return term
}

// screen returns what was shown so far: what was drawn on one line, time after
// time, on a line each.
func (term *terminal) screen() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	text := regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`).ReplaceAllString(term.shown.String(), "\r")
	return regexp.MustCompile(`[\r\n]+`).ReplaceAllString(text, "\n")
}

// await waits until something is shown, and returns the first such.
func (term *terminal) await(form string) string {
	term.t.Helper()
	found := ""
	until(term.t.Context(), term.t, patience, form, func() bool {
		found = regexp.MustCompile(form).FindString(term.screen())
		return found != ""
	})
	return found
}

// end waits until the program has ended, and returns its exit code.
func (term *terminal) end() int {
	term.t.Helper()
	<-term.over
	err := term.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		term.t.Fatal(err)
	}
	for line := range strings.Lines(term.screen()) {
		if n := len([]rune(strings.TrimRight(line, " \n"))); strings.Contains(line, "%") && n >= columns {
			term.t.Errorf("a bar of %d columns is drawn on a terminal of %d: %q", n, columns, line)
		}
	}
	return term.cmd.ProcessState.ExitCode()
}

// A person runs a thousand requests at a terminal, sees them go on, leaves with
// Ctrl-C, comes back and has every answer.
func TestTerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bin, input, output := filepath.Join(dir, "musketry"), filepath.Join(dir, "requests.jsonl"), filepath.Join(dir, "answers.jsonl")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/musketry").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	const requests = 1000
	m := marker(t)
	lines := make([]any, requests)
	for i := range lines {
		lines[i] = chat(fmt.Sprintf("r%d", i), "standin:latency=300ms..1s", m)
	}
	if err := os.WriteFile(input, []byte(jsonl(t, lines...)), 0o600); err != nil {
		t.Fatal(err)
	}

	run := sit(t, bin, "run", input, "-o", output, "--window", "1h")
	id := regexp.MustCompile(`batch_\w+`).FindString(run.await(`(?m)^batch_\w+ *$`))
	seen := run.await(`\d+% \|█[█ ]*\| +[1-9]\d*/1000 done[^\n]*`)
	t.Logf("seen: %s", seen)
	if _, err := run.pty.Write([]byte{3}); err != nil { // Ctrl-C
		t.Fatal(err)
	}
	if code := run.end(); code != 130 {
		t.Errorf("interrupted, run ends with %d\n%s", code, run.screen())
	}
	for _, hint := range []string{
		id + " goes on without you.", "come back:  musketry watch " + id, "then fetch: musketry results " + id + " -o " + output,
	} {
		if !strings.Contains(run.screen(), hint) {
			t.Errorf("run does not say %q\n%s", hint, run.screen())
		}
	}
	if _, err := os.Stat(output); err == nil {
		t.Error("there is a file of answers already")
	}

	watch := sit(t, bin, "watch", id)
	watch.await(`[1-9]\d*/1000 done`)
	if code := watch.end(); code != 0 {
		t.Errorf("watch ends with %d\n%s", code, watch.screen())
	}
	if !strings.Contains(watch.screen(), "completed after") || !strings.Contains(watch.screen(), "100% |") {
		t.Errorf("watch shows no end\n%s", watch.screen())
	}
	t.Logf("the end: %s", watch.screen()[max(0, len(watch.screen())-600):])

	fetch := sit(t, bin, "results", id, "-o", output)
	if code := fetch.end(); code != 0 {
		t.Errorf("results ends with %d\n%s", code, fetch.screen())
	}
	raw, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for i, text := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		var answer struct {
			CustomID string `json:"custom_id"`
		}
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		got = append(got, answer.CustomID)
	}
	for i := range requests {
		want = append(want, fmt.Sprintf("r%d", i))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the answers: %s", diff)
	}
	story := sit(t, bin, "requests", id, "--custom-id", "r500")
	if code := story.end(); code != 0 || !strings.Contains(story.screen(), `"custom_id": "r500"`) {
		t.Errorf("the story of a request ends with %d\n%s", code, story.screen())
	}
	usage := sit(t, bin, "usage")
	if code := usage.end(); code != 0 && !strings.Contains(usage.screen(), "does not tell limits") {
		t.Errorf("usage ends with %d\n%s", code, usage.screen())
	}
}
