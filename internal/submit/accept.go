package submit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/tenant"
)

// maxPins is how many batches may use one file at once: their ids lie in the
// file's item, which stays far below DynamoDB's 400 KB
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html).
const maxPins = 1000

// An AcceptStore keeps files and batches.
type AcceptStore interface {
	// UpdateFile changes a file, guarded by its revision. It returns
	// batch.ErrNotFound if the tenant has no such file, batch.ErrBusy if others
	// write it all the time, and change's own error as it is.
	UpdateFile(ctx context.Context, tenant, id string, change func(*batch.File) error) (batch.File, error)
	// CreateBatch returns batch.ErrExists if there is a batch of this id.
	CreateBatch(ctx context.Context, b batch.Batch) error
	// Batch reads consistently. It returns batch.ErrNotFound if the tenant has
	// no such batch.
	Batch(ctx context.Context, ref batch.Ref) (batch.Batch, error)
	// UpdateBatch is to a batch what UpdateFile is to a file.
	UpdateBatch(ctx context.Context, ref batch.Ref, change func(*batch.Batch) error) (batch.Batch, error)
	Unfinished
}

// An Unfinished keeps what is not known to have ended.
type Unfinished interface {
	// UpdateQuota is to a tenant's quota what UpdateFile is to a file; a tenant
	// without a stored one has an empty one.
	UpdateQuota(ctx context.Context, tenantName string, change func(*tenant.Quota) error) (tenant.Quota, error)
	// CreateRunning returns batch.ErrExists if there is an entry of r's batch.
	CreateRunning(ctx context.Context, r batch.Running) error
}

// A Starter starts and wakes the flows of batches.
type Starter interface {
	// Start starts b's flow with b as its record. A flow that was started
	// before is no error.
	Start(ctx context.Context, b batch.Batch) error
	// Wake ends the wait that token stands for. A token that waits no longer is
	// no error.
	Wake(ctx context.Context, token string) error
}

// A Receipts keeps which batch an order became.
type Receipts interface {
	// ClaimReceipt puts r unless a receipt of its tenant and key is there that
	// lives at r.CreatedAt, and returns the one that is there now.
	ClaimReceipt(ctx context.Context, r batch.Receipt) (batch.Receipt, error)
	// PutReceipt puts r whatever is there.
	PutReceipt(ctx context.Context, r batch.Receipt) error
}

// An AcceptConfig is what a deployment chooses for its batches.
type AcceptConfig struct {
	Policy         retry.Policy  // of every batch
	ExtraEndpoints []string      // taken besides OpenAI's, such as /v1/rerank
	MaxInputBytes  int64         // the largest input file; 0 for OpenAI's 200 MB
	MaxRequests    int           // of a batch, as its Loader has it; 0 for OpenAI's 50,000
	Limits         tenant.Limits // of each tenant; zero for none
}

// AcceptDeps are what an Acceptor works with.
type AcceptDeps struct {
	Store    AcceptStore
	Flow     Starter
	Receipts Receipts
	Clock    func() time.Time
	Random   io.Reader // for ids; safe for concurrent use, as crypto/rand's Reader is
	Log      *slog.Logger
}

// An Acceptor takes orders for batches.
type Acceptor struct {
	AcceptDeps

	config AcceptConfig
}

// NewAcceptor returns an Acceptor.
func NewAcceptor(deps AcceptDeps, config AcceptConfig) *Acceptor {
	config.MaxInputBytes = cmp.Or(config.MaxInputBytes, batch.MaxInputBytes)
	config.MaxRequests = cmp.Or(config.MaxRequests, batch.MaxRequests)
	return &Acceptor{AcceptDeps: deps, config: config}
}

// Accept makes a batch of an order and returns it as stored, usually
// validating. Of an order that tries another batch again, the file is that
// batch's, and the new batch's own is made from it as it is loaded. It returns
// a *batch.OrderError if the order cannot be taken,
// batch.ErrNotFound if the tenant has no such input file,
// batch.ErrIdempotency if the order's key was used for another one, and a
// *tenant.LimitError if the tenant has too much unfinished; nothing is stored
// then.
//
// What a crash after each write leaves:
//
//	the receipt      an order that is sent again becomes the batch of the same id
//	the quota        a batch that counts and is not there; whoever meets the limit drops it 10 minutes later
//	the file's pin   a pin of a batch that is not there; whoever deletes the file drops it 10 minutes later
//	the entry        a running batch that is not there; the sweep drops it 10 minutes later
//	the batch        a batch that the user finds in the list, and no flow; the sweep starts it, or the order that is sent again
//	the flow         the same, and it runs although nobody was told its id
func (a *Acceptor) Accept(ctx context.Context, o batch.Order) (batch.Batch, error) {
	o.Endpoint = batch.FullEndpoint(o.Endpoint, a.endpoints())
	window, err := a.check(o)
	if err != nil {
		return batch.Batch{}, err
	}
	now := a.Clock()
	id, err := batch.NewID(batch.PrefixBatch, now, a.Random)
	if err != nil {
		return batch.Batch{}, fmt.Errorf("submit: accept: %w", err)
	}
	receipt, err := a.receive(ctx, o, id, now)
	if err != nil {
		return batch.Batch{}, err
	}
	ref := batch.Ref{Tenant: o.Tenant, ID: receipt.BatchID}
	if ref.ID != id {
		b, err := a.Store.Batch(ctx, ref)
		if err == nil {
			a.startFlow(ctx, b) // the first order may have died before it
		}
		if !errors.Is(err, batch.ErrNotFound) {
			return b, err
		}
		// The first order died, or is still, before it put the batch: go on for it.
	}
	b, err := a.start(ctx, a.record(o, ref, window))
	if ref.ID == id && refused(err) {
		err = errors.Join(err, a.void(ctx, receipt))
	}
	return b, err
}

// refused reports whether err says that an order cannot be taken as it is.
func refused(err error) bool {
	var (
		order *batch.OrderError
		limit *tenant.LimitError
	)
	return errors.As(err, &order) || errors.As(err, &limit) || errors.Is(err, batch.ErrNotFound)
}

// start counts b in its tenant's quota, pins the input, enters b among what
// runs, puts b and starts its flow, which has b's id alone: what Step Functions
// keeps of a batch for 90 days has nothing of its user's.
func (a *Acceptor) start(ctx context.Context, b batch.Batch) (batch.Batch, error) {
	f, err := a.Store.UpdateFile(ctx, b.Tenant, b.Source(), a.usable(a.Clock()))
	if err != nil {
		return batch.Batch{}, fmt.Errorf("submit: read input file: %w", err)
	}
	if err := a.countBatch(ctx, b, f.Bytes); err != nil {
		return batch.Batch{}, err
	}
	if err := a.pin(ctx, b); err != nil {
		return batch.Batch{}, err
	}
	if err := enter(ctx, a.Store, b); err != nil {
		return batch.Batch{}, err
	}
	switch err = a.Store.CreateBatch(ctx, b); {
	case errors.Is(err, batch.ErrExists): // the first of two equal orders was faster
		if b, err = a.Store.Batch(ctx, b.Ref); err != nil {
			return batch.Batch{}, fmt.Errorf("submit: read batch: %w", err)
		}
	case err != nil:
		return batch.Batch{}, err
	}
	a.startFlow(ctx, b)
	return b, nil
}

// startFlow starts b's first flow, unless b has come so far that it was. If that
// fails b is there all the same, and the sweep starts its flow: an error would
// have a client order, and pay, twice.
func (a *Acceptor) startFlow(ctx context.Context, b batch.Batch) {
	if b.Status != batch.StatusValidating && b.Status != batch.StatusCanceling {
		return
	}
	if err := a.Flow.Start(ctx, b); err != nil {
		a.Log.WarnContext(ctx, "a batch's flow does not start; the sweep starts it",
			slog.String("batch", b.ID), slog.String("error", err.Error()))
	}
}

// enter puts b among what runs, unless it is there.
func enter(ctx context.Context, u Unfinished, b batch.Batch) error {
	if err := u.CreateRunning(ctx, batch.RunningOf(b)); err != nil && !errors.Is(err, batch.ErrExists) {
		return fmt.Errorf("submit: enter the batch among what runs: %w", err)
	}
	return nil
}

// pin keeps b's input file from deletion; if that cannot be, b is taken out of
// its tenant's quota.
func (a *Acceptor) pin(ctx context.Context, b batch.Batch) error {
	_, err := a.Store.UpdateFile(ctx, b.Tenant, b.Source(), func(f *batch.File) error {
		if err := a.usable(a.Clock())(f); err != nil {
			return err
		}
		f.Pin(b.ID)
		return nil
	})
	if err == nil {
		return nil
	}
	err = fmt.Errorf("submit: pin input file: %w", err)
	if refused(err) {
		err = errors.Join(err, a.uncountBatch(ctx, b.Ref))
	}
	return err
}

// record is the batch as it starts. It depends on the order and the id alone,
// so that whoever goes on for a dead one starts the same batch.
func (a *Acceptor) record(o batch.Order, ref batch.Ref, window time.Duration) batch.Batch {
	created, _ := batch.ParseID(batch.PrefixBatch, ref.ID)
	b := batch.Batch{
		Ref:                ref,
		Endpoint:           o.Endpoint,
		InputFileID:        o.InputFileID,
		Window:             o.Window,
		Metadata:           maps.Clone(o.Metadata),
		OutputExpiresAfter: o.OutputExpiresAfter,
		Policy:             a.config.Policy,
		Status:             batch.StatusValidating,
		CreatedAt:          created,
		Deadline:           created.Add(window),
	}
	if o.RetryOf != "" {
		b.RetryOf, b.Gather.From, b.InputFileID = o.RetryOf, o.InputFileID, batch.RetryFileID(ref.ID)
	}
	return b
}

// Cancel asks a batch to stop, wakes its flow and returns the batch as stored.
// Canceling again only wakes again. It returns batch.ErrNotFound if there is
// no such batch, and a *batch.StatusError if it ended otherwise.
//
// A crash between the two writes leaves a batch that is cancelling and whose
// flow sees it at its next tick; an error is returned if the wake failed, so
// that the caller cancels again.
func (a *Acceptor) Cancel(ctx context.Context, ref batch.Ref) (batch.Batch, error) {
	b, err := a.Store.UpdateBatch(ctx, ref, func(b *batch.Batch) error { return b.Cancel(a.Clock()) })
	if err != nil {
		return batch.Batch{}, fmt.Errorf("submit: cancel: %w", err)
	}
	if b.Token == "" || b.Status.Terminal() {
		return b, nil
	}
	if err := a.Flow.Wake(ctx, b.Token); err != nil {
		return batch.Batch{}, fmt.Errorf("submit: wake the cancelled batch's flow: %w", err)
	}
	return b, nil
}

// usable returns a change that changes nothing and says whether a batch may
// use the file at now.
func (a *Acceptor) usable(now time.Time) func(*batch.File) error {
	return func(f *batch.File) error {
		switch {
		case f.Expired(now):
			return batch.ErrNotFound
		case f.Purpose != batch.PurposeBatch:
			return invalid("input_file_id", fmt.Sprintf(
				"Invalid purpose of file '%s': a batch needs a file uploaded with purpose 'batch', not '%s'.", f.ID, f.Purpose))
		case f.Bytes > a.config.MaxInputBytes:
			return invalid("input_file_id", fmt.Sprintf(
				"File is too large. The input file of a batch has at most %d bytes.", a.config.MaxInputBytes))
		case len(f.PinnedBy) >= maxPins:
			return invalid("input_file_id", fmt.Sprintf(
				"More than %d batches use this file. Wait for some of them to end, or upload the file again.", maxPins))
		}
		return nil
	}
}

// endpoints returns those that batches may be for.
func (a *Acceptor) endpoints() []string {
	return batch.KnownEndpoints(a.config.ExtraEndpoints)
}

// check returns the order's window in time, or a *batch.OrderError.
func (a *Acceptor) check(o batch.Order) (time.Duration, error) {
	window, err := batch.ParseWindow(o.Window)
	if err := batch.CheckEndpoint(o.Endpoint, a.endpoints()); err != nil {
		return 0, err
	}
	switch {
	case err != nil:
		return 0, invalid("completion_window", fmt.Sprintf(
			"Invalid value: '%s'. 'completion_window' is a duration from 10s to 7d, such as 30m, 24h or 7d.", batch.Clip(o.Window)))
	case o.OutputExpiresAfter != 0 && (o.OutputExpiresAfter < batch.MinFileLife || o.OutputExpiresAfter > batch.MaxFileLife):
		return 0, invalid("output_expires_after.seconds", fmt.Sprintf(
			"Invalid 'output_expires_after.seconds': expected %d to %d.",
			int(batch.MinFileLife/time.Second), int(batch.MaxFileLife/time.Second)))
	}
	return window, checkMetadata(o.Metadata)
}

func checkMetadata(metadata map[string]string) error {
	if n := len(metadata); n > batch.MaxMetadataPairs {
		return &batch.OrderError{Param: "metadata", Code: "object_above_max_properties", Message: fmt.Sprintf(
			"Invalid 'metadata': too many properties. Expected an object with at most %d properties, but got %d.",
			batch.MaxMetadataPairs, n)}
	}
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		value := metadata[key]
		if n := utf8.RuneCountInString(key); n > batch.MaxMetadataKey {
			return &batch.OrderError{Param: "metadata", Code: "string_above_max_length", Message: fmt.Sprintf(
				"Invalid 'metadata': a key is too long. Expected at most %d characters, but got %d.", batch.MaxMetadataKey, n)}
		}
		if n := utf8.RuneCountInString(value); n > batch.MaxMetadataValue {
			return &batch.OrderError{Param: "metadata." + key, Code: "string_above_max_length", Message: fmt.Sprintf(
				"Invalid 'metadata.%s': string too long. Expected at most %d characters, but got %d.",
				key, batch.MaxMetadataValue, n)}
		}
	}
	return nil
}

func invalid(param, message string) *batch.OrderError {
	return &batch.OrderError{Param: param, Code: batch.CodeInvalidValue, Message: message}
}
