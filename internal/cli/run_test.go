package cli_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/cli"
)

func TestRun(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		run      batchRun
		args     []string
		terminal bool
		code     int
		answers  string // of the file "-o"; "none" if absent
	}{
		"file":     {batchRun{total: 3, perSecond: 1, output: []byte(answersText)}, []string{"-o", "A B"}, false, cli.ExitOK, answersText},
		"stdout":   {batchRun{total: 3, perSecond: 1, output: []byte(answersText)}, nil, false, cli.ExitOK, "none"},
		"terminal": {batchRun{total: 3, perSecond: 1, output: []byte(answersText)}, []string{"-o", "A B"}, true, cli.ExitOK, answersText},
		"failures": {
			batchRun{
				total: 3, perSecond: 1, failEvery: 3, output: []byte(answersText), failures: []byte(failuresText),
				waiting: []map[string]any{},
			},
			[]string{"-o", "A B", "--errors", "F"},
			false, cli.ExitFailures, answersText,
		},
		"refused": {refused(), []string{"-o", "A B"}, false, cli.ExitEnded, "none"},
		"json":    {batchRun{total: 3, perSecond: 1, output: []byte(answersText)}, []string{"-o", "A B", "--json"}, false, cli.ExitOK, answersText},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				s.run = tt.run
				dir := t.TempDir()
				args := []string{"run", requestFile(t, 3)}
				for _, a := range tt.args {
					if a == "A B" || a == "F" {
						a = filepath.Join(dir, a)
					}
					args = append(args, a)
				}
				r := call{args: args, http: s.start(), terminal: tt.terminal}.run(t.Context(), t)
				if r.code != tt.code {
					t.Errorf("code %d, want %d", r.code, tt.code)
				}
				r.stderr = strings.NewReplacer(dir, "DIR", "\x1b[0K", "\n", "\x1b[2K", "", "\r", "").Replace(r.stderr)
				r.stdout = strings.ReplaceAll(r.stdout, dir, "DIR")
				golden(t, "run/"+name, r.session())
				path := filepath.Join(dir, "A B")
				if tt.answers == "none" {
					if _, err := os.Stat(path); err == nil {
						t.Error("a file was written")
					}
				} else if got := read(t, path); got != tt.answers {
					t.Errorf("the file has %q", got)
				}
			})
		})
	}
}

// Ctrl-C says how to come back, and how to have then what run would have had.
func TestRunInterrupted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.run = batchRun{total: 100, perSecond: 1, output: []byte(answersText)}
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second+time.Millisecond)
		defer cancel()
		client := s.start()
		r := call{args: []string{"run", requestFile(t, 100), "-o", "my answers.jsonl", "--errors", "it's.jsonl"}, http: client}.run(ctx, t)
		golden(t, "run/interrupted", r.session())
		if len(s.called("POST /batches/")) != 0 {
			t.Error("the batch was touched")
		}
	})
}

func TestSubmitWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.run = batchRun{total: 3, perSecond: 1, failEvery: 3, output: []byte(answersText)}
		client := s.start()
		golden(t, "run/wait", call{args: []string{"submit", requestFile(t, 3), "--wait"}, http: client, terminal: true}.run(t.Context(), t).session())
		golden(t, "run/wait-json", call{args: []string{"submit", requestFile(t, 3), "--wait", "--json"}, http: client}.run(t.Context(), t).session())
		golden(t, "run/output", call{args: []string{"submit", requestFile(t, 3), "-o", "-"}, http: client}.run(t.Context(), t).session())
	})
}

func TestRetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := ended(t, batchRun{total: 4, perSecond: 1, failEvery: 2})
		s.run = batchRun{total: 2, perSecond: 1}
		client := s.start()
		golden(t, "retry/started", call{args: []string{"retry", "batch_a", "--window", "30m", "--metadata", "again=1"}, http: client}.run(t.Context(), t).session())
		if b := s.batches[1]; b.window != "30m" || b.metadata["again"] != "1" {
			t.Errorf("window %q, metadata %v", b.window, b.metadata)
		}
		golden(t, "retry/watched", call{args: []string{"retry", "batch_a", "--watch"}, http: client}.run(t.Context(), t).session())
		s.addBatch("batch_b", batchRun{total: 10})
		time.Sleep(2 * time.Second) // of the bubble's time
		golden(t, "retry/unfinished", call{args: []string{"retry", "batch_b"}, http: client}.run(t.Context(), t).session())
		golden(t, "retry/none", call{args: []string{"retry", "batch_none"}, http: client}.run(t.Context(), t).session())
		s.foreign = true
		golden(t, "retry/foreign", call{args: []string{"retry", "batch_a"}, http: client}.run(t.Context(), t).session())
	})
}

// Before a large file is sent, its tenant's limits are asked; a small one is sent.
func TestSubmitAsksForLimits(t *testing.T) {
	t.Parallel()
	lines := requestLines(5_000, 1_000)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(lines)
	_ = z.Close()
	for name, tt := range map[string]struct {
		limits map[string]any
		use    map[string]any
		file   []byte
	}{
		"file":     {map[string]any{"file_bytes": 5_000_000}, nil, lines},
		"lines":    {map[string]any{"lines": 4_999}, nil, lines},
		"line":     {map[string]any{"line_bytes": 1_000}, nil, lines},
		"stored":   {map[string]any{"stored_bytes": 7_000_000}, nil, lines},
		"batches":  {nil, map[string]any{"batches": 100}, lines},
		"requests": {nil, map[string]any{"requests": 1_999_000}, lines},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				s.limits = limited(tt.limits)
				for name, value := range tt.use {
					s.limits["in_use"].(map[string]any)[name] = value
				}
				client := s.start()
				r := call{args: []string{"submit", "-"}, stdin: bytes.NewReader(tt.file), http: client}.run(t.Context(), t)
				golden(t, "limits/"+name, r.session())
				if sent := s.called("POST"); len(sent) > 0 {
					t.Errorf("it sent all the same: %v", sent)
				}
				// One that is small is refused by the server, if at all.
				r = call{args: []string{"submit", "-"}, stdin: bytes.NewReader(requestLines(2, 10)), http: client}.run(t.Context(), t)
				if r.code != cli.ExitOK || len(s.called("GET /usage")) != 1 {
					t.Error(r.session())
				}
			})
		})
	}
	t.Run("a server without", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			s.foreign = true
			r := call{args: []string{"submit", "-"}, stdin: bytes.NewReader(lines), http: s.start()}.run(t.Context(), t)
			if r.code != cli.ExitOK {
				t.Error(r.session())
			}
		})
	})
	t.Run("read only", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			s.limits["key"].(map[string]any)["read_only"] = true
			r := call{args: []string{"submit", "-"}, stdin: bytes.NewReader(lines), http: s.start()}.run(t.Context(), t)
			if r.code != cli.ExitError || !strings.Contains(r.stderr, "may read only") {
				t.Error(r.session())
			}
		})
	})
	t.Run("packed", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			r := call{args: []string{"submit", "-"}, stdin: bytes.NewReader(packed.Bytes()), http: s.start()}.run(t.Context(), t)
			if r.code != cli.ExitOK || s.batches[0].endpoint != "/v1/chat/completions" {
				t.Error(r.session())
			}
		})
	})
}

// A person who waits for a large file sees how far it is, also without a terminal.
func TestUploadTellsProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.slowParts = 25 * time.Second
		lines := requestLines(40_000, 1_000)
		r := call{args: []string{"submit", "-"}, stdin: bytes.NewReader(lines), http: s.start()}.run(t.Context(), t)
		if !strings.Contains(r.stderr, "2000-01-01T00:00:25Z sent 4.2 MB of 45.2 MB, 167.8 kB/s, 4m05s to go\n") {
			t.Error(r.session())
		}
		if !bytes.Equal(s.files[s.batches[0].inputFile], lines) {
			t.Error("it did not arrive as it was")
		}
		if s.mostParts != 4 {
			t.Errorf("%d parts were on their way at once, want 4", s.mostParts)
		}
	})
}
