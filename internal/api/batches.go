package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/internal/batch"
)

const (
	defaultBatches = 20  // of a page
	mostBatches    = 100 // of a page
	// countsAtOnce is how many batches' progress is read at once for a page.
	countsAtOnce = 10
	// longestKeyHeader is the longest idempotency key in bytes.
	longestKeyHeader = 255
)

func (a *api) createBatch(w http.ResponseWriter, r *http.Request, tenant string) error {
	f, err := readFields(w, r,
		"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after", "idempotency_key")
	if err != nil {
		return err
	}
	order, err := readOrder(f, r)
	if err != nil {
		return err
	}
	order.Tenant = tenant
	if err := a.admitBatch(r.Context(), order); err != nil {
		return err
	}
	b, err := a.accept(r.Context(), order)
	if errors.Is(err, batch.ErrNotFound) {
		return noFile(order.InputFileID, "input_file_id")
	}
	if err != nil {
		return fmt.Errorf("api: accept: %w", err)
	}
	return a.writeBatch(w, r, b)
}

// readOrder reads a batch's parameters. What they may be is the Acceptor's to
// say; here their types are checked.
func readOrder(f fields, r *http.Request) (batch.Order, error) {
	var (
		o   batch.Order
		err error
	)
	for _, field := range []struct {
		name string
		to   *string
	}{{"input_file_id", &o.InputFileID}, {"endpoint", &o.Endpoint}, {"completion_window", &o.Window}} {
		if *field.to, err = f.text(field.name); err != nil {
			return o, err
		}
	}
	if o.Metadata, err = f.metadata("metadata"); err != nil {
		return o, err
	}
	if o.OutputExpiresAfter, err = f.life("output_expires_after"); err != nil {
		return o, err
	}
	if _, ok := batch.ParseID(batch.PrefixFile, o.InputFileID); !ok {
		return o, noFile(o.InputFileID, "input_file_id")
	}
	o.IdempotencyKey, err = idempotencyKey(f, r)
	// https://github.com/openai/openai-python sends how often it repeated a
	// request, and no key.
	repeats, _ := strconv.Atoi(r.Header.Get("X-Stainless-Retry-Count"))
	o.Repeated = repeats > 0
	return o, err
}

func idempotencyKey(f fields, r *http.Request) (string, error) {
	key := r.Header.Get("Idempotency-Key")
	if key == "" && !f.absent("idempotency_key") {
		var err error
		if key, err = f.text("idempotency_key"); err != nil {
			return "", err
		}
	}
	if len(key) > longestKeyHeader {
		return "", badRequest("idempotency_key", "string_above_max_length",
			"Invalid 'idempotency_key': expected at most %d bytes, but got %d.", longestKeyHeader, len(key))
	}
	return key, nil
}

func (a *api) retrieveBatch(w http.ResponseWriter, r *http.Request, tenant string) error {
	b, err := a.batch(r, tenant)
	if err != nil {
		return err
	}
	return a.writeBatch(w, r, b)
}

func (a *api) cancelBatch(w http.ResponseWriter, r *http.Request, tenant string) error {
	b, err := a.batch(r, tenant)
	if err != nil {
		return err
	}
	if err := readNothing(w, r); err != nil {
		return err
	}
	if b, err = a.Acceptor.Cancel(r.Context(), b.Ref); err != nil {
		return fmt.Errorf("api: cancel: %w", err)
	}
	return a.writeBatch(w, r, b)
}

func (a *api) listBatches(w http.ResponseWriter, r *http.Request, tenant string) error {
	q, err := query(r)
	if err != nil {
		return err
	}
	p, err := readPage(q, batch.PrefixBatch, defaultBatches, mostBatches, false)
	if err != nil {
		return err
	}
	f, err := readBatchFilter(q)
	if err != nil {
		return err
	}
	found, last, more, err := a.pageOfBatches(r.Context(), tenant, p, f)
	if err != nil {
		return err
	}
	shapes := make([]batchShape, len(found))
	group, ctx := errgroup.WithContext(r.Context())
	group.SetLimit(countsAtOnce)
	for i, b := range found {
		group.Go(func() error {
			counts, err := a.counts(ctx, b)
			shapes[i] = shapeBatch(b, counts)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	list := shapeList(shapes, more, func(b batchShape) string { return b.ID })
	if last != "" { // it may lie behind the last batch that the filter let pass
		list.LastID = &last
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

// pageOfBatches returns the page of the batches that p and f ask for, and where a
// filter lets only some pass the id of the last one that was looked at.
func (a *api) pageOfBatches(
	ctx context.Context, tenant string, p page, f batchFilter,
) (found []batch.Batch, last string, more bool, err error) {
	if f != (batchFilter{}) {
		return a.findBatches(ctx, tenant, p, f)
	}
	found, more, err = collect(ctx, p,
		func(ctx context.Context, after string, limit int) ([]batch.Batch, bool, error) {
			return a.Batches.Batches(ctx, tenant, after, limit)
		},
		func(b batch.Batch) (string, bool) { return b.ID, a.shown(b) })
	if err != nil {
		return nil, "", false, fmt.Errorf("api: list batches: %w", err)
	}
	return found, "", more, nil
}

func (a *api) writeBatch(w http.ResponseWriter, r *http.Request, b batch.Batch) error {
	counts, err := a.counts(r.Context(), b)
	if err != nil {
		return err
	}
	shape := shapeBatch(b, counts)
	shape.Waiting = a.waiting(r.Context(), b, counts)
	writeJSON(w, http.StatusOK, shape)
	return nil
}

// batch returns the batch that r's path names.
func (a *api) batch(r *http.Request, tenant string) (batch.Batch, error) {
	id := r.PathValue("id")
	none := &refusalError{status: http.StatusNotFound, message: fmt.Sprintf("No batch found with id '%s'.", clip(id))}
	if _, ok := batch.ParseID(batch.PrefixBatch, id); !ok {
		return batch.Batch{}, none
	}
	b, err := a.Batches.Batch(r.Context(), batch.Ref{Tenant: tenant, ID: id})
	if errors.Is(err, batch.ErrNotFound) || err == nil && !a.shown(b) {
		return batch.Batch{}, none
	}
	if err != nil {
		return batch.Batch{}, fmt.Errorf("api: read batch: %w", err)
	}
	return b, nil
}

// shown reports whether b's life is not over: the table's own expiry lags by
// up to days
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html).
func (a *api) shown(b batch.Batch) bool {
	if !b.Status.Terminal() {
		return true
	}
	var ended time.Time
	for _, t := range []time.Time{b.CompletedAt, b.FailedAt, b.ExpiredAt, b.CanceledAt} {
		if t.After(ended) {
			ended = t
		}
	}
	return a.Clock().Before(ended.Add(a.config.BatchLife))
}

// counts returns b's counts: none until it is loaded, frozen ones once it
// is sealed, and between the two the workers' own, which may count a request
// twice for a moment and are kept below the total.
func (a *api) counts(ctx context.Context, b batch.Batch) (batch.Counts, error) {
	switch {
	case b.Sealed || b.Status.Terminal() || b.Counts.Total == 0:
		return b.Counts, nil
	case b.InProgressAt.IsZero(): // should it be given up, it counts none
		return batch.Counts{}, nil
	}
	sum, err := a.Batches.Progress(ctx, b.ID)
	if err != nil {
		return batch.Counts{}, fmt.Errorf("api: read progress: %w", err)
	}
	return sum.Within(b.Counts.Total), nil
}

// collect reads pages until p's limit is reached, since some of what a page
// holds is hidden. It asks for one page more than it needs at most.
func collect[T any](
	ctx context.Context, p page,
	read func(ctx context.Context, after string, limit int) ([]T, bool, error), show func(T) (id string, shown bool),
) ([]T, bool, error) {
	var found []T
	for {
		read, more, err := read(ctx, p.After, p.Limit-len(found))
		if err != nil {
			return nil, false, err
		}
		for _, v := range read {
			id, shown := show(v)
			p.After = id
			if shown {
				found = append(found, v)
			}
		}
		if !more || len(read) == 0 || len(found) >= p.Limit {
			return found, more, nil
		}
	}
}
