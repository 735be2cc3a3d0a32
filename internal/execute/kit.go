package execute

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/metric"
	"github.com/musketry/musketry/internal/route"
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

// A kit is what every stage has at hand. It knows nothing of messages.
type kit struct {
	ctx     context.Context // of reads and writes: lives as long as the invocation
	clock   func() time.Time
	uniform func() float64
	models  func(ctx context.Context) (route.Table, error)
	named   []string // models that metrics name besides patterns
	metrics Metrics
	log     *slog.Logger
	crew    *crew // of what runs beside a stage, and is over before the invocation
}

// persist repeats what, each time for limit at most, until it succeeds, answers
// with a fact, or has failed 4 times, and returns its last error. What is done
// so must be idempotent.
func (k kit) persist(limit time.Duration, what func(ctx context.Context) error) error {
	once := func() error {
		ctx, cancel := context.WithTimeout(k.ctx, limit)
		defer cancel()
		return what(ctx)
	}
	pause := firstPause
	for try := 1; ; try++ {
		err := once()
		if err == nil || isFact(err) || try == tries || k.ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(k.jitter(pause)):
		case <-k.ctx.Done():
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

// jitter spreads d to between d and 1.5 d, so that what was requeued together
// does not come back together.
func (k kit) jitter(d time.Duration) time.Duration {
	return d + time.Duration(k.uniform()*float64(d)/2)
}

// rest waits for 0.9 d to d, so that workers which began together do not poll
// together, and no worker does two things at one instant, whose order nobody
// could repeat. It reports whether ctx lives still. What took long is not made
// up for by doing the next at once.
func (k kit) rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d - time.Duration(k.uniform()*float64(d)/10))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return ctx.Err() == nil
}

// modelLabel returns the name by which metrics call model: a configured one or
// "other". A tenant writes into its lines what it likes, and CloudWatch takes
// money for each name.
func (k kit) modelLabel(model string) string {
	table, err := k.models(k.ctx)
	if err != nil {
		table = route.Table{}
	}
	return k.label(table, model)
}

// label is modelLabel by a table.
func (k kit) label(table route.Table, model string) string {
	if model == "" || slices.Contains(k.named, model) {
		return model
	}
	return table.Label(model)
}

// denied counts a retry that is not made, of what metrics call label.
func (k kit) denied(label string, why state.Denial) {
	k.metrics.Count(metric.RetriesDenied, 1, "model", label, "reason", string(why))
}

// A turn is a lock that may be held during a read or a write, which are bounded.
type turn chan struct{}

func newTurn() turn  { return make(turn, 1) }
func (t turn) take() { t <- struct{}{} }
func (t turn) pass() { <-t }

// rouse sees to it that wake, of one place, has one.
func rouse(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

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

func errAttr(err error) slog.Attr { return slog.String("error", err.Error()) }
