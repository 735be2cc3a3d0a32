package cli_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/cli"
)

const (
	answersText  = `{"id":"batch_req_1","custom_id":"a"}` + "\n"
	failuresText = `{"id":"batch_req_2","custom_id":"b"}` + "\n"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// ended returns a server with a batch that has ended.
func ended(t *testing.T, run batchRun) *server {
	t.Helper()
	s := newServer(t)
	s.addBatch("batch_a", run)
	time.Sleep(time.Minute) // of the bubble's time
	return s
}

func TestResults(t *testing.T) {
	t.Parallel()
	mixed := batchRun{total: 2, perSecond: 1, failEvery: 2, output: []byte(answersText), failures: []byte(failuresText)}
	// The server could not go on; what was done by then is there.
	givenUp := batchRun{
		total: 9, perSecond: 0.1, end: "failed", endAfter: time.Minute, output: []byte(answersText),
		errors: []map[string]any{{"code": "internal_error", "message": "The flow could not go on."}},
	}
	for name, tt := range map[string]struct {
		run               batchRun
		args              []string
		code              int
		answers, failures string // contents of the files "-o" and "--errors"; "none" if absent
	}{
		"stdout":        {batchRun{total: 1, perSecond: 1, output: []byte(answersText)}, nil, cli.ExitOK, "none", "none"},
		"stdout-mixed":  {mixed, nil, cli.ExitFailures, "none", "none"},
		"file":          {mixed, []string{"-o", "A"}, cli.ExitFailures, answersText, "none"},
		"both":          {mixed, []string{"-o", "A", "--errors", "F"}, cli.ExitFailures, answersText, failuresText},
		"json":          {mixed, []string{"-o", "A", "--errors", "F", "--json"}, cli.ExitFailures, answersText, failuresText},
		"no-failures":   {batchRun{total: 1, perSecond: 1, output: []byte(answersText)}, []string{"-o", "A", "--errors", "F"}, cli.ExitOK, answersText, ""},
		"only-failures": {batchRun{total: 1, perSecond: 1, failEvery: 1, failures: []byte(failuresText)}, []string{"-o", "A", "--errors", "F"}, cli.ExitFailures, "", failuresText},
		"empty-file":    {batchRun{total: 1, perSecond: 1}, []string{"-o", "A"}, cli.ExitOK, "", "none"},
		"refused":       {refused(), []string{"-o", "A"}, cli.ExitEnded, "none", "none"},
		"given-up":      {givenUp, []string{"-o", "A"}, cli.ExitEnded, answersText, "none"},
		"failed":        {mixed, []string{"--failed"}, cli.ExitFailures, "none", "none"},
		"failed-file":   {mixed, []string{"--failed", "-o", "F"}, cli.ExitFailures, "none", failuresText},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := ended(t, tt.run)
				dir := t.TempDir()
				args := []string{"results", "batch_a"}
				for _, a := range tt.args {
					if a == "A" || a == "F" {
						a = filepath.Join(dir, a)
					}
					args = append(args, a)
				}
				r := call{args: args, http: s.start()}.run(t.Context(), t)
				if r.code != tt.code {
					t.Errorf("code %d, want %d", r.code, tt.code)
				}
				r.stdout, r.stderr = strings.ReplaceAll(r.stdout, dir, "DIR"), strings.ReplaceAll(r.stderr, dir, "DIR")
				golden(t, "results/"+name, r.session())
				for file, want := range map[string]string{"A": tt.answers, "F": tt.failures} {
					path := filepath.Join(dir, file)
					if want == "none" {
						if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
							t.Errorf("%s is there", file)
						}
						continue
					}
					if diff := cmp.Diff(want, read(t, path)); diff != "" {
						t.Errorf("%s: %s", file, diff)
					}
				}
				if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		})
	}
}

// bigAnswers returns more than two pieces of lines, no two of them the same.
func bigAnswers() []byte { return requestLines(9_000, 1_000) }

func TestResultsInPieces(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		prepare func(s *server)
		ranges  []string
	}{
		"pieces":                {func(*server) {}, []string{"bytes=0-4194303", "bytes=4194304-8388607", "bytes=8388608-12582911"}},
		"server without ranges": {func(s *server) { s.noRanges = true }, []string{"bytes=0-4194303"}},
		"broken on the way": {func(s *server) {
			s.intercept = func(w http.ResponseWriter, r *http.Request, nth int) bool {
				if !strings.HasSuffix(r.URL.Path, "/content") || nth != 2 {
					return false
				}
				w.Header().Set("Content-Range", "bytes 4194304-8388607/9999999")
				w.Header().Set("Content-Length", "4194304")
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write([]byte("the beginning"))
				panic(http.ErrAbortHandler)
			}
		}, []string{"bytes=0-4194303", "bytes=4194304-8388607", "bytes=4194304-8388607", "bytes=8388608-12582911"}},
		"a stream that ends early": {func(s *server) {
			s.intercept = cutStream("X-Musketry-Content-Length", len(bigAnswers()))
		}, []string{"bytes=0-4194303", "bytes=4194304-8388607", "bytes=8388608-12582911"}},
		"a stream that breaks off": {func(s *server) {
			cut := cutStream("X-Musketry-Content-Length", len(bigAnswers()))
			s.intercept = func(w http.ResponseWriter, r *http.Request, nth int) bool {
				if cut(w, r, nth) {
					panic(http.ErrAbortHandler)
				}
				return false
			}
		}, []string{"bytes=0-4194303", "bytes=4194304-8388607", "bytes=8388608-12582911"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := ended(t, batchRun{total: 1, perSecond: 1, output: bigAnswers()})
				tt.prepare(s)
				path := filepath.Join(t.TempDir(), "answers.jsonl")
				r := call{args: []string{"results", "batch_a", "-o", path}, http: s.start()}.run(t.Context(), t)
				if r.code != cli.ExitOK {
					t.Fatal(r.session())
				}
				if !bytes.Equal([]byte(read(t, path)), bigAnswers()) {
					t.Error("what arrived is not what was sent")
				}
				var ranges []string
				for _, c := range s.called("GET /files/file-out-batch_a/content") {
					ranges = append(ranges, c[strings.LastIndex(c, " ")+1:])
				}
				if diff := cmp.Diff(tt.ranges, ranges); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// cutStream answers the first call for a file's content as a gateway that knows
// no ranges and streams does: without Content-Length, in chunks, of which the
// last come to be missing, the end not.
func cutStream(header string, length int) func(w http.ResponseWriter, r *http.Request, nth int) bool {
	return func(w http.ResponseWriter, r *http.Request, nth int) bool {
		if !strings.HasSuffix(r.URL.Path, "/content") || nth != 1 {
			return false
		}
		w.Header().Set(header, strconv.Itoa(length))
		_, _ = w.Write(bigAnswers()[:4<<20])
		_ = http.NewResponseController(w).Flush()
		return true
	}
}

// A file that ends early, or is another, is an error, where it cannot be gone on with.
func TestResultsAreHeldToTheBytes(t *testing.T) {
	t.Parallel()
	whole := []byte(answersText)
	sum := sha256.Sum256(whole)
	digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	other := bytes.Replace(whole, []byte("a"), []byte("b"), 1)
	for name, tt := range map[string]struct {
		header map[string]string
		body   []byte
		want   string // in the error; empty: none
	}{
		"whole":                        {map[string]string{"X-Musketry-Content-Length": strconv.Itoa(len(whole)), "Repr-Digest": digest}, whole, ""},
		"nothing said":                 {nil, whole, ""},
		"a digest of another sort":     {map[string]string{"Repr-Digest": "md5=:AA==:, sha-256=?1"}, whole, ""},
		"shorter":                      {map[string]string{"X-Musketry-Content-Length": strconv.Itoa(len(whole) + 1)}, whole, "unexpected EOF"},
		"longer":                       {map[string]string{"X-Musketry-Content-Length": strconv.Itoa(len(whole) - 1)}, whole, "is not the file that the server has"},
		"shorter, only by its digest":  {map[string]string{"Repr-Digest": digest}, whole[:len(whole)-1], "its SHA-256 is"},
		"of this length, and another":  {map[string]string{"X-Musketry-Content-Length": strconv.Itoa(len(whole)), "Repr-Digest": digest}, other, "its SHA-256 is"},
		"a range of which another was": {map[string]string{"Content-Range": fmt.Sprintf("bytes 0-%d/%d", len(other)-1, len(other)), "Repr-Digest": digest}, other, "its SHA-256 is"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := ended(t, batchRun{total: 1, perSecond: 1, output: whole})
				s.intercept = func(w http.ResponseWriter, r *http.Request, _ int) bool {
					if !strings.HasSuffix(r.URL.Path, "/content") {
						return false
					}
					for name, value := range tt.header {
						w.Header().Set(name, value)
					}
					if tt.header["Content-Range"] != "" {
						w.WriteHeader(http.StatusPartialContent)
					}
					_, _ = w.Write(tt.body)
					_ = http.NewResponseController(w).Flush()
					return true
				}
				path := filepath.Join(t.TempDir(), "answers.jsonl")
				r := call{args: []string{"results", "batch_a", "-o", path}, http: s.start()}.run(t.Context(), t)
				_, err := os.Stat(path)
				switch {
				case tt.want == "" && (r.code != cli.ExitOK || read(t, path) != string(whole)):
					t.Error(r.session())
				case tt.want != "" && (r.code != cli.ExitError || err == nil || !strings.Contains(r.stderr, tt.want)):
					t.Errorf("code %d, want %q: %s", r.code, tt.want, r.stderr)
				}
			})
		})
	}
}

// What was there stays when the new file does not come to be.
func TestResultsKeepTheOldFile(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]func(w http.ResponseWriter){
		"gone": func(w http.ResponseWriter) { fail(w, http.StatusNotFound, "No such File object.") },
		"wrong range": func(w http.ResponseWriter) {
			w.Header().Set("Content-Range", "bytes 0-3/8")
			w.WriteHeader(http.StatusPartialContent)
		},
		"no range": func(w http.ResponseWriter) { w.WriteHeader(http.StatusPartialContent) },
		"always broken": func(w http.ResponseWriter) {
			w.Header().Set("Content-Range", "bytes 4194304-8388607/9999999")
			w.WriteHeader(http.StatusPartialContent)
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := ended(t, batchRun{total: 1, perSecond: 1, output: bigAnswers()})
				s.intercept = func(w http.ResponseWriter, r *http.Request, nth int) bool {
					if !strings.HasSuffix(r.URL.Path, "/content") || nth < 2 {
						return false
					}
					reply(w)
					return true
				}
				path := filepath.Join(t.TempDir(), "answers.jsonl")
				if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
					t.Fatal(err)
				}
				r := call{args: []string{"results", "batch_a", "-o", path}, http: s.start()}.run(t.Context(), t)
				if r.code != cli.ExitError || read(t, path) != "old" {
					t.Errorf("code %d, file %.40q, %s", r.code, read(t, path), r.stderr)
				}
				if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
				if n := len(s.called("GET /files")); n > 10 {
					t.Errorf("%d calls", n)
				}
			})
		})
	}
}

// A device is written, not replaced.
func TestResultsToADevice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := ended(t, batchRun{total: 1, perSecond: 1, output: []byte(answersText)})
		r := call{args: []string{"results", "batch_a", "-o", os.DevNull}, http: s.start()}.run(t.Context(), t)
		if r.code != cli.ExitOK {
			t.Error(r.session())
		}
		if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
			t.Fatalf("%s was replaced: %v", os.DevNull, err)
		}
	})
}
