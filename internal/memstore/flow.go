package memstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/musketry/musketry/internal/batch"
)

// A Flow records the flows that were started and the tokens that were woken,
// for a test or a simulation to take the flow's part.
type Flow struct {
	mu     sync.Mutex
	starts []batch.Batch
	flows  map[string]batch.FlowState // by name
	wakes  []string
	woken  map[string]chan struct{} // closed once the token was woken
	news   chan struct{}            // closed and replaced at each start
}

// NewFlow returns a Flow that knows no batch.
func NewFlow() *Flow {
	return &Flow{
		flows: map[string]batch.FlowState{}, woken: map[string]chan struct{}{}, news: make(chan struct{}),
	}
}

// Start starts b's first flow. That it was started before is no error.
func (f *Flow) Start(ctx context.Context, b batch.Batch) error { return f.StartAgain(ctx, b, 1) }

// StartAgain starts b's n-th flow, counted from 1, as Start does the first.
func (f *Flow) StartAgain(ctx context.Context, b batch.Batch, n int) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: start flow of %s: %w", b.ID, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	name := batch.FlowName(b.ID, n)
	if f.flows[name] != "" {
		return nil
	}
	f.flows[name] = batch.FlowRunning
	f.starts = append(f.starts, copyBatch(b))
	close(f.news)
	f.news = make(chan struct{})
	return nil
}

// End ends the flow of that name, however it did.
func (f *Flow) End(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flows[name] = batch.FlowEnded
}

// State returns how a batch's n-th flow stands.
func (f *Flow) State(ctx context.Context, batchID string, n int) (batch.FlowState, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("memstore: state of flow: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return cmp.Or(f.flows[batch.FlowName(batchID, n)], batch.FlowAbsent), nil
}

// Running returns the names of the flows that run.
func (f *Flow) Running(ctx context.Context) (map[string]bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("memstore: running flows: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	names := map[string]bool{}
	for name, state := range f.flows {
		if state == batch.FlowRunning {
			names[name] = true
		}
	}
	return names, nil
}

// Wake wakes whoever waits on token. A token that nobody waits on, or that was
// woken before, is no error.
func (f *Flow) Wake(ctx context.Context, token string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: wake: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wakes = append(f.wakes, token)
	ch := f.signal(token)
	select {
	case <-ch:
	default:
		close(ch)
	}
	return nil
}

// Await returns nil once token is woken, at once if it was woken before, and
// an error when ctx ends.
func (f *Flow) Await(ctx context.Context, token string) error {
	f.mu.Lock()
	ch := f.signal(token)
	f.mu.Unlock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("memstore: await a wake: %w", ctx.Err())
	}
}

// AwaitStart returns the record of the n-th flow, counted from 0, once it is
// started, and an error when ctx ends.
func (f *Flow) AwaitStart(ctx context.Context, n int) (batch.Batch, error) {
	for {
		f.mu.Lock()
		news := f.news
		if n < len(f.starts) {
			b := copyBatch(f.starts[n])
			f.mu.Unlock()
			return b, nil
		}
		f.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return batch.Batch{}, fmt.Errorf("memstore: await a flow: %w", ctx.Err())
		}
	}
}

// Starts returns the records of the flows that were started, in order.
func (f *Flow) Starts() []batch.Batch {
	f.mu.Lock()
	defer f.mu.Unlock()
	starts := make([]batch.Batch, len(f.starts))
	for i, b := range f.starts {
		starts[i] = copyBatch(b)
	}
	return starts
}

// Wakes returns the tokens that were woken, in order, repeats included.
func (f *Flow) Wakes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.wakes)
}

// signal returns the channel of token; f.mu is held.
func (f *Flow) signal(token string) chan struct{} {
	if f.woken[token] == nil {
		f.woken[token] = make(chan struct{})
	}
	return f.woken[token]
}
