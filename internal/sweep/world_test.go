package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/memstore"
	"github.com/musketry/musketry/internal/sweep"
)

var errDown = errors.New("down")

// A world is a sweeper over stores in memory.
type world struct {
	*sweep.Sweeper

	t       *testing.T
	store   *memstore.Store
	flows   *memstore.Flow
	queue   *memstore.Queue
	letters *letters
	counts  *counts
	log     *strings.Builder
	made    int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, store: memstore.NewStore(), flows: memstore.NewFlow(), queue: memstore.NewQueue(time.Now, time.Minute),
		letters: &letters{hidden: map[string]time.Time{}}, counts: &counts{n: map[string]int{}}, log: &strings.Builder{},
	}
	w.Sweeper = sweep.New(sweep.Deps{
		Batches: w.store, Flows: w.flows, Requests: w.store, Letters: w.letters, Queue: w.queue, Metrics: w.counts,
		Clock: time.Now, Log: slog.New(slog.NewTextHandler(w.log, nil)),
	}, sweep.Config{})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// batch accepts a batch whose first flow runs.
func (w *world) batch() batch.Batch {
	w.t.Helper()
	w.made++
	now := time.Now()
	id, err := batch.NewID(batch.PrefixBatch, now, strings.NewReader(fmt.Sprintf("%010d", w.made)))
	w.must(err)
	b := batch.Batch{
		Ref: batch.Ref{Tenant: "acme", ID: id}, InputFileID: "file-1", Status: batch.StatusValidating,
		CreatedAt: now, Deadline: now.Add(24 * time.Hour),
	}
	w.must(w.store.CreateRunning(w.t.Context(), batch.RunningOf(b)))
	w.must(w.flows.Start(w.t.Context(), b))
	w.must(w.store.CreateBatch(w.t.Context(), b))
	return b
}

// flowsOf returns how b's flows stand, from the first on.
func (w *world) flowsOf(b batch.Batch) []batch.FlowState {
	w.t.Helper()
	var all []batch.FlowState
	for n := 1; ; n++ {
		state, err := w.flows.State(w.t.Context(), b.ID, n)
		w.must(err)
		if state == batch.FlowAbsent {
			return all
		}
		all = append(all, state)
	}
}

func (w *world) sweep() {
	w.t.Helper()
	w.must(w.Sweep(w.t.Context()))
}

// counts counts what the sweep counts.
type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counts) Count(name string, n int, labels ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[strings.Join(append([]string{name}, labels...), " ")] += n
}

// letters are a dead-letter queue that hides what it hands out for 5 minutes.
type letters struct {
	mu     sync.Mutex
	all    []batch.DeadLetter
	hidden map[string]time.Time
	calls  int
	err    error // of Delete
}

func (l *letters) add(bodies ...string) {
	for _, body := range bodies {
		id := fmt.Sprint("letter-", len(l.all)+1)
		l.all = append(l.all, batch.DeadLetter{ID: id, Handle: "handle of " + id, Body: body, SentAt: time.Now()})
	}
}

func (l *letters) Receive(ctx context.Context) ([]batch.DeadLetter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	var got []batch.DeadLetter
	for _, each := range l.all {
		if len(got) < 10 && !time.Now().Before(l.hidden[each.ID]) {
			l.hidden[each.ID] = time.Now().Add(5 * time.Minute)
			got = append(got, each)
		}
	}
	return got, ctx.Err()
}

func (l *letters) Delete(_ context.Context, handles []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.all = slices.DeleteFunc(l.all, func(each batch.DeadLetter) bool { return slices.Contains(handles, each.Handle) })
	return nil
}

// broken are stores in which the write of that number fails, after it took
// effect.
type broken struct {
	sweep.Batches
	sweep.Flows
	sweep.Queue
	sweep.DeadLetters

	mu sync.Mutex
	at int
}

// breaking makes w's at-th write from now on fail, after it took effect.
func (w *world) breaking(at int) *broken {
	b := &broken{Batches: w.store, Flows: w.flows, Queue: w.queue, DeadLetters: w.letters, at: at}
	w.Batches, w.Flows, w.Queue, w.Letters = brokenBatches{w.store, b}, brokenFlows{w.flows, b}, b, b
	return b
}

func (b *broken) after(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at--; b.at == 0 {
		return errors.Join(err, errDown)
	}
	return err
}

func (b *broken) Send(ctx context.Context, ms []batch.Message) error {
	return b.after(b.Queue.Send(ctx, ms))
}

func (b *broken) Delete(ctx context.Context, handles []string) error {
	return b.after(b.DeadLetters.Delete(ctx, handles))
}

type brokenBatches struct {
	sweep.Batches
	b *broken
}

func (s brokenBatches) NextFlow(ctx context.Context, r batch.Running) (batch.Running, error) {
	r, err := s.Batches.NextFlow(ctx, r)
	return r, s.b.after(err)
}

func (s brokenBatches) RemoveRunning(ctx context.Context, r batch.Running) error {
	return s.b.after(s.Batches.RemoveRunning(ctx, r))
}

type brokenFlows struct {
	sweep.Flows
	b *broken
}

func (f brokenFlows) StartAgain(ctx context.Context, b batch.Batch, n int) error {
	return f.b.after(f.Flows.StartAgain(ctx, b, n))
}

// sent receives all that is in the queue.
func (w *world) sent() map[int]int {
	w.t.Helper()
	got, err := w.queue.Receive(w.t.Context(), 100_000)
	w.must(err)
	lines := map[int]int{}
	for _, m := range got {
		lines[m.Message.Line]++
	}
	return lines
}

// same reports whether two maps of counts are the same, as a test's failure.
func (w *world) same(what string, got, want map[int]int) {
	w.t.Helper()
	if !maps.Equal(got, want) {
		w.t.Errorf("%s: %v, want %v", what, got, want)
	}
}
