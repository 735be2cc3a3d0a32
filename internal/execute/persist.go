package execute

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

const (
	// opLimit bounds one read or write.
	opLimit = 15 * time.Second
	// tries is how often one is made, the first included.
	tries = 4
	// firstPause is the pause after the first failure; each further one doubles.
	firstPause = 200 * time.Millisecond
	// opsAtOnce bounds how many of one kind are in flight.
	opsAtOnce = 32
)

// persist repeats what, each time for limit at most, until it succeeds, answers
// with a fact, or has failed 4 times, and returns its last error.
func (r *run) persist(limit time.Duration, what func(ctx context.Context) error) error {
	once := func() error {
		ctx, cancel := context.WithTimeout(r.ops, limit)
		defer cancel()
		return what(ctx)
	}
	pause := firstPause
	for try := 1; ; try++ {
		err := once()
		if err == nil || isFact(err) || try == tries || r.ops.Err() != nil {
			return err
		}
		select {
		case <-time.After(r.jitter(pause)):
		case <-r.ops.Done():
			return err
		}
		pause *= 2
	}
}

// isFact reports whether err tells something that asking again would not change.
func isFact(err error) bool {
	for _, fact := range []error{state.ErrConflict, state.ErrNotFound, batch.ErrNotFound, batch.ErrNoObject} {
		if errors.Is(err, fact) {
			return true
		}
	}
	return false
}

// A turn is a lock that may be held during a read or a write, which are bounded.
type turn chan struct{}

func newTurn() turn  { return make(turn, 1) }
func (t turn) take() { t <- struct{}{} }
func (t turn) pass() { <-t }

// each calls f for every item, at most 32 at once, and waits for all.
func each[T any](items []T, f func(i int, item T)) {
	var wg sync.WaitGroup
	turns := make(chan struct{}, opsAtOnce)
	for i, item := range items {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			f(i, item)
		})
	}
	wg.Wait()
}
