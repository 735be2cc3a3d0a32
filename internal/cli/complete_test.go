package cli_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/cli"
)

func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		r := call{args: []string{"completion", shell}}.run(t.Context(), t)
		if r.code != cli.ExitOK || !strings.Contains(r.stdout, "__complete") || !strings.Contains(r.stdout, "musketry") || r.stderr != "" {
			t.Errorf("%s: code %d, %.200s %s", shell, r.code, r.stdout, r.stderr)
		}
	}
}

// What a shell asks for when a person presses Tab.
func TestCompletes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.addBatch("batch_a", batchRun{total: 1, perSecond: 1})
		s.addBatch("batch_b", batchRun{total: 1000})
		time.Sleep(time.Minute) // of the bubble's time
		client := s.start()
		complete := func(words ...string) string {
			return call{args: append([]string{"__complete"}, words...), http: client}.run(t.Context(), t).stdout
		}
		for want, words := range map[string][]string{
			"batch_b\tin_progress, 2000-01-01T00:00:00Z\nbatch_a\tcompleted, 2000-01-01T00:00:00Z\n": {"watch", ""},
			"batch_a\tcompleted, 2000-01-01T00:00:00Z\n:":                                            {"cancel", "batch_b", "batch_"},
			"retry\t":   {"ret"},
			"expired\n": {"list", "--status", ""},
			"jsonl\n":   {"run", ""},
			"delete\t":  {"files", ""},
		} {
			if got := complete(words...); !strings.Contains(got, want) {
				t.Errorf("%q completes to %q, which lacks %q", words, got, want)
			}
		}
		s.intercept = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			fail(w, http.StatusServiceUnavailable, "Back soon.")
			return true
		}
		if got := complete("watch", ""); got != ":4\n" {
			t.Errorf("without the server: %q", got)
		}
	})
}
