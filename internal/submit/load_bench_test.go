package submit_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/state"
	"github.com/musketry/musketry/internal/submit"
)

// BenchmarkLoad loads a million requests from a file of 300 MB that is made as
// it is read, into a store that only counts them. It reports the peak of the
// memory that Go's runtime had mapped.
func BenchmarkLoad(b *testing.B) {
	const requests = 1_000_000
	for b.Loop() {
		counter := &counting{LoadStore: memstore.NewStore()}
		file := madeInput{requests: requests, filler: strings.Repeat("lorem ipsum ", 17)}
		loader := submit.NewLoader(submit.LoadDeps{
			Store: counter, Source: memstore.NewStore(), Inputs: file, Clock: time.Now, Log: slog.New(slog.DiscardHandler),
		}, submit.LoadConfig{MaxRequests: requests})
		record := batch.Batch{
			Ref: batch.Ref{Tenant: "acme", ID: "batch_1"}, Endpoint: endpoint, InputFileID: "file-in",
			Status: batch.StatusValidating, CreatedAt: time.Now(), Deadline: time.Now().Add(time.Hour),
		}
		next, err := loader.Load(b.Context(), submit.Task{Ref: record.Ref, Record: &record})
		if next != submit.NextAdvance || err != nil || counter.requests != requests {
			b.Fatalf("next is %q, %v, after %d requests", next, err, counter.requests)
		}
		b.ReportMetric(float64(counter.peak>>20), "peak-MiB")
		b.ReportMetric(float64(file.size()>>20), "file-MiB")
	}
}

// A counting store drops requests and counts them, and watches the memory.
type counting struct {
	submit.LoadStore
	requests int
	peak     uint64
}

func (c *counting) Create(_ context.Context, cs []state.Change) error {
	c.requests += len(cs)
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	c.peak = max(c.peak, sample[0].Value.Uint64()-sample[1].Value.Uint64())
	return nil
}

// A madeInput is an input file that exists only while it is read.
type madeInput struct {
	submit.InputStore
	requests int
	filler   string
}

func (m madeInput) line(i int) string {
	return fmt.Sprintf(`{"custom_id":"request-%07d","method":"POST","url":%q,"body":{"model":"m","messages":[%q]}}`+"\n",
		i, endpoint, m.filler)
}

func (m madeInput) size() int { return m.requests * len(m.line(0)) }

func (m madeInput) Open(_ context.Context, _ string, offset int64) (io.ReadCloser, error) {
	length := len(m.line(0))
	r := &madeReader{madeInput: m, next: int(offset) / length}
	_, err := io.CopyN(io.Discard, r, offset%int64(length))
	return r, err
}

func (madeInput) Put(context.Context, string, []byte) error { return nil }

type madeReader struct {
	madeInput
	next int
	rest string
}

func (r *madeReader) Read(p []byte) (int, error) {
	if r.rest == "" {
		if r.next >= r.requests {
			return 0, io.EOF
		}
		r.rest = r.line(r.next)
		r.next++
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (*madeReader) Close() error { return nil }
