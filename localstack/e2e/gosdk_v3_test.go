//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// A goSDKV3 is the newest Go SDK.
type goSDKV3 struct{ client openai.Client }

var _ goSDK = goSDKV3{}

func newGoSDKV3(baseURL, key string) goSDK {
	return goSDKV3{openai.NewClient(option.WithBaseURL(baseURL), option.WithAPIKey(key))}
}

func (s goSDKV3) Upload(ctx context.Context, name string, content []byte) (string, error) {
	f, err := s.client.Files.New(ctx, openai.FileNewParams{
		File: openai.File(bytes.NewReader(content), name, "application/jsonl"), Purpose: openai.FilePurposeBatch,
	})
	if err != nil {
		return "", err
	}
	return f.ID, nil
}

func (s goSDKV3) UploadParts(ctx context.Context, name string, content [][]byte) (string, error) {
	u, err := s.client.Uploads.New(ctx, openai.UploadNewParams{
		Filename: name, Bytes: total(content), MimeType: "application/jsonl", Purpose: openai.FilePurposeBatch,
	})
	if err != nil {
		return "", err
	}
	var ids []string
	for _, piece := range content {
		part, err := s.client.Uploads.Parts.New(ctx, u.ID, openai.UploadPartNewParams{Data: bytes.NewReader(piece)})
		if err != nil {
			return "", err
		}
		ids = append(ids, part.ID)
	}
	u, err = s.client.Uploads.Complete(ctx, u.ID, openai.UploadCompleteParams{PartIDs: ids})
	if err != nil {
		return "", err
	}
	return u.File.ID, nil
}

func (s goSDKV3) Create(ctx context.Context, file, window string) (goBatch, error) {
	b, err := s.client.Batches.New(ctx, openai.BatchNewParams{
		InputFileID: file, Endpoint: openai.BatchNewParamsEndpointV1ChatCompletions,
		CompletionWindow: openai.BatchNewParamsCompletionWindow(window), Metadata: map[string]string{"client": "go"},
	})
	return goBatchV3(b, err)
}

func (s goSDKV3) Get(ctx context.Context, id string) (goBatch, error) {
	return goBatchV3(s.client.Batches.Get(ctx, id))
}

func (s goSDKV3) Cancel(ctx context.Context, id string) (goBatch, error) {
	return goBatchV3(s.client.Batches.Cancel(ctx, id))
}

func goBatchV3(b *openai.Batch, err error) (goBatch, error) {
	if err != nil {
		return goBatch{}, err
	}
	return goBatch{
		ID: b.ID, Status: string(b.Status), Output: b.OutputFileID, Errors: b.ErrorFileID, Client: b.Metadata["client"],
		Total: b.RequestCounts.Total, Completed: b.RequestCounts.Completed, Failed: b.RequestCounts.Failed,
	}, nil
}

func (s goSDKV3) Content(ctx context.Context, file string) ([]byte, error) {
	res, err := s.client.Files.Content(ctx, file)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}

func (s goSDKV3) Files(ctx context.Context, after, last string) ([]string, error) {
	var ids []string
	pages := s.client.Files.ListAutoPaging(ctx, openai.FileListParams{
		After: openai.String(after), Limit: openai.Int(1), Order: openai.FileListParamsOrderAsc,
	})
	for len(ids) < mostListed && pages.Next() {
		if ids = append(ids, pages.Current().ID); pages.Current().ID == last {
			break
		}
	}
	return ids, pages.Err()
}

func (s goSDKV3) Batches(ctx context.Context, after, last string) ([]string, error) {
	var ids []string
	pages := s.client.Batches.ListAutoPaging(ctx, openai.BatchListParams{After: openai.String(after), Limit: openai.Int(1)})
	for len(ids) < mostListed && pages.Next() {
		if ids = append(ids, pages.Current().ID); pages.Current().ID == last {
			break
		}
	}
	return ids, pages.Err()
}

func (s goSDKV3) Delete(ctx context.Context, file string) error {
	_, err := s.client.Files.Delete(ctx, file)
	return err
}

func (goSDKV3) Refusal(err error) (status int, param string) {
	var told *openai.Error
	if !errors.As(err, &told) || told.Message == "" || told.Type == "" {
		return 0, ""
	}
	return told.StatusCode, told.Param
}
