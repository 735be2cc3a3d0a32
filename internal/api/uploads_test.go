package api_test

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // the API's own checksum
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/tenant"
)

// A countingKeys counts how often keys are looked up.
type countingKeys struct {
	api.KeyStore

	mu    sync.Mutex
	asked map[string]int
}

func (c *countingKeys) Key(ctx context.Context, hash string) (tenant.Key, error) {
	c.mu.Lock()
	c.asked[hash]++
	c.mu.Unlock()
	return c.KeyStore.Key(ctx, hash)
}

func uploadOf(size int) string {
	return fmt.Sprintf(`{"filename":"in.jsonl","purpose":"batch","bytes":%d,"mime_type":"application/jsonl"}`, size)
}

// dataForm returns a part's multipart body and its Content-Type.
func dataForm(t *testing.T, content string) (body, kind string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	part, err := m.CreateFormFile("data", "upload")
	if err == nil {
		_, err = io.WriteString(part, content)
	}
	if err != nil || m.Close() != nil {
		t.Fatal(err)
	}
	return b.String(), m.FormDataContentType()
}

func (w *world) part(key, upload, content string) reply {
	w.t.Helper()
	body, kind := dataForm(w.t, content)
	return w.ask(ask{method: "POST", path: "/v1/uploads/" + upload + "/parts", key: key, kind: kind, body: body})
}

func completion(sum string, parts ...string) string {
	ids, _ := json.Marshal(parts) // strings encode
	if sum == "" {
		return fmt.Sprintf(`{"part_ids":%s}`, ids)
	}
	return fmt.Sprintf(`{"part_ids":%s,"md5":%q}`, ids, sum)
}

func TestUploadInParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// Three parts of 4 MB and a rest: more than one part of S3's.
	content := strings.Repeat(line, 12_500_000/len(line))
	r := w.post("/v1/uploads", fmt.Sprintf(`{"filename":"in.jsonl","purpose":"batch","bytes":%d,
		"mime_type":"application/jsonl","expires_after":{"anchor":"created_at","seconds":7200}}`, len(content)))
	r.want(200).suits("Upload")
	id, created := r.text("id"), w.clock().Unix()
	if diff := cmp.Diff(map[string]any{
		"id": id, "object": "upload", "bytes": float64(len(content)), "created_at": float64(created),
		"expires_at": float64(created + 3600), "filename": "in.jsonl", "purpose": "batch", "status": "pending", "file": nil,
	}, r.json); diff != "" {
		t.Error(diff)
	}
	parts := make([]string, 4)
	for _, i := range []int{2, 0, 3, 1} { // they come in any order
		from := i * 4_000_000
		p := w.part(w.alice, id, content[from:min(from+4_000_000, len(content))]).want(200).suits("UploadPart")
		parts[i] = p.text("id")
	}
	w.advance(59 * time.Minute)
	sum := md5.Sum([]byte(content)) //nolint:gosec // the API's own checksum
	path := "/v1/uploads/" + id + "/complete"
	hexed := strings.ToUpper(hex.EncodeToString(sum[:]))
	w.post(path, completion(hexed, parts[0], parts[2], parts[1], parts[3])).refused(400, "md5", "invalid_value", "MD5")
	r = w.post(path, completion(hexed, parts...)).want(200).suits("Upload")
	file, _ := r.json["file"].(map[string]any)
	now := w.clock().Unix()
	if diff := cmp.Diff(map[string]any{
		"id": file["id"], "object": "file", "bytes": float64(len(content)), "created_at": float64(now),
		"expires_at": float64(now + 7200), "filename": "in.jsonl", "purpose": "batch", "status": "processed", "status_details": nil,
	}, file); diff != "" || r.text("status") != "completed" {
		t.Error(diff, r.text("status"))
	}
	fileID, _ := file["id"].(string)
	stored, err := w.files.Read(t.Context(), batch.FileKey("alice", fileID), 0, int64(len(content)))
	if err != nil || string(stored) != content {
		t.Errorf("the content differs: %v", err)
	}
	if keys := w.files.Keys(); len(keys) != 1 {
		t.Errorf("parts are left: %v", keys)
	}
	// A repeat, as after a lost answer, is the same.
	if diff := cmp.Diff(r.json, w.post(path, completion("", parts...)).want(200).json); diff != "" {
		t.Error(diff)
	}
	w.post(path, completion("", parts[0])).refused(409, "", "", "Cannot complete an upload with status 'completed'.")
	w.part(w.alice, id, "x").refused(409, "", "", "Cannot add a part to an upload with status 'completed'.")
	w.post("/v1/uploads/"+id+"/cancel", "").refused(409, "", "", "Cannot cancel an upload with status 'completed'.")
	w.post("/v1/batches", orderOf(fileID)).want(200)
}

func TestCreateUploadRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	whole := uploadOf(10)
	for body, want := range map[string][3]string{
		`{}`: {"filename", "missing_required_parameter", "Missing"},
		strings.Replace(whole, `"batch"`, `"fun"`, 1):                  {"purpose", "invalid_value", "'assistants'"},
		strings.Replace(whole, `"batch"`, `1`, 1):                      {"purpose", "invalid_type", "an integer"},
		strings.Replace(whole, `:10,`, `:"10",`, 1):                    {"bytes", "invalid_type", "a string"},
		strings.Replace(whole, `:10,`, `:0,`, 1):                       {"bytes", "integer_below_min_value", ">= 1"},
		strings.Replace(whole, `:10,`, `:99999999999999999999,`, 1):    {"bytes", "invalid_type", "an integer"},
		strings.Replace(whole, `:10,`, `:209715201,`, 1):               {"bytes", "integer_above_max_value", "too large"},
		strings.Replace(whole, `,"bytes":10`, ``, 1):                   {"bytes", "missing_required_parameter", "Missing"},
		strings.Replace(whole, `"application/jsonl"`, `null`, 1):       {"mime_type", "missing_required_parameter", "Missing"},
		strings.Replace(whole, `in.jsonl`, `in.csv`, 1):                {"filename", "invalid_file_format", "Must be .jsonl"},
		strings.Replace(whole, `{`, `{"expires_after":{},`, 1):         {"expires_after.anchor", "missing_required_parameter", "Missing"},
		strings.Replace(whole, `{`, `{"expires_after":"tomorrow",`, 1): {"expires_after", "invalid_type", "an object"},
	} {
		w.post("/v1/uploads", body).refused(400, want[0], want[1], want[2])
	}
	w.post("/v1/uploads", strings.Replace(whole, `:10,`, `:209715200,`, 1)).want(200)
}

func TestCompleteUploadRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.post("/v1/uploads", uploadOf(6)).want(200).text("id")
	bad := w.part(w.alice, other, "x\ny\nz\n").text("id")
	w.post("/v1/uploads/"+other+"/complete", completion("", bad)).refused(400, "file", "invalid_file_format", "line 1 is not parseable")
	id := w.post("/v1/uploads", uploadOf(6)).want(200).text("id")
	one, two := w.part(w.alice, id, "{}\n").text("id"), w.part(w.alice, id, "[]\n").text("id")
	w.part(w.alice, id, "").refused(400, "data", "empty_file", "empty")
	path := "/v1/uploads/" + id + "/complete"
	for body, want := range map[string][3]string{
		`{}`:                        {"part_ids", "missing_required_parameter", "Missing"},
		`{"part_ids":"x"}`:          {"part_ids", "invalid_type", "an array"},
		`{"part_ids":[1]}`:          {"part_ids[0]", "invalid_type", "a string"},
		completion(""):              {"part_ids", "invalid_type", "null"},
		`{"part_ids":[]}`:           {"part_ids", "invalid_value", "1 to 10000"},
		completion("", one):         {"part_ids", "invalid_value", "3 bytes together, but the upload was created for 6"},
		completion("", one, one):    {"part_ids", "invalid_value", "twice"},
		completion("", one, "../x"): {"part_ids", "invalid_value", "No such part"},
		completion("", one, "part_01jnfh0000000000000000000g"): {"part_ids", "invalid_value", "No such part"},
		completion("00", one, two):                             {"md5", "invalid_value", "MD5"},
		completion("", bad):                                    {"part_ids", "invalid_value", "No such part"},
		`{"part_ids":["` + one + `"],"md5":1}`:                 {"md5", "invalid_type", "a string"},
	} {
		if body == completion("") {
			want = [3]string{"part_ids", "missing_required_parameter", "Missing"}
		}
		w.post(path, body).refused(400, want[0], want[1], want[2])
	}
	if ids := w.get("/v1/files").ids(); len(ids) != 0 {
		t.Errorf("a refused completion left %v", ids)
	}
	w.post(path, completion("", one, two)).want(200)
	w.post("/v1/uploads/upload_x/complete", completion("", one)).refused(404, "id", "", "No such Upload object: upload_x")
}

func TestUploadsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.post("/v1/uploads", uploadOf(3)).want(200).text("id")
	part := w.part(w.alice, id, "{}\n").text("id")
	for range 2 {
		r := w.post("/v1/uploads/"+id+"/cancel", "").want(200).suits("Upload")
		if r.text("status") != "cancelled" || len(w.files.Keys()) != 0 {
			t.Errorf("after the cancel: %v, %v", r.json, w.files.Keys())
		}
	}
	w.part(w.alice, id, "{}\n").refused(409, "", "", "status 'cancelled'")
	w.post("/v1/uploads/"+id+"/complete", completion("", part)).refused(409, "", "", "Cannot complete an upload with status 'cancelled'.")

	id = w.post("/v1/uploads", uploadOf(3)).want(200).text("id")
	part = w.part(w.alice, id, "{}\n").text("id")
	w.advance(time.Hour)
	w.part(w.alice, id, "{}\n").refused(409, "", "", "status 'expired'")
	w.post("/v1/uploads/"+id+"/complete", completion("", part)).refused(409, "", "", "Cannot complete an upload with status 'expired'.")
	w.post("/v1/uploads/"+id+"/cancel", "").refused(409, "", "", "Cannot cancel an upload with status 'expired'.")
}

// TestFilesAreListedInOrder completes uploads in another order than that in
// which they began, and demands that ids and created_at tell one time, so that
// a list is in the order of both.
func TestFilesAreListedInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var uploads, parts [2]string
	for i := range uploads {
		uploads[i] = w.post("/v1/uploads", uploadOf(len(line))).want(200).text("id")
		parts[i] = w.part(w.alice, uploads[i], line).want(200).text("id")
		w.advance(1500 * time.Millisecond)
	}
	want := []string{w.upload(w.alice, line)}
	for i := len(uploads) - 1; i >= 0; i-- {
		w.advance(1500 * time.Millisecond)
		r := w.post("/v1/uploads/"+uploads[i]+"/complete", completion("", parts[i])).want(200)
		file, _ := r.json["file"].(map[string]any)
		id, _ := file["id"].(string)
		want = append(want, id)
	}
	w.advance(1500 * time.Millisecond)
	want = append(want, w.upload(w.alice, line))
	r := w.get("/v1/files?order=asc").want(200)
	if diff := cmp.Diff(want, r.ids()); diff != "" {
		t.Error(diff)
	}
	for _, id := range want {
		made, ok := batch.ParseID(batch.PrefixFile, id)
		if got := w.get("/v1/files/" + id).want(200).number("created_at"); !ok || got != made.Unix() {
			t.Errorf("%s of %d was created at %d", id, made.Unix(), got)
		}
	}
	order := w.post("/v1/batches", orderOf(want[0])).want(200)
	if made, ok := batch.ParseID(batch.PrefixBatch, order.text("id")); !ok || order.number("created_at") != made.Unix() {
		t.Errorf("%s was created at %d", order.text("id"), order.number("created_at"))
	}
}
