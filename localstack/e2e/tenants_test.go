//go:build e2e

package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
)

// A document is what the test reads of an OpenAPI document: the operations by path and method.
type document struct {
	Paths map[string]map[string]struct {
		OperationID string `json:"operationId"` //nolint:tagliatelle // OpenAPI's name
		RequestBody *struct {
			Required bool           `json:"required"`
			Content  map[string]any `json:"content"`
		} `json:"requestBody"` //nolint:tagliatelle // OpenAPI's name
	} `json:"paths"`
}

// An estate is what a tenant owns, as the paths and bodies of the API name it.
type estate struct {
	ids    map[string]string // By the path's first segment.
	names  map[string]string // By the placeholder's name, below that.
	bodies map[string]string // Of JSON, by operation: the body that would do most.
}

// TestNoRouteCrossesTenants tries every operation of the served document that has an id with another tenant's ids: each
// says that there is no such object, and none changes it. An operation that is added is tried too, or fails the test
// because it does not know what to send.
func TestNoRouteCrossesTenants(t *testing.T) {
	t.Parallel()
	base, owner, stranger := variable(t, "OPENAI_BASE_URL"), variable(t, "OPENAI_API_KEY"), variable(t, "OPENAI_API_KEY_2")
	c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
	file := upload(t.Context(), t, c, jsonl(t, chat("done", "standin", m), chat("hangs", "standin:hang", m)))
	b := create(t.Context(), t, c, file, "1h")
	t.Cleanup(func() { send(t, http.MethodPost, base+"/batches/"+b.ID+"/cancel", owner, "", nil) })
	await(t.Context(), t, c, b.ID, patience, func(b *openai.Batch) bool { return b.RequestCounts.Completed == 1 })
	awaitCalls(t, m, 2)
	parts := pendingUpload(t, c)
	all := estate{
		ids:    map[string]string{"files": file, "uploads": parts.upload, "batches": b.ID},
		names:  map[string]string{"request_id": find(t.Context(), t, b.ID, "hangs").ID},
		bodies: map[string]string{"completeUpload": `{"part_ids":["` + parts.part + `"]}`},
	}

	status, described := send(t, http.MethodGet, base+"/openapi.json", "", "", nil)
	var doc document
	if err := json.Unmarshal(described, &doc); err != nil || status != http.StatusOK {
		t.Fatalf("the document: %d, %v", status, err)
	}
	before := snapshot(t, base, owner, file, b.ID)
	tried := 0
	for path, operations := range doc.Paths {
		if !strings.Contains(path, "{") || strings.HasPrefix(path, "/models/") { // Models are the deployment's.
			continue
		}
		for method, operation := range operations {
			contentType, body := "", []byte(nil)
			if operation.RequestBody != nil && operation.RequestBody.Required {
				contentType, body = all.body(t, operation.OperationID, operation.RequestBody.Content)
			}
			status, answer := send(t, strings.ToUpper(method), base+all.fill(t, path), stranger, contentType, body)
			checkAbsent(t, strings.ToUpper(method)+" "+path, status, answer)
			tried++
		}
	}
	if tried < 8 {
		t.Errorf("the document has only %d operations with an id", tried)
	}
	if diff := cmp.Diff(before, snapshot(t, base, owner, file, b.ID)); diff != "" {
		t.Errorf("a stranger touched what is not his (-before +after):\n%s", diff)
	}
	checkCursors(t, base, stranger, all)
	done, err := c.Uploads.Complete(t.Context(), parts.upload, openai.UploadCompleteParams{PartIDs: []string{parts.part}})
	if err != nil || done.Status != openai.UploadStatusCompleted {
		t.Errorf("the upload was touched: %v", err)
	}
}

// fill replaces a path's placeholders.
func (e estate) fill(t *testing.T, path string) string {
	t.Helper()
	kind := strings.Split(path, "/")[1]
	return regexp.MustCompile(`\{[^}]+\}`).ReplaceAllStringFunc(path, func(placeholder string) string {
		name := strings.Trim(placeholder, "{}")
		value, ok := e.names[name]
		if name == "id" || name == strings.TrimSuffix(kind, "s")+"_id" {
			value, ok = e.ids[kind]
		}
		if !ok {
			t.Fatalf("the test knows nothing for %s of %s", placeholder, path)
		}
		return url.PathEscape(value)
	})
}

// body returns a body that the owner could send to an operation.
func (e estate) body(t *testing.T, operation string, content map[string]any) (contentType string, body []byte) {
	t.Helper()
	if _, ok := content["multipart/form-data"]; ok {
		var form bytes.Buffer
		writer := multipart.NewWriter(&form)
		part, err := writer.CreateFormFile("data", "upload")
		if err == nil {
			_, err = part.Write([]byte("{}\n"))
		}
		if err != nil || writer.Close() != nil {
			t.Fatal("the form cannot be written:", err)
		}
		return writer.FormDataContentType(), form.Bytes()
	}
	if text, ok := e.bodies[operation]; ok {
		return "application/json", []byte(text)
	}
	t.Fatalf("the test knows no body for %s", operation)
	return "", nil
}

// checkAbsent demands a 404 about the object, not one about the route.
func checkAbsent(t *testing.T, operation string, status int, answer []byte) {
	t.Helper()
	var told struct {
		Error struct {
			Message string  `json:"message"`
			Code    *string `json:"code"`
		} `json:"error"`
	}
	err := json.Unmarshal(answer, &told)
	switch {
	case err != nil || status != http.StatusNotFound || told.Error.Message == "":
		t.Errorf("%s with another tenant's ids: %d %s, want a 404", operation, status, answer)
	case told.Error.Code != nil && *told.Error.Code == "unknown_url":
		t.Errorf("%s is no route: %s", operation, answer)
	}
}

// checkCursors demands that a list that begins after another tenant's object shows nothing of that tenant.
func checkCursors(t *testing.T, base, stranger string, e estate) {
	t.Helper()
	for _, path := range []string{"/files?order=asc&limit=10000&after=" + e.ids["files"], "/batches?limit=100&after=" + e.ids["batches"]} {
		status, answer := send(t, http.MethodGet, base+path, stranger, "", nil)
		var list struct {
			Data []struct {
				ID string `json:"id"`
			} `json:"data"`
		}
		if err := json.Unmarshal(answer, &list); err != nil || status >= http.StatusInternalServerError {
			t.Errorf("GET %s: %d %v", path, status, err)
		}
		for _, item := range list.Data {
			for _, id := range e.ids {
				if item.ID == id {
					t.Errorf("GET %s shows another tenant's %s", path, id)
				}
			}
		}
	}
}

type uploaded struct{ upload, part string }

// pendingUpload begins an upload that has all its parts.
func pendingUpload(t *testing.T, c openai.Client) uploaded {
	t.Helper()
	content := jsonl(t, chat("a", "standin", marker(t)))
	u, err := c.Uploads.New(t.Context(), openai.UploadNewParams{
		Filename: "parts.jsonl", Bytes: int64(len(content)), MimeType: "application/jsonl", Purpose: openai.FilePurposeBatch,
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Uploads.Parts.New(t.Context(), u.ID, openai.UploadPartNewParams{Data: strings.NewReader(content)})
	if err != nil {
		t.Fatal(err)
	}
	return uploaded{u.ID, p.ID}
}

// snapshot returns what the owner sees of his objects.
func snapshot(t *testing.T, base, owner, file, batchID string) map[string]string {
	t.Helper()
	seen := map[string]string{}
	for _, path := range []string{"/files/" + file, "/files/" + file + "/content", "/batches/" + batchID} {
		status, answer := send(t, http.MethodGet, base+path, owner, "", nil)
		if status != http.StatusOK {
			t.Errorf("GET %s by its owner: %d %s", path, status, answer)
		}
		seen[path] = string(answer)
	}
	return seen
}

// send sends a request and returns what came, following nothing.
func send(t *testing.T, method, address, key, contentType string, body []byte) (status int, answer []byte) {
	t.Helper()
	request, err := http.NewRequest(method, address, bytes.NewReader(body)) //nolint:noctx // also in cleanups, after the test's context
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, err = io.ReadAll(io.LimitReader(response.Body, 8<<20)); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}
