package execute

import (
	"context"
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/answer"
	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/limit"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/state"
)

// Requests keeps requests.
type Requests interface {
	// ApplyAll makes a conditional write of each change, at most state.GroupSize of
	// different requests, in one call, and returns an error for each: nil, also for
	// one's own write seen again; a *state.ConflictError, which names the winner, if
	// the guard failed; after any other it was made or not, and may be made again.
	ApplyAll(ctx context.Context, cs []state.Change) []error
	// Request reads consistently. Returns state.ErrNotFound.
	Request(ctx context.Context, k state.Key) (state.Record, error)
}

// Workers keeps heartbeats.
type Workers interface {
	Beat(ctx context.Context, w state.Worker) error
	// Worker reads consistently; BeatAt is zero if id was never seen.
	Worker(ctx context.Context, id string) (state.Worker, error)
}

// Limits keeps what the fleet knows of routes.
type Limits interface {
	// UpdateLimit changes what is known of a route, by its id, guarded by its
	// revision, and writes nothing if change leaves it as it was. change may be
	// called several times, of which the last counts.
	UpdateLimit(ctx context.Context, id string, change func(*limit.Record) error) (limit.Record, error)
}

// Batches keeps batches and their counts.
type Batches interface {
	// Batch reads consistently. Returns batch.ErrNotFound.
	Batch(ctx context.Context, ref batch.Ref) (batch.Batch, error)
	// UpdateBatch changes a batch, guarded by its revision, and writes nothing if
	// change leaves it as it was. Returns batch.ErrNotFound, and batch.ErrBusy if
	// others write it all the time.
	UpdateBatch(ctx context.Context, ref batch.Ref, change func(*batch.Batch) error) (batch.Batch, error)
	// PutCounter raises a counter shard's absolute counts, component by
	// component.
	PutCounter(ctx context.Context, batchID string, c batch.CounterShard) error
	// Progress returns the sum of all counter shards, read consistently.
	Progress(ctx context.Context, batchID string) (batch.Counts, error)
	// AppendJournal adds e after the last entry. Returns batch.ErrJournalClosed.
	// After any other error e may have been added, so it is not to be repeated.
	AppendJournal(ctx context.Context, batchID string, e batch.Entry) (int, error)
}

// Files keeps input files and segments.
type Files interface {
	// Read returns exactly length bytes. Returns batch.ErrNoObject.
	Read(ctx context.Context, key string, offset, length int64) ([]byte, error)
	Put(ctx context.Context, key string, body []byte) error
}

// Queue hands out messages, and hides and deletes those that were received.
type Queue interface {
	// ReceiveMessages returns at most n messages, of which it takes 1 to 10, hidden
	// for visibility from their receive; it waits for a first for as long as wait,
	// at most 20 s. One that ends early may have hidden messages that nobody gets.
	ReceiveMessages(ctx context.Context, n int, visibility, wait time.Duration) ([]batch.Delivery, error)
	// ChangeVisibility shows the messages again after d, 0 to 12 hours from
	// their receive.
	ChangeVisibility(ctx context.Context, handles []string, d time.Duration) error
	// Delete deletes the messages. One that is gone already is no error.
	Delete(ctx context.Context, handles []string) error
}

// Flow wakes a batch's flow.
type Flow interface {
	// Wake continues the flow that waits with token; a token that nobody waits
	// with any more is no error.
	Wake(ctx context.Context, token string) error
}

// Caller calls the upstream, once.
type Caller interface {
	// Call returns the whole answer, whatever its status. Returns a *CallError
	// if none came; when ctx ends first, the error's type does not matter.
	Call(ctx context.Context, c Call) (Reply, error)
}

// Metrics counts events and takes values. Labels are names and values in turn.
type Metrics interface {
	Count(name string, n int, labels ...string)
	Observe(name string, value float64, labels ...string)
}

// A Call is one attempt of a request.
type Call struct {
	BatchID        string
	RequestID      string
	CustomID       string
	IdempotencyKey string // the same for every attempt of the request
	URL            string // the line's, such as /v1/chat/completions
	Body           []byte // must not be changed

	Route route.Route // where it goes, and within what limits
	Room  Room        // what its answer takes
}

// Room is memory that calls share.
type Room interface {
	// Grow is asked before an answer takes so many bytes more, copies of it
	// included, and before it is written down in as many: it waits until there is
	// room, and meanwhile nothing more is read. It returns ctx's error alone.
	Grow(ctx context.Context, bytes int64) error
}

// A Reply is what the upstream answered.
type Reply struct {
	StatusCode  int
	RequestID   string // the upstream's own id of the call
	Body        []byte
	Verdict     answer.Verdict // what the answer is, where its status says success
	ErrorCode   string         // the error's code, a word; empty if it has none
	Message     string         // the error's message, at most 1 KB; empty if it has none
	Model       string         // the model that answered; empty if the body does not say
	Tokens      state.Tokens   // the tokens the answer took; zero if the body does not say
	RetryAfter  time.Duration  // the wait that the upstream asks for; 0 if none
	ShouldRetry string         // the header x-should-retry
}

// means returns the status that r stands for: its own, or that of its error.
func (r Reply) means() int {
	if r.StatusCode < 300 && r.Verdict.Sense == answer.Refused {
		return r.Verdict.Status
	}
	return r.StatusCode
}

// Deps are what a Worker works with.
type Deps struct {
	Requests Requests
	Workers  Workers
	Limits   Limits
	Batches  Batches
	Files    Files
	Queue    Queue
	Flow     Flow
	Caller   Caller
	Metrics  Metrics
	Log      *slog.Logger
	Clock    func() time.Time // with a monotonic reading, as time.Now has it
	Uniform  func() float64   // a random number in [0, 1), for any goroutine
	NewID    func() string    // a name never used before, for any goroutine

	// Models returns the models of now. It may take a few seconds, and fails where
	// they were never read.
	Models func(ctx context.Context) (route.Table, error)
}

// maxPlaces is the most calls of one invocation: a Lambda has 1,024 file
// descriptors for everything
// (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
const maxPlaces = 900

// A Config bounds a Worker. Zero values stand for the defaults.
type Config struct {
	Places    int           // calls in flight at once: 250, at most 900
	Memory    int64         // bytes that the process may have, garbage included: 85 % of 1 GiB
	CallLimit time.Duration // one attempt: 10 min, and at most 3/4 of the invocation's time
	Margin    time.Duration // kept free at the end of an invocation to record what is answered: 15 s
	Stale     time.Duration // the age at which another worker's heartbeat says it is dead: 30 s
	Models    []string      // those that metrics name besides patterns; the others count as "other"
}

func (c Config) withDefaults() Config {
	c.Places = min(orDefault(c.Places, 250), maxPlaces)
	c.Memory = orDefault(c.Memory, 1<<30/100*85)
	c.CallLimit = orDefault(c.CallLimit, 10*time.Minute)
	c.Margin = orDefault(c.Margin, 15*time.Second)
	c.Stale = orDefault(c.Stale, 30*time.Second)
	return c
}

func orDefault[T int | int64 | time.Duration](v, fallback T) T {
	if v <= 0 {
		return fallback
	}
	return v
}
