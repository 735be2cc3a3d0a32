package memstore

import (
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
	wakes  []string
	woken  map[string]chan struct{} // closed once the token was woken
	news   chan struct{}            // closed and replaced at each start
}

// NewFlow returns a Flow that knows no batch.
func NewFlow() *Flow {
	return &Flow{woken: map[string]chan struct{}{}, news: make(chan struct{})}
}

// Start starts b's flow. That it was started before is no error.
func (f *Flow) Start(ctx context.Context, b batch.Batch) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: start flow of %s: %w", b.ID, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.ContainsFunc(f.starts, func(s batch.Batch) bool { return s.ID == b.ID }) {
		return nil
	}
	f.starts = append(f.starts, copyBatch(b))
	close(f.news)
	f.news = make(chan struct{})

	return nil
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
