package execute

import "context"

// A Worker runs requests. One lives in a process and keeps its counts; each
// Run of it is a worker of its own to all others.
type Worker struct {
	Deps

	cfg    Config
	shards *shards
}

// New returns a Worker.
func New(deps Deps, cfg Config) *Worker {
	return &Worker{Deps: deps, cfg: cfg.withDefaults(), shards: newShards(deps.NewID)}
}

// Run takes deliveries as far as they get before ctx's deadline (15 minutes
// from now if it has none) less a margin, and returns the message ids of those
// that must stay in the queue, in order: all but those whose request or batch
// is terminal, of which some are deleted already. No goroutine outlives it.
func (w *Worker) Run(ctx context.Context, deliveries []Delivery) []string {
	if len(deliveries) == 0 {
		return []string{}
	}
	w.shards.trim()
	i, cancel := begin(ctx, w.Deps, w.cfg, w.shards)
	defer cancel()
	i.run(deliveries) //nolint:contextcheck // an invocation has two contexts of ctx: one that aborts calls, one that outlives the abort
	return i.ledger.unacknowledged()
}
