//go:build e2e

package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
)

// TestNamesOfClients uploads what Python's SDKs name themselves.
func TestNamesOfClients(t *testing.T) {
	t.Parallel()
	for name, variableName := range map[string]string{"newest": "MUSKETRY_E2E_PYTHON", "1.109.1": "MUSKETRY_E2E_PYTHON_1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runSDK(t, variable(t, variableName), "testdata/names.py")
		})
	}
}

// TestAzureOpenAI runs a batch with Azure's clients of Python and Node, given the address without a stage, and the base URL too.
func TestAzureOpenAI(t *testing.T) {
	t.Parallel()
	base := variable(t, "OPENAI_BASE_URL")
	for kind, endpoint := range map[string]string{"the address": strings.TrimSuffix(base, "/v1"), "the base URL": base} {
		for name, variableName := range map[string]string{"newest": "MUSKETRY_E2E_PYTHON", "1.109.1": "MUSKETRY_E2E_PYTHON_1"} {
			t.Run(kind+"/python "+name, func(t *testing.T) {
				t.Parallel()
				runSDK(t, variable(t, variableName), "testdata/azure.py", endpoint, variable(t, "OPENAI_API_KEY"))
			})
		}
		for _, name := range []string{"openai", "openai-6"} {
			t.Run(kind+"/node "+name, func(t *testing.T) {
				t.Parallel()
				runSDK(t, "node", "testdata/azure.mjs", variable(t, "MUSKETRY_E2E_NODE_MODULES"), name, endpoint, variable(t, "OPENAI_API_KEY"))
			})
		}
	}
}

// sendForm uploads content with more fields, names and values in turn, and gives the answer.
func sendForm(t *testing.T, filename, content string, fields ...string) (int, map[string]any) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for pair := range slices.Chunk(fields, 2) {
		if err := m.WriteField(pair[0], pair[1]); err != nil {
			t.Fatal(err)
		}
	}
	part, err := m.CreateFormFile("file", filename)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	status, answer := send(t, http.MethodPost, variable(t, "OPENAI_BASE_URL")+"/files", variable(t, "OPENAI_API_KEY"),
		m.FormDataContentType(), b.Bytes())
	var told map[string]any
	if err := json.Unmarshal(answer, &told); err != nil {
		t.Fatalf("%d %.300s: %v", status, answer, err)
	}
	return status, told
}

// refusedAs demands an error of a code whose message has all of the words.
func refusedAs(t *testing.T, what string, status int, told map[string]any, code string, words ...string) {
	t.Helper()
	e, _ := told["error"].(map[string]any)
	if status != http.StatusBadRequest || e["code"] != code {
		t.Errorf("%s: %d %v, want %s", what, status, told, code)
	}
	for _, word := range words {
		if !strings.Contains(fmt.Sprint(e["message"]), word) {
			t.Errorf("%s: told %q, want %q in it", what, e["message"], word)
		}
	}
}

// TestFilesThatAreNoJSONL uploads what people take for JSONL: they are told why it is none, and where.
func TestFilesThatAreNoJSONL(t *testing.T) {
	t.Parallel()
	good := jsonl(t, chat("a", "standin", marker(t)))
	for what, c := range map[string]struct {
		content string
		words   []string
	}{
		"an empty file":      {"", []string{"empty"}},
		"blank lines":        {"\n\n \n", []string{"blank lines"}},
		"UTF-16":             {"\xff\xfe{\x00\"\x00a\x00", []string{"UTF-16", "UTF-8"}},
		"Windows-1252":       {strings.Replace(good, `"a"`, "\"caf\xe9\"", 1), []string{"line 1 ", "not UTF-8", "Save the file as UTF-8"}},
		"CSV":                {"custom_id,prompt\na,hello\n", []string{"line 1 ", "CSV"}},
		"pretty-printed":     {"{\n \"custom_id\": \"a\"\n}\n", []string{"line 1 ", "without indentation"}},
		"NaN":                {strings.Replace(good, `"a"`, "NaN", 1), []string{"line 1 ", "NaN"}},
		"trailing garbage":   {strings.TrimSpace(good) + " x\n", []string{"line 1 ", "one request on each line"}},
		"20,000 levels deep": {strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), []string{"line 1 ", "10000 levels"}},
	} {
		status, told := sendForm(t, "requests.jsonl", c.content, "purpose", "batch")
		refusedAs(t, what, status, told, "invalid_file_format", c.words...)
	}
}

// TestBadLinesAreExplained runs a batch of bad lines: each is told by its number what is wrong with it.
func TestBadLinesAreExplained(t *testing.T) {
	t.Parallel()
	c, ctx := newClient(t, "OPENAI_API_KEY"), t.Context()
	good := strings.TrimSpace(jsonl(t, chat("a", "standin", marker(t))))
	with := func(old, replaced string) string { return strings.Replace(good, old, replaced, 1) }
	type want struct{ code, words string }
	lines := []any{good}
	wants := map[int]want{}
	add := func(line, code, words string) {
		lines = append(lines, line)
		wants[len(lines)] = want{code, words}
	}
	add("[1,2,3]", "invalid_json_line", "valid JSON, but an array and no object")
	add("null", "invalid_json_line", "valid JSON, but null and no object")
	add(with(`"a"`, "\"caf\xe9\""), "invalid_json_line", "not UTF-8")
	add(with(`"model":"standin"`, `"model":5`), "invalid_request", "Model parameter is required. It must be a string, but got an integer instead.")
	add(with(`"a"`, `"\ud83d"`), "invalid_value", "half of a surrogate pair")
	add(with(`"a"`, `"\ud83e"`), "invalid_value", "half of a surrogate pair")
	add(good+",", "invalid_json_line", "ends with a comma")
	add(with(`"a"`, "NaN"), "invalid_json_line", "NaN")
	add(with("/v1/chat/completions", "/v1/embeddings"), "invalid_url", "does not match the batch endpoint")
	add(good, "duplicate_custom_id", "line 1's already")
	b := create(ctx, t, c, upload(ctx, t, c, jsonl(t, lines...)), "1h")
	b = await(ctx, t, c, b.ID, patience, ended)
	if b.Status != openai.BatchStatusFailed || len(b.Errors.Data) != len(wants) {
		t.Fatalf("%s, with %d errors, want %d", describe(b), len(b.Errors.Data), len(wants))
	}
	for _, e := range b.Errors.Data {
		want, ok := wants[int(e.Line)]
		if !ok || e.Code != want.code || !strings.Contains(e.Message, want.words) {
			t.Errorf("line %d: %s %q, want %+v", e.Line, e.Code, e.Message, want)
		}
	}
}

// TestParametersThatNobodyReads demands that they are refused by name, however they come, and that a form's nested fields are
// understood however they are written.
func TestParametersThatNobodyReads(t *testing.T) {
	t.Parallel()
	good := jsonl(t, chat("a", "standin", marker(t)))
	for _, fields := range [][]string{
		{"expires_after[anchor]", "created_at", "expires_after[seconds]", "3600"},
		{"expires_after.anchor", "created_at", "expires_after.seconds", "3600"},
		{"expires_after.seconds", "3600", "expires_after[anchor]", "created_at", "target_model_names", "a", "custom_llm_provider", "b"},
		{"expires_after", `{"anchor":"created_at","seconds":3600}`},
	} {
		status, told := sendForm(t, "requests.jsonl", good, append(fields, "purpose", "batch")...)
		created, _ := told["created_at"].(float64)
		if expires, _ := told["expires_at"].(float64); status != http.StatusOK || expires-created != time.Hour.Seconds() {
			t.Errorf("%v: %d %v", fields, status, told)
		}
	}
	status, told := sendForm(t, "requests.jsonl", good, "purpose", "batch", "expires_after.secnds", "3600")
	refusedAs(t, "a form", status, told, "unknown_parameter", "'expires_after[secnds]'", "Did you mean 'expires_after[seconds]'?")
	base, key := variable(t, "OPENAI_BASE_URL"), variable(t, "OPENAI_API_KEY")
	for what, c := range map[string]struct{ method, path, body, words string }{
		"a query":     {http.MethodGet, "/batches?limits=2", "", "Did you mean 'limit'?"},
		"a body":      {http.MethodPost, "/batches", `{"input_file_id":"file-1","metdata":{}}`, "Did you mean 'metadata'?"},
		"an upload's": {http.MethodPost, "/uploads", `{"filename":"a","mimetype":"b"}`, "Did you mean 'mime_type'?"},
		"within it":   {http.MethodPost, "/uploads", `{"filename":"a","purpose":"batch","bytes":1,"mime_type":"b","expires_after":{"secs":1}}`, "Did you mean 'expires_after.seconds'?"},
		"one of many": {http.MethodGet, "/files?order=asc&colour=red", "", "'colour'"},
	} {
		status, answer := send(t, c.method, base+c.path, key, "application/json", []byte(c.body))
		var told map[string]any
		if err := json.Unmarshal(answer, &told); err != nil {
			t.Fatal(err)
		}
		refusedAs(t, what, status, told, "unknown_parameter", c.words)
	}
}

// TestLineWithAnImage sends a line of 12 MB, in parts, and gets its answer.
func TestLineWithAnImage(t *testing.T) {
	t.Parallel()
	c, m, ctx := newClient(t, "OPENAI_API_KEY"), marker(t), t.Context()
	image := strings.Replace(strings.TrimSpace(jsonl(t, chat("image", "standin", m))), "Tell me",
		"data:image/png;base64,"+strings.Repeat("A", 12_000_000), 1)
	b := create(ctx, t, c, uploadParts(ctx, t, c, openai.FilePurposeBatch, []byte(image+"\n"+jsonl(t, chat("small", "standin", m)))), "1h")
	b = await(ctx, t, c, b.ID, patience, ended)
	if got := results(ctx, t, c, b.OutputFileID); b.Status != openai.BatchStatusCompleted || len(got) != 2 || got[0].CustomID != "image" {
		t.Errorf("%s, results of %v", describe(b), customIDs(got))
	}
}
