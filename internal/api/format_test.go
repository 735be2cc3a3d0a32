package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/api"
)

// namesOfClients are what clients call the bytes that they are handed, and what people call a file of requests.
func namesOfClients() []string {
	return []string{
		"upload", "3", "unknown_file", "anonymous_file", "file", "blob", "tmpk3v1a2b9", "requests", "requests.jsonl", "REQUESTS.JSONL",
		"requests.json", "requests.ndjson", "requests.txt", "batch.2026-03-04", "a.b.c", ".jsonl", ".gz", "ü 😀", "requests.jsonl.bak",
	}
}

// namesOfOthers are names that say that a file is something else, and where they end.
func namesOfOthers() map[string]string {
	return map[string]string{
		"a.csv": ".csv", "a.CSV": ".csv", "a.tsv": ".tsv", "a.xls": ".xls", "a.xlsx": ".xlsx", "a.pdf": ".pdf", "a.parquet": ".parquet",
		"a.zip": ".zip", "a.jsonl.zip": ".zip", "a.csv.gz": ".csv", "a.tar.gz": ".tar", "a.tgz": ".tgz", "a.jsonl.zst": ".zst",
		"a.jsonl.xz": ".xz", "a.docx": ".docx", "a.xml": ".xml", "a.7z": ".7z",
	}
}

func TestContentDecidesNotTheName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range namesOfClients() {
		body, kind := formOf(t, name, line, "purpose", "batch")
		r := w.ask(ask{method: "POST", path: "/v1/files", key: w.alice, kind: kind, body: body})
		if r.Code != http.StatusOK && name != ".gz" {
			t.Errorf("%q: %d %s", name, r.Code, r.errorMessage())
			continue
		}
		got := w.get("/v1/files/" + r.text("id") + "/content").want(200)
		if got.Body.String() != line || got.Header().Get("Content-Type") != "application/jsonl" || r.text("filename") != name {
			t.Errorf("%q: %q, a %s called %s", name, got.Body, got.Header().Get("Content-Type"), r.text("filename"))
		}
		// The same as an upload.
		if u := w.post("/v1/uploads", uploadNamed(name)); u.Code != http.StatusOK || u.text("filename") != name {
			t.Errorf("%q as an upload: %d %s", name, u.Code, u.errorMessage())
		}
	}
	for name, ending := range namesOfOthers() {
		body, kind := formOf(t, name, line, "purpose", "batch")
		want := "its name ends in " + ending + ". Must be .jsonl"
		w.ask(ask{method: "POST", path: "/v1/files", key: w.alice, kind: kind, body: body}).
			refused(400, "file", "invalid_file_format", want)
		w.post("/v1/uploads", uploadNamed(name)).refused(400, "filename", "invalid_file_format", want)
		body, kind = formOf(t, name, line, "purpose", "user_data")
		w.ask(ask{method: "POST", path: "/v1/files", key: w.alice, kind: kind, body: body}).want(200)
	}
	body, kind := formOf(t, "", line, "purpose", "batch")
	w.ask(ask{method: "POST", path: "/v1/files", key: w.alice, kind: kind, body: body}).
		refused(400, "file", "invalid_value", "names no filename")
}

func uploadNamed(name string) string {
	return fmt.Sprintf(`{"filename":%q,"purpose":"batch","bytes":%d,"mime_type":"application/octet-stream"}`, name, len(line))
}

// TestCompressedContentIsUnpackedUnderAnyName has a compressed file under the names that clients give bytes.
func TestCompressedContentIsUnpackedUnderAnyName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, want := range map[string]string{
		"upload": "upload", "in.jsonl": "in.jsonl", "in.jsonl.gz": "in.jsonl", "in.GZ": "in", ".gz": ".gz",
	} {
		body, kind := formOf(t, name, packed(t, line), "purpose", "batch")
		r := w.ask(ask{method: "POST", path: "/v1/files", key: w.alice, kind: kind, body: body}).want(200)
		if got := w.get("/v1/files/" + r.text("id") + "/content").Body.String(); got != line || r.text("filename") != want {
			t.Errorf("%s: %q, called %s", name, got, r.text("filename"))
		}
	}
	body, kind := formOf(t, "upload", packed(t, line)[:20], "purpose", "batch")
	w.ask(ask{method: "POST", path: "/v1/files", key: w.alice, kind: kind, body: body}).
		refused(400, "file", "invalid_file_format", "begins as a gzip file does, but gunzip cannot unpack it: it ends too early")
	body, kind = formOf(t, "cat.gz", packed(t, line), "purpose", "vision")
	r := w.ask(ask{method: "POST", path: "/v1/files", key: w.alice, kind: kind, body: body}).want(200)
	if got := w.get("/v1/files/" + r.text("id") + "/content").Body.String(); got != packed(t, line) {
		t.Errorf("a file for something else has become %q", got)
	}
}

// TestBadFilesAreExplained has what people take for JSONL, under a name that says so. What was wrong is told with the line,
// and how to mend it.
func TestBadFilesAreExplained(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ content, want string }{
		"nothing":               {"", "it is empty. Write one request on each line."},
		"a mark only":           {"\uFEFF", "nothing but blank lines"},
		"blank lines":           {"\n \t\r\n\n", "nothing but blank lines"},
		"UTF-16":                {"\xff\xfe{\x00\"\x00", "looks like text in UTF-16, which is not UTF-8"},
		"UTF-16, the other way": {"\xfe\xff\x00{\x00\"", "looks like text in UTF-16"},
		"UTF-16 without a mark": {"{\x00\"\x00", "looks like text in UTF-16"},
		"UTF-32":                {"\xff\xfe\x00\x00{\x00\x00\x00", "looks like text in UTF-32"},
		"Windows-1252":          {strings.Replace(line, `"a"`, "\"caf\xe9\"", 1), "line 1 is not parseable as valid JSON. It is not UTF-8: byte 18 is none"},
		"CSV":                   {"custom_id,prompt\na,hello\n", "line 1 is not parseable as valid JSON. It does not begin as JSON does: a line of CSV"},
		"CSV behind blanks":     {"\n\n1,hello\n", "line 3 is not parseable as valid JSON. It goes on behind its first value, at byte 2, as a line of CSV does"},
		"pretty-printed":        {"{\n  \"custom_id\": \"a\"\n}\n", "line 1 is not parseable as valid JSON. It ends before its value does. A request stands on one line"},
		"a list of requests":    {"[\n" + line + "]\n", "line 1 is not parseable as valid JSON. It ends before"},
		"NaN":                   {`{"custom_id":NaN}`, "line 1 is not parseable as valid JSON. At byte 14 stands NaN or Infinity"},
		"trailing garbage":      {strings.TrimSpace(line) + ";\n", "one request on each line"},
		"20,000 levels":         {strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), "nested deeper than the 10000 levels"},
		"a ZIP archive":         {"PK\x03\x04rest", "looks like a ZIP archive"},
		"a PDF":                 {"%PDF-1.7", "looks like a PDF"},
		"Parquet":               {"PAR1rest", "looks like Parquet"},
		"Zstandard":             {"\x28\xb5\x2f\xfdrest", "Zstandard, which is not unpacked here: use gzip"},
		"gzip in gzip":          {packed(t, packed(t, line)), "gzip, packed twice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			body, kind := formOf(t, "in.jsonl", c.content, "purpose", "batch")
			w.ask(ask{method: "POST", path: "/v1/files", key: w.alice, kind: kind, body: body}).
				refused(400, "file", "invalid_file_format", c.want)
		})
	}
}

// TestLaterLinesAreTheBatchsToJudge demands that an upload is not refused for what a later line has, nor for JSON that is no
// request.
func TestLaterLinesAreTheBatchsToJudge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *api.Deps, c *api.Config) { c.MaxInputBytes = 10 << 20 })
	for _, content := range []string{line + "{\n", "[1,2,3]\n", "null", line + "caf\xe9\n"} {
		w.upload(w.alice, content)
	}
	w.upload(w.alice, `{"custom_id":"`+strings.Repeat("x", 4<<20)+`"}`)
}

// TestNoHalfOfAPairIsStored has texts of the API's own parameters that would be stored as another text.
func TestNoHalfOfAPairIsStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := w.upload(w.alice, line)
	order := func(more string) string { return strings.TrimSuffix(orderOf(file), "}") + "," + more + "}" }
	for body, param := range map[string]string{
		order(`"metadata":{"a":"\ud83d"}`):     "metadata.a",
		order(`"metadata":{"\ud83d":"a"}`):     "metadata",
		order(`"idempotency_key":"\ud83d"`):    "idempotency_key",
		`{"input_file_id":"file-1\ud83d"}`:     "input_file_id",
		order(`"output_expires_after":"\ud8"`): "",
	} {
		code := "invalid_value"
		if param == "" {
			code = "invalid_json"
		}
		w.post("/v1/batches", body).refused(400, param, code, "")
	}
	w.post("/v1/uploads", strings.Replace(uploadNamed("x"), `"x"`, `"\ud83d.jsonl"`, 1)).
		refused(400, "filename", "invalid_value", "half of a surrogate pair")
	r := w.post("/v1/batches", order(`"metadata":{"\ud83d\ude00":"\ud83e\udd13"}`)).want(200)
	if m, _ := r.json["metadata"].(map[string]any); m["😀"] != "🤓" {
		t.Errorf("metadata is %v", r.json["metadata"])
	}
}
