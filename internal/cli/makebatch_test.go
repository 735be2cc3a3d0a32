package cli_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/cli"
)

func TestMakeBatch(t *testing.T) {
	t.Parallel()
	const m = "--model=m"
	for name, tt := range map[string]struct {
		args  []string
		stdin string
	}{
		"csv":        {args: []string{"testdata/make-batch/questions.csv", m, "--system", "Be brief.", "--prompt", "Answer: {{.text}}", "--id", "q{{.id}}"}},
		"jsonl":      {args: []string{"testdata/make-batch/tickets.jsonl", m, "--body", "testdata/make-batch/body.json", "--id", "{{.ticket.id}}"}},
		"text":       {args: []string{"testdata/make-batch/words.txt", m, "--prompt", "{{.text}}", "--url", "/v1/embeddings"}},
		"whole":      {args: []string{"testdata/make-batch/tickets.jsonl", m, "--prompt", "{{.}}", "--url", "/v1/responses", "--system", "{{.body}}", "--first", "1"}},
		"tsv":        {args: []string{"-", m, "--format", "tsv", "--prompt", "{{.b b}}", "--url", "/v1/completions"}, stdin: "a\t b b \n1\tx,y\n"},
		"semicolons": {args: []string{"-", m, "--format", "csv", "--delimiter", ";", "--prompt", "{{.b}}", "--url", "/v1/moderations"}, stdin: "a;b\n1;2\n"},

		"no-column":     {args: []string{"testdata/make-batch/questions.csv", m, "--prompt", "{{.txet}}"}},
		"no-separator":  {args: []string{"-", m, "--format", "csv", "--prompt", "{{.b}}"}, stdin: "a;b\n1;2\n"},
		"no-member":     {args: []string{"-", m, "--format", "jsonl", "--prompt", "{{.a.b}}"}, stdin: `{"a":{"b":1}}` + "\n\n" + `{"a":{"c":1}}`},
		"no-object":     {args: []string{"-", m, "--format", "jsonl", "--prompt", "{{.a}}"}, stdin: "\n[1]"},
		"no-json":       {args: []string{"-", m, "--format", "jsonl", "--prompt", "{{.a}}"}, stdin: "{'a': 1}"},
		"no-text":       {args: []string{"testdata/make-batch/words.txt", m, "--prompt", "{{.word}}"}},
		"twice":         {args: []string{"testdata/make-batch/questions.csv", m, "--prompt", "{{.text}}", "--id", "same"}},
		"empty-id":      {args: []string{"testdata/make-batch/questions.csv", m, "--prompt", "{{.text}}", "--id", "{{.note}}"}},
		"no-model":      {args: []string{"testdata/make-batch/questions.csv", "--prompt", "{{.text}}"}},
		"ragged":        {args: []string{"-", m, "--format", "csv", "--prompt", "{{.a}}"}, stdin: "a,b\n1,2\n3\n"},
		"quote":         {args: []string{"-", m, "--format", "csv", "--prompt", "{{.a}}"}, stdin: "a,b\n1,\"2\n"},
		"bare-quote":    {args: []string{"-", m, "--format", "csv", "--prompt", "{{.a}}"}, stdin: "a,b\n1,2\"3\n"},
		"two-columns":   {args: []string{"-", m, "--format", "csv", "--prompt", "{{.a}}"}, stdin: "a,a\n1,2\n"},
		"latin1":        {args: []string{"-", m, "--format", "csv", "--prompt", "{{.a}}"}, stdin: "a,b\n\xfc,2\n"},
		"utf16":         {args: []string{"-", m, "--format", "csv", "--prompt", "{{.a}}"}, stdin: "\xff\xfea\x00,\x00"},
		"only-header":   {args: []string{"-", m, "--format", "csv", "--prompt", "{{.a}}"}, stdin: "a,b\n"},
		"nothing":       {args: []string{"-", m, "--format", "csv", "--prompt", "{{.a}}"}},
		"csv-whole":     {args: []string{"testdata/make-batch/questions.csv", m, "--prompt", "{{.}}"}},
		"too-many":      {args: []string{"testdata/make-batch/words.txt", m, "--prompt", "{{.}}", "--max-requests", "2"}},
		"too-large":     {args: []string{"testdata/make-batch/words.txt", m, "--prompt", "{{.}}", "--max-file-bytes", "150"}},
		"long-line":     {args: []string{"testdata/make-batch/words.txt", m, "--prompt", "{{.}}", "--max-line-bytes", "50"}},
		"no-prompt":     {args: []string{"testdata/make-batch/words.txt", m}},
		"both":          {args: []string{"testdata/make-batch/words.txt", "--prompt", "{{.}}", "--body", "x"}},
		"bad-pattern":   {args: []string{"testdata/make-batch/words.txt", m, "--prompt", "{{text}}"}},
		"open-pattern":  {args: []string{"testdata/make-batch/words.txt", m, "--prompt", "{{.text"}},
		"bad-url":       {args: []string{"testdata/make-batch/words.txt", m, "--prompt", "x", "--url", "/v1/rerank"}},
		"no-shape":      {args: []string{"testdata/make-batch/words.txt", m, "--prompt", "x", "--url", "/v1/rerank", "--extra-endpoint", "/v1/rerank"}},
		"no-system":     {args: []string{"testdata/make-batch/words.txt", m, "--prompt", "x", "--system", "y", "--url", "/v1/embeddings"}},
		"bad-format":    {args: []string{"testdata/make-batch/words.txt", m, "--prompt", "x", "--format", "xlsx"}},
		"bad-delimiter": {args: []string{"testdata/make-batch/words.txt", m, "--prompt", "x", "--delimiter", ";;"}},
		"bad-body":      {args: []string{"testdata/make-batch/words.txt", m, "--body", "testdata/validate/bad.jsonl"}},
		"no-body":       {args: []string{"testdata/make-batch/words.txt", m, "--body", "testdata/nothing.json"}},
		"json-stdout":   {args: []string{"testdata/make-batch/words.txt", m, "--prompt", "x", "--json"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := call{args: append([]string{"make-batch"}, tt.args...), stdin: strings.NewReader(tt.stdin), noEnv: true}.run(t.Context(), t)
			golden(t, "make-batch/"+name, r.session())
		})
	}
}

// A file is written whole or not at all, and what is written is good.
func TestMakeBatchWritesAFile(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "requests.jsonl")
	args := []string{"make-batch", "testdata/make-batch/questions.csv", "--model", "m", "--prompt", "{{.text}}", "-o", out}
	if r := (call{args: append(args, "--id", "same"), noEnv: true}).run(t.Context(), t); r.code != cli.ExitError {
		t.Error(r.session())
	}
	if files, err := os.ReadDir(filepath.Dir(out)); err != nil || len(files) != 0 {
		t.Errorf("%v, %v", files, err)
	}
	r := call{args: append(args, "--json"), noEnv: true}.run(t.Context(), t)
	var made struct {
		File     string
		Requests int
		Bytes    int64
	}
	if err := json.Unmarshal([]byte(r.stdout), &made); err != nil || r.code != cli.ExitOK {
		t.Fatal(err, r.session())
	}
	info, err := os.Stat(out)
	if err != nil || made.File != out || made.Requests != 3 || made.Bytes != info.Size() {
		t.Errorf("%+v, %v", made, err)
	}
	if r := (call{args: []string{"validate", out}, noEnv: true}).run(t.Context(), t); r.code != cli.ExitOK {
		t.Error(r.session())
	}
}

// hostile are values that would break JSON, a template or a line if they were put in as they are.
func hostile() []string {
	return []string{
		`"`, `\`, `\"`, "\n", "\r\n", "\x00", "\x1f", "\u2028", "{{.b}}", `{{"{{"}}`, "}}", `","model":"evil`, `"}]}}`, "\uFEFF", "</script>", "😀",
		"$(rm -rf /)", "%s%d", "null", "",
	}
}

// Whatever a value holds, the request has it as a text, and nothing else.
func TestMakeBatchPutsInText(t *testing.T) {
	t.Parallel()
	for i, value := range hostile() {
		row, err := json.Marshal(map[string]string{"a": value, "b": "B"})
		if err != nil {
			t.Fatal(err)
		}
		r := call{
			args: []string{
				"make-batch", "-", "--format", "jsonl", "--model", `m"{{.a}}`, "--prompt", "<{{.a}}|{{.b}}>", "--id", "x{{.a}}",
			},
			stdin: bytes.NewReader(row), noEnv: true,
		}.run(t.Context(), t)
		var line struct {
			CustomID string `json:"custom_id"`
			Body     struct {
				Model    string
				Messages []struct{ Role, Content string }
			}
		}
		if err := json.Unmarshal([]byte(r.stdout), &line); err != nil || strings.Count(r.stdout, "\n") != 1 {
			t.Fatal(i, err, r.session())
		}
		if line.CustomID != "x"+value || line.Body.Model != `m"{{.a}}` || len(line.Body.Messages) != 1 || line.Body.Messages[0].Content != "<"+value+"|B>" {
			t.Errorf("%d: %+v", i, line)
		}
	}
}

func TestMakeBatchOfGzip(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "rows.csv.gz")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, "a\nx\n")
	_ = z.Close() // in memory
	for name, content := range map[string][]byte{"1 request to /v1/chat/completions": packed.Bytes(), "ends too early": packed.Bytes()[:20]} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		r := call{args: []string{"make-batch", path, "--model", "m", "--prompt", "{{.a}}"}, noEnv: true}.run(t.Context(), t)
		if !strings.Contains(r.stderr, name) {
			t.Error(r.session())
		}
	}
}

// rows makes a table of so many rows, each of 100 KB, as it is read.
type rows struct {
	n, most int
	rest    string
}

func (r *rows) Read(p []byte) (int, error) {
	switch {
	case r.rest != "":
	case r.n == 0:
		r.rest, r.n = "id,text\n", 1
	case r.n > r.most:
		return 0, io.EOF
	default:
		r.rest, r.n = fmt.Sprintf("%d,%0100000d\n", r.n, r.n), r.n+1
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// A table of any length takes little memory: what is kept of a request is its custom_id's digest.
func TestMakeBatchStreams(t *testing.T) { //nolint:paralleltest // it measures the process's memory
	const n = 1_000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := call{
		args:  []string{"make-batch", "-", "--format", "csv", "--model", "m", "--prompt", "{{.text}}", "--id", "{{.id}}", "-o", os.DevNull},
		stdin: &rows{most: n}, noEnv: true,
	}.run(t.Context(), t)
	runtime.ReadMemStats(&after)
	if r.code != cli.ExitOK || !strings.Contains(r.stderr, fmt.Sprintf("%d requests", n)) {
		t.Fatal(r.session())
	}
	if grown := after.HeapSys - min(before.HeapSys, after.HeapSys); grown > 32<<20 {
		t.Errorf("the heap grew by %d bytes for 100 MB of requests", grown)
	}
}
