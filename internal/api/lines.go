package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// requestLine answers a request's own line of the batch's input file, as it was
// sent.
func (a *api) requestLine(w http.ResponseWriter, r *http.Request, tenant string) error {
	b, rec, err := a.request(r, tenant)
	if err != nil {
		return err
	}
	gone := &refusalError{
		status: http.StatusGone, code: "input_file_gone",
		message: fmt.Sprintf("The input file '%s' of batch '%s' was deleted or has expired.", b.InputFileID, b.ID),
	}
	f, err := a.Files.File(r.Context(), tenant, b.InputFileID)
	if errors.Is(err, batch.ErrNotFound) {
		return gone
	}
	if err != nil {
		return fmt.Errorf("api: read input file: %w", err)
	}
	if f.Expired(a.Clock()) {
		return gone
	}
	return a.writeLine(w, r, f.ObjectKey(), rec.Spec.Body, gone)
}

// requestAnswer answers the line of a request that the output or the error file
// has, as soon as it is there.
func (a *api) requestAnswer(w http.ResponseWriter, r *http.Request, tenant string) error {
	b, rec, err := a.request(r, tenant)
	if err != nil {
		return err
	}
	var at state.Span
	switch p := rec.Phase.(type) {
	case state.Completed:
		at = p.Answer
	case state.Failed:
		at = p.Answer
	case state.Pending, state.Claimed, state.Processing, state.Canceled:
	}
	if at.Length == 0 {
		return noAnswer(b, rec)
	}
	return a.writeLine(w, r, batch.SegmentKey(b.ID, at.Object), at, resultsExpired())
}

// noAnswer is a 404: a request was not answered, or not yet.
func noAnswer(b batch.Batch, rec state.Record) error {
	outcome := batch.OutcomeOf(rec.Phase)
	message := fmt.Sprintf("Request '%s' has no answer yet: its status is '%s'.", batch.RequestID(rec.Spec.Key), outcome)
	if rec.Phase.Status().Terminal() {
		message = fmt.Sprintf("Request '%s' was not answered: its status is '%s'. The error file of batch '%s' has a line that says so, "+
			"once the batch has ended.", batch.RequestID(rec.Spec.Key), outcome, b.ID)
	}
	return &refusalError{status: http.StatusNotFound, code: "no_answer", message: message}
}

// request returns the request that r's path names, and its batch.
func (a *api) request(r *http.Request, tenant string) (batch.Batch, state.Record, error) {
	b, err := a.batch(r, tenant)
	if err != nil {
		return batch.Batch{}, state.Record{}, err
	}
	id := r.PathValue("request_id")
	rec, err := a.Requests.Get(r.Context(), b, id)
	if errors.Is(err, state.ErrNotFound) {
		return batch.Batch{}, state.Record{}, noRequest(b, id)
	}
	if err != nil {
		return batch.Batch{}, state.Record{}, fmt.Errorf("api: request: %w", err)
	}
	return b, rec, nil
}

// writeLine answers the line that lies at a place of an object; gone if the object
// is not there any more. A line that one answer cannot carry is refused.
func (a *api) writeLine(w http.ResponseWriter, r *http.Request, key string, at state.Span, gone error) error {
	if at.Length <= int64(a.config.MaxAnswer) {
		line, err := a.Objects.Read(r.Context(), key, at.Offset, at.Length)
		if errors.Is(err, batch.ErrNoObject) {
			return gone
		}
		if err != nil {
			return fmt.Errorf("api: read a line: %w", err)
		}
		if len(a.fitting(line, at.Length)) == len(line) {
			h := w.Header()
			h.Set("Content-Type", "application/json")
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Cache-Control", "no-store")
			h.Set("Content-Length", strconv.Itoa(len(line)))
			w.WriteHeader(http.StatusOK)
			_, _ = w.Write(line) // the client is gone: nobody is left to tell
			return nil
		}
	}
	return &refusalError{
		status: http.StatusRequestEntityTooLarge, code: "line_too_large_for_one_answer",
		message: fmt.Sprintf("The line has %d bytes, more than one answer can carry. The batch's file has it.", at.Length),
	}
}
