package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/tenant"
)

const (
	typeInvalid = "invalid_request_error"
	typeServer  = "server_error"

	codeRateLimit = "rate_limit_exceeded"
	limitAgain    = 60 // seconds: batches take minutes at least
)

// A refusalError is an answer that is not the one asked for. Its message is
// for the user.
type refusalError struct {
	status  int
	kind    string // empty: invalid_request_error, server_error from 500 on
	param   string // empty: null
	code    string // empty: null
	message string
	again   int                // seconds after which to try again; 0: trying again mends nothing
	limit   *tenant.LimitError // of a 429 or 413
}

func (e *refusalError) Error() string { return e.message }

// An envelope is the shape of every error
// (https://platform.openai.com/docs/guides/error-codes).
type envelope struct {
	Error envelopeBody `json:"error"`
}

type envelopeBody struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

// writeError answers err: as it says if it is one that the user can do
// something about, else as an internal error whose cause only the log has.
func writeError(w http.ResponseWriter, err error) {
	e := refusal(err)
	kind := e.kind
	switch {
	case kind != "":
	case e.status >= http.StatusInternalServerError:
		kind = typeServer
	default:
		kind = typeInvalid
	}
	if e.again > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(e.again))
	}
	if e.limit != nil {
		w.Header().Set("X-Ratelimit-Limit-"+e.limit.Of, strconv.Itoa(e.limit.Max))
		w.Header().Set("X-Ratelimit-Remaining-"+e.limit.Of, strconv.Itoa(max(e.limit.Max-e.limit.Now, 0)))
	}
	switch {
	case e.again > 0 && e.status >= http.StatusInternalServerError:
		w.Header().Set("X-Should-Retry", "true")
	case e.status < http.StatusInternalServerError:
		// OpenAI's SDKs would send a 408, 409 or 429 again.
		w.Header().Set("X-Should-Retry", "false")
	}
	writeJSON(w, e.status, envelope{envelopeBody{
		Message: e.message, Type: kind, Param: orNull(e.param), Code: orNull(e.code),
	}})
}

func refusal(err error) *refusalError {
	var (
		told  *refusalError
		file  *batch.FileError
		order *batch.OrderError
		state *batch.StatusError
		limit *tenant.LimitError
	)
	upload := uploadRefusal(err)
	switch {
	case errors.As(err, &told):
		return told
	case upload != nil:
		return upload
	case errors.As(err, &file):
		return &refusalError{status: http.StatusBadRequest, param: file.Param, code: file.Code, message: file.Message}
	case errors.As(err, &order):
		return &refusalError{
			status: http.StatusBadRequest, param: order.Param, code: order.Code, message: order.Message,
		}
	case errors.As(err, &limit):
		return limitReached(limit)
	case errors.As(err, &state):
		return &refusalError{
			status:  http.StatusConflict,
			message: fmt.Sprintf("Cannot %s a batch with status '%s'.", state.Op, state.Status),
		}
	case errors.Is(err, batch.ErrIdempotency):
		return &refusalError{
			status: http.StatusConflict, code: "idempotency_key_reused",
			message: "This idempotency key was used for a request with other parameters. Use another key.",
		}
	case errors.Is(err, batch.ErrBusy):
		return &refusalError{
			status: http.StatusServiceUnavailable, code: "busy", again: 1,
			message: "Others are changing the same object. Try again.",
		}
	case tooLarge(err):
		return bodyTooLarge(err)
	}
	return &refusalError{
		status:  http.StatusInternalServerError,
		message: "The server failed to answer. The request id says where to look in its log.",
	}
}

// uploadRefusal says what an upload cannot do; nil if err is of nothing such.
func uploadRefusal(err error) *refusalError {
	var status *batch.UploadError
	switch {
	case errors.As(err, &status):
		return &refusalError{
			status:  http.StatusConflict,
			message: fmt.Sprintf("Cannot %s an upload with status '%s'.", status.Op, status.Status),
		}
	case errors.Is(err, batch.ErrUploadOrder):
		return &refusalError{
			status: http.StatusConflict, param: "part_ids",
			message: "The completion of this upload was begun with other parts, and has not ended yet.",
		}
	case errors.Is(err, batch.ErrUploadBegun):
		return &refusalError{
			status:  http.StatusConflict,
			message: "The completion of this upload has begun. Complete it again with the same parts.",
		}
	case errors.Is(err, batch.ErrUploadJoining):
		return &refusalError{
			status: http.StatusServiceUnavailable, code: "upload_completing", again: 1,
			message: "The parts of this upload are still being joined. Complete it again with the same parts to wait on.",
		}
	case errors.Is(err, batch.ErrUploadSum):
		return badRequest("md5", batch.CodeInvalidValue, "The MD5 of the parts is not the one that was given.")
	case errors.Is(err, batch.ErrUploadTries):
		return &refusalError{
			status: http.StatusConflict, code: "too_many_tries",
			message: fmt.Sprintf("The parts of this upload were read %d times to complete it. Cancel it, and create another.",
				batch.MaxUploadTries),
		}
	}
	return nil
}

// limitReached is a 429, or a 413 where waiting mends nothing. The SDKs' two
// quick repeats would meet the same limit: writeError asks for none, and
// Retry-After says when to look again.
func limitReached(e *tenant.LimitError) *refusalError {
	r := &refusalError{
		status: http.StatusTooManyRequests, kind: codeRateLimit, code: codeRateLimit, again: limitAgain, limit: e,
	}
	switch e.Of {
	case tenant.LimitUploadBytes, tenant.LimitParts:
		return uploadFull(e)
	case tenant.LimitBytes:
		return &refusalError{
			status: http.StatusRequestEntityTooLarge, code: "storage_limit_exceeded", limit: e,
			message: fmt.Sprintf("Storage limit reached: your files and open uploads have %d bytes, and may have %d; this "+
				"needs %d more. Delete files, cancel uploads, or wait until some expire. (A compressed file counts unpacked, "+
				"an open upload as much as was declared.)", e.Now, e.Max, e.Asked),
		}
	case tenant.LimitUploads:
		r.message = fmt.Sprintf("Rate limit reached: you have %d open uploads, and may have %d. Complete or cancel one; an "+
			"upload expires an hour after it was created.", e.Now, e.Max)
	case tenant.LimitCreates:
		r.again = int((e.After + time.Second - 1) / time.Second)
		r.message = fmt.Sprintf("Rate limit reached: you have created %d files, uploads and batches in this minute, and may "+
			"create %d. Try again in %d seconds.", e.Now, e.Max, r.again)
	case tenant.LimitRequests:
		r.message = fmt.Sprintf("Rate limit reached: your unfinished batches have %d requests, and may have %d; this one "+
			"has up to %d. Wait until some have ended, or split the file. (A batch that is being validated counts as "+
			"many as its file can have.)", e.Now, e.Max, e.Asked)
	default:
		r.message = fmt.Sprintf("Rate limit reached: you have %d unfinished batches, and may have %d. "+
			"Wait until one has ended, or cancel one.", e.Now, e.Max)
	}
	return r
}

// uploadFull is a 413: an upload has the bytes that it was created for.
func uploadFull(e *tenant.LimitError) *refusalError {
	r := &refusalError{
		status: http.StatusRequestEntityTooLarge, param: "data", code: "upload_too_large", limit: e,
		message: fmt.Sprintf("The parts of this upload have %d bytes, and it was created for %d: this part of %d bytes is too "+
			"much. Complete it with the parts that are there, or cancel it and create another.", e.Now, e.Max, e.Asked),
	}
	if e.Of == tenant.LimitParts {
		r.message = fmt.Sprintf("This upload has %d parts, and may have %d. Make its parts larger.", e.Now, e.Max)
	}
	return r
}

func bodyTooLarge(err error) *refusalError {
	var limit *http.MaxBytesError
	_ = errors.As(err, &limit)
	return &refusalError{
		status: http.StatusRequestEntityTooLarge, code: "request_too_large",
		message: fmt.Sprintf("The request is larger than the %d bytes that this endpoint takes. Send the file as "+
			"POST /v1/uploads with parts of 4 MB (in Python: client.uploads.upload_file_chunked(part_size=4*1024*1024)), "+
			"or compress it and name it .jsonl.gz.", limit.Limit),
	}
}

func noRoute(r *http.Request) *refusalError {
	return &refusalError{
		status: http.StatusNotFound, code: "unknown_url",
		message: fmt.Sprintf("Invalid URL (%s %s)", clip(r.Method), clip(r.URL.Path)),
	}
}

// badRequest is a 400 about a parameter.
func badRequest(param, code, format string, args ...any) *refusalError {
	return &refusalError{
		status: http.StatusBadRequest, param: param, code: code, message: fmt.Sprintf(format, args...),
	}
}

// missing is a 400 about a parameter that is not there.
func missing(param string) *refusalError {
	return badRequest(param, batch.CodeMissingParameter, "Missing required parameter: '%s'.", param)
}

// writeJSON answers v, which must be a value that encodes.
func writeJSON(w http.ResponseWriter, status int, v any) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("api: %T does not encode", v)) // a defect of ours; answered as one
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the client is gone: nobody is left to tell
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// clip bounds what an answer or the log quotes of the user's own words.
func clip(s string) string {
	const longest = 100
	if len(s) <= longest {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(s[:longest], "") + "…"
}
