package api

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/tenant"
	"github.com/musketry/musketry/internal/ui"
)

// A KeyStore finds API keys, and keeps when they were used.
type KeyStore interface {
	// Key returns the key of this hash. It returns tenant.ErrUnknownKey if
	// there is none.
	Key(ctx context.Context, hash string) (tenant.Key, error)
	// NoteKeyUse is idempotent, and leaves a later day as it is.
	NoteKeyUse(ctx context.Context, u tenant.KeyUse) error
}

// A FileStore keeps the records of files.
type FileStore interface {
	// CreateFile returns batch.ErrExists if there is a file of this id.
	CreateFile(ctx context.Context, f batch.File) error
	// File returns batch.ErrNotFound if the tenant has no such file.
	File(ctx context.Context, tenant, id string) (batch.File, error)
	// UpdateFile writes what change changes, if anything. It returns
	// batch.ErrNotFound, batch.ErrBusy, or change's own error as it is.
	UpdateFile(ctx context.Context, tenant, id string, change func(*batch.File) error) (batch.File, error)
	// DeleteFile returns batch.ErrBusy if f was changed since it was read, and
	// batch.ErrNotFound if it is gone.
	DeleteFile(ctx context.Context, f batch.File) error
	// Files returns a page, and whether there are more.
	Files(ctx context.Context, tenant string, q batch.FileQuery) ([]batch.File, bool, error)
}

// A BatchStore reads batches.
type BatchStore interface {
	// Batch returns batch.ErrNotFound if the tenant has no such batch.
	Batch(ctx context.Context, ref batch.Ref) (batch.Batch, error)
	// Batches returns a page, newest first, and whether there are more.
	Batches(ctx context.Context, tenant, after string, limit int) ([]batch.Batch, bool, error)
	// History returns how a batch went; an empty one where nothing was kept.
	History(ctx context.Context, ref batch.Ref) (batch.History, error)
	// Progress returns the sum of a running batch's counter shards, its Total
	// 0.
	Progress(ctx context.Context, batchID string) (batch.Counts, error)
	// Journal returns at most limit entries of a batch's journal after the one
	// numbered after, read consistently.
	Journal(ctx context.Context, batchID string, after, limit int) ([]batch.Entry, error)
}

// An ObjectStore keeps the bytes of files.
type ObjectStore interface {
	// PutNew returns batch.ErrExists, and leaves what is there, if other bytes
	// have this name.
	PutNew(ctx context.Context, key string, body []byte) error
	// Read returns exactly length bytes. It returns batch.ErrNoObject if there
	// is no such object.
	Read(ctx context.Context, key string, offset, length int64) ([]byte, error)
	// List returns every object whose name begins with prefix.
	List(ctx context.Context, prefix string) ([]batch.Stored, error)
	// Delete returns nil if there is no such object.
	Delete(ctx context.Context, key string) error
	// DeleteAll deletes every object whose name begins with prefix.
	DeleteAll(ctx context.Context, prefix string) error
}

// A ContentStore knows what objects hold.
type ContentStore interface {
	// Open returns a reader of the bytes from offset on. It returns
	// batch.ErrNoObject if there is no such object.
	Open(ctx context.Context, key string, offset int64) (io.ReadCloser, error)
	// Holds reports whether key's object was put whole and is body. It returns
	// batch.ErrNoObject if there is no such object.
	Holds(ctx context.Context, key string, body []byte) (bool, error)
}

// An UploadStore keeps the records of files that come in parts.
type UploadStore interface {
	// CreateUpload returns batch.ErrExists if there is an upload of this id.
	CreateUpload(ctx context.Context, u batch.Upload) error
	// Upload returns batch.ErrNotFound if the tenant has no such upload.
	Upload(ctx context.Context, tenant, id string) (batch.Upload, error)
	// UpdateUpload writes what change changes, as UpdateFile does.
	UpdateUpload(ctx context.Context, tenant, id string, change func(*batch.Upload) error) (batch.Upload, error)
}

// A PartStore writes one object in parts.
type PartStore interface {
	StartParts(ctx context.Context, key string) (uploadID string, err error)
	// PutPart stores part n, counted from 1; every part but the last has at
	// least 5 MiB.
	PutPart(ctx context.Context, key, uploadID string, n int, body []byte) (sum string, err error)
	// FinishParts returns batch.ErrExists, and leaves what is there, if other
	// parts have become an object of this name.
	FinishParts(ctx context.Context, key, uploadID string, sums []string) error
	AbortParts(ctx context.Context, key, uploadID string) error
}

// An Acceptor takes and cancels batches.
type Acceptor interface {
	// Accept returns a *batch.OrderError if the order cannot be taken,
	// batch.ErrNotFound if the tenant has no such input file, and
	// batch.ErrIdempotency if the order's key was used for another.
	Accept(ctx context.Context, o batch.Order) (batch.Batch, error)
	// Cancel returns batch.ErrNotFound, or a *batch.StatusError if the batch
	// ended otherwise.
	Cancel(ctx context.Context, ref batch.Ref) (batch.Batch, error)
}

// A Presigner makes addresses under which anyone may read an object for a while.
type Presigner interface {
	// Presign returns an address that has a browser save the object as d says.
	Presign(ctx context.Context, key string, d batch.Download, life time.Duration) (string, error)
}

// Metrics counts events. Labels are names and values in turn.
type Metrics interface {
	Count(name string, n int, labels ...string)
}

// Deps are what the API works with. All but Presigner are needed.
type Deps struct {
	Keys      KeyStore
	Files     FileStore
	Batches   BatchStore
	Objects   ObjectStore
	Contents  ContentStore // of the same objects
	Parts     PartStore
	Uploads   UploadStore
	Quotas    QuotaStore
	Acceptor  Acceptor
	Requests  Inspector
	Presigner Presigner // nil: a file too large for one answer is read in ranges
	Logger    *slog.Logger
	Metrics   Metrics
	Clock     func() time.Time
	Random    io.Reader // for ids; safe for concurrent use

	// Models returns the models of now, of which GET /models lists those that are
	// names. Nil: there are none.
	Models func(ctx context.Context) (route.Table, error)
	Limits LimitStore // of those models' routes; nil only where Models is
}

// A Config is what a deployment chooses. Zero fields take their defaults.
type Config struct {
	Prefix        string        // served besides the bare paths; default /v1
	MaxBody       int64         // bytes of a request; default 4.5 MB, see DefaultMaxBody
	MaxAnswer     int           // room of one answer's content; default 5 MB, see DefaultMaxAnswer
	MaxInputBytes int64         // of a file for batches; default batch.MaxInputBytes
	MaxFileBytes  int64         // of any other file; default 512 MB, as at OpenAI
	BatchLife     time.Duration // how long an ended batch is shown; default batch.Retention
	FileLife      time.Duration // of a file that asks for none; default batch.MaxFileLife
	Models        []string      // what GET /models lists besides
	Limits        tenant.Limits // of a tenant: its Bytes, Uploads and Creates hold here, the rest is told; none by default
	MaxLineBytes  int           // of a line of an input file, as the Loader has it; default batch.MaxLineBytes
	MaxRequests   int           // of a batch, as the Loader has it; default batch.MaxRequests
	Origins       []string      // origins whose pages may call the API; none by default, "*" for all

	// Room returns how much of MaxAnswer a piece of content takes; default: its
	// length. A transport that escapes content needs more.
	Room func(content []byte) int
}

const (
	// DefaultMaxBody is below what a Lambda can be handed: 6 MB of JSON, in
	// which a body lies in base64, beside its headers
	// (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
	DefaultMaxBody = 4_500_000
	// DefaultMaxAnswer is below the 6 MB that a Lambda can answer.
	DefaultMaxAnswer = 5_000_000

	defaultFileBytes = 512 << 20
)

func (c Config) withDefaults() Config {
	c.Prefix = cmp.Or(c.Prefix, "/v1")
	c.MaxBody = cmp.Or(c.MaxBody, DefaultMaxBody)
	c.MaxAnswer = cmp.Or(c.MaxAnswer, DefaultMaxAnswer)
	c.MaxInputBytes = cmp.Or(c.MaxInputBytes, batch.MaxInputBytes)
	c.MaxLineBytes = cmp.Or(c.MaxLineBytes, batch.MaxLineBytes)
	c.MaxRequests = cmp.Or(c.MaxRequests, batch.MaxRequests)
	c.MaxFileBytes = cmp.Or(c.MaxFileBytes, defaultFileBytes)
	c.BatchLife = cmp.Or(c.BatchLife, batch.Retention)
	c.FileLife = cmp.Or(c.FileLife, batch.MaxFileLife)
	if c.Room == nil {
		c.Room = func(content []byte) int { return len(content) }
	}
	return c
}

// An api is the handler's state.
type api struct {
	Deps

	config Config
	keys   *keyring
	mux    *http.ServeMux
}

// New returns the handler of the whole API, under config's prefix and without, and
// below /openai, where Azure's clients look for it.
func New(deps Deps, config Config) http.Handler {
	a := &api{
		Deps: deps, config: config.withDefaults(), keys: newKeyring(deps.Keys, deps.Clock), mux: http.NewServeMux(),
	}
	a.routes()
	return a
}

func (a *api) routes() {
	a.route("POST /files", a.createFile)
	a.route("GET /files", a.listFiles, "after", "limit", "order", "purpose")
	a.route("GET /files/{id}", a.retrieveFile)
	a.route("DELETE /files/{id}", a.deleteFile)
	a.route("GET /files/{id}/content", a.fileContent)
	a.route("POST /files/{id}/link", a.fileLink)
	a.route("POST /uploads", a.createUpload)
	a.route("POST /uploads/{id}/parts", a.addPart)
	a.route("POST /uploads/{id}/complete", a.completeUpload)
	a.route("POST /uploads/{id}/cancel", a.cancelUpload)
	a.route("POST /batches", a.createBatch)
	a.route("GET /batches", a.listBatches, "status", "search", "after", "limit")
	a.route("GET /batches/{id}", a.retrieveBatch)
	a.route("POST /batches/{id}/cancel", a.cancelBatch)
	a.route("GET /batches/{id}/progress", a.batchProgress)
	a.route("GET /batches/{id}/results", a.batchResults, "after", "limit")
	a.route("POST /batches/{id}/retry", a.retryBatch)
	a.route("GET /batches/{id}/requests", a.listRequests, "status", "reason", "search", "after", "limit", "custom_id")
	a.route("GET /batches/{id}/requests/{request_id}", a.retrieveRequest)
	a.route("GET /batches/{id}/requests/{request_id}/line", a.requestLine)
	a.route("GET /batches/{id}/requests/{request_id}/answer", a.requestAnswer)
	a.route("POST /batches/{id}/requests/{request_id}/cancel", a.cancelRequest)
	a.route("GET /usage", a.usage)
	a.route("GET /models", a.listModels)
	a.route("GET /models/{id...}", a.retrieveModel)
	a.mux.HandleFunc("GET /openapi.json", a.describe)
	page := ui.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { writeError(w, noRoute(r)) }))
	a.mux.Handle("GET /ui", page)
	a.mux.Handle("GET /ui/{file...}", page)
}
