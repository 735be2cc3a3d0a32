package execute

import (
	"context"
	"time"
)

// A Delivery is a message as the queue handed it over.
type Delivery struct {
	MessageID string
	Handle    string // what Queue.Hide and Queue.Delete take
	Receives  int    // how often the queue has handed it over, this time included
	Body      string // a batch.Message, encoded
}

// A Worker runs requests. One lives in a process and keeps its counts; each
// Run of it is a worker of its own to all others.
type Worker struct {
	Deps

	cfg   Config
	cells *cells
}

// New returns a Worker.
func New(deps Deps, cfg Config) *Worker {
	return &Worker{Deps: deps, cfg: cfg.withDefaults(), cells: newCells(deps.NewID)}
}

// Run takes deliveries as far as they get before ctx's deadline (15 minutes
// from now if it has none) less a margin, and returns the message ids of those
// that must stay in the queue, in order: all but those whose request or batch
// is terminal, of which some are deleted already. No goroutine outlives it.
func (w *Worker) Run(ctx context.Context, deliveries []Delivery) []string {
	if len(deliveries) == 0 {
		return []string{}
	}
	r, cancel := w.begin(ctx, deliveries)
	defer cancel()
	r.run() //nolint:contextcheck // a run has two contexts of ctx: one that aborts calls, one that outlives the abort
	return r.unsettled()
}

const (
	// lifetime is the longest that a Lambda invocation lasts
	// (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
	lifetime = 15 * time.Minute
	// leaseMargin is how long after its deadline a worker must be dead,
	// whatever clocks differ by.
	leaseMargin = 30 * time.Second
)
