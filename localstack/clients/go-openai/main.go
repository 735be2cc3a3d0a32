// Command go-openai runs a batch with go-openai. Arguments: the case and the model.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/sashabaranov/go-openai"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(kind, model string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	config := openai.DefaultConfig(os.Getenv("OPENAI_API_KEY"))
	config.BaseURL = os.Getenv("OPENAI_BASE_URL")
	client := openai.NewClientWithConfig(config)

	order := openai.CreateBatchWithUploadFileRequest{Endpoint: openai.BatchEndpointChatCompletions, CompletionWindow: "24h"}
	for i := range 3 {
		order.AddChatCompletion(fmt.Sprintf("id-%d", i), openai.ChatCompletionRequest{
			Model: model, Messages: []openai.ChatCompletionMessage{{Role: "user", Content: fmt.Sprintf("Say something about %d.", i)}},
		})
	}
	batch, err := client.CreateBatchWithUploadFile(ctx, order)
	if err != nil {
		return err
	}
	switch kind {
	case "list":
		most := 100
		listed, err := client.ListBatch(ctx, nil, &most)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(listed.Data, func(b openai.Batch) bool { return b.ID == batch.ID }) {
			return fmt.Errorf("%s is not listed", batch.ID)
		}
	case "cancel":
		if _, err := reach(ctx, client, batch.ID, "in_progress"); err != nil {
			return err
		}
		if _, err := client.CancelBatch(ctx, batch.ID); err != nil {
			return err
		}
		_, err := reach(ctx, client, batch.ID, "cancelled")
		return err
	}
	if batch, err = reach(ctx, client, batch.ID, "completed"); err != nil {
		return err
	}
	file, other := batch.OutputFileID, batch.ErrorFileID
	if kind == "failing" {
		file, other = other, file
	}
	if file == nil || other != nil {
		return fmt.Errorf("files of %+v", batch.Batch)
	}
	return check(ctx, client, *file, kind == "failing")
}

// reach waits until a batch has a status.
func reach(ctx context.Context, client *openai.Client, id, status string) (openai.BatchResponse, error) {
	for {
		batch, err := client.RetrieveBatch(ctx, id)
		if err != nil || batch.Status == status {
			return batch, err
		}
		if slices.Contains([]string{"completed", "failed", "expired", "cancelled"}, batch.Status) {
			return batch, fmt.Errorf("ended %+v, want %s", batch.Batch, status)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// check reads a file of results.
func check(ctx context.Context, client *openai.Client, file string, failed bool) error {
	content, err := client.GetFileContent(ctx, file)
	if err != nil {
		return err
	}
	defer content.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(content); err != nil {
		return err
	}
	lines := bytes.Split(bytes.TrimSpace(text.Bytes()), []byte("\n"))
	for i, line := range lines {
		var row struct {
			CustomID string `json:"custom_id"`
			Response struct {
				Body struct {
					openai.ChatCompletionResponse
					Error *openai.APIError `json:"error"`
				} `json:"body"`
			} `json:"response"`
		}
		if err := json.Unmarshal(line, &row); err != nil {
			return err
		}
		body := row.Response.Body
		answered := len(body.Choices) == 1 && body.Choices[0].Message.Content != ""
		if row.CustomID != fmt.Sprintf("id-%d", i) || answered == failed || (body.Error != nil && body.Error.Message != "") != failed {
			return fmt.Errorf("line %d is %s", i+1, line)
		}
	}
	if len(lines) != 3 {
		return fmt.Errorf("%d lines", len(lines))
	}
	return nil
}
