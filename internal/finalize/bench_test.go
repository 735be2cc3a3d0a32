package finalize_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"log/slog"
	"path"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/finalize"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/state"
)

const (
	perSegment  = 64
	benchAnswer = 2_000 // bytes of a line
	benchShard  = "process"
)

// BenchmarkFinalize counts, seals and writes out a batch of 50,000 answers,
// 100 MB, and one of a million, 2 GB, whose requests and segments are made as
// they are read. It reports the peak of the memory that Go's runtime had
// mapped, and the reads of segments.
func BenchmarkFinalize(b *testing.B) {
	for _, lines := range []int{50_000, 1_000_000} {
		b.Run(strconv.Itoa(lines), func(b *testing.B) { benchmarkFinalize(b, lines) })
	}
}

func benchmarkFinalize(b *testing.B, lines int) {
	b.Helper()
	want := sumOfAll(lines)
	for b.Loop() {
		made := finalizeMade(b, lines, want)
		b.ReportMetric(float64(made.peak>>20), "peak-MiB")
		b.ReportMetric(float64(made.reads.Load()), "reads")
	}
}

// TestFinalizeMade does once, with few answers, what the benchmark measures.
func TestFinalizeMade(t *testing.T) {
	t.Parallel()
	const lines = 5_000
	finalizeMade(t, lines, sumOfAll(lines))
}

// finalizeMade finalizes a batch of answers that are made as they are read; want
// is the checksum of its output file.
func finalizeMade(tb testing.TB, lines int, want uint32) *madeBatch {
	tb.Helper()
	store := memstore.NewStore()
	made := &madeBatch{port: store, lines: lines}
	now := time.Now()
	record := batch.Batch{
		Ref: batch.Ref{Tenant: "acme", ID: "batch_1"}, InputFileID: "file-in", Status: batch.StatusValidating,
		CreatedAt: now, Deadline: now.Add(time.Hour),
	}
	if err := store.CreateBatch(tb.Context(), record); err != nil {
		tb.Fatal(err)
	}
	counted := batch.CounterShard{ID: benchShard, Counts: batch.Counts{Completed: lines}}
	if err := store.PutCounter(tb.Context(), record.ID, counted); err != nil {
		tb.Fatal(err)
	}
	_, err := store.UpdateBatch(tb.Context(), record.Ref, func(b *batch.Batch) error {
		if err := b.Validated(lines); err != nil {
			return err
		}
		if err := b.Loaded(lines, 1, now); err != nil {
			return err
		}
		return b.Enqueue(lines)
	})
	if err != nil {
		tb.Fatal(err)
	}
	var entered batch.Entry
	for line := 1; line <= lines; line++ {
		entered.Spans = append(entered.Spans, batch.LineSpan{Line: line})
	}
	if _, err := store.AppendJournal(tb.Context(), record.ID, entered); err != nil {
		tb.Fatal(err)
	}
	f := finalize.New(finalize.Deps{
		Requests: made, Journal: store, Batches: store, Objects: made, Uploads: made, Queue: memstore.NewQueue(time.Now, time.Minute),
		Flow: memstore.NewFlow(), Clock: time.Now, Log: slog.New(slog.DiscardHandler),
		NewFileID: func(time.Time) (string, error) { return "file-out", nil },
	}, finalize.Config{})
	next, err := f.Advance(tb.Context(), record.Ref)
	if next != finalize.NextEnd || err != nil {
		tb.Fatalf("next is %q, %v", next, err)
	}
	if made.bytes != lines*benchAnswer || made.crc != want {
		tb.Fatalf("wrote %d bytes, %x, want %x", made.bytes, made.crc, want)
	}
	return made
}

// port is finalize.Requests by another name: embedded under its own, it would
// hide its method Requests.
type port = finalize.Requests

// A madeBatch is a batch whose every request is answered, and its files. Its
// answers are scattered: a segment has every hundredth line of a block.
type madeBatch struct {
	port
	lines int
	reads atomic.Int64
	peak  uint64
	bytes int
	crc   uint32
}

const (
	segments = 100 // of a block
	block    = segments * perSegment
)

func answerOf(line int) []byte {
	start := fmt.Sprintf(`{"line":%d,"text":"`, line)
	return []byte(start + strings.Repeat("x", benchAnswer-len(start)-3) + "\"}\n")
}

func sumOfAll(lines int) uint32 {
	var crc uint32
	for line := 1; line <= lines; line++ {
		crc = crc32.Update(crc, crc32.IEEETable, answerOf(line))
	}
	return crc
}

func (m *madeBatch) Requests(_ context.Context, id string, shards, after int) iter.Seq2[state.Record, error] {
	return func(yield func(state.Record, error) bool) {
		for line := after + 1; line <= m.lines; line++ {
			i := (line - 1) % block
			answer := state.Span{
				Object: strconv.Itoa((line-1)/block*segments + i%segments), Offset: int64(i / segments * benchAnswer), Length: benchAnswer,
			}
			rec := state.Record{
				Spec:  state.Spec{Key: state.Key{Batch: id, Line: line, Shard: batch.ShardOf(line, shards)}},
				Phase: state.Completed{ClaimID: batch.ClaimID(benchShard, "1"), StatusCode: 200, Answer: answer},
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
}

func (m *madeBatch) Read(_ context.Context, key string, offset, length int64) ([]byte, error) {
	m.reads.Add(1)
	segment, err := strconv.Atoi(path.Base(key))
	if err != nil || offset%benchAnswer != 0 || length%benchAnswer != 0 {
		return nil, fmt.Errorf("read %d bytes at %d of %s: %w", length, offset, key, err)
	}
	var body []byte
	for at := offset; at < offset+length; at += benchAnswer {
		body = append(body, answerOf(segment/segments*block+int(at/benchAnswer)*segments+segment%segments+1)...)
	}
	return body, nil
}

func (m *madeBatch) PutPart(_ context.Context, _, _ string, _ int, body []byte) (string, error) {
	m.bytes += len(body)
	m.crc = crc32.Update(m.crc, crc32.IEEETable, body)
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	m.peak = max(m.peak, sample[0].Value.Uint64()-sample[1].Value.Uint64())
	return "tag", nil
}

func (m *madeBatch) Put(context.Context, string, []byte) error {
	return errors.New("too large to be put whole")
}

func (m *madeBatch) PutNew(context.Context, string, []byte) error {
	return errors.New("too large to be put whole")
}

func (m *madeBatch) StartParts(context.Context, string) (string, error) { return "upload", nil }

func (m *madeBatch) FinishParts(context.Context, string, string, []string) error { return nil }

func (m *madeBatch) AbortParts(context.Context, string, string) error { return nil }
