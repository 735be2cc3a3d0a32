package cli_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/cli"
)

// What there is can be fetched before the end, and later the rest of it.
func TestResultsBeforeTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.pageLines = 4
		s.addBatch("batch_a", batchRun{total: 20, perSecond: 1, failEvery: 3})
		client := s.start()
		golden(t, "partial/validating", call{args: []string{"results", "batch_a"}, http: client}.run(t.Context(), t).session())
		time.Sleep(10 * time.Second) // of the bubble's time
		golden(t, "partial/answers", call{args: []string{"results", "batch_a"}, http: client}.run(t.Context(), t).session())
		golden(t, "partial/failed", call{args: []string{"results", "batch_a", "--failed"}, http: client}.run(t.Context(), t).session())
		dir := t.TempDir()
		args := []string{"results", "batch_a", "-o", filepath.Join(dir, "A"), "--errors", filepath.Join(dir, "F"), "--json"}
		r := call{args: args, http: client}.run(t.Context(), t)
		golden(t, "partial/files", strings.ReplaceAll(r.session(), dir, "DIR"))
		golden(t, "partial/files-answers", read(t, filepath.Join(dir, "A")))
		golden(t, "partial/files-failures", read(t, filepath.Join(dir, "F")))
		time.Sleep(time.Minute) // of the bubble's time
		golden(t, "partial/rest", call{args: []string{"results", "batch_a", "--after", "c17"}, http: client}.run(t.Context(), t).session())
	})
}

// Lines come as they are there; Ctrl-C tells where to go on, and that does.
func TestResultsFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.addBatch("batch_a", batchRun{total: 20, perSecond: 1, failEvery: 4})
		client := s.start()
		path := filepath.Join(t.TempDir(), "answers.jsonl")
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second+time.Millisecond)
		defer cancel()
		r := call{args: []string{"results", "batch_a", "--follow", "-o", path}, http: client}.run(ctx, t)
		golden(t, "partial/interrupted", strings.ReplaceAll(r.session(), path, "FILE"))
		if n := strings.Count(read(t, path), "\n"); n != 7 {
			t.Errorf("%d answers are there already, want 7 of 9 lines", n)
		}
		r = call{args: []string{"results", "batch_a", "--follow", "-o", path, "--after", "c9"}, http: client}.run(t.Context(), t)
		golden(t, "partial/followed", strings.ReplaceAll(r.session(), path, "FILE"))
		if n := strings.Count(read(t, path), "\n"); n != 15 {
			t.Errorf("%d answers are there, want 15", n)
		}
	})
}

// A server that is not Musketry's has results at the end only.
func TestResultsOfAForeignServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.foreign = true
		s.addBatch("batch_a", batchRun{total: 30, perSecond: 1, output: []byte(answersText)})
		time.Sleep(5 * time.Second) // of the bubble's time
		client := s.start()
		golden(t, "partial/foreign", call{args: []string{"results", "batch_a"}, http: client}.run(t.Context(), t).session())
		golden(t, "partial/foreign-follow", call{args: []string{"results", "batch_a", "--follow"}, http: client}.run(t.Context(), t).session())
	})
}

// A line that no answer has room for comes in pieces; it is whole where it goes,
// and where to go on is its beginning while its end is missing.
func TestResultsCutLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		b := s.addBatch("batch_a", batchRun{total: 20, perSecond: 0.1})
		line := b.resultLine(1, 100)
		s.intercept = func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if !strings.HasSuffix(r.URL.Path, "/results") {
				return false
			}
			pieces := map[string]string{"": string(line[:50]), "c0.50": string(line[50:90]), "c0.90": string(line[90:])}
			next := map[string]string{"": "c0.50", "c0.50": "c0.90", "c0.90": "c1"}
			after := r.URL.Query().Get("after")
			w.Header().Set("X-Complete", "false")
			w.Header().Set("X-Next-Cursor", "c1")
			if to, ok := next[after]; ok {
				w.Header().Set("X-Next-Cursor", to)
			}
			if after == "" || after == "c0.50" {
				w.Header().Set("X-Line-Cut", "true")
			}
			w.Header().Set("Content-Type", "application/x-ndjson")
			_, _ = w.Write([]byte(pieces[after]))
			return true
		}
		time.Sleep(15 * time.Second) // of the bubble's time
		r := call{args: []string{"results", "batch_a"}, http: s.start()}.run(t.Context(), t)
		if r.stdout != string(line) || r.code != cli.ExitUnfinished || !strings.Contains(r.stderr, "--after c1\n") {
			t.Error(r.session())
		}
	})
}

// A file that was there stays as it was if what was to be fetched is not.
func TestResultsBeforeTheEndFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.addBatch("batch_a", batchRun{total: 20, perSecond: 1})
		s.intercept = func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if !strings.HasSuffix(r.URL.Path, "/results") {
				return false
			}
			fail(w, http.StatusGone, "The results of this batch are not kept in the order of recording any more.")
			return true
		}
		time.Sleep(5 * time.Second) // of the bubble's time
		path := filepath.Join(t.TempDir(), "answers.jsonl")
		if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		r := call{args: []string{"results", "batch_a", "-o", path}, http: s.start()}.run(t.Context(), t)
		if r.code != cli.ExitError || read(t, path) != "old" || !strings.Contains(r.stderr, "any more") {
			t.Error(r.session())
		}
	})
}

// What is fetched from a cursor on is appended, whole or not at all.
func TestResultsAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.pageLines = 4
		s.addBatch("batch_a", batchRun{total: 20, perSecond: 1, failEvery: 4})
		client := s.start()
		dir := t.TempDir()
		answers, failures := filepath.Join(dir, "A"), filepath.Join(dir, "F")
		fetch := func(code int, after string) {
			t.Helper()
			args := []string{"results", "batch_a", "-o", answers, "--errors", failures}
			if after != "" {
				args = append(args, "--after", after)
			}
			if r := (call{args: args, http: client}).run(t.Context(), t); r.code != code {
				t.Error(r.session())
			}
		}
		has := func(wantAnswers, wantFailures int) {
			t.Helper()
			a, f := strings.Count(read(t, answers), "\n"), strings.Count(read(t, failures), "\n")
			if a != wantAnswers || f != wantFailures {
				t.Errorf("%d answers and %d failures, want %d and %d", a, f, wantAnswers, wantFailures)
			}
		}
		time.Sleep(10 * time.Second) // of the bubble's time
		fetch(cli.ExitUnfinished, "")
		has(8, 2)
		time.Sleep(8 * time.Second) // of the bubble's time
		s.intercept = func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if r.URL.Query().Get("after") != "c14" {
				return false
			}
			fail(w, http.StatusGone, "The results of this batch are not kept in the order of recording any more.")
			return true
		}
		fetch(cli.ExitError, "c10") // in the second page
		has(8, 2)
		s.intercept = nil
		fetch(cli.ExitUnfinished, "c10")
		has(14, 4)
		time.Sleep(time.Minute) // of the bubble's time
		fetch(cli.ExitFailures, "c18")
		has(15, 5)
		if err := os.Remove(answers); err != nil {
			t.Fatal(err)
		}
		fetch(cli.ExitFailures, "c18") // into a file that is not there
		has(1, 6)
	})
}

// A following that ends by an error says where to go on, and that does.
func TestResultsFollowFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.pageLines = 4
		s.addBatch("batch_a", batchRun{total: 20, perSecond: 1, failEvery: 4})
		s.intercept = func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if r.URL.Query().Get("after") != "c8" {
				return false
			}
			fail(w, http.StatusBadRequest, "Invalid 'after'.")
			return true
		}
		client := s.start()
		time.Sleep(10 * time.Second) // of the bubble's time
		path := filepath.Join(t.TempDir(), "answers.jsonl")
		args := []string{"results", "batch_a", "--follow", "-o", path}
		golden(t, "partial/follow-fails", strings.ReplaceAll(call{args: args, http: client}.run(t.Context(), t).session(), path, "FILE"))
		if full := "/dev/full"; exists(full) {
			args := []string{"results", "batch_a", "--follow", "-o", full}
			golden(t, "partial/follow-full", call{args: args, http: client}.run(t.Context(), t).session())
		}
		s.intercept = nil
		r := call{args: append(args, "--after", "c8"), http: client}.run(t.Context(), t)
		if n := strings.Count(read(t, path), "\n"); n != 15 || r.code != cli.ExitFailures {
			t.Errorf("%d answers are there, want 15\n%s", n, r.session())
		}
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
