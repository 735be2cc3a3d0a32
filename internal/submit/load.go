package submit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/multipart"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/tenant"
)

// ErrInput reports an input file that is not what it was when it was validated.
var ErrInput = errors.New("submit: the input file has changed since it was validated")

// ErrSlow reports an input file that could not be validated in the time of one
// invocation. Validation begins anew each time, so its caller's repeats bound it.
var ErrSlow = errors.New("submit: the input file cannot be validated in the time there is")

// A Next is what the flow is to do after a load.
type Next string

// The nexts.
const (
	NextLoad    Next = "load"    // load again: time ran short
	NextAdvance Next = "advance" // the batch is loaded, or has ended, or is sealed and will
)

// A Task is the flow's request to load a batch.
type Task struct {
	Ref batch.Ref
	// Record is the batch as it was accepted, which is put if the store has none: a
	// flow that was started before 0.2 has it. Nil: the batch is there.
	Record *batch.Batch
}

// A LoadStore keeps batches, requests and files.
type LoadStore interface {
	// CreateBatch returns batch.ErrExists if there is a batch of this id.
	CreateBatch(ctx context.Context, b batch.Batch) error
	// Batch reads consistently. It returns batch.ErrNotFound if the tenant has
	// no such batch.
	Batch(ctx context.Context, ref batch.Ref) (batch.Batch, error)
	// UpdateBatch changes a batch, guarded by its revision. It returns
	// batch.ErrBusy if others write it all the time, and change's own error as
	// it is.
	UpdateBatch(ctx context.Context, ref batch.Ref, change func(*batch.Batch) error) (batch.Batch, error)
	// Create inserts requests, each under the condition that it is absent. One
	// that exists is left alone and no error.
	Create(ctx context.Context, cs []state.Change) error
	Reservations
}

// A Reservations keeps what a batch occupies until its end.
type Reservations interface {
	// UpdateFile is to a file what UpdateBatch is to a batch. It returns
	// batch.ErrNotFound if the tenant has no such file.
	UpdateFile(ctx context.Context, tenant, id string, change func(*batch.File) error) (batch.File, error)
	Unfinished
}

// An InputStore keeps the bytes of input files, and indexes of their requests.
type InputStore interface {
	// Open reads from offset on. It returns batch.ErrNoObject if there are no
	// such bytes.
	Open(ctx context.Context, key string, offset int64) (io.ReadCloser, error)
	Put(ctx context.Context, key string, body []byte) error
	multipart.Objects
	multipart.Uploads
}

// A SourceStore has the requests of which a retry is made, and takes the record
// of the file that they become.
type SourceStore interface {
	// Requests reads consistently, in the order of lines, those above afterLine.
	Requests(ctx context.Context, batchID string, shards, afterLine int) iter.Seq2[state.Record, error]
	// CreateFile returns batch.ErrExists if there is a file of this id.
	CreateFile(ctx context.Context, f batch.File) error
}

// A LoadConfig is what a deployment chooses for loading. A zero field stands
// for the default.
type LoadConfig struct {
	// MaxRequests is the most requests of a batch; by default 50,000, as at
	// OpenAI (https://platform.openai.com/docs/guides/batch).
	MaxRequests int
	// MaxEmbeddingInputs is the most inputs of a batch for /v1/embeddings, each
	// request of which may have many; by default 50,000, as at OpenAI.
	MaxEmbeddingInputs int
	// MaxLineBytes is the longest line of an input file, newline excluded; by
	// default batch.MaxLineBytes.
	MaxLineBytes int
	// Group is how many requests are created together; by default 1,000.
	Group int
	// Cursor is how many requests are created between two updates of the cursor,
	// each of which also sees a cancel; by default 5,000.
	Cursor int
	// Poll is how often validation looks whether it should go on; by default 2 s.
	Poll time.Duration
	// Margin is how long before its context's deadline a load comes to a stop;
	// by default 30 s. It must be longer than creating a group takes.
	Margin time.Duration
	// Part is the size of the parts in which a retry's input file is written, at
	// least 5 MiB; by default 8 MiB. A line more is held in memory.
	Part int
	// FileLife is how long a retry's input file is kept; by default
	// batch.MaxFileLife.
	FileLife time.Duration
}

func (c LoadConfig) withDefaults() LoadConfig {
	c.MaxRequests = cmp.Or(c.MaxRequests, batch.MaxRequests)
	c.MaxEmbeddingInputs = cmp.Or(c.MaxEmbeddingInputs, batch.MaxEmbeddingInputs)
	c.MaxLineBytes = cmp.Or(c.MaxLineBytes, batch.MaxLineBytes)
	c.Group = cmp.Or(c.Group, 1_000)
	c.Cursor = cmp.Or(c.Cursor, 5_000)
	c.Poll = cmp.Or(c.Poll, 2*time.Second)
	c.Margin = cmp.Or(c.Margin, 30*time.Second)
	c.Part = cmp.Or(c.Part, 8<<20)
	c.FileLife = cmp.Or(c.FileLife, batch.MaxFileLife)
	return c
}

// LoadDeps are what a Loader works with.
type LoadDeps struct {
	Store  LoadStore
	Source SourceStore
	Inputs InputStore
	Clock  func() time.Time
	Log    *slog.Logger

	// Models returns the models of now: a request for one that it does not have fails
	// its batch. Nil: all are taken.
	Models func(ctx context.Context) (route.Table, error)
}

// A Loader validates batches' input files and stores their requests.
type Loader struct {
	LoadDeps

	config LoadConfig
}

// NewLoader returns a Loader.
func NewLoader(deps LoadDeps, config LoadConfig) *Loader {
	return &Loader{LoadDeps: deps, config: config.withDefaults()}
}

// Load brings a batch as far towards being loaded as ctx's deadline, less the
// margin, lets it, and says what the flow is to do next. It may run any number
// of times, at the same time too, and die anywhere. It returns ErrInput and
// ErrSlow, and what the stores return.
//
// The input file of a retry is made first. Validation writes nothing before its
// verdict, so it begins anew after a crash; the index of a good file is written
// before the verdict is, and so again and the same. A bad file fails the batch.
// A cancel or the deadline stops validation and seals the batch with no requests. Storing goes on from its
// cursor, and whatever happens meanwhile all requests are stored, those of a
// cancelled or overdue batch in their last state, so that each line has its
// outcome.
func (l *Loader) Load(ctx context.Context, t Task) (Next, error) {
	b, err := l.accepted(ctx, t)
	if err == nil && loading(b) && !b.Load.Validated {
		b, err = l.passOne(ctx, b)
	}
	if err == nil && loading(b) && b.Load.Validated {
		err = l.updateQuota(ctx, b.Tenant, func(q *tenant.Quota) {
			q.SetRequests(b.ID, b.Counts.Total)
			if b.RetryOf != "" { // the file that was made for it
				q.AddFile(b.InputFileID, b.Gather.File.Bytes, l.Clock())
			}
		})
	}
	if err == nil && loading(b) && b.Load.Validated {
		b, err = l.fill(ctx, b)
	}
	if err == nil && b.Status.Terminal() {
		err = l.cleanUp(ctx, b)
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("submit: load %s: %w", t.Ref.ID, err)
	case loading(b):
		return NextLoad, nil
	}
	return NextAdvance, nil
}

// passOne makes the input file of a retry, and validates b's input file if there
// is time left.
func (l *Loader) passOne(ctx context.Context, b batch.Batch) (batch.Batch, error) {
	if b.Gathering() {
		var err error
		if b, err = l.gather(ctx, b); err != nil || b.Gathering() || !loading(b) || l.short(ctx) {
			return b, err
		}
	}
	if err := l.unpinSource(ctx, b); err != nil {
		return batch.Batch{}, err
	}
	return l.validate(ctx, b)
}

// loading reports whether b still waits for its requests.
func loading(b batch.Batch) bool { return !b.Status.Terminal() && !b.Sealed && !b.Ready() }

// accepted returns the batch as stored: whoever accepted it put it before it
// started the flow, or else the flow has its record. A batch that is not validated
// is also entered among what runs: an acceptance so slow that the sweep took its
// entry for that of a dead one may have lost it.
func (l *Loader) accepted(ctx context.Context, t Task) (batch.Batch, error) {
	if t.Record != nil {
		if err := l.Store.CreateBatch(ctx, *t.Record); err != nil && !errors.Is(err, batch.ErrExists) {
			return batch.Batch{}, fmt.Errorf("put batch: %w", err)
		}
	}
	b, err := l.Store.Batch(ctx, t.Ref)
	if err != nil {
		return batch.Batch{}, fmt.Errorf("read batch: %w", err)
	}
	if loading(b) && !b.Load.Validated {
		err = enter(ctx, l.Store, b)
	}
	return b, err
}

// update changes b. If b's status forbids the change somebody else has moved
// it on, and what they made of it is returned.
func (l *Loader) update(ctx context.Context, ref batch.Ref, change func(*batch.Batch) error) (batch.Batch, error) {
	b, err := l.Store.UpdateBatch(ctx, ref, change)
	var moved *batch.StatusError
	if errors.As(err, &moved) {
		b, err = l.Store.Batch(ctx, ref)
	}
	if err != nil {
		return batch.Batch{}, fmt.Errorf("update batch: %w", err)
	}
	return b, nil
}

// cleanUp takes an ended batch's pins off its input files, and takes
// it out of its tenant's quota.
func (l *Loader) cleanUp(ctx context.Context, b batch.Batch) error {
	for _, id := range b.Inputs() {
		if err := l.unpin(ctx, b, id); err != nil {
			return err
		}
	}
	return l.updateQuota(ctx, b.Tenant, func(q *tenant.Quota) { q.RemoveBatch(b.ID) })
}

// updateQuota changes a tenant's quota.
func (l *Loader) updateQuota(ctx context.Context, tenantName string, change func(*tenant.Quota)) error {
	_, err := l.Store.UpdateQuota(ctx, tenantName, func(q *tenant.Quota) error {
		change(q)
		return nil
	})
	if err != nil {
		return fmt.Errorf("update quota: %w", err)
	}
	return nil
}

func (l *Loader) unpin(ctx context.Context, b batch.Batch, id string) error {
	_, err := l.Store.UpdateFile(ctx, b.Tenant, id, func(f *batch.File) error {
		f.Unpin(b.ID)
		return nil
	})
	if err != nil && !errors.Is(err, batch.ErrNotFound) {
		return fmt.Errorf("unpin input file: %w", err)
	}
	return nil
}

// open reads b's input file from offset on.
func (l *Loader) open(ctx context.Context, b batch.Batch, offset int64) (io.ReadCloser, error) {
	body, err := l.Inputs.Open(ctx, batch.FileKey(b.Tenant, b.InputFileID), offset)
	if err != nil {
		return nil, fmt.Errorf("open input file: %w", err)
	}
	return body, nil
}

// short reports whether ctx's deadline is nearer than the margin.
func (l *Loader) short(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ok && !l.Clock().Add(l.config.Margin).Before(end)
}
