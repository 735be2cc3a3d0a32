//go:build e2e

package e2e_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/musketry/musketry/internal/boot"
)

// post sends JSON and returns the answer's status, error code and body.
func post(t *testing.T, key, path string, in any) (int, string, map[string]any) {
	t.Helper()
	return postIn(t.Context(), t, key, path, in)
}

// postIn does the same until ctx ends.
func postIn(ctx context.Context, t *testing.T, key, path string, in any) (int, string, map[string]any) {
	t.Helper()
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, variable(t, "OPENAI_BASE_URL")+path, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		if ctx.Err() == nil {
			t.Error(err)
		}
		return 0, "", nil
	}
	defer res.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil && ctx.Err() == nil {
		t.Errorf("POST %s: %d: %v", path, res.StatusCode, err)
	}
	e, _ := out["error"].(map[string]any)
	code, _ := e["code"].(string)
	return res.StatusCode, code, out
}

// newTenant makes a tenant of this run's own and returns its key.
func newTenant(t *testing.T, name string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "musketry")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/musketry").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	secret, err := exec.CommandContext(t.Context(), bin, "admin", "keys", "create", "--tenant",
		fmt.Sprintf("%s-%d", name, time.Now().UnixNano())).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(secret))
}

// An upload is completed many times at once with its parts in two orders, and again after a crash that left the file
// there and the upload pending: there is one file, its bytes never change, and nobody is answered 5xx.
func TestFileIsWrittenOnce(t *testing.T) {
	t.Parallel()
	for name, half := range map[string]int{"one write": 3_000, "in parts": 4_300_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fileOnce(t, half)
		})
	}
}

func fileOnce(t *testing.T, half int) {
	t.Helper()
	c, key := newClient(t, "OPENAI_API_KEY"), variable(t, "OPENAI_API_KEY")
	halves := [2]string{}
	for i := range halves {
		halves[i] = fmt.Sprintf(`{"half":%d}`, i) + strings.Repeat(" ", half-11) + "\n"
	}
	u, err := c.Uploads.New(t.Context(), openai.UploadNewParams{
		Bytes: int64(len(halves[0] + halves[1])), Filename: "once.jsonl", MimeType: "application/jsonl", Purpose: openai.FilePurposeBatch,
	})
	if err != nil {
		t.Fatal(err)
	}
	parts := [2]string{}
	for i, content := range halves {
		p, err := c.Uploads.Parts.New(t.Context(), u.ID, openai.UploadPartNewParams{Data: strings.NewReader(content)})
		if err != nil {
			t.Fatal(err)
		}
		parts[i] = p.ID
	}
	_, err = c.Uploads.Parts.New(t.Context(), u.ID, openai.UploadPartNewParams{Data: strings.NewReader("x")})
	var refused *openai.Error
	if !errors.As(err, &refused) || refused.StatusCode != http.StatusRequestEntityTooLarge || refused.Code != "upload_too_large" {
		t.Errorf("a part more than was declared: %v", err)
	}
	path := "/uploads/" + u.ID + "/complete"
	orders := [2][]string{{parts[0], parts[1]}, {parts[1], parts[0]}}
	bodies := [2]string{halves[0] + halves[1], halves[1] + halves[0]}
	if status, code, _ := post(t, key, path, map[string]any{"part_ids": orders[0], "md5": strings.Repeat("0", 32)}); status != http.StatusBadRequest {
		t.Errorf("a wrong md5: %d %s", status, code)
	}
	const many = 6
	statuses, files := make([]int, many), make([]string, many)
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			status, _, out := post(t, key, path, map[string]any{"part_ids": orders[i%2]})
			file, _ := out["file"].(map[string]any)
			statuses[i] = status
			files[i], _ = file["id"].(string)
		})
	}
	all.Wait()
	first := slices.Index(statuses, http.StatusOK)
	if first < 0 {
		t.Fatalf("completions at once: %v", statuses)
	}
	id, won := files[first], first%2
	for i, status := range statuses {
		if want := map[bool]int{true: http.StatusOK, false: http.StatusConflict}[i%2 == won]; status != want {
			t.Errorf("completion %d: %d, want %d", i, status, want)
		}
		if i%2 == won && files[i] != id {
			t.Errorf("completion %d has file %s, want %s", i, files[i], id)
		}
	}
	same := func() {
		t.Helper()
		res, err := c.Files.Content(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		if err != nil || string(got) != bodies[won] {
			t.Errorf("%d bytes, not those of the first completion: %v", len(got), err)
		}
	}
	same()
	pending(t, u.ID)
	for range 2 {
		if status, _, _ := post(t, key, path, map[string]any{"part_ids": orders[1-won]}); status != http.StatusConflict {
			t.Errorf("other parts: %d", status)
		}
		if status, _, _ := post(t, key, path, map[string]any{"part_ids": orders[won], "md5": "00"}); status != http.StatusBadRequest {
			t.Errorf("a wrong md5: %d", status)
		}
		status, _, out := post(t, key, path, map[string]any{"part_ids": orders[won]})
		if file, _ := out["file"].(map[string]any); status != http.StatusOK || file["id"] != id {
			t.Errorf("the same parts: %d %v", status, out)
		}
		same()
	}
}

// pending leaves an upload as a completion does that dies after its file's record.
func pending(t *testing.T, id string) {
	t.Helper()
	cfg, err := boot.AWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	table := variable(t, boot.EnvTable)
	database := dynamodb.NewFromConfig(cfg)
	pages := dynamodb.NewScanPaginator(database, &dynamodb.ScanInput{ // A page has 1 MB, whatever it finds there.
		TableName: &table, FilterExpression: aws.String("sk = :sk"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":sk": &types.AttributeValueMemberS{Value: "upload#" + id}},
	})
	var found []map[string]types.AttributeValue
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, page.Items...)
	}
	if len(found) != 1 {
		t.Fatalf("%d records of the upload", len(found))
	}
	_, err = database.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: &table, Key: map[string]types.AttributeValue{"pk": found[0]["pk"], "sk": found[0]["sk"]},
		UpdateExpression: aws.String("SET #s = :s"), ExpressionAttributeNames: map[string]string{"#s": "status"},
		ExpressionAttributeValues: map[string]types.AttributeValue{":s": &types.AttributeValueMemberS{Value: "pending"}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A line that comes to lead elsewhere after its batch was validated is not sent.
func TestLineLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	c, m := newClient(t, "OPENAI_API_KEY"), marker(t)
	const rests = "standin:status=503+retry-after=20"
	ownRoute(t, rests)
	content := jsonl(t, chat("a", rests, m))
	file := upload(t.Context(), t, c, content)
	b := create(t.Context(), t, c, file, "24h")
	awaitCalls(t, m, 1)
	overwrite(t, file, strings.Replace(content, "/v1/chat/completions", "/v1/organization/key", 1))
	b = await(t.Context(), t, c, b.ID, patience, ended)
	errs := results(t.Context(), t, c, b.ErrorFileID)
	if len(errs) != 1 || errs[0].Error == nil || errs[0].Error.Code != "invalid_request" || !strings.Contains(errs[0].Error.Message, "endpoint") {
		t.Errorf("the batch is %s with errors %+v", describe(b), errs)
	}
	if n := calls(t.Context(), t, m)["a"]; n != 1 {
		t.Errorf("%d calls, want the first alone", n)
	}
}

// overwrite changes a file's bytes behind the API's back.
func overwrite(t *testing.T, file, content string) {
	t.Helper()
	cfg, err := boot.AWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bucket := variable(t, boot.EnvBucket)
	objects := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	found, err := objects.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: aws.String("tenants/")})
	if err != nil {
		t.Fatal(err)
	}
	for pages := 0; ; pages++ {
		for _, o := range found.Contents {
			if strings.HasSuffix(aws.ToString(o.Key), "/"+file) {
				_, err := objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: o.Key, Body: strings.NewReader(content)})
				if err != nil {
					t.Fatal(err)
				}
				return
			}
		}
		if !aws.ToBool(found.IsTruncated) || pages > 100 {
			t.Fatal("the file's object is not there")
		}
		found, err = objects.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{
			Bucket: &bucket, Prefix: aws.String("tenants/"), ContinuationToken: found.NextContinuationToken,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A tenant's stored bytes have a limit: what is compressed counts unpacked, an open upload as declared, and what is deleted
// or cancelled is given back. MUSKETRY_E2E_TENANT_BYTES tells a limit that is not the default.
func TestLimitOfStoredBytes(t *testing.T) {
	t.Parallel()
	most := number(t, "MUSKETRY_E2E_TENANT_BYTES", 100_000_000_000)
	key := newTenant(t, "hoarder")
	c := openai.NewClient(option.WithBaseURL(variable(t, "OPENAI_BASE_URL")), option.WithAPIKey(key), option.WithMaxRetries(0))
	const unpacked = 40_000_000
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := io.WriteString(z, "{"+strings.Repeat(" ", unpacked-3)+"}\n"); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	f, err := c.Files.New(t.Context(), openai.FileNewParams{
		File: openai.File(&packed, "bomb.jsonl.gz", "application/gzip"), Purpose: openai.FilePurposeBatch,
	})
	if err != nil || f.Bytes != unpacked {
		t.Fatalf("%v, %d bytes", err, f.Bytes)
	}
	open := func(size int64) (*openai.Upload, error) {
		return c.Uploads.New(t.Context(), openai.UploadNewParams{
			Bytes: size, Filename: "x.bin", MimeType: "application/octet-stream", Purpose: openai.FilePurposeUserData,
		})
	}
	var ids []string
	left := int64(most) - unpacked
	for left > 0 {
		size := min(left, 512<<20)
		u, err := open(size)
		if err != nil {
			t.Fatalf("an upload of %d with %d left: %v", size, left, err)
		}
		ids, left = append(ids, u.ID), left-size
	}
	_, err = open(1)
	full(t, err, most, most)
	_, err = c.Files.New(t.Context(), openai.FileNewParams{
		File: openai.File(strings.NewReader("{}\n"), "a.jsonl", "application/jsonl"), Purpose: openai.FilePurposeBatch,
	})
	full(t, err, most, most)
	_, err = c.Batches.New(t.Context(), openai.BatchNewParams{
		InputFileID: f.ID, Endpoint: openai.BatchNewParamsEndpointV1ChatCompletions, CompletionWindow: "24h",
	})
	full(t, err, most, most)
	if _, err := c.Files.Delete(t.Context(), f.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := open(unpacked); err != nil {
		t.Errorf("after the file's deletion: %v", err)
	}
	if _, err := c.Uploads.Cancel(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := open(1); err != nil {
		t.Errorf("after a cancel: %v", err)
	}
}

// number returns what a variable says, or the default of a deployment.
func number(t *testing.T, name string, fallback int) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv(name), strconv.Itoa(fallback)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// full checks the refusal of a tenant's limit of stored bytes.
func full(t *testing.T, err error, now, most int) {
	t.Helper()
	var refused *openai.Error
	if !errors.As(err, &refused) || refused.StatusCode != http.StatusRequestEntityTooLarge || refused.Code != "storage_limit_exceeded" ||
		!strings.Contains(refused.Message, fmt.Sprintf("have %d bytes, and may have %d", now, most)) {
		t.Errorf("error is %v, want storage_limit_exceeded with %d of %d", err, now, most)
	}
}

// A tenant's open uploads have a limit.
func TestLimitOfUploads(t *testing.T) {
	t.Parallel()
	key := newTenant(t, "opener")
	declared := map[string]any{"filename": "a.jsonl", "purpose": "batch", "bytes": 1, "mime_type": "application/jsonl"}
	for i := range 101 {
		status, code, out := post(t, key, "/uploads", declared)
		if i < 100 && status != http.StatusOK {
			t.Fatalf("upload %d: %d %v", i, status, out)
		}
		if i == 100 && (status != http.StatusTooManyRequests || code != "rate_limit_exceeded") {
			t.Errorf("upload %d: %d %v", i, status, out)
		}
	}
}

// A tenant's creates a minute have a limit, batches that come to nothing included. MUSKETRY_E2E_TENANT_CREATES tells one
// that is not the default.
func TestLimitOfCreates(t *testing.T) {
	t.Parallel()
	most := number(t, "MUSKETRY_E2E_TENANT_CREATES", 300)
	key := newTenant(t, "hasty")
	order := map[string]any{
		"input_file_id": "file-01jnfh0000000000000000000g", "endpoint": "/v1/embeddings", "completion_window": "24h",
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var (
		mu      sync.Mutex
		refused map[string]any
		sent    int
		all     sync.WaitGroup
	)
	begun := time.Now()
	for range 8 {
		all.Go(func() {
			for ctx.Err() == nil {
				status, code, out := postIn(ctx, t, key, "/batches", order)
				mu.Lock()
				sent++
				if status == http.StatusTooManyRequests && code == "rate_limit_exceeded" {
					refused = out
					cancel()
				} else if status != http.StatusNotFound && ctx.Err() == nil {
					t.Errorf("a create: %d %v", status, out)
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if e, _ := refused["error"].(map[string]any); !strings.Contains(fmt.Sprint(e["message"]), fmt.Sprintf("may create %d", most)) {
		t.Errorf("%d creates in %v, and then %v", sent, time.Since(begun), refused)
	}
	if sent < most {
		t.Errorf("refused after %d creates, want %d at least", sent, most)
	}
}
