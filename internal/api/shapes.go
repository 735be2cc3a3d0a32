package api

import (
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// The shapes are OpenAI's, its optional fields as explicit nulls; see
// https://platform.openai.com/docs/api-reference/batch/object and its neighbours.
type (
	fileShape struct {
		ID            string  `json:"id"`
		Object        string  `json:"object"`
		Bytes         int64   `json:"bytes"`
		CreatedAt     int64   `json:"created_at"`
		ExpiresAt     *int64  `json:"expires_at"`
		Filename      string  `json:"filename"`
		Purpose       string  `json:"purpose"`
		Status        string  `json:"status"`
		StatusDetails *string `json:"status_details"`
	}

	uploadShape struct {
		ID        string     `json:"id"`
		Object    string     `json:"object"`
		Bytes     int64      `json:"bytes"`
		CreatedAt int64      `json:"created_at"`
		ExpiresAt int64      `json:"expires_at"`
		Filename  string     `json:"filename"`
		Purpose   string     `json:"purpose"`
		Status    string     `json:"status"`
		File      *fileShape `json:"file"`
	}

	partShape struct {
		ID        string `json:"id"`
		Object    string `json:"object"`
		CreatedAt int64  `json:"created_at"`
		UploadID  string `json:"upload_id"`
	}

	deletedShape struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Deleted bool   `json:"deleted"`
	}

	listShape[T any] struct {
		Object  string  `json:"object"`
		Data    []T     `json:"data"`
		FirstID *string `json:"first_id"`
		LastID  *string `json:"last_id"`
		HasMore bool    `json:"has_more"`
	}

	batchShape struct {
		ID               string            `json:"id"`
		Object           string            `json:"object"`
		Endpoint         string            `json:"endpoint"`
		Model            *string           `json:"model"`
		Errors           *errorsShape      `json:"errors"`
		InputFileID      string            `json:"input_file_id"`
		CompletionWindow string            `json:"completion_window"`
		Status           string            `json:"status"`
		OutputFileID     *string           `json:"output_file_id"`
		ErrorFileID      *string           `json:"error_file_id"`
		CreatedAt        int64             `json:"created_at"`
		InProgressAt     *int64            `json:"in_progress_at"`
		ExpiresAt        *int64            `json:"expires_at"`
		FinalizingAt     *int64            `json:"finalizing_at"`
		CompletedAt      *int64            `json:"completed_at"`
		FailedAt         *int64            `json:"failed_at"`
		ExpiredAt        *int64            `json:"expired_at"`
		CancellingAt     *int64            `json:"cancelling_at"`
		CancelledAt      *int64            `json:"cancelled_at"`
		RequestCounts    countsShape       `json:"request_counts"`
		Usage            *usageShape       `json:"usage"`
		RetryOf          *string           `json:"retry_of"`
		Metadata         map[string]string `json:"metadata"`
		Waiting          []waitShape       `json:"waiting"`
	}

	errorsShape struct {
		Object string           `json:"object"`
		Data   []lineErrorShape `json:"data"`
	}

	lineErrorShape struct {
		Code    string  `json:"code"`
		Message string  `json:"message"`
		Param   *string `json:"param"`
		Line    *int    `json:"line"`
	}

	// countsShape has two fields more than OpenAI's, so that the last four add
	// up to the first at the end.
	countsShape struct {
		Total     int `json:"total"`
		Completed int `json:"completed"`
		Failed    int `json:"failed"`
		Expired   int `json:"expired"`
		Cancelled int `json:"cancelled"`
	}

	usageShape struct {
		InputTokens        int64              `json:"input_tokens"`
		InputTokensDetails inputDetailsShape  `json:"input_tokens_details"`
		OutputTokens       int64              `json:"output_tokens"`
		OutputDetails      outputDetailsShape `json:"output_tokens_details"`
		TotalTokens        int64              `json:"total_tokens"`
	}

	inputDetailsShape struct {
		CachedTokens int64 `json:"cached_tokens"`
	}

	outputDetailsShape struct {
		ReasoningTokens int64 `json:"reasoning_tokens"`
	}

	modelShape struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"`
		OwnedBy string `json:"owned_by"`
	}
)

func shapeFile(f batch.File) fileShape {
	return fileShape{
		ID: f.ID, Object: "file", Bytes: f.Bytes, CreatedAt: f.CreatedAt.Unix(), ExpiresAt: unix(f.ExpiresAt),
		Filename: f.Name, Purpose: string(f.Purpose),
		Status: "processed", // OpenAI's SDKs wait for it: wait_for_processing
	}
}

// shapeUpload shapes u at now; f is its file, nil before there is one.
func shapeUpload(u batch.Upload, f *batch.File, now time.Time) uploadShape {
	shape := uploadShape{
		ID: u.ID, Object: "upload", Bytes: u.Bytes, CreatedAt: u.CreatedAt.Unix(), ExpiresAt: u.ExpiresAt().Unix(),
		Filename: u.Name, Purpose: string(u.Purpose), Status: string(u.StatusAt(now)),
	}
	if f != nil {
		file := shapeFile(*f)
		shape.File = &file
	}
	return shape
}

func shapeBatch(b batch.Batch, counts batch.Counts) batchShape {
	shape := batchShape{
		ID: b.ID, Object: "batch", Endpoint: b.Endpoint, InputFileID: b.InputFileID, CompletionWindow: b.Window,
		Status: string(b.Status), CreatedAt: b.CreatedAt.Unix(), InProgressAt: unix(b.InProgressAt),
		ExpiresAt: unix(b.Deadline), FinalizingAt: unix(b.FinalizingAt), CompletedAt: unix(b.CompletedAt),
		FailedAt: unix(b.FailedAt), ExpiredAt: unix(b.ExpiredAt), CancellingAt: unix(b.CancelingAt),
		CancelledAt: unix(b.CanceledAt), RetryOf: orNull(b.RetryOf), Metadata: b.Metadata,
		RequestCounts: countsShape{
			Total: counts.Total, Completed: counts.Completed, Failed: counts.Failed,
			Expired: counts.Expired, Cancelled: counts.Canceled,
		},
	}
	if len(b.Models) == 1 && !b.ModelsMixed {
		shape.Model = &b.Models[0]
	}
	if b.Status.Terminal() {
		shape.OutputFileID, shape.ErrorFileID = orNull(b.OutputFileID), orNull(b.ErrorFileID)
		shape.Usage = shapeUsage(b.Tokens)
	}
	if len(b.Errors) > 0 {
		shape.Errors = &errorsShape{Object: "list", Data: make([]lineErrorShape, 0, len(b.Errors))}
		for _, e := range b.Errors {
			line := lineErrorShape{Code: e.Code, Message: e.Message, Param: orNull(e.Param)}
			if e.Line > 0 {
				line.Line = &e.Line
			}
			shape.Errors.Data = append(shape.Errors.Data, line)
		}
	}
	return shape
}

// shapeUsage shapes sums of tokens; nil where no answer told any.
func shapeUsage(u state.Tokens) *usageShape {
	if u == (state.Tokens{}) {
		return nil
	}
	return &usageShape{
		InputTokens: u.Input, InputTokensDetails: inputDetailsShape{CachedTokens: u.Cached},
		OutputTokens: u.Output, OutputDetails: outputDetailsShape{ReasoningTokens: u.Reasoning},
		TotalTokens: u.Total,
	}
}

// shapeList makes a list of shapes, whose ids idOf returns.
func shapeList[T any](data []T, more bool, idOf func(T) string) listShape[T] {
	list := listShape[T]{Object: "list", Data: data, HasMore: more}
	if len(data) == 0 {
		list.Data = []T{} // null is no list
		return list
	}
	first, last := idOf(data[0]), idOf(data[len(data)-1])
	list.FirstID, list.LastID = &first, &last
	return list
}

func unix(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	seconds := t.Unix()
	return &seconds
}
