package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

const (
	defaultRequests = 20  // of a page
	mostRequests    = 100 // of a page
)

// An Inspector looks at single requests of batches.
type Inspector interface {
	// List returns a page in the order of lines; none until b is loaded.
	List(ctx context.Context, b batch.Batch, q batch.RequestQuery) (batch.RequestPage, error)
	// Find returns state.ErrNotFound if b has no request of this custom_id.
	Find(ctx context.Context, b batch.Batch, customID string) (state.Record, error)
	// Get returns state.ErrNotFound if b has no request of this id.
	Get(ctx context.Context, b batch.Batch, id string) (state.Record, error)
	// Cancel returns what Get does, a *batch.RequestError if the request has
	// another outcome, and a *batch.StatusError if b ended.
	Cancel(ctx context.Context, b batch.Batch, id string) (state.Record, error)
}

func (a *api) listRequests(w http.ResponseWriter, r *http.Request, tenant string) error {
	b, err := a.batch(r, tenant)
	if err != nil {
		return err
	}
	values, err := query(r)
	if err != nil {
		return err
	}
	q, err := requestQuery(values, b)
	if err != nil {
		return err
	}
	page, err := a.requests(r.Context(), b, q, values["custom_id"])
	if err != nil {
		return err
	}
	shapes := make([]requestShape, 0, len(page.Requests))
	for _, rec := range page.Requests {
		shapes = append(shapes, shapeRequest(b, rec))
	}
	list := shapeList(shapes, page.More, func(s requestShape) string { return s.ID })
	if page.Last > 0 { // it may lie behind the last request that the filter let pass
		last := batch.RequestID(b.Key(page.Last))
		list.LastID = &last
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

// requests returns a page of b's requests; of the one of the first of customIDs,
// where there are any, if there is one that q does not leave out.
func (a *api) requests(
	ctx context.Context, b batch.Batch, q batch.RequestQuery, customIDs []string,
) (batch.RequestPage, error) {
	if len(customIDs) == 0 {
		page, err := a.Requests.List(ctx, b, q)
		if err != nil {
			return page, fmt.Errorf("api: list requests: %w", err)
		}
		return page, nil
	}
	rec, err := a.Requests.Find(ctx, b, customIDs[0])
	line := rec.Spec.Key.Line
	switch {
	case errors.Is(err, state.ErrNotFound):
		return batch.RequestPage{}, nil
	case err != nil:
		return batch.RequestPage{}, fmt.Errorf("api: find request: %w", err)
	case line <= q.After || !q.Wants(rec):
		return batch.RequestPage{}, nil
	}
	return batch.RequestPage{Requests: []state.Record{rec}, Last: line}, nil
}

// requestQuery reads status, reason, search, after and limit.
func requestQuery(values url.Values, b batch.Batch) (batch.RequestQuery, error) {
	q := batch.RequestQuery{Outcome: batch.Outcome(values.Get("status"))}
	if outcomes := batch.Outcomes(); q.Outcome != "" && !slices.Contains(outcomes, q.Outcome) {
		known := make([]string, len(outcomes))
		for i, o := range outcomes {
			known[i] = string(o)
		}
		return q, badRequest("status", batch.CodeInvalidValue,
			"Invalid value: '%s'. Supported values are: %s.", clip(string(q.Outcome)), quoted(known))
	}
	if q.Reason = values.Get("reason"); q.Reason != "" && !batch.KnownReason(q.Reason) {
		return q, badRequest("reason", batch.CodeInvalidValue, "Invalid value: '%s'. Supported values are: %s, and http_ with a status, such as 'http_429'.",
			clip(q.Reason), quoted(batch.Reasons()))
	}
	var err error
	if q.Search, err = search(values); err != nil {
		return q, err
	}
	if after := values.Get("after"); after != "" {
		var ok bool
		if q.After, ok = batch.ParseRequestID(b.ID, after); !ok {
			return q, badRequest("after", batch.CodeInvalidValue,
				"Invalid 'after': '%s' is not the id of a request of this batch.", clip(after))
		}
	}
	p, err := readPage(url.Values{"limit": values["limit"]}, batch.PrefixBatch, defaultRequests, mostRequests, false)
	q.Limit = p.Limit
	return q, err
}

func (a *api) retrieveRequest(w http.ResponseWriter, r *http.Request, tenant string) error {
	return a.oneRequest(w, r, tenant, a.Requests.Get)
}

func (a *api) cancelRequest(w http.ResponseWriter, r *http.Request, tenant string) error {
	if err := readNothing(w, r); err != nil {
		return err
	}
	return a.oneRequest(w, r, tenant, a.Requests.Cancel)
}

// oneRequest answers the request that r's path names, after what do does to it.
func (a *api) oneRequest(
	w http.ResponseWriter, r *http.Request, tenant string,
	do func(ctx context.Context, b batch.Batch, id string) (state.Record, error),
) error {
	b, err := a.batch(r, tenant)
	if err != nil {
		return err
	}
	id := r.PathValue("request_id")
	rec, err := do(r.Context(), b, id)
	var refused *batch.RequestError
	switch {
	case errors.Is(err, state.ErrNotFound):
		return noRequest(b, id)
	case errors.As(err, &refused):
		return &refusalError{
			status:  http.StatusConflict,
			message: fmt.Sprintf("Cannot %s a request with status '%s'.", refused.Op, refused.Outcome),
		}
	case err != nil:
		return fmt.Errorf("api: request: %w", err)
	}
	writeJSON(w, http.StatusOK, shapeRequest(b, rec))
	return nil
}

func noRequest(b batch.Batch, id string) error {
	message := fmt.Sprintf("No request with id '%s' in batch '%s'.", clip(id), b.ID)
	switch {
	case !b.Ready() && !b.Status.Terminal():
		message += " Its requests can be seen once it is no longer validating."
	case !strings.HasPrefix(id, batch.PrefixBatchRequest):
		message += fmt.Sprintf(" A request's id begins with '%s'. To find a request by its custom_id, ask for "+
			"/batches/%s/requests?custom_id=.", batch.PrefixBatchRequest, b.ID)
	}
	return &refusalError{status: http.StatusNotFound, param: "request_id", message: message}
}
