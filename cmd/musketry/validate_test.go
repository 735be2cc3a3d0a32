package main_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"maps"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/cli"
	"github.com/musketry/musketry/internal/submit"
)

// A finding is one error of a file, as the API shows it.
type finding struct {
	Code    string
	Line    int // 0: none
	Param   string
	Message string
}

// A validation is what "musketry validate --json" says.
type validation struct {
	Valid      bool
	Endpoint   string
	Requests   int
	Errors     struct{ Data []finding }
	MoreErrors int `json:"more_errors"`
}

// ask sends a request to the API and decodes its answer, or its error.
func (d *deployment) ask(method, path, kind string, body []byte, answer any) *finding {
	d.t.Helper()
	r := httptest.NewRequestWithContext(d.t.Context(), method, "/v1"+path, bytes.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+d.key)
	r.Header.Set("Content-Type", kind)
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), answer); err != nil {
			d.t.Fatal(err)
		}
		return nil
	}
	var refused struct{ Error finding }
	if err := json.Unmarshal(w.Body.Bytes(), &refused); err != nil || w.Code != http.StatusBadRequest {
		d.t.Fatalf("%s %s answered %d: %s", method, path, w.Code, w.Body)
	}
	return &refused.Error
}

// judge has the server judge a file: it is sent, a batch is made of it, and loaded.
func (d *deployment) judge(name string, content []byte, endpoint string, config submit.LoadConfig) []finding {
	d.t.Helper()
	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	part, err := m.CreateFormFile("file", name)
	if err != nil {
		d.t.Fatal(err)
	}
	_, _ = part.Write(content)
	_ = m.WriteField("purpose", "batch")
	_ = m.Close() // all of it in memory
	var file, made struct{ ID string }
	if refused := d.ask("POST", "/files", m.FormDataContentType(), form.Bytes(), &file); refused != nil {
		return []finding{*refused}
	}
	order := fmt.Sprintf(`{"input_file_id":%q,"endpoint":%q,"completion_window":"24h"}`, file.ID, endpoint)
	if refused := d.ask("POST", "/batches", "application/json", []byte(order), &made); refused != nil {
		return []finding{*refused}
	}
	loader := submit.NewLoader(submit.LoadDeps{
		Store: d.store, Source: d.store, Inputs: d.files, Clock: time.Now, Log: slog.New(slog.DiscardHandler),
	}, config)
	ref := batch.Ref{Tenant: "alice", ID: made.ID}
	if _, err := loader.Load(d.t.Context(), submit.Task{Ref: ref}); err != nil {
		d.t.Fatal(err)
	}
	var shown struct{ Errors struct{ Data []finding } }
	if refused := d.ask("GET", "/batches/"+made.ID, "", nil, &shown); refused != nil {
		d.t.Fatal(refused)
	}
	return shown.Errors.Data
}

// sameVerdict has both judge a file, and returns what they found.
func (d *deployment) sameVerdict(name string, content []byte, config submit.LoadConfig, flags ...string) []finding {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		d.t.Fatal(err)
	}
	var out, problems bytes.Buffer
	code := cli.Run(d.t.Context(), cli.Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &problems},
		append([]string{"validate", path, "--json"}, flags...))
	var v validation
	if err := json.Unmarshal(out.Bytes(), &v); err != nil {
		d.t.Fatalf("%.200q: exit code %d, %v\n%s", content, code, err, &problems)
	}
	if wrong := code != cli.ExitOK; wrong == v.Valid || v.Valid != (len(v.Errors.Data) == 0) {
		d.t.Errorf("%.200q: exit code %d, valid: %v, %d errors", content, code, v.Valid, len(v.Errors.Data))
	}
	endpoint := v.Endpoint
	if endpoint == "" { // no line could be read, so that none matters
		endpoint = "/v1/chat/completions"
	}
	want := d.judge(name, content, endpoint, config)
	if diff := cmp.Diff(append([]finding{}, want...), append([]finding{}, v.Errors.Data...)); diff != "" {
		d.t.Errorf("%s, %.300q: the server finds (-), and validate (+):\n%s", name, content, diff)
	}
	return want
}

const (
	good  = `{"custom_id":"g","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}`
	embed = `{"custom_id":"e%d","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":["a","b","c"]}}`
)

func packed(t *testing.T, content string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Files that no test has as a text, since they are large, packed or have a name.
func TestValidateFindsWhatTheServerFinds(t *testing.T) {
	t.Parallel()
	whole := packed(t, good)
	many := strings.Repeat("{}\n", 250)
	for name, tt := range map[string]struct {
		name    string
		content string
		config  submit.LoadConfig
		flags   []string
		want    []string // codes of the first and the last error
	}{
		"good":            {content: good},
		"no newline, CR":  {content: "\uFEFF" + good + "\r\n\r\n"},
		"Azure's url":     {content: strings.Replace(good, "/v1/chat", "/chat", 1)},
		"a method":        {content: strings.Replace(good, "POST", "GET", 1), want: []string{"invalid_method"}},
		"unknown url":     {content: strings.Replace(good, "/v1/chat/completions", "/v1/rerank", 1), want: []string{"invalid_value"}},
		"videos":          {content: strings.Replace(good, "/v1/chat/completions", "/v1/videos", 1), want: []string{"invalid_value"}},
		"twice":           {content: good + "\n\n" + good, want: []string{"duplicate_custom_id"}},
		"other endpoint":  {content: good + "\n" + fmt.Sprintf(embed, 1), want: []string{"invalid_url"}},
		"a hundred bad":   {content: many, want: []string{"missing_required_parameter", "missing_required_parameter"}},
		"too many":        {content: good + "\n" + many, config: submit.LoadConfig{MaxRequests: 2}, flags: []string{"--max-requests", "2"}, want: []string{"missing_required_parameter", "too_many_requests"}},
		"too many inputs": {content: fmt.Sprintf(embed+"\n"+embed, 1, 2), config: submit.LoadConfig{MaxEmbeddingInputs: 5}, flags: []string{"--max-inputs", "5"}, want: []string{"too_many_inputs"}},
		"a long line":     {content: good + "\n" + good + strings.Repeat(" ", 300_000) + "\n{", config: submit.LoadConfig{MaxLineBytes: 1000}, flags: []string{"--max-line-bytes", "1000"}, want: []string{"line_too_long", "invalid_json_line"}},
		"a name":          {name: "requests.csv", content: good, want: []string{"invalid_file_format"}},
		"gzip":            {name: "requests.jsonl.gz", content: string(whole)},
		"gzip by bytes":   {content: string(whole)},
		"no gzip":         {name: "requests.jsonl.gz", content: good, want: []string{"invalid_file_format"}},
		"gzip cut off":    {content: string(whole[:len(whole)-9]), want: []string{"invalid_file_format"}},
		"gzip damaged":    {content: string(whole[:len(whole)-8]) + "abcdefgh", want: []string{"invalid_file_format"}},
		"gzip twice":      {content: string(packed(t, string(whole))), want: []string{"invalid_file_format"}},
		"gzip, bad":       {name: "r.gz", content: string(packed(t, "{}")), want: []string{"missing_required_parameter"}},
		"empty":           {want: []string{"invalid_file_format"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.name == "" {
				tt.name = "requests.jsonl"
			}
			found := deploy(t).sameVerdict(tt.name, []byte(tt.content), tt.config, tt.flags...)
			var ends []string
			for i, f := range found {
				if i == 0 || i == len(found)-1 {
					ends = append(ends, f.Code)
				}
			}
			if diff := cmp.Diff(tt.want, ends); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A file that is too large is so before any of its lines is bad. The whole of it
// is read, and its lines beyond the hundredth bad one are counted.
func TestValidateCountsOn(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	path := filepath.Join(t.TempDir(), "requests.jsonl")
	if err := os.WriteFile(path, []byte(strings.Repeat("{}\n", 250)), 0o600); err != nil {
		t.Fatal(err)
	}
	var v validation
	if err := json.Unmarshal([]byte(d.musketry(cli.ExitError, nil, "validate", path, "--json")), &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Errors.Data) != batch.MaxErrors || v.MoreErrors != 150 || v.Requests != 250 {
		t.Errorf("%d errors, %d more, %d requests", len(v.Errors.Data), v.MoreErrors, v.Requests)
	}
	v = validation{}
	if err := json.Unmarshal([]byte(d.musketry(cli.ExitError, nil, "validate", path, "--json", "--max-file-bytes", "749")), &v); err != nil {
		t.Fatal(err)
	}
	want := []finding{{Code: "file_too_large", Param: "file", Message: "File is too large. A file of this purpose has at most 749 bytes."}}
	if diff := cmp.Diff(want, v.Errors.Data); diff != "" {
		t.Error(diff)
	}
}

// suites are the packages whose tests have bad files and lines.
func suites() []string {
	return []string{"internal/batch", "internal/submit", "internal/api", "internal/cli", "internal/jsonscan", "internal/execute", "localstack/e2e", "cmd/musketry"}
}

// Every text that a test of those has, as the whole file and as a line of one: it
// is no matter what the test wants of it, both find the same.
func TestValidateOnTheTextsOfAllSuites(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	codes := map[string]bool{}
	texts := textsOf(t, suites()...)
	files := slices.Clone(texts)
	for some := range slices.Chunk(texts, batch.MaxErrors/2) {
		lines := strings.Join(some, "\n") + "\n"
		files = append(files, good+"\n"+lines, fmt.Sprintf(embed, 0)+"\n"+lines)
	}
	for _, content := range files {
		for _, f := range d.sameVerdict("requests.jsonl", []byte(content), submit.LoadConfig{}) {
			codes[f.Code] = true
		}
	}
	t.Logf("%d texts, codes %q", len(texts), slices.Sorted(maps.Keys(codes)))
	if len(texts) < 300 {
		t.Errorf("only %d texts were found", len(texts))
	}
	for _, code := range []string{
		batch.CodeInvalidJSON, batch.CodeMissingParameter, batch.CodeInvalidType, batch.CodeInvalidValue, batch.CodeInvalidURL,
		batch.CodeInvalidRequest, batch.CodeDuplicateCustomID, "invalid_file_format",
	} {
		if !codes[code] {
			t.Errorf("no text is refused with %s", code)
		}
	}
}

// textsOf returns the texts in the tests of packages that could be a file or a line,
// each once: those with a brace, a quote, a line break, or bytes that are no plain text.
func textsOf(t *testing.T, packages ...string) []string {
	t.Helper()
	found := map[string]bool{}
	for _, name := range packages {
		files, err := filepath.Glob(filepath.Join("../..", name, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no tests: %v", name, err)
		}
		for _, path := range files {
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				e, ok := n.(ast.Expr)
				if text, known := constant(e); ok && known {
					if strings.ContainsAny(text, "{\"\n\x00") || !utf8.ValidString(text) {
						found[text] = true
					}
					return false
				}
				return true
			})
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// constant returns the text that an expression of literals is.
func constant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, e.Kind == token.STRING && err == nil
	case *ast.BinaryExpr:
		x, one := constant(e.X)
		y, two := constant(e.Y)
		return x + y, one && two && e.Op == token.ADD
	}
	return "", false
}
