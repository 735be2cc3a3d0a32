package api_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
)

const line = `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{}}` + "\n"

func TestCreateFileKeepsBytesAndRecord(t *testing.T) {
	t.Parallel()
	for _, purpose := range []string{"batch", "user_data"} {
		t.Run(purpose, func(t *testing.T) {
			t.Parallel()
			createFile(t, purpose)
		})
	}
}

func createFile(t *testing.T, purpose string) {
	t.Helper()
	w := newWorld(t)
	body, kind := formOf(t, "in.jsonl", line, "purpose", purpose)
	r := w.ask(ask{method: "POST", path: "/v1/files", key: w.alice, kind: kind, body: body})
	r.want(http.StatusOK).suits("OpenAIFile")
	created := w.clock().Unix()
	want := map[string]any{
		"id": r.text("id"), "object": "file", "bytes": float64(len(line)), "created_at": float64(created),
		"expires_at": float64(created + 30*24*3600), "filename": "in.jsonl", "purpose": purpose,
		"status": "processed", "status_details": nil,
	}
	if diff := cmp.Diff(want, r.json); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, w.get("/v1/files/"+r.text("id")).want(200).json); diff != "" {
		t.Errorf("retrieved: %s", diff)
	}
	got := w.get("/v1/files/" + r.text("id") + "/content").want(200)
	if got.Body.String() != line || got.Header().Get("Content-Type") != "application/jsonl" {
		t.Errorf("content is %q, a %s", got.Body, got.Header().Get("Content-Type"))
	}
}

// TestFormsOfEveryClient has the bodies that clients were seen to send.
func TestFormsOfEveryClient(t *testing.T) {
	t.Parallel()
	field := func(name, value string) string {
		return "--B\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
	}
	file := "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n" +
		"Content-Type: application/octet-stream\r\n\r\n" + line + "\r\n"
	purpose := field("purpose", "batch")
	life := field("expires_after[anchor]", "created_at") + field("expires_after[seconds]", "7200")
	for name, body := range map[string]string{
		"fields first":        purpose + life + file + "--B--\r\n",
		"file first":          file + purpose + life + "--B--\r\n",
		"file in the middle":  life + file + purpose + "--B--\r\n",
		"an empty line first": "\r\n" + purpose + life + file + "--B--\r\n",
		"a preamble":          "This is a message in parts.\r\n" + purpose + life + file + "--B--\r\n",
		"fields of others":    field("target_model_names", "a,b") + field("custom_llm_provider", "x") + purpose + life + file + "--B--\r\n",
		"nested by dots":      purpose + field("expires_after.seconds", "7200") + field("expires_after.anchor", "created_at") + file + "--B--\r\n",
		"nested either way":   purpose + field("expires_after.seconds", "7200") + field("expires_after[anchor]", "created_at") + file + "--B--\r\n",
		"nested as JSON":      purpose + field("expires_after", `{"anchor": "created_at", "seconds": 7200}`) + file + "--B--\r\n",
		"an epilogue":         purpose + life + file + "--B--\r\nthe end",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.ask(ask{
				method: "POST", path: "/files", key: w.alice, kind: `multipart/form-data; boundary="B"`, body: body,
			}).want(200).suits("OpenAIFile")
			if got := r.number("expires_at") - r.number("created_at"); got != 7200 {
				t.Errorf("the file lives %d s, want 7200", got)
			}
			if got := w.get("/files/" + r.text("id") + "/content").Body.String(); got != line {
				t.Errorf("content is %q", got)
			}
		})
	}
}

// A byte order mark, as Windows' editors write it, is no part of the first line.
func TestCreateFileTakesAByteOrderMark(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body, kind := formOf(t, "a.jsonl", "\uFEFF"+line, "purpose", "batch")
	w.ask(ask{method: "POST", path: "/v1/files", key: w.alice, kind: kind, body: body}).want(http.StatusOK)
}

func TestCreateFileRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		filename, content string
		fields            []string
		status            int
		param, code       string
		message           string
	}{
		"no purpose":      {"a.jsonl", line, nil, 400, "purpose", "missing_required_parameter", "Missing required parameter: 'purpose'."},
		"unknown purpose": {"a.jsonl", line, []string{"purpose", "fun"}, 400, "purpose", "invalid_value", "Invalid value: 'fun'. Supported values are: 'assistants', 'batch'"},
		"output purpose":  {"a.jsonl", line, []string{"purpose", "batch_output"}, 400, "purpose", "invalid_value", "batch_output"},
		"empty":           {"a.jsonl", "", []string{"purpose", "batch"}, 400, "file", "invalid_file_format", "it is empty"},
		"blank":           {"a.jsonl", " \n\r\n", []string{"purpose", "batch"}, 400, "file", "invalid_file_format", "nothing but blank lines"},
		"no JSON":         {"a.jsonl", "custom_id,method\n" + line, []string{"purpose", "batch"}, 400, "file", "invalid_file_format", "line 1 is not parseable as valid JSON. It does not begin as JSON does: a line of CSV"},
		"cut JSON":        {"a.jsonl", `{"custom_id":`, []string{"purpose", "batch"}, 400, "file", "invalid_file_format", "It ends before its value does"},
		"empty picture":   {"a.png", "", []string{"purpose", "vision"}, 400, "file", "empty_file", "The file is empty."},
		"no gzip":         {"a.jsonl.gz", line, []string{"purpose", "batch"}, 400, "file", "invalid_file_format", "gunzip"},
		"no anchor": {
			"a.jsonl", line,
			[]string{"purpose", "batch", "expires_after[seconds]", "3600"},
			400, "expires_after[anchor]", "missing_required_parameter", "expires_after[anchor]",
		},
		"no seconds": {
			"a.jsonl", line,
			[]string{"purpose", "batch", "expires_after[anchor]", "created_at"},
			400, "expires_after[seconds]", "missing_required_parameter", "expires_after[seconds]",
		},
		"bad anchor": {
			"a.jsonl", line,
			[]string{"purpose", "batch", "expires_after[anchor]", "now", "expires_after[seconds]", "3600"},
			400, "expires_after[anchor]", "invalid_value", "'created_at'",
		},
		"no JSON for a life": {
			"a.jsonl", line,
			[]string{"purpose", "batch", "expires_after", "3600s"},
			400, "expires_after", "invalid_type", `{"anchor":"created_at","seconds":3600}`,
		},
		"a number for a life": {
			"a.jsonl", line,
			[]string{"purpose", "batch", "expires_after", "3600"},
			400, "expires_after", "invalid_type", "expected an object, but got an integer",
		},
		"a short life in JSON": {
			"a.jsonl", line,
			[]string{"purpose", "batch", "expires_after", `{"anchor":"created_at","seconds":60}`},
			400, "expires_after.seconds", "integer_below_min_value", "3600",
		},
		"seconds alone by a dot": {
			"a.jsonl", line,
			[]string{"purpose", "batch", "expires_after.seconds", "3600"},
			400, "expires_after[anchor]", "missing_required_parameter", "expires_after[anchor]",
		},
		"a life twice": {
			"a.jsonl", line,
			[]string{"purpose", "batch", "expires_after.seconds", "3600", "expires_after[seconds]", "7200"},
			400, "expires_after[seconds]", "invalid_value", "more than once",
		},
		"a life whole and in parts": {
			"a.jsonl", line,
			[]string{"purpose", "batch", "expires_after", "{}", "expires_after[seconds]", "7200"},
			400, "expires_after", "invalid_value", "more than once",
		},
		"a purpose twice": {
			"a.jsonl", line,
			[]string{"purpose", "batch", "purpose", "vision"},
			400, "purpose", "invalid_value", "more than once",
		},
		"text for seconds": {
			"a.jsonl", line,
			[]string{"purpose", "batch", "expires_after[anchor]", "created_at", "expires_after[seconds]", "1h"},
			400, "expires_after[seconds]", "invalid_type", "expected an integer",
		},
		"too short a life": {
			"a.jsonl", line,
			[]string{"purpose", "batch", "expires_after[anchor]", "created_at", "expires_after[seconds]", "3599"},
			400, "expires_after[seconds]", "integer_below_min_value", "3600",
		},
		"too long a life": {
			"a.jsonl", line,
			[]string{"purpose", "batch", "expires_after[anchor]", "created_at", "expires_after[seconds]", "2592001"},
			400, "expires_after[seconds]", "integer_above_max_value", "2592000",
		},
		"too large for its purpose": {"a.jsonl", strings.Repeat(line, 20), []string{"purpose", "batch"}, 400, "file", "file_too_large", "File is too large."},
		"too large a request":       {"a.jsonl", strings.Repeat(line, 60), []string{"purpose", "batch"}, 413, "", "request_too_large", "POST /v1/uploads"},
		"a long field":              {"a.jsonl", line, []string{"purpose", strings.Repeat("x", 70_000)}, 413, "", "request_too_large", "larger"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(_ *api.Deps, c *api.Config) { c.MaxBody, c.MaxInputBytes = 4000, 1000 })
			body, kind := formOf(t, c.filename, c.content, c.fields...)
			r := w.ask(ask{method: "POST", path: "/v1/files", key: w.alice, kind: kind, body: body})
			r.refused(c.status, c.param, c.code, c.message)
			// The same without a Content-Length, as Node streams.
			req := ask{method: "POST", path: "/v1/files", key: w.alice, kind: kind, body: body}
			w.chunked(req).refused(c.status, c.param, c.code, c.message)
			if ids := w.get("/v1/files").ids(); len(ids) != 0 || len(w.files.Keys()) != 0 {
				t.Errorf("a refused file left %v and %v", ids, w.files.Keys())
			}
		})
	}
}

func TestBrokenForms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	whole := "--B\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--B--\r\n"
	file := "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n" + line + "\r\n"
	for name, c := range map[string]struct {
		kind, body string
		status     int
		code       string
	}{
		"no form":        {"application/json", "{}", 415, "unsupported_content_type"},
		"no type":        {"", whole, 415, "unsupported_content_type"},
		"no boundary":    {"multipart/form-data", whole, 400, "invalid_body"},
		"other boundary": {"multipart/form-data; boundary=C", whole, 400, "invalid_body"},
		"nothing":        {"multipart/form-data; boundary=B", "", 400, "invalid_body"},
		"cut":            {"multipart/form-data; boundary=B", whole[:40], 400, "invalid_body"},
		"no file":        {"multipart/form-data; boundary=B", whole, 400, "missing_required_parameter"},
		"two files":      {"multipart/form-data; boundary=B", file + file + whole, 400, "invalid_value"},
		"many parts": {"multipart/form-data; boundary=B", strings.Repeat(
			"--B\r\nContent-Disposition: form-data; name=\"target_model_names\"\r\n\r\n1\r\n", 60) + whole, 400, "invalid_body"},
		"a part without a name": {
			"multipart/form-data; boundary=B",
			"--B\r\nContent-Disposition: form-data; filename=\"a.jsonl\"\r\n\r\n" + line + "\r\n" + whole, 400, "unknown_parameter",
		},
		"a field for a file": {
			"multipart/form-data; boundary=B",
			"--B\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n" + line + "\r\n" + whole, 400, "invalid_value",
		},
	} {
		w.ask(ask{method: "POST", path: "/v1/files", key: w.alice, kind: c.kind, body: c.body}).
			refused(c.status, "*", c.code, "")
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

func TestCompressedInputIsUnpacked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *api.Deps, c *api.Config) { c.MaxInputBytes = 10 << 20 })
	content := strings.Repeat(line, 9<<20/len(line)) // more than a part of an object
	body, kind := formOf(t, "in.jsonl.gz", packed(t, content), "purpose", "batch")
	r := w.ask(ask{method: "POST", path: "/v1/files", key: w.alice, kind: kind, body: body}).want(200)
	if r.number("bytes") != int64(len(content)) || r.text("filename") != "in.jsonl" {
		t.Errorf("the file is %v", r.json)
	}
	stored, err := w.files.Read(t.Context(), batch.FileKey("alice", r.text("id")), 0, int64(len(content)))
	if err != nil || string(stored) != content {
		t.Errorf("stored content differs: %v", err)
	}
	// What unpacks to more than is allowed ends before it fills the memory.
	body, kind = formOf(t, "bomb.jsonl.gz", packed(t, strings.Repeat(line, 11<<20/len(line))), "purpose", "batch")
	w.ask(ask{method: "POST", path: "/v1/files", key: w.alice, kind: kind, body: body}).
		refused(400, "file", "file_too_large", "File is too large.")
	body, kind = formOf(t, "cut.jsonl.gz", packed(t, content)[:1000], "purpose", "batch")
	w.ask(ask{method: "POST", path: "/v1/files", key: w.alice, kind: kind, body: body}).
		refused(400, "file", "invalid_file_format", "gunzip")
	if n := len(w.files.Keys()); n != 1 {
		t.Errorf("%d objects are left, want 1", n)
	}
}

func packed(t *testing.T, content string) string {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	_, err = z.Write([]byte(content))
	if err != nil || z.Close() != nil {
		t.Fatal("gzip failed")
	}
	return b.String()
}

func TestListFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.get("/v1/files").want(200).suits("ListFilesResponse")
	if diff := cmp.Diff(map[string]any{
		"object": "list", "data": []any{}, "first_id": nil, "last_id": nil, "has_more": false,
	}, r.json); diff != "" {
		t.Error(diff)
	}
	var newest []string
	for range 5 {
		w.advance(time.Second)
		newest = append([]string{w.upload(w.alice, line)}, newest...)
	}
	body, kind := formOf(t, "cat.png", "\x89PNG", "purpose", "vision")
	w.advance(time.Second)
	vision := w.ask(ask{method: "POST", path: "/v1/files", key: w.alice, kind: kind, body: body}).want(200).text("id")
	w.upload(w.bob, line)

	oldest := slices.Clone(newest)
	slices.Reverse(oldest)
	for query, want := range map[string]struct {
		ids  []string
		more bool
	}{
		"":                                      {append([]string{vision}, newest...), false},
		"?purpose=batch":                        {newest, false},
		"?purpose=vision":                       {[]string{vision}, false},
		"?purpose=nothing":                      {[]string{}, false},
		"?limit=2":                              {[]string{vision, newest[0]}, true},
		"?limit=10000&order=asc&purpose=batch":  {oldest, false},
		"?limit=2&after=" + newest[0]:           {newest[1:3], true},
		"?order=asc&limit=2&after=" + oldest[2]: {[]string{oldest[3], oldest[4]}, true},
		"?order=asc&after=" + vision:            {[]string{}, false},
		"?limit=2&after=" + newest[2]:           {newest[3:5], false},
	} {
		r := w.get("/v1/files" + query).want(200).suits("ListFilesResponse")
		if diff := cmp.Diff(want.ids, r.ids()); diff != "" || r.json["has_more"] != want.more {
			t.Errorf("%s: has_more is %v: %s", query, r.json["has_more"], diff)
		}
		if n := len(want.ids); n > 0 && (r.text("first_id") != want.ids[0] || r.text("last_id") != want.ids[n-1]) {
			t.Errorf("%s: first and last are %v, %v", query, r.json["first_id"], r.json["last_id"])
		}
	}
	for query, param := range map[string]string{
		"?limit=0": "limit", "?limit=10001": "limit", "?limit=ten": "limit", "?limit=99999999999": "limit",
		"?order=up": "order", "?after=batch_1": "after", "?after=2": "after", "?limit=%zz": "",
	} {
		w.get("/v1/files"+query).refused(400, param, "*", "")
	}
}

// TestListFilesHidesTheExpired lists pages of which some files are hidden.
func TestListFilesHidesTheExpired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var kept []string
	for i := range 6 {
		w.advance(time.Second)
		seconds := "3600"
		if i%2 == 0 {
			seconds = "7200"
		}
		body, kind := formOf(t, "in.jsonl", line, "purpose", "batch",
			"expires_after[anchor]", "created_at", "expires_after[seconds]", seconds)
		id := w.ask(ask{method: "POST", path: "/files", key: w.alice, kind: kind, body: body}).want(200).text("id")
		if i%2 == 0 {
			kept = append(kept, id)
		}
	}
	w.advance(time.Hour)
	slices.Reverse(kept)
	r := w.get("/v1/files?limit=2").want(200)
	if diff := cmp.Diff(kept[:2], r.ids()); diff != "" || r.json["has_more"] != true {
		t.Error(diff, r.json["has_more"])
	}
	if diff := cmp.Diff(kept[2:], w.get("/v1/files?limit=2&after="+r.text("last_id")).ids()); diff != "" {
		t.Error(diff)
	}
	w.advance(time.Hour)
	if ids := w.get("/v1/files").ids(); len(ids) != 0 {
		t.Errorf("expired files are listed: %v", ids)
	}
}

func TestExpiredFilesAreGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.upload(w.alice, line)
	w.advance(30*24*time.Hour - time.Second)
	w.get("/v1/files/" + id).want(200)
	w.advance(time.Second)
	w.get("/v1/files/"+id).refused(404, "id", "", "No such File object: "+id)
	w.get("/v1/files/"+id+"/content").refused(404, "id", "", "No such File object")
	w.post("/v1/batches", orderOf(id)).refused(404, "input_file_id", "", "No such File object")
}

func TestDeleteFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.upload(w.alice, line)
	r := w.ask(ask{method: "DELETE", path: "/v1/files/" + id, key: w.alice}).want(200).suits("DeleteFileResponse")
	if diff := cmp.Diff(map[string]any{"id": id, "object": "file", "deleted": true}, r.json); diff != "" {
		t.Error(diff)
	}
	if keys := w.files.Keys(); len(keys) != 0 {
		t.Errorf("content is left: %v", keys)
	}
	w.get("/v1/files/"+id).refused(404, "id", "", "No such File object")
	w.ask(ask{method: "DELETE", path: "/v1/files/" + id, key: w.alice}).refused(404, "id", "", "No such File object")
}

func TestFilesInUseStay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, file := w.order(w.alice)
	gone := func() reply { return w.ask(ask{method: "DELETE", path: "/v1/files/" + file, key: w.alice}) }
	gone().refused(409, "id", "file_in_use", id)
	w.advance(40 * 24 * time.Hour)
	w.get("/v1/files/" + file + "/content").want(200) // the batch prolongs its life
	// Whoever ends a batch takes the pin off. Here that crashed, and the batch has ended.
	w.change(id, func(b *batch.Batch) {
		if err := b.Fail(batch.FailInput, nil, w.clock()); err != nil {
			t.Error(err)
		}
	})
	w.get("/v1/files/"+file).refused(404, "id", "", "No such File object")
	gone().want(200)
	if keys := w.files.Keys(); len(keys) != 0 {
		t.Errorf("content is left: %v", keys)
	}
}

// TestOrphanPins has pins of batches that never came to be, as a crash
// between an acceptance's writes leaves them.
func TestOrphanPins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := w.upload(w.alice, line)
	orphan, err := batch.NewID(batch.PrefixBatch, w.clock(), zeros{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.store.UpdateFile(t.Context(), "alice", file, func(f *batch.File) error {
		f.PinnedBy = []string{orphan}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.advance(10 * time.Minute)
	w.ask(ask{method: "DELETE", path: "/v1/files/" + file, key: w.alice}).refused(409, "id", "file_in_use", orphan)
	w.advance(time.Second)
	w.ask(ask{method: "DELETE", path: "/v1/files/" + file, key: w.alice}).want(200)
}

// zeros is randomness for a test that needs none.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestContentRanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	content := `{"a":"0123456789"}` + "\n" // 19 bytes
	id := w.upload(w.alice, content)
	size := len(content)
	for header, want := range map[string]struct {
		from, to int // to is exclusive; -1: not satisfiable
		whole    bool
	}{
		"bytes=0-":                        {0, size, false},
		"bytes=0-0":                       {0, 1, false},
		"bytes=2-5":                       {2, 6, false},
		"Bytes = 2-5":                     {2, 6, false},
		"bytes=5-1000":                    {5, size, false},
		"bytes=-4":                        {size - 4, size, false},
		"bytes=-1000":                     {0, size, false},
		"bytes=18-18":                     {18, 19, false},
		"bytes=19-":                       {-1, 0, false},
		"bytes=99999999999999999999-":     {-1, 0, false},
		"bytes=0-99999999999999999999999": {0, size, false},
		"bytes=-0":                        {-1, 0, false},
		// Not one range: answered whole, as RFC 9110 allows.
		"bytes=5-2":     {0, size, true},
		"bytes=0-1,3-4": {0, size, true},
		"bytes=-":       {0, size, true},
		"bytes=a-b":     {0, size, true},
		"bytes=--1":     {0, size, true},
		"lines=1-2":     {0, size, true},
		"bytes":         {0, size, true},
		"bytes=+1-2":    {0, size, true},
	} {
		r := w.ask(ask{
			method: "GET", path: "/v1/files/" + id + "/content", key: w.alice, header: map[string]string{"Range": header},
		})
		switch {
		case want.from < 0:
			r.refused(416, "", "range_not_satisfiable", "19 bytes")
			if got := r.Header().Get("Content-Range"); got != "bytes */19" {
				t.Errorf("%s: content-range is %q", header, got)
			}
		case want.whole:
			if r.Code != 200 || r.Body.String() != content || r.Header().Get("Content-Range") != "" {
				t.Errorf("%s: %d %q", header, r.Code, r.Body)
			}
		default:
			named := fmt.Sprintf("bytes %d-%d/%d", want.from, want.to-1, size)
			if r.Code != 206 || r.Body.String() != content[want.from:want.to] || r.Header().Get("Content-Range") != named {
				t.Errorf("%s: %d %q %s", header, r.Code, r.Body, r.Header().Get("Content-Range"))
			}
		}
	}
}

// TestContentInPieces reads a file of which an answer carries a part only, as
// Content-Range leads on, over a transport in which quotes take two bytes.
func TestContentInPieces(t *testing.T) {
	t.Parallel()
	room := func(b []byte) int { return len(b) + bytes.Count(b, []byte(`"`)) }
	w := newWorld(t, func(_ *api.Deps, c *api.Config) { c.MaxAnswer, c.Room = 50, room })
	content := strings.Repeat(`{"ключ":"значение €𝄞"}`+"\n", 20)
	id := w.upload(w.alice, content)
	w.get("/v1/files/"+id+"/content").refused(413, "", "file_too_large_for_one_answer", "Range")
	var got strings.Builder
	for got.Len() < len(content) {
		r := w.ask(ask{
			method: "GET", path: "/v1/files/" + id + "/content", key: w.alice,
			header: map[string]string{"Range": fmt.Sprintf("bytes=%d-", got.Len())},
		}).want(206)
		piece := r.Body.String()
		named := fmt.Sprintf("bytes %d-%d/%d", got.Len(), got.Len()+len(piece)-1, len(content))
		if r.Header().Get("Content-Range") != named || room([]byte(piece)) > 50 || piece == "" ||
			strings.ToValidUTF8(piece, "") != piece {
			t.Fatalf("a piece of %d bytes says %q, want %q", len(piece), r.Header().Get("Content-Range"), named)
		}
		got.WriteString(piece)
	}
	if got.String() != content {
		t.Error("the pieces are not the file")
	}
	// A file just small enough by its bytes, and too large as it is carried.
	id = w.upload(w.alice, `{"":"","":"","":"","":"","":"","":"","":""}`)
	w.get("/v1/files/"+id+"/content").refused(413, "", "file_too_large_for_one_answer", "Range")
}

func TestLargeContentIsRedirected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *api.Deps, c *api.Config) { c.MaxAnswer, d.Presigner = 50, presigner{} })
	id := w.upload(w.alice, line)
	r := w.get("/v1/files/" + id + "/content").want(302)
	if want := "https://objects.test/" + batch.FileKey("alice", id) + "?name=requests.jsonl&for=15m0s"; r.Header().Get("Location") != want {
		t.Errorf("location is %q, want %q", r.Header().Get("Location"), want)
	}
	w.get("/v1/files/" + w.upload(w.alice, "{}\n") + "/content").want(200)
}
