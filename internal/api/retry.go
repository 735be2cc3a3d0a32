package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/musketry/musketry/internal/batch"
)

// retryBatch orders a new batch of what was not completed in one that has ended.
func (a *api) retryBatch(w http.ResponseWriter, r *http.Request, tenant string) error {
	b, err := a.batch(r, tenant)
	if err != nil {
		return err
	}
	f := fields{}
	if r.ContentLength != 0 { // an order without wishes of its own needs no body
		if f, err = readFields(w, r, "completion_window", "metadata", "idempotency_key"); err != nil {
			return err
		}
	}
	order, err := retryOrder(f, r, b)
	if err != nil {
		return err
	}
	if err := b.Retriable(); err != nil {
		return fmt.Errorf("api: retry: %w", err)
	}
	if err := a.admitBatch(r.Context(), order); err != nil {
		return err
	}
	made, err := a.accept(r.Context(), order)
	if errors.Is(err, batch.ErrNotFound) {
		return badRequest("", "input_file_gone",
			"The input file '%s' of batch '%s' was deleted or has expired, so its requests cannot be sent again. "+
				"Upload their lines as a new file, and create a batch of it.", b.InputFileID, b.ID)
	}
	if err != nil {
		return fmt.Errorf("api: accept retry: %w", err)
	}
	return a.writeBatch(w, r, made)
}

// retryOrder is the order of a retry of b: as b was ordered, but for what f has.
func retryOrder(f fields, r *http.Request, b batch.Batch) (batch.Order, error) {
	o := batch.Order{
		Tenant: b.Tenant, InputFileID: b.InputFileID, RetryOf: b.ID, Endpoint: b.Endpoint, Window: b.Window,
		Metadata: b.Metadata, OutputExpiresAfter: b.OutputExpiresAfter,
	}
	var err error
	if !f.absent("completion_window") {
		if o.Window, err = f.text("completion_window"); err != nil {
			return o, err
		}
	}
	if !f.absent("metadata") {
		if o.Metadata, err = f.metadata("metadata"); err != nil {
			return o, err
		}
	}
	o.IdempotencyKey, err = idempotencyKey(f, r)
	repeats, _ := strconv.Atoi(r.Header.Get("X-Stainless-Retry-Count"))
	o.Repeated = repeats > 0
	return o, err
}
