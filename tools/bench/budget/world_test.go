package budget_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	mathrand "math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/cost"
	"github.com/musketry/musketry/internal/dynamostore"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/finalize"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/route"
	"github.com/musketry/musketry/internal/s3file"
	"github.com/musketry/musketry/internal/sfnflow"
	"github.com/musketry/musketry/internal/sqsqueue"
	"github.com/musketry/musketry/internal/submit"
)

const (
	endpoint = "/v1/chat/completions"
	// lineBytes and answerBytes are about what a line of input and a body of an answer have.
	lineBytes, answerBytes = 600, 2000
	// sampling is how often it is looked how many places are taken.
	sampling = 100 * time.Millisecond
)

// A plan is what is measured.
type plan struct {
	lines       int           // of a batch
	batches     int           // at once, each a tenant's of its own; 0 is 1
	mean        time.Duration // of a call
	spread      float64       // standard deviation of a call's time, as a part of the mean
	invocations int           // of execute at once, at most
	places      int           // calls at once that an invocation could make
}

// A meter counts what AWS bills. It may be used by many goroutines at once.
type meter struct {
	mu    sync.Mutex
	calls map[string]int
	units cost.Units
}

type caller struct{}

// called counts a call, by who calls: the function that ctx is of.
func (m *meter) called(ctx context.Context, name string, in, out any, err error) {
	if who, ok := ctx.Value(caller{}).(string); ok {
		name += " (" + who + ")"
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls[name]++
	m.units = m.units.Plus(cost.Of(in, out, err))
}

func (m *meter) uses(u cost.Units) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.units = m.units.Plus(u)
}

// Write counts a log's bytes.
func (m *meter) Write(b []byte) (int, error) {
	m.uses(cost.Units{LogBytes: float64(len(b))})
	return len(b), nil
}

func unitsOfTransition() cost.Units { return cost.Units{Transitions: 1} }

// sleep waits for d, or until ctx ends, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// spread returns 0.7 to 1.5 times d.
func spread(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.7 + 0.8*mathrand.Float64()))
}

// An upstream answers after a time that is distributed log-normally, as those of models are: half of the answers come
// before the mean, and a few long after it.
type upstream struct {
	plan   plan
	answer []byte
	flying atomic.Int64
	calls  atomic.Int64
}

func newUpstream(p plan) *upstream {
	body := fmt.Sprintf(`{"id":"x","model":"m","choices":[{"message":{"content":%q}}],"usage":{"prompt_tokens":100,"completion_tokens":400,"total_tokens":500}}`,
		strings.Repeat("x", answerBytes-150))
	return &upstream{plan: p, answer: []byte(body)}
}

func (u *upstream) Call(ctx context.Context, _ execute.Call) (execute.Reply, error) {
	u.calls.Add(1)
	u.flying.Add(1)
	defer u.flying.Add(-1)
	variance := math.Log(1 + u.plan.spread*u.plan.spread)
	d := float64(u.plan.mean) * math.Exp(math.Sqrt(variance)*mathrand.NormFloat64()-variance/2)
	if err := sleep(ctx, time.Duration(d)); err != nil {
		return execute.Reply{}, err
	}
	return execute.Reply{StatusCode: 200, RequestID: "r", Body: u.answer, Model: "m"}, nil
}

// A world is a deployment.
type world struct {
	plan   plan
	meter  *meter
	table  *table
	queue  *queue
	bucket *bucket
	flow   *machine
	model  *upstream
	source *source

	submit   function[*loader]
	execute  function[*worker]
	finalize function[*finalizer]

	taken, possible float64 // places, at each look while messages wait
	inFlight        []int   // calls of all, at each such look
}

type (
	loader    struct{ use *submit.Loader }
	finalizer struct{ use *finalize.Finalizer }
	worker    struct {
		use     *execute.Worker
		metrics *boot.Metrics
	}
)

func newWorld(p plan) (*world, error) {
	w := &world{plan: p, meter: &meter{calls: map[string]int{}}, model: newUpstream(p)}
	w.table, w.queue, w.bucket = newTable(w.meter), newQueue(w.meter), newBucket(w.meter)
	var err error
	if w.flow, err = newMachine(w.meter); err != nil {
		return nil, err
	}
	w.flow.invoke = w.perform
	w.source = &source{queue: w.queue, most: p.invocations, invoke: w.event}
	w.submit = function[*loader]{name: "submit", meter: w.meter, memory: 0.5, setUp: w.newLoader}
	w.execute = function[*worker]{name: "execute", meter: w.meter, memory: 1, setUp: w.newWorker}
	w.finalize = function[*finalizer]{name: "finalize", meter: w.meter, memory: 0.5, setUp: w.newFinalizer}
	return w, nil
}

// The adapters as the functions wire them.

func (w *world) store() *dynamostore.Store {
	s, err := dynamostore.New(w.table, dynamostore.Config{Table: "table", Now: time.Now, Retention: batch.Retention})
	if err != nil {
		panic(err)
	}
	return s
}

func (w *world) files() *s3file.Bucket { return s3file.New(w.bucket, "bucket") }
func (w *world) messages() *sqsqueue.Queue {
	return sqsqueue.New(w.queue, sqsqueue.Config{URL: "queue", Groups: true})
}
func (w *world) flows() *sfnflow.Flow { return sfnflow.New(w.flow, "machine") }
func (w *world) log() *slog.Logger    { return boot.NewLogger(w.meter, slog.LevelInfo) }

func (w *world) newLoader() *loader {
	store := w.store()
	return &loader{submit.NewLoader(submit.LoadDeps{
		Store: store, Source: store, Inputs: w.files(), Clock: time.Now, Log: w.log(),
	}, submit.LoadConfig{})}
}

func (w *world) newWorker() *worker {
	store, metrics := w.store(), boot.NewMetrics(w.meter, time.Now, "Musketry")
	return &worker{use: execute.New(execute.Deps{
		Requests: store, Workers: store, Limits: store, Batches: store, Files: w.files(), Queue: w.messages(), Flow: w.flows(),
		Caller: w.model, Metrics: metrics, Log: w.log(), Clock: time.Now, Uniform: mathrand.Float64, NewID: rand.Text,
		Models: route.NewTable(route.DefaultModel("https://api.example.com/v1", false)).Now,
	}, execute.Config{Places: w.plan.places}), metrics: metrics}
}

func (w *world) newFinalizer() *finalizer {
	store, files := w.store(), w.files()
	return &finalizer{finalize.New(finalize.Deps{
		Requests: dynamostore.NewGrouping(store), Journal: store, Batches: store, Objects: files, Uploads: files,
		Queue: w.messages(), Flow: w.flows(), Clock: time.Now, Log: w.log(),
		NewFileID: func(now time.Time) (string, error) { return batch.NewID(batch.PrefixFile, now, rand.Reader) },
	}, finalize.Config{})}
}

// event has execute run an event, and returns the ids of the messages that stay.
func (w *world) event(ctx context.Context, got []sqstypes.Message) (stay []string) {
	deliveries := make([]batch.Delivery, len(got))
	for i, m := range got {
		receives, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
		deliveries[i] = batch.Delivery{MessageID: *m.MessageId, Handle: *m.ReceiptHandle, Receives: receives, Body: *m.Body}
	}
	w.execute.invoke(ctx, func(ctx context.Context, env *worker) {
		stay = env.use.Run(ctx, deliveries)
		env.metrics.Flush()
	})
	return stay
}

// perform has a function do a task of the flow.
func (w *world) perform(ctx context.Context, task string, p payload) (next string, err error) {
	ref := batch.Ref{Tenant: p.Tenant, ID: p.Batch}
	switch task {
	case "load":
		w.submit.invoke(ctx, func(ctx context.Context, env *loader) {
			var n submit.Next
			n, err = env.use.Load(ctx, submit.Task{Ref: ref})
			next = string(n)
		})
	case "advance", "park":
		w.finalize.invoke(ctx, func(ctx context.Context, env *finalizer) {
			if task == "park" {
				err = env.use.Park(ctx, ref, p.Token)
				return
			}
			var n finalize.Next
			n, err = env.use.Advance(ctx, ref)
			next = string(n)
		})
	default:
		err = fmt.Errorf("budget: unknown task %q", task)
	}
	return next, err
}

// upload stores an input file of a tenant and returns its id.
func (w *world) upload(ctx context.Context, tenant string) (string, error) {
	id, err := batch.NewID(batch.PrefixFile, time.Now(), rand.Reader)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	filler := strings.Repeat("x", lineBytes-150)
	for i := range w.plan.lines {
		fmt.Fprintf(&b, `{"custom_id":"request-%d","method":"POST","url":%q,"body":{"model":"m","messages":[{"role":"user","content":%q}]}}`+"\n",
			i+1, endpoint, filler)
	}
	w.bucket.mu.Lock()
	w.bucket.objects[batch.FileKey(tenant, id)] = b.Bytes()
	w.bucket.mu.Unlock()
	return id, w.store().CreateFile(ctx, batch.File{
		Tenant: tenant, ID: id, Purpose: batch.PurposeBatch, Bytes: int64(b.Len()), CreatedAt: time.Now(),
		ExpiresAt: time.Now().Add(30 * 24 * time.Hour),
	})
}

// run takes batches from their acceptance to their ends, which all must be good, and returns how long it took.
func (w *world) run(ctx context.Context) (time.Duration, error) {
	began, store := time.Now(), w.store()
	acceptor := submit.NewAcceptor(submit.AcceptDeps{
		Store: store, Flow: w.flows(), Receipts: store, Clock: time.Now, Random: rand.Reader, Log: w.log(),
	}, submit.AcceptConfig{Policy: retry.Default()})
	var accepted []batch.Ref
	for i := range max(w.plan.batches, 1) {
		tenant := "tenant-" + strconv.Itoa(i+1)
		file, err := w.upload(ctx, tenant)
		if err != nil {
			return 0, err
		}
		b, err := acceptor.Accept(ctx, batch.Order{Tenant: tenant, InputFileID: file, Endpoint: endpoint, Window: "24h"})
		if err != nil {
			return 0, err
		}
		accepted = append(accepted, b.Ref)
	}
	polled, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { w.source.run(polled) })
	beside.Go(func() { w.look(polled) })
	w.flow.ended.Wait()
	took := time.Since(began)
	stop()
	beside.Wait()
	if w.flow.failed != nil {
		return took, w.flow.failed
	}
	for _, ref := range accepted {
		b, err := store.Batch(ctx, ref)
		if err != nil || b.Status != batch.StatusCompleted || b.Counts.Completed != w.plan.lines {
			return took, errors.Join(err, fmt.Errorf("a batch is %s, %+v", b.Status, b.Counts))
		}
	}
	return took, nil
}

// look counts the places that are taken while messages wait.
func (w *world) look(ctx context.Context) {
	for sleep(ctx, sampling) == nil {
		running, flying := w.execute.runningNow(), int(w.model.flying.Load())
		if w.queue.waiting() > 0 && running > 0 {
			w.taken += float64(flying)
			w.possible += float64(running * w.plan.places)
			w.inFlight = append(w.inFlight, flying)
		}
	}
}

var _ io.Writer = (*meter)(nil)
