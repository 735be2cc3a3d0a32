package cli_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/cli"
)

func TestSubmit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		path := requestFile(t, 3)
		r := call{
			args: []string{"submit", path, "--window", "2h", "--metadata", "team=search", "--metadata", "note=a=b"},
			http: s.start(),
		}.run(t.Context(), t)
		golden(t, "submit", r.session())
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b := s.batches[0]
		if !bytes.Equal(s.files[b.inputFile], want) {
			t.Errorf("sent %q, want %q", s.files[b.inputFile], want)
		}
		if s.names[b.inputFile] != "requests.jsonl" {
			t.Errorf("sent as %q", s.names[b.inputFile])
		}
		if b.endpoint != "/v1/chat/completions" || b.window != "2h" {
			t.Errorf("endpoint %q, window %q", b.endpoint, b.window)
		}
		if diff := cmp.Diff(map[string]string{"team": "search", "note": "a=b"}, b.metadata); diff != "" {
			t.Error(diff)
		}
	})
}

// A call whose answer was lost is repeated with the same key: the server can
// tell that it is no second batch.
func TestSubmitRepeatsWithOneKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.intercept = func(w http.ResponseWriter, r *http.Request, nth int) bool {
			if r.URL.Path != "/v1/batches" || nth > 1 {
				return false
			}
			fail(w, http.StatusServiceUnavailable, "later")
			return true
		}
		r := call{args: []string{"submit", requestFile(t, 1)}, http: s.start()}.run(t.Context(), t)
		if r.code != cli.ExitOK {
			t.Fatal(r.session())
		}
		var keys []string
		for i, c := range s.calls {
			if c == "POST /batches" {
				keys = append(keys, s.headers[i].Get("Idempotency-Key"))
			}
		}
		if diff := cmp.Diff([]string{"id-1", "id-1"}, keys); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSubmitJSON(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		stdin := bytes.NewReader(requestLines(2, 5))
		r := call{args: []string{"submit", "-", "--json"}, stdin: stdin, http: s.start()}.run(t.Context(), t)
		var got struct{ ID, Status string }
		if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
			t.Fatal(err)
		}
		if r.code != cli.ExitOK || got.ID != s.batches[0].id || got.Status != "validating" || r.stderr != "" {
			t.Error(r.session())
		}
		if !bytes.Equal(s.files[s.batches[0].inputFile], requestLines(2, 5)) {
			t.Error("standard input did not arrive as it was")
		}
	})
}

func TestSubmitInParts(t *testing.T) {
	t.Parallel()
	for name, terminal := range map[string]bool{"lines": false, "terminal": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				s.intercept = func(w http.ResponseWriter, r *http.Request, nth int) bool {
					if !strings.HasSuffix(r.URL.Path, "/parts") || nth != 2 {
						return false
					}
					fail(w, http.StatusServiceUnavailable, "later")
					return true
				}
				lines := requestLines(9_000, 1_000) // more than two parts, less than three
				r := call{
					args: []string{"submit", "-"}, stdin: bytes.NewReader(lines), http: s.start(), terminal: terminal,
				}.run(t.Context(), t)
				if r.code != cli.ExitOK {
					t.Fatal(r.session())
				}
				if got := s.files[s.batches[0].inputFile]; !bytes.Equal(got, lines) {
					t.Errorf("%d bytes arrived, or in another order, of %d", len(got), len(lines))
				}
				if got := len(s.called("POST /uploads/upload_1/parts")); got != 4 {
					t.Errorf("%d calls sent parts, want 3 and one repeated", got)
				}
				if !strings.Contains(r.stderr, "Sending standard input") {
					t.Error(r.stderr)
				}
			})
		})
	}
}

func TestSubmitGivesUpAnUpload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.intercept = func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if !strings.HasSuffix(r.URL.Path, "/parts") {
				return false
			}
			fail(w, http.StatusBadRequest, "No more of this.")
			return true
		}
		lines := requestLines(5_000, 1_000)
		r := call{args: []string{"submit", "-"}, stdin: bytes.NewReader(lines), http: s.start()}.run(t.Context(), t)
		if r.code != cli.ExitError || !strings.Contains(r.stderr, "No more of this.") {
			t.Error(r.session())
		}
		if len(s.called("POST /uploads/upload_1/cancel")) != 1 || len(s.batches) != 0 {
			t.Errorf("calls: %v", s.calls)
		}
	})
}

func TestSubmitRefusesFiles(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty":        "",
		"blank":        "\n  \n\n",
		"broken":       "\n{\"custom_id\":\n",
		"no-custom-id": `{"method":"POST","url":"/v1/embeddings","body":{}}`,
		"no-url":       `{"custom_id":"a","method":"POST","body":{}}`,
		"array":        `[1]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				r := call{args: []string{"submit", "-"}, stdin: strings.NewReader(text), http: s.start()}.run(t.Context(), t)
				if r.code != cli.ExitError || len(s.calls) != 0 {
					t.Errorf("code %d, calls %v", r.code, s.calls)
				}
				golden(t, "refuse/"+name, r.session())
			})
		})
	}
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text string
		code int
	}{
		"key":       {testKey + "\n", cli.ExitOK},
		"wrong key": {"sk-other", cli.ExitError},
		"empty":     {"\n", cli.ExitError},
		"two lines": {testKey + "\n" + testKey, cli.ExitError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				path := filepath.Join(t.TempDir(), "key")
				if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
					t.Fatal(err)
				}
				args := []string{"list", "--base-url", "http://musketry.test/v1", "--key-file", path}
				r := call{args: args, http: s.start(), noEnv: true}.run(t.Context(), t)
				if r.code != tt.code {
					t.Error(r.session())
				}
			})
		})
	}
}
