package execute_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/execute"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/state"
)

// atOnce answers at once.
type atOnce struct{}

func (atOnce) Call(context.Context, execute.Call) (execute.Reply, error) {
	return execute.Reply{StatusCode: 200, Body: []byte(`{"model":"m","choices":[]}`)}, nil
}

// BenchmarkRun measures the worker's own time for one request, in events of
// 100 and without any waiting.
func BenchmarkRun(b *testing.B) {
	const event = 100
	ctx := b.Context()
	store, files := memstore.NewStore(), memstore.NewFiles()
	ref := batch.Batch{
		Ref: batch.Ref{Tenant: testTenant, ID: testBatch}, InputFileID: testFile, Policy: retry.Default(),
		Status: batch.StatusInProgress, Shards: 1, Enqueued: b.N + 1, Deadline: time.Now().Add(time.Hour),
	}
	line := []byte(`{"custom_id":"c","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"text"}}` + "\n")
	input := make([]byte, 0, event*len(line))
	for range event {
		input = append(input, line...)
	}
	if err := store.CreateBatch(ctx, ref); err != nil {
		b.Fatal(err)
	}
	if err := files.Put(ctx, batch.FileKey(testTenant, testFile), input); err != nil {
		b.Fatal(err)
	}
	deliveries := make([]batch.Delivery, b.N)
	for i := range deliveries {
		spec := state.Spec{
			Key: state.Key{Batch: testBatch, Line: i + 1}, CustomID: "c", Deadline: ref.Deadline,
			Body: state.Span{Offset: int64(i % event * len(line)), Length: int64(len(line))},
		}
		change, err := state.New(spec).Change()
		if err != nil {
			b.Fatal(err)
		}
		if err := store.Create(ctx, []state.Change{change}); err != nil {
			b.Fatal(err)
		}
		body, err := batch.MessageOf(testTenant, spec).Encode()
		if err != nil {
			b.Fatal(err)
		}
		id := strconv.Itoa(i)
		deliveries[i] = batch.Delivery{MessageID: id, Handle: id, Receives: 1, Body: body}
	}
	var ids atomic.Int64
	w := execute.New(execute.Deps{
		Requests: store, Workers: store, Limits: store, Batches: store, Files: files,
		Queue: memstore.NewQueue(time.Now, time.Minute), Flow: memstore.NewFlow(), Caller: atOnce{},
		Metrics: &counters{}, Log: slog.New(slog.DiscardHandler), Clock: time.Now, Uniform: rand.Float64,
		NewID: func() string { return strconv.FormatInt(ids.Add(1), 36) }, Models: anywhere().Now,
	}, execute.Config{})
	b.ReportAllocs()
	b.ResetTimer()
	for len(deliveries) > 0 {
		n := min(event, len(deliveries))
		if failed := w.Run(ctx, deliveries[:n]); len(failed) > 0 {
			b.Fatalf("%d messages stay", len(failed))
		}
		deliveries = deliveries[n:]
	}
}
