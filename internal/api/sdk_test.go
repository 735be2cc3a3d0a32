package api_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/musketry/musketry/internal/batch"
)

// newClient returns openai-go, unchanged, over a server of w's API.
func newClient(t *testing.T, w *world, options ...option.RequestOption) openai.Client {
	t.Helper()
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	return openai.NewClient(append([]option.RequestOption{
		option.WithBaseURL(server.URL + "/v1"), option.WithAPIKey(w.alice), option.WithHTTPClient(server.Client()),
	}, options...)...)
}

func TestSDKFilesAndBatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := newClient(t, w)
	ctx := t.Context()
	file, err := client.Files.New(ctx, openai.FileNewParams{
		File: openai.File(strings.NewReader(line), "in.jsonl", "application/jsonl"), Purpose: openai.FilePurposeBatch,
		ExpiresAfter: openai.FileNewParamsExpiresAfter{Seconds: 7200},
	})
	if err != nil {
		t.Fatal(err)
	}
	if file.Bytes != int64(len(line)) || file.Filename != "in.jsonl" || file.ExpiresAt-file.CreatedAt != 7200 {
		t.Errorf("the file is %+v", file)
	}
	content, err := client.Files.Content(ctx, file.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Body.Close()
	if got, err := io.ReadAll(content.Body); err != nil || string(got) != line {
		t.Errorf("content is %q: %v", got, err)
	}
	made, err := client.Batches.New(ctx, openai.BatchNewParams{
		InputFileID: file.ID, Endpoint: openai.BatchNewParamsEndpointV1ChatCompletions,
		CompletionWindow: openai.BatchNewParamsCompletionWindow24h, Metadata: map[string]string{"team": "x"},
		OutputExpiresAfter: openai.BatchNewParamsOutputExpiresAfter{Seconds: 3600},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.Batches.Get(ctx, made.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != openai.BatchStatusValidating || got.Metadata["team"] != "x" || got.RequestCounts.Total != 0 ||
		got.ExpiresAt-got.CreatedAt != 86400 || got.InputFileID != file.ID {
		t.Errorf("the batch is %+v", got)
	}
	canceled, err := client.Batches.Cancel(ctx, made.ID)
	if err != nil || canceled.Status != openai.BatchStatusCancelling {
		t.Errorf("the cancelled batch is %+v: %v", canceled, err)
	}
}

func TestSDKPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := newClient(t, w)
	var batches, files []string
	for range 7 {
		w.advance(time.Second)
		id, file := w.order(w.alice)
		batches, files = append([]string{id}, batches...), append([]string{file}, files...)
	}
	var paged []string
	for pages := client.Batches.ListAutoPaging(t.Context(), openai.BatchListParams{Limit: openai.Int(3)}); ; {
		if !pages.Next() {
			if err := pages.Err(); err != nil {
				t.Fatal(err)
			}
			break
		}
		paged = append(paged, pages.Current().ID)
	}
	if diff := cmp.Diff(batches, paged); diff != "" {
		t.Error(diff)
	}
	paged = nil
	pages := client.Files.ListAutoPaging(t.Context(), openai.FileListParams{Limit: openai.Int(2), Purpose: openai.String("batch")})
	for pages.Next() {
		paged = append(paged, pages.Current().ID)
	}
	if diff := cmp.Diff(files, paged); diff != "" || pages.Err() != nil {
		t.Error(pages.Err(), diff)
	}
	models, err := client.Models.List(t.Context())
	if err != nil || len(models.Data) != 2 {
		t.Errorf("models are %+v: %v", models, err)
	}
}

// TestSDKErrors checks that errors arrive as the SDK's own, and that what no
// repeat mends is sent once.
func TestSDKErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	calls := 0
	client := newClient(t, w, option.WithMiddleware(func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
		calls++
		return next(r)
	}))
	id, file := w.order(w.alice)
	w.change(id, func(b *batch.Batch) { b.Status, b.CompletedAt = batch.StatusCompleted, w.clock() })
	_, notFound := client.Batches.Get(t.Context(), "batch_none")
	_, conflict := client.Batches.Cancel(t.Context(), id)
	other, _ := w.order(w.alice)
	inUse := func() error {
		b, err := client.Batches.Get(t.Context(), other)
		if err != nil {
			return err
		}
		_, err = client.Files.Delete(t.Context(), b.InputFileID)
		return err
	}()
	_, window := client.Batches.New(t.Context(), openai.BatchNewParams{
		InputFileID: file, Endpoint: openai.BatchNewParamsEndpointV1ChatCompletions, CompletionWindow: "1s",
	})
	_, key := client.Models.List(t.Context(), option.WithAPIKey("wrong"))
	for name, c := range map[string]struct {
		err         error
		status      int
		param, code string
	}{
		"not found": {notFound, 404, "", ""},
		"conflict":  {conflict, 409, "", ""},
		"in use":    {inUse, 409, "id", "file_in_use"},
		"window":    {window, 400, "completion_window", "invalid_value"},
		"key":       {key, 401, "", "invalid_api_key"},
	} {
		var e *openai.Error
		if !errors.As(c.err, &e) {
			t.Errorf("%s: error is %v", name, c.err)
			continue
		}
		if e.StatusCode != c.status || e.Param != c.param || e.Code != c.code || e.Type != "invalid_request_error" || e.Message == "" {
			t.Errorf("%s: error is %d %q %q %q", name, e.StatusCode, e.Param, e.Code, e.Type)
		}
	}
	if calls != 6 {
		t.Errorf("%d calls were made, want 6: something was repeated", calls)
	}
	gone, err := client.Files.Delete(t.Context(), file)
	if err != nil || !gone.Deleted || gone.ID != file {
		t.Errorf("the deleted file is %+v: %v", gone, err)
	}
}

func TestSDKUploads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := newClient(t, w)
	ctx := t.Context()
	content := []byte(strings.Repeat(line, (9<<20)/len(line)))
	upload, err := client.Uploads.New(ctx, openai.UploadNewParams{
		Filename: "in.jsonl", Bytes: int64(len(content)), MimeType: "application/jsonl", Purpose: openai.FilePurposeBatch,
	})
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for rest := content; len(rest) > 0; {
		n := min(4<<20, len(rest))
		part, err := client.Uploads.Parts.New(ctx, upload.ID, openai.UploadPartNewParams{Data: bytes.NewReader(rest[:n])})
		if err != nil {
			t.Fatal(err)
		}
		parts, rest = append(parts, part.ID), rest[n:]
	}
	done, err := client.Uploads.Complete(ctx, upload.ID, openai.UploadCompleteParams{PartIDs: parts})
	if err != nil || done.Status != openai.UploadStatusCompleted || done.File.Bytes != int64(len(content)) {
		t.Fatalf("the upload is %+v: %v", done, err)
	}
	another, err := client.Uploads.New(ctx, openai.UploadNewParams{
		Filename: "in.jsonl", Bytes: 1, MimeType: "application/jsonl", Purpose: openai.FilePurposeBatch,
	})
	if err != nil {
		t.Fatal(err)
	}
	if canceled, err := client.Uploads.Cancel(ctx, another.ID); err != nil || canceled.Status != openai.UploadStatusCancelled {
		t.Errorf("the cancelled upload is %+v: %v", canceled, err)
	}
}

// TestSDKRepeatsALostCreate cuts the connection after the batch was made, so
// that the SDK sends the order again.
func TestSDKRepeatsALostCreate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := w.upload(w.alice, line)
	api, lost := w.handler, false
	w.handler = http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && !lost {
			lost = true
			api.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		api.ServeHTTP(out, r)
	})
	client := newClient(t, w)
	made, err := client.Batches.New(t.Context(), openai.BatchNewParams{
		InputFileID: file, Endpoint: openai.BatchNewParamsEndpointV1ChatCompletions,
		CompletionWindow: openai.BatchNewParamsCompletionWindow24h,
	})
	if err != nil {
		t.Fatal(err)
	}
	starts := w.flow.Starts()
	if len(starts) != 1 || starts[0].ID != made.ID {
		t.Errorf("flows started: %v, made %s", starts, made.ID)
	}
}
