package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/api"
)

// answered sends a request and checks what no input may break: an answer that
// is no failure of ours, JSON where it says so, and an envelope with an error.
func answered(t *testing.T, w *world, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	out := httptest.NewRecorder()
	w.handler.ServeHTTP(out, r)
	if out.Code >= http.StatusInternalServerError {
		t.Fatalf("%d: %s\n%s", out.Code, out.Body, w.log)
	}
	if out.Header().Get("Content-Type") == "application/json" && !json.Valid(out.Body.Bytes()) {
		t.Fatalf("no JSON: %q", out.Body)
	}
	if out.Code >= http.StatusBadRequest && !strings.HasPrefix(out.Body.String(), `{"error":{"message":"`) {
		t.Fatalf("%d without an envelope: %q", out.Code, out.Body)
	}
	return out
}

func FuzzCreateFile(f *testing.F) {
	const head = "--B\r\nContent-Disposition: form-data; name="
	purpose := head + "\"purpose\"\r\n\r\nbatch\r\n"
	file := head + "\"file\"; filename=\"a.jsonl\"\r\nContent-Type: application/octet-stream\r\n\r\n{}\n\r\n"
	for _, seed := range []string{
		purpose + file + "--B--\r\n", file + purpose + "--B--\r\n", "\r\n" + purpose + file + "--B--\r\n",
		purpose + file, file + file, "--B--", "--B\r\n\r\n\r\n--B--", "", "\n", strings.ReplaceAll(purpose+file+"--B--\r\n", "\r\n", "\n"),
		strings.ReplaceAll(file, "a.jsonl", "../../a.jsonl") + purpose + "--B--\r\n",
		strings.ReplaceAll(file, "a.jsonl", "a\\\"\x00.jsonl.gz") + purpose + "--B--\r\n",
		strings.ReplaceAll(file, `filename="a.jsonl"`, `filename*=UTF-8''%e2%82%ac.jsonl`) + purpose + "--B--\r\n",
		strings.ReplaceAll(file, "{}\n", "\x1f\x8b\x08\x00") + purpose + "--B--\r\n",
		purpose + head + "\"expires_after[anchor]\"\r\n\r\ncreated_at\r\n" + head + "\"expires_after[seconds]\"\r\n\r\n3600\r\n" + file + "--B--\r\n",
	} {
		f.Add("multipart/form-data; boundary=B", seed)
	}
	f.Add("multipart/form-data", purpose)
	f.Add("multipart/form-data; boundary=\"", purpose)
	f.Add("multipart/mixed; boundary=B", purpose)
	f.Fuzz(func(t *testing.T, kind, body string) {
		w := newWorld(t, func(_ *api.Deps, c *api.Config) { c.MaxBody, c.MaxInputBytes, c.MaxFileBytes = 1<<16, 1<<18, 1<<16 })
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/files", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+w.alice)
		r.Header.Set("Content-Type", kind)
		if out := answered(t, w, r); out.Code == http.StatusOK {
			var file struct {
				ID       string `json:"id"`
				Filename string `json:"filename"`
				Bytes    int    `json:"bytes"`
			}
			if err := json.Unmarshal(out.Body.Bytes(), &file); err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/files/"+file.ID+"/content", nil)
			r.Header.Set("Authorization", "Bearer "+w.alice)
			if got := answered(t, w, r); got.Body.Len() != file.Bytes || strings.ContainsAny(file.Filename, "\r\n\x00/") {
				t.Fatalf("%d bytes of %q, want %d", got.Body.Len(), file.Filename, file.Bytes)
			}
		}
	})
}

func FuzzListQueries(f *testing.F) {
	for _, seed := range []string{
		"", "limit=1", "limit=0", "limit=-1", "limit=1e3", "limit=99999999999999999999", "after=x", "order=asc&order=desc",
		"after=file-01jnfh0000000000000000000a", "after=batch_01jnfh0000000000000000000a", "purpose=batch&limit=2",
		"%zz", "a;b", "after=%00", "limit=+1", "limit=1&limit=2", "after=batch_%E2%84%AA1jnfh0000000000000000000a",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, rawQuery string) {
		w := newWorld(t)
		w.order(w.alice)
		for _, path := range []string{"/v1/files", "/v1/batches", "/v1/models"} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
			r.URL = &url.URL{Path: path, RawQuery: rawQuery}
			r.Header.Set("Authorization", "Bearer "+w.alice)
			answered(t, w, r)
		}
	})
}

func FuzzPaths(f *testing.F) {
	for _, seed := range []string{
		"/", "/v1", "/v1/files/%2e%2e", "/v1/files/x/content", "//", "/v1/models/a/b", "/files/\x00", "*", "", "/v1/files/./x",
		"/v1/v1/files", "/v1/batches/batch_01jnfh0000000000000000000a/cancel", "/v1/files//content", "files",
	} {
		f.Add(http.MethodGet, seed, "bytes=0-1")
		f.Add(http.MethodPost, seed, "")
	}
	f.Fuzz(func(t *testing.T, method, path, span string) {
		w := newWorld(t)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Method, r.URL = method, &url.URL{Path: path}
		r.Header.Set("Authorization", "Bearer "+w.alice)
		r.Header.Set("Range", span)
		answered(t, w, r)
	})
}

func FuzzCreateBatch(f *testing.F) {
	const id = "file-01jnfh0000000000000000000a"
	for _, seed := range []string{
		orderOf(id), "{}", "[]", "null", `{"input_file_id":null}`, `{"metadata":{"a":1}}`, `{"input_file_id":"x","endpoint":[]}`,
		strings.Replace(orderOf(id), "24h", "1e9h", 1), strings.Replace(orderOf(id), "}", `,"metadata":{"":""}}`, 1),
		strings.Replace(orderOf(id), "}", `,"output_expires_after":{"anchor":"created_at","seconds":1e400}}`, 1),
		`{"input_file_id":"\ud800","endpoint":"\u0000","completion_window":"9223372036854775807d"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		w := newWorld(t)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/batches", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+w.alice)
		r.Header.Set("Content-Type", "application/json")
		answered(t, w, r)
	})
}
